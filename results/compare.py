"""Ours beside a printed figure: what differs, by how much, and the verdict. One rule for every table."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import yaml

from results.stats import CONFIDENCE
from results.table import NOT_APPLICABLE, NOT_TRANSCRIBED, Cell, Comparison, Estimate, Interval, Published, Verdict

FILE = Path(__file__).with_name("thresholds.yaml")


_TO = r"(?:resized to |scaled to )?"
_WHAT = r"(?: ?px| pixels)?(?: videos| data| copy)?"
_SHORT_SIDE = re.compile(rf"{_TO}(?:a )?short(?:er)? ?(?:(?:side|edge)(?: of)?)? ?(?P<side>[0-9]+){_WHAT}")
_SIZE = re.compile(rf"{_TO}(?P<width>[0-9]+) ?[x\u00d7] ?(?P<height>[0-9]+){_WHAT}")
_FRAMES = re.compile(r"frames(?: [0-9.]+)?|(?:raw|extracted|jpe?g) ?frames")
"""`frames 11.3` is ours: frames as they were handed out, and the version of Pillow."""


class ThresholdError(ValueError):
    """thresholds.yaml (or a file given in its place) cannot be used; the text says why."""


@dataclass(frozen=True)
class Thresholds:
    """When a figure is reproduced; units and meaning stand in thresholds.yaml."""

    tolerance: float = 0.5
    half_width: float = 1.0
    coverage: float = 0.97


def read_thresholds(path: str | Path = FILE) -> Thresholds:
    """Raises ThresholdError for a file that is no YAML in UTF-8, or naming the key that is unknown, missing or out of
    range."""
    try:
        found = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ThresholdError(f"{path} cannot be read: {error}") from error
    names = {item.name for item in fields(Thresholds)}
    if not isinstance(found, dict) or set(found) != names:
        raise ThresholdError(f"{path} must give exactly {', '.join(sorted(names))}")
    for name, value in found.items():
        high = 1.0 if name == "coverage" else 100.0
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= high:
            raise ThresholdError(f"{path}: {name}={value!r} must be a number from 0 to {high:g}")
    return Thresholds(**{name: float(value) for name, value in found.items()})


def rule(thresholds: Thresholds) -> str:
    """The rule of the verdicts, as it is printed under a table."""
    return (
        f"Verdict, with d = ours - published and h the half-width of our {100 * CONFIDENCE:g} % interval over "
        "independent seeds: `incomparable` on any difference that the source states of protocol, frames, split, "
        "backbone, weights, copy of the data or decoder, or on a coverage below "
        f"{100 * thresholds.coverage:g} %; `single run` without a second seed; `reproduced` if |d| <= "
        f"{thresholds.tolerance:g} and h <= {thresholds.half_width:g}; `within noise` if |d| <= h; else `above` or "
        "`below`; `missing`: no finished run; `not transcribed`: nobody has entered the printed figure."
    )


def judge(
    ours: Estimate | None,
    published: Published | None,
    differences: Sequence[str] = (),
    thresholds: Thresholds = Thresholds(),
) -> Comparison:
    """The comparison of a measured figure with a printed one, in the order of the rule.

    differences: everything in which the two are not the same experiment (:func:`differences_of`); any makes them
    incomparable, and then no difference of the figures is given at all.
    """
    other = NOT_TRANSCRIBED if published is None else f"{published.text} ({published.source})"
    if published is None:
        return Comparison(other, None, None, "not transcribed")
    if ours is None:
        return Comparison(other, None, None, "missing")
    if differences:
        return Comparison(other, None, None, "incomparable", "; ".join(differences))
    d = ours.mean - published.value
    interval = ours.interval
    moved = None if interval is None else Interval(interval.low - published.value, interval.high - published.value,
                                                   interval.kind, interval.confidence)  # fmt: skip
    return Comparison(other, d, moved, _verdict(d, ours, thresholds))


def _verdict(d: float, ours: Estimate, thresholds: Thresholds) -> Verdict:
    if ours.independent < 2 or ours.interval is None:
        return "single run"
    half = (ours.interval.high - ours.interval.low) / 2
    # 72.1 - 71.6 is 0.5 to a reader and 0.49999... or 0.50000...1 to a machine
    slack = 1e-9
    if abs(d) <= thresholds.tolerance + slack and half <= thresholds.half_width + slack:
        return "reproduced"
    if abs(d) <= half + slack:
        return "within noise"
    return "above" if d > 0 else "below"


def verdict_cell(comparison: Comparison) -> Cell:
    """`below -2.1 [-2.9, -1.3]`; the reason of an incomparable one is in the comparison, not in the grid."""
    text: str = comparison.verdict or NOT_APPLICABLE
    if comparison.difference is not None:
        text += f" {signed(comparison.difference)}"
        if comparison.interval is not None:
            text += f" [{signed(comparison.interval.low)}, {signed(comparison.interval.high)}]"
    kind: Any = {"missing": "missing", "not transcribed": "not transcribed"}.get(comparison.verdict, "measured")
    return Cell(text, kind, comparison=comparison)


def published_cell(published: Published | None) -> Cell:
    if published is None:
        return Cell(NOT_TRANSCRIBED, "not transcribed")
    return Cell(published.text, "published", published=published)


def signed(value: float) -> str:
    """One decimal with its sign; 0.0 has none."""
    text = f"{value:+.1f}"
    return "0.0" if float(text) == 0 else text


def differences_of(run: Mapping[str, Any], conditions: Mapping[str, str], thresholds: Thresholds) -> list[str]:
    """Everything in which a run (a row of the frame) and a printed figure are not the same experiment, to be read.

    conditions: of the printed figure; a key that it does not have was not stated there and differs from nothing. Known
    keys: benchmark, split, protocol (as printed), protocol_name (ours, '' = none of ours), frames, backbone, pretrain,
    data, decoder; the last two in the source's words.
    """
    found = []
    name, printed = conditions.get("protocol_name", ""), conditions.get("protocol", "")
    if (name or printed) and name != (run.get("protocol_name") or "own"):
        found.append(f"protocol {run.get('protocol_name') or 'own'}, theirs {name or printed}")
    # timm's tags: tv_in1k is what others call ImageNet; what was tuned there (ft_in1k) saw more before
    weights = str(run.get("weights") or "scratch")
    imagenet = weights.endswith("in1k") and "ft_" not in weights
    phase = run.get("phase", "test")
    ours: dict[str, Any] = {
        "benchmark": str(run.get("benchmark", "")).partition(" ")[0],
        "split": run.get(f"{phase}.benchmark.split"),
        # a protocol that has a name fixes the frames, whatever words a table prints them in
        "frames": None if name else run.get(f"{phase}.sampling.num_frames"),
        "backbone": _plain(run.get("backbone")),
        "pretrain": "none" if weights == "scratch" else "ImageNet" if imagenet else weights,
    }
    on, theirs = run.get("pretrain.benchmark.name"), _plain(conditions.get("pretrain", ""))
    if on and weights == "scratch" and theirs != "none":
        ours["pretrain"] = f"{on} SSL"  # as published.csv calls a pretraining without labels
    for key, value in ours.items():
        theirs = conditions.get(key, "")
        if theirs and (value is not None or key != "frames") and _plain(theirs) != _plain(value):
            found.append(f"{key} {value}, theirs {theirs}")
    copy = str(run.get("benchmark", ""))
    if "(" in copy:
        found.append(f"data: {copy[copy.index('(') + 1 : -1]}")
    mine = copy.partition(" (")[0].partition(" ")[2]  # benchmark.version
    if (theirs := conditions.get("data", "")) and _copy(theirs) != _copy(mine):
        found.append(f"data copy {mine}, theirs {theirs}")
    return [*found, *_decoder_gap(str(run.get("decoder") or ""), conditions.get("decoder", ""))] + coverage_gap(
        run, thresholds
    )


def _copy(text: str) -> str:
    """The name that our copies have (benchmark.version), where the words mean that and nothing more; else the words,
    which no copy of ours is called: `240403 train / 19769 val copy at 240x320` is no copy that anybody else has."""
    plain = " ".join(text.lower().replace("-", " ").split())
    if found := _SHORT_SIDE.fullmatch(plain):
        return f"short{found['side']}"
    if found := _SIZE.fullmatch(plain):
        return f"{found['width']}x{found['height']}"
    return plain.replace(".", "").replace(" ", "")


def _decoder_gap(ours: str, theirs: str) -> list[str]:
    """['decoder decord, theirs PyAV'] where the names differ, or the versions, if both have one."""
    if not theirs:
        return []
    (name, version), (other, another) = _decoder(ours), _decoder(theirs)
    if name != other:
        return [f"decoder {ours.partition(' ')[0]}, theirs {theirs}"]
    apart = name != "frames" and version and another and version != another
    return [f"decoder {ours}, theirs {theirs}"] if apart else []


def _decoder(text: str) -> tuple[str, str]:
    """(name as benchmark.decoder has it where it is one of ours, version or '')."""
    first, *rest = text.lower().split() or [""]
    if _FRAMES.fullmatch(text.lower()):
        return "frames", ""
    version = next((word.removeprefix("v") for word in rest if word.removeprefix("v")[:1].isdigit()), "")
    return "pyav" if first == "av" else _plain(first), version


def coverage_gap(run: Mapping[str, Any], thresholds: Thresholds) -> list[str]:
    """['coverage 91.2 % < 97 %'] if too many of the listed test videos were not measured."""
    expected = run.get("expected_test")
    if expected is None or expected != expected or not expected:
        return []
    share = (run["videos_test"] - run["unreadable_test"]) / expected
    if share >= thresholds.coverage:
        return []
    return [f"coverage {100 * share:.1f} % < {100 * thresholds.coverage:g} %"]


def _plain(value: Any) -> str:
    """ResNet-50 and resnet50 are one name."""
    return "".join(char for char in str(value).lower() if char.isalnum())
