"""The judgement alone; the runs it judges are ordinary runs."""

import pandas as pd
import pytest

from sweeps import calibrate

TIERS = ("direction", "change", "order", "relation")


def rows(bag: float = 25.0, single: float = 25.0, shift: float = 60.0, tier: str = "order") -> pd.DataFrame:
    """All at chance and 60 % with shift, but for one tier."""

    def row(temporal: str, top1: float, others: float, first_frame: int = -1) -> dict[str, object]:
        return {
            "phase": "test",
            "temporal": temporal,
            "test.benchmark.version": "calibration",
            "test.benchmark.split": "all",
            "test.model.num_frames": 8 if first_frame < 0 else 1,
            "test.sampling.first_frame": first_frame,
            "metric.top1": top1,
            "metric.videos": 800,
            **{f"group.{name}.top1": top1 if name == tier else others for name in TIERS},
            **{f"group.{name}.counted": 200 for name in TIERS},
        }

    frames = [row("none", single, single, index) for index in range(calibrate.FRAMES)]
    return pd.DataFrame([row("none", bag, 25.0), row("shift", shift, 60.0), *frames])


def verdicts(frame: pd.DataFrame) -> dict[str, bool]:
    return {name: ok for name, _, ok in calibrate.judge(frame)}


def test_all_as_it_must_be() -> None:
    found = verdicts(rows())
    assert len(found) == calibrate.FRAMES + 6 and all(found.values())


@pytest.mark.parametrize(
    ("changes", "broken"),
    [
        ({"bag": 34.0}, "bag of frames, order"),
        ({"single": 31.0}, "single frame 0"),
        ({"shift": 28.0}, "r18, temporal=shift"),
        ({"shift": 90.0}, "r18, temporal=shift"),
    ],
)
def test_what_breaks_it(changes: dict[str, float], broken: str) -> None:
    assert not verdicts(rows(**changes))[broken]


def test_a_missing_reference_does_not_pass() -> None:
    frame = rows()
    assert not verdicts(frame[frame["temporal"] != "shift"])["r18, temporal=shift"]
    assert not verdicts(frame[frame["test.sampling.first_frame"] != 7])["single frame 7"]
