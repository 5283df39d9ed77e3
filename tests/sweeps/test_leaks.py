from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

from hcml.config import BenchmarkConfig, Runtime
from hcml.data.manifest import Data, Manifest, ManifestError, VideoEntry
from hcml.training.checkpoint import write_file
from sweeps.job import Assignment
from sweeps.leaks import LeakError, check_leaks, check_plan, trained_on
from sweeps.plan import make_plan
from sweeps.resolve import resolve
from sweeps.store import FolderError, Store


def manifest(split: str, subset: str, groups: tuple[int, ...]) -> Manifest:
    names = [f"v_Archery_g{group:02d}_c{clip:02d}" for group in groups for clip in (1, 2)]
    entries = [VideoEntry(name, f"{name}.mp4", 0, 30, 25.0) for name in names]
    return Manifest("ucf101", "h264", split, subset, Path("."), ["Archery"], entries=entries)


def load(config: BenchmarkConfig) -> Data:
    """Groups 1 to 3 are tested in split 1, 4 to 6 in split 2, and so on, as in the official lists."""
    if config.split not in "123":
        raise ManifestError(f"split {config.split} is not prepared")
    first = 3 * int(config.split) - 2
    test = tuple(range(first, first + 3))
    train = tuple(group for group in range(1, 13) if group not in test)
    return Data(manifest(config.split, "train", train), manifest(config.split, "test", test))


def ucf(split: str, **changes: object) -> BenchmarkConfig:
    return replace(BenchmarkConfig("ucf101", "h264", split), **changes)


def test_the_same_split_in_every_phase_is_no_leak() -> None:
    check_leaks(ucf("1"), [ucf("1"), ucf("1")], load, "it")


@pytest.mark.parametrize("changes", [{}, {"version": "original"}, {"train_per_class": 1}])
def test_weights_that_saw_another_splits_training_videos_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(LeakError, match=r"trained on ucf101 split 1, which holds 6 of the 6 test videos"):
        check_leaks(ucf("2"), [ucf("1", **changes)], load, "the weights")


def test_another_clip_of_a_tested_recording_is_a_leak_too() -> None:
    def half(config: BenchmarkConfig) -> Data:
        data = load(config)
        data.train = replace(data.train, entries=[e for e in data.train.entries if e.video_id.endswith("c01")])
        data.test = replace(data.test, entries=[e for e in data.test.entries if e.video_id.endswith("c02")])
        return data

    with pytest.raises(LeakError, match="cut from the same recordings"):
        check_leaks(ucf("2"), [ucf("1")], half, "it")


def test_other_data_sets_are_not_compared() -> None:
    check_leaks(ucf("2"), [BenchmarkConfig("kinetics400", "original", "val")], load, "it")


def test_what_cannot_be_checked_is_refused() -> None:
    with pytest.raises(LeakError, match="split 9 is not prepared"):
        check_leaks(ucf("1"), [ucf("9")], load, "it")


def test_a_plan_is_checked_before_anything_starts(settings: Callable[..., dict[str, object]]) -> None:
    def plan(*overrides: str) -> object:
        return make_plan([resolve(settings("benchmark=ucf101", *overrides))], lambda run: "new")

    check_plan(plan("benchmark.split=2"), load)
    with pytest.raises(LeakError, match="trained on ucf101 split 1"):
        check_plan(plan("benchmark.split=2", "pretrain.split=1"), load)


def test_a_weights_file_says_what_it_was_trained_on(tmp_path: Path, settings: Callable[..., dict[str, object]]) -> None:
    path = tmp_path / "weights.pt"
    write_file(path, {"model": {"a": torch.zeros(1)}, "trained_on": [asdict(ucf("1")), asdict(ucf("3"))]})
    assert trained_on(path) == [ucf("1"), ucf("3")]
    jobs = [resolve(settings("benchmark=ucf101", "benchmark.split=2", f"checkpoint={path}"))]
    with pytest.raises(LeakError, match="trained on ucf101 split 1"):
        check_plan(make_plan(jobs, lambda run: "new"), load)
    write_file(path, {"model": {"a": torch.zeros(1)}})
    with pytest.raises(LeakError, match="does not say which videos"):
        trained_on(path)


def test_a_file_that_was_exchanged_after_planning_is_refused(
    tmp_path: Path, settings: Callable[..., dict[str, object]]
) -> None:
    path = tmp_path / "weights.pt"
    path.write_bytes(b"planned")
    finetune = resolve(settings("phase=finetune", "levels=1", f"checkpoint={path}"))[0]
    folder = Store(tmp_path / "runs").prepare(finetune, Runtime(), {"fingerprint": "f"})
    assert Assignment(folder).parent_weights == path
    path.write_bytes(b"another")
    with pytest.raises(FolderError, match="not the file any more"):
        _ = Assignment(folder).parent_weights


def test_data_that_cannot_be_read_are_left_to_the_runs(settings: Callable[..., dict[str, object]]) -> None:
    def broken(config: BenchmarkConfig) -> Data:
        raise ManifestError("train.csv:7: too few fields")

    check_plan(make_plan([resolve(settings("benchmark=ucf101"))], lambda run: "new"), broken)
    with pytest.raises(ManifestError, match="too few fields"):
        check_leaks(ucf("1"), [ucf("1")], broken, "it")
