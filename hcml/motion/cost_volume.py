"""Correlation of a map with a window of another one."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def fitting_displacement(max_displacement: int, height: int, width: int, where: str) -> int:
    """The search radius d_l that a map of `height` x `width` pixels can hold: min(d, floor((min(h, w) - 1) / 2)).

    Raises:
        ValueError: if no radius >= 1 fits; the message names the map (`where`) and its size.
    """
    fitting = min(max_displacement, (min(height, width) - 1) // 2)
    if fitting < 1:
        raise ValueError(
            f"{where} has {height}x{width} pixels: too small for a cost volume (a search radius of 1 needs 3x3); "
            "use a larger input_size, fewer levels, or motion.prime=difference"
        )
    return fitting


def cost_volume(current: Tensor, reference: Tensor, max_displacement: int) -> Tensor:
    """Dot products of every pixel of `current` with the (2d+1)^2 window around it in `reference`.

    Channel (i * (2d+1) + j) holds ``<current(y, x), reference(y + i - d, x + j - d)>``, the matching cost of PWC-Net
    (Sun et al., arXiv 1709.02371, section 3) without its division by the number of channels: the callers
    L2-normalise. Pixels outside of `reference` count as zero vectors.

    One batched matrix product per row offset gives the products of a row with a whole row; the band of the 2d+1
    wanted ones is cut out by padding each row by one, which shears the matrix. On a CPU this is about five times
    as fast as (2d+1)^2 elementwise products, and memory stays linear in the map's size.

    Args:
        current: [N, D, h, w].
        reference: [N, D, h, w].
        max_displacement: d, in pixels of the map.

    Returns:
        [N, (2d+1)^2, h, w].
    """
    n, dim, h, w = current.shape
    window, padded_w = 2 * max_displacement + 1, w + 2 * max_displacement
    rows = current.permute(0, 2, 3, 1).reshape(n * h, w, dim)
    padded = F.pad(reference, (max_displacement,) * 4).permute(0, 2, 1, 3)  # [n, h + 2d, D, w + 2d]
    bands = []
    for i in range(window):
        products = torch.bmm(rows, padded[:, i : i + h].reshape(n * h, dim, padded_w))  # [n * h, w, w + 2d]
        sheared = F.pad(products.reshape(n, h, w * padded_w), (0, w)).view(n, h, w, padded_w + 1)
        bands.append(sheared[..., :window])
    return torch.stack(bands, dim=3).reshape(n, h, w, window * window).permute(0, 3, 1, 2)
