"""Random textures in six families; training and test never share one (spec.FAMILIES)."""

from __future__ import annotations

import numpy as np


def draw_texture(rng: np.random.Generator, side: int, family: str, scale: float = 1.0) -> np.ndarray:
    """A grey texture, float64 [side, side], mean 0, standard deviation 1.

    `scale` shrinks (< 1) or stretches its features, whose size is a few pixels at 1. Features stay above two
    pixels, so that bilinear sub-pixel sampling does not flicker. Raises KeyError for an unknown family.
    """
    grey = _FAMILIES[family](rng, side, scale)
    grey = grey + 0.35 * grey.std() * _standard(_noise(rng, side, 3.0))  # no aperture problem on stripes and flats
    return _standard(_soften(grey))


def colour_texture(grey: np.ndarray, mean: np.ndarray, axis: np.ndarray) -> np.ndarray:
    """Grey [h, w] -> colour float32 [h, w, 3] in 0..1 around `mean` [3] along the colour axis `axis` [3]."""
    return np.clip(mean + np.clip(grey, -2, 2)[..., None] * axis, 0, 1).astype(np.float32)


def _standard(grey: np.ndarray) -> np.ndarray:
    return (grey - grey.mean()) / max(float(grey.std()), 1e-6)


def _soften(grey: np.ndarray) -> np.ndarray:
    """A [1 2 1] / 4 blur along both axes."""
    padded = np.pad(grey, 1, mode="edge")
    rows = (padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4
    return (rows[:, :-2] + 2 * rows[:, 1:-1] + rows[:, 2:]) / 4


def _weights(side: int, cell: float, offset: float) -> np.ndarray:
    """Matrix [side, knots] that interpolates knots `cell` pixels apart with smoothstep weights."""
    where = np.arange(side) / cell + offset
    left = np.floor(where).astype(int)
    share = where - left
    share = share * share * (3 - 2 * share)
    matrix = np.zeros((side, int(np.ceil(side / cell)) + 2))
    matrix[np.arange(side), left] = 1 - share
    matrix[np.arange(side), left + 1] += share
    return matrix


def _noise(rng: np.random.Generator, side: int, cell: float) -> np.ndarray:
    """Value noise [side, side] with knots `cell` pixels apart."""
    rows, columns = (_weights(side, cell, rng.uniform(0, 1)) for _ in range(2))
    return rows @ rng.standard_normal((rows.shape[1], columns.shape[1])) @ columns.T


def _grating(rng: np.random.Generator, side: int, scale: float, angle: float) -> np.ndarray:
    """A sine wave of 6..10 pixels at `angle`, its phase warped by noise."""
    y, x = np.mgrid[:side, :side]
    along = (x * np.cos(angle) + y * np.sin(angle)) / (scale * rng.uniform(6, 10))
    return np.sin(2 * np.pi * (along + 0.25 * _noise(rng, side, 12 * scale)))


def _octaves(rng: np.random.Generator, side: int, scale: float) -> np.ndarray:
    return sum(
        (weight * _noise(rng, side, cell * scale) for weight, cell in ((1, 12), (0.7, 6), (0.5, 4))), np.zeros(())
    )


def _stripes(rng: np.random.Generator, side: int, scale: float) -> np.ndarray:
    return _grating(rng, side, scale, rng.uniform(0, np.pi))


def _points(rng: np.random.Generator, side: int, spacing: float) -> tuple[np.ndarray, np.ndarray]:
    """Random points, one per spacing^2 pixels: distances [side, side, n] and n random values."""
    count = max(4, int((side / spacing) ** 2))
    x, y = rng.uniform(-1, side, (2, count))
    ruler = np.arange(side)
    squares = (ruler[:, None] - y)[:, None] ** 2 + (ruler[:, None] - x)[None] ** 2
    return squares, rng.uniform(-1, 1, count)


def _cells(rng: np.random.Generator, side: int, scale: float) -> np.ndarray:
    squares, values = _points(rng, side, 8 * scale)
    return values[np.argmin(squares, axis=-1)]


def _blotches(rng: np.random.Generator, side: int, scale: float) -> np.ndarray:
    return np.tanh(4 * _standard(_noise(rng, side, scale * rng.uniform(5, 8))))


def _plaid(rng: np.random.Generator, side: int, scale: float) -> np.ndarray:
    angle = rng.uniform(0, np.pi)
    return _grating(rng, side, scale, angle) + _grating(rng, side, scale, angle + rng.uniform(1, 2))


def _spots(rng: np.random.Generator, side: int, scale: float) -> np.ndarray:
    squares, values = _points(rng, side, 6 * scale)
    return np.exp(-squares / (2 * (2.2 * scale) ** 2)) @ np.sign(values)


_FAMILIES = {
    "octaves": _octaves,
    "stripes": _stripes,
    "cells": _cells,
    "blotches": _blotches,
    "plaid": _plaid,
    "spots": _spots,
}
