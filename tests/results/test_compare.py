from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from results.compare import (
    ThresholdError,
    Thresholds,
    coverage_gap,
    differences_of,
    judge,
    read_thresholds,
    rule,
    signed,
    verdict_cell,
)
from results.stats import estimate
from results.table import Estimate, Interval, Published

PRINTED = Published("k", 70.0, "70.0", "a repository, a file, a commit, a line")
RUN = {
    "protocol_name": "tsm_efficient",
    "benchmark": "sthv1 v1",
    "test.benchmark.split": "val",
    "test.sampling.num_frames": 8,
    "backbone": "resnet50",
    "weights": "tv_in1k",
    "decoder": "decord 0.6.0",
    "expected_test": 1000,
    "videos_test": 1000,
    "unreadable_test": 0,
}


SCRATCH = {"weights": "scratch"}


def ours(mean: float, half: float) -> Estimate:
    return Estimate(mean, half / 2.5, 3, 3, Interval(mean - half, mean + half, "seeds"))


@pytest.mark.parametrize(
    ("mean", "half", "verdict"),
    [
        (70.0, 0.9, "reproduced"),
        (70.5, 1.0, "reproduced"),
        (69.5, 1.0, "reproduced"),
        (70.5, 1.1, "within noise"),
        (71.0, 1.0, "within noise"),
        (71.1, 1.0, "above"),
        (68.9, 1.0, "below"),
        (60.0, 12.0, "within noise"),
        (70.6, 0.1, "above"),
    ],
)
def test_the_rule(mean: float, half: float, verdict: str) -> None:
    found = judge(ours(mean, half), PRINTED)
    assert found.verdict == verdict and found.difference == pytest.approx(mean - 70)
    assert found.interval is not None and found.interval.low == pytest.approx(mean - half - 70)
    assert verdict_cell(found).text.startswith(verdict)


def test_what_comes_before_the_rule() -> None:
    one = estimate([70.0])
    shared = estimate([70.0, 70.1], ["p", "p"])
    assert judge(one, PRINTED).verdict == "single run" and judge(shared, PRINTED).verdict == "single run"
    assert judge(None, PRINTED).verdict == "missing"
    assert judge(ours(70, 1), None).verdict == judge(None, None).verdict == "not transcribed"
    apart = judge(ours(70, 0.1), PRINTED, ["frames 8, theirs 16", "coverage 90 % < 97 %"])
    assert (apart.verdict, apart.difference, apart.interval) == ("incomparable", None, None)
    assert apart.reason == "frames 8, theirs 16; coverage 90 % < 97 %"


@given(mean=st.floats(0, 100), half=st.floats(0, 30), printed=st.floats(0, 100))
def test_verdicts_leave_no_gap_and_follow_the_thresholds(mean: float, half: float, printed: float) -> None:
    found = judge(ours(mean, half), Published("k", printed, str(printed), "s"))
    d = mean - printed
    if found.verdict == "reproduced":
        assert abs(d) <= 0.5 + 1e-6 and half <= 1 + 1e-6
    elif found.verdict == "within noise":
        assert abs(d) <= half + 1e-6
    else:
        assert found.verdict == ("above" if d > 0 else "below") and abs(d) > half - 1e-6
    wide = judge(ours(mean, half), Published("k", printed, "", "s"), thresholds=Thresholds(100, 100))
    assert wide.verdict == "reproduced"


def test_nothing_differs_where_nothing_does() -> None:
    conditions = {"protocol_name": "tsm_efficient", "protocol": "1 clip", "frames": "8 dense", "backbone": "ResNet-50"}
    conditions |= {"pretrain": "ImageNet", "benchmark": "sthv1", "split": "val"}
    assert differences_of(RUN, conditions, Thresholds()) == []
    assert differences_of(RUN, {}, Thresholds()) == []


@pytest.mark.parametrize("theirs", ["UCF-101 SSL", "none", ""])
def test_a_pretraining_without_labels_is_what_others_call_so(theirs: str) -> None:
    run = RUN | SCRATCH | {"pretrain.benchmark.name": "ucf101"}
    assert differences_of(run, {"pretrain": theirs}, Thresholds()) == []


@pytest.mark.parametrize(
    ("conditions", "changes", "said"),
    [
        ({"protocol_name": "tsm_accurate"}, {}, "protocol tsm_efficient, theirs tsm_accurate"),
        ({"protocol": "10 clips"}, {}, "protocol tsm_efficient, theirs 10 clips"),
        ({"frames": "16"}, {}, "frames 8, theirs 16"),
        ({"backbone": "ResNet-101"}, {}, "backbone resnet50, theirs ResNet-101"),
        ({"pretrain": "Kinetics-400"}, {}, "pretrain ImageNet, theirs Kinetics-400"),
        ({"pretrain": "ImageNet"}, {"weights": "scratch"}, "pretrain none, theirs ImageNet"),
        (
            {"pretrain": "ImageNet"},
            {"weights": "augreg_in21k_ft_in1k"},
            "pretrain augreg_in21k_ft_in1k, theirs ImageNet",
        ),
        (
            {"pretrain": "UCF-101 SSL"},
            SCRATCH | {"pretrain.benchmark.name": "kinetics400"},
            "pretrain kinetics400 SSL, theirs UCF-101 SSL",
        ),
        (
            {"pretrain": "UCF-101"},
            SCRATCH | {"pretrain.benchmark.name": "ucf101"},
            "pretrain ucf101 SSL, theirs UCF-101",
        ),
        ({"split": "1"}, {}, "split val, theirs 1"),
        ({"decoder": "pyav"}, {}, "decoder decord, theirs pyav"),
        ({"decoder": "PyAV 8.0"}, {}, "decoder decord, theirs PyAV 8.0"),
        ({"decoder": "Decord 0.4.2"}, {}, "decoder decord 0.6.0, theirs Decord 0.4.2"),
        ({"decoder": "rawframes"}, {}, "decoder decord, theirs rawframes"),
        ({"data": "short side 320"}, {}, "data copy v1, theirs short side 320"),
        ({}, {"benchmark": "sthv1 v1 (synthetic imitation)"}, "data: synthetic imitation"),
        ({}, {"unreadable_test": 31}, "coverage 96.9 % < 97 %"),
    ],
)
def test_every_difference_is_named(conditions: dict, changes: dict, said: str) -> None:
    assert differences_of(RUN | changes, conditions, Thresholds()) == [said]


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("decord 0.6.0", "Decord"),
        ("decord 0.6.0", "decord v0.6.0"),
        ("pyav 17.0.0", "PyAV"),
        ("pyav 17.0.0", "av 17.0.0"),
        ("frames 11.3.0", "raw frames"),
        ("frames 11.3.0", "JPEG frames"),
        ("decord 0.6.0", ""),
    ],
)
def test_a_decoder_is_known_by_its_name(ours: str, theirs: str) -> None:
    assert differences_of(RUN | {"decoder": ours}, {"decoder": theirs}, Thresholds()) == []


@pytest.mark.parametrize(
    ("version", "same"),
    [
        ("340x256", ["340x256", "340x256 data", "resized to 340x256", "340 x 256", "340\u00d7256 px"]),
        (
            "short256",
            ["short-side 256", "short side of 256 pixels", "shorter edge 256", "short256", "Short-Side 256 data"],
        ),
        ("original", ["original", "Original"]),
        ("h264", ["h264", "H.264"]),
    ],
)
def test_a_copy_of_the_data_is_known_by_what_it_is(version: str, same: list[str]) -> None:
    others = ["short-side 320", "340x256, some missing", "256x340", "240403 train / 19769 val copy at 240x320", "copy"]
    everything = ["340x256", "short-side 256", "original", "h264", *others]
    run = RUN | {"benchmark": f"kinetics400 {version} (a part of its videos)"}
    for theirs in [*same, *everything, ""]:
        found = [gap for gap in differences_of(run, {"data": theirs}, Thresholds()) if gap.startswith("data copy")]
        expected = [] if theirs in same or not theirs else [f"data copy {version}, theirs {theirs}"]
        assert found == expected, theirs


def test_coverage_needs_a_list() -> None:
    assert coverage_gap(RUN | {"expected_test": None}, Thresholds()) == []
    assert coverage_gap(RUN | {"expected_test": float("nan")}, Thresholds()) == []
    assert coverage_gap(RUN | {"videos_test": 969}, Thresholds(coverage=0.96)) == []


def test_thresholds_are_a_file_and_the_rule_prints_them(tmp_path: Path) -> None:
    assert read_thresholds() == Thresholds()
    path = tmp_path / "own.yaml"
    path.write_text("tolerance: 0.3\nhalf_width: 2\ncoverage: 0.9\n")
    text = rule(read_thresholds(path))
    assert "|d| <= 0.3" in text and "h <= 2" in text and "below 90 %" in text
    outside = "tolerance: 1\nhalf_width: 1\ncoverage: 2"
    for wrong in ("tolerance: 1", outside, outside.replace("2", ".nan"), "a: ["):
        path.write_text(wrong)
        with pytest.raises(ThresholdError, match=r"own\.yaml"):
            read_thresholds(path)
    path.write_bytes(b"tolerance: 0.3 # \xb1\n")
    for unread in (path, tmp_path / "none.yaml"):
        with pytest.raises(ThresholdError, match="cannot be read"):
            read_thresholds(unread)


def test_signs() -> None:
    assert [signed(value) for value in (1.25, -0.04, 0.04, -3.0)] == ["+1.2", "0.0", "0.0", "-3.0"]
