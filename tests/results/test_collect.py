import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from results.collect import collect, problems
from results.flatten import flat, protocol


def test_a_row_per_finished_run_with_the_lineage_in_columns(make: Any, frame_of: Callable[..., pd.DataFrame]) -> None:
    frame = frame_of(make.runs("resnet101", 3, "joint", seed=4, config={"finetune.optim.lr": 0.01}))
    assert list(frame["phase"]) == ["finetune", "pretrain", "test"]
    row = frame[frame["phase"] == "test"].iloc[0]
    expected = {
        "backbone": "resnet101",
        "levels": 3,
        "pretraining": "joint",
        "init": "run",
        "weights": "scratch",
        "temporal": "none",
        "motion_input": "video",
        "fusion_init": "random",
        "pairing": "causal",
        "seed": 4,
        "pretrain_seed": 4,
        "profile": "quick",
        "fingerprint": "f" * 64,
        "manifest_test": "b" * 64,
        "decoder": "decord 0.6.0",
        "protocol": (
            "dense 8x2, 1x1 views, crop 48, short videos pad_last, mean of softmax, top-1 of a video, last checkpoint, "
            "trained with flip none, any coverage, split 1"
        ),
        "metric.top1": 50.0,
        "group.order.top1": 50.0,
        "group.order.counted": 120,
        "finetune.optim.lr": 0.01,
        "pretrain.objective.contrast.negatives": '["space", "time", "clip"]',
    }
    assert {name: row[name] for name in expected} == expected
    assert not [name for name in frame.columns if name.endswith((".seed", ".phase"))]


def test_a_plain_backbone_has_no_motion_settings(make: Any, frame_of: Callable[..., pd.DataFrame]) -> None:
    row = frame_of(make.runs(levels=0)).query("phase == 'test'").iloc[0]
    assert (row["pretraining"], row["motion_input"], row["fusion_init"], row["pairing"]) == ("none", "-", "-", "-")


def test_weights_from_a_file_are_not_taken_for_no_pretraining(make: Any, tmp_path: Path) -> None:
    chain = make.runs(pretraining="none", config={"finetune.init": "run"})
    chain["test"]["lineage_configs"][chain["finetune"]["run_id"]]["init"] = "run"
    make.save(tmp_path, chain)
    assert set(collect(tmp_path)["pretraining"]) == {"from a file"}


@pytest.mark.parametrize(
    ("name", "pretrained", "columns"),
    [
        ("resnet50.tv_in1k", "timm", ("resnet50", "tv_in1k")),
        ("resnet50.tv_in1k", "", ("resnet50.tv_in1k", "scratch")),
        ("resnet50", "/somewhere/else/own.pth", ("resnet50", "own.pth")),
    ],
)
def test_weights_are_a_column_of_their_own(
    make: Any, frame_of: Callable[..., pd.DataFrame], name: str, pretrained: str, columns: tuple[str, str]
) -> None:
    """As sweeps write it: the tag of a timm name says which weights, and published figures name the plain backbone."""
    given = {f"{phase}.model.backbone": {"name": name, "pretrained": pretrained} for phase in ("finetune", "test")}
    frame = frame_of(make.runs(pretraining="none", config=given))
    assert set(zip(frame["backbone"], frame["weights"], strict=True)) == {columns}


def test_videos_of_a_pretraining_that_is_not_here_are_not_said_to_be_the_same(make: Any, tmp_path: Path) -> None:
    elsewhere = {"pretrain.benchmark.name": "kinetics400"}
    chains = [make.runs(seed=seed, config=elsewhere) for seed in (0, 1)] + [make.runs(seed=2)]
    for chain in chains[:2]:
        chain["pretrain"]["data"]["manifest_sha256"] = {"train": "c" * 64, "test": "d" * 64}
    del chains[1]["pretrain"], chains[2]["pretrain"]
    make.save(tmp_path, *chains)
    frame = collect(tmp_path).query("phase == 'test'").sort_values("seed")
    assert list(frame["pretrain_manifest"]) == ["c" * 64, "unknown", ""]


def test_tests_of_two_files_are_two_rows(make: Any, tmp_path: Path) -> None:
    for digit in "ab":
        test = make.runs(pretraining="none")["test"] | {"parent": None, "lineage": [], "lineage_configs": {}}
        test["run_id"] = digit * 64
        test["environment"]["pretrained_weights"] = {"sha256": digit * 64}
        make.save(tmp_path, {"test": test})
    assert sorted(collect(tmp_path)["pretraining"]) == ["file aaaaaaaa", "file bbbbbbbb"]


def test_visible_targets_and_views_to_come_are_said(make: Any, frame_of: Callable[..., pd.DataFrame]) -> None:
    looks = {f"{phase}.model.motion.pairing": "lookahead" for phase in ("pretrain", "finetune", "test")}
    shifts = {
        f"{phase}.model.temporal": {"mode": "shift", "causal": False} for phase in ("pretrain", "finetune", "test")
    }
    frame = frame_of(make.runs(config=looks | shifts))
    assert set(frame["pairing"]) == {"lookahead (target visible)"}
    assert set(frame["temporal"]) == {"shift (not causal)"}


def test_the_frame_does_not_depend_on_where_and_in_which_order_runs_lie(make: Any, tmp_path: Path) -> None:
    chains = [make.runs(levels=levels, seed=seed) for levels in (1, 2) for seed in (0, 1)]
    make.save(tmp_path / "a", *chains)
    make.save(tmp_path / "b" / "deeper", *chains[2:])
    make.save(tmp_path / "c", *chains[:2])
    whole = collect(tmp_path / "a").drop(columns="path")
    pd.testing.assert_frame_equal(whole, collect(tmp_path / "c", tmp_path / "b").drop(columns="path"))


def test_bad_records_are_named_and_the_others_kept(make: Any, tmp_path: Path) -> None:
    chain = make.runs()
    finetune, test = (make.save(tmp_path, {name: chain[name]})[0] for name in ("finetune", "test"))
    half = make.save(tmp_path, {"pretrain": chain["pretrain"]})[0]
    half.write_text(half.read_text()[:-100])
    foreign = tmp_path / "foreign" / "record.json"
    foreign.parent.mkdir()
    foreign.write_text(json.dumps({"name": "an experiment of another project"}))
    moved = tmp_path / "test" / "another-0123456789ab" / "record.json"
    moved.parent.mkdir()
    moved.write_text(test.read_text())
    unreadable = tmp_path / "gone" / "record.json"
    unreadable.parent.mkdir()
    unreadable.symlink_to(tmp_path / "nowhere")
    frame = collect(tmp_path, tmp_path / "no such root")
    assert sorted(frame["path"]) == [str(finetune), str(test)]
    found = {problem.path: problem for problem in problems(frame)}
    assert set(found) == {*map(str, (half, foreign, moved, unreadable)), str(tmp_path / "no such root")}
    assert "half-written" in found[str(half)].reason
    assert "schema_version" in found[str(foreign)].reason
    assert "not of the run that the folder is named after" in found[str(moved)].reason
    assert found[str(tmp_path / "no such root")].kind == "no root"


def test_unfinished_runs_are_named_with_their_state(tmp_path: Path) -> None:
    for name, status in (
        ("a", '{"state": "failed", "step": 3, "total_steps": 80, "message": "loss is nan"}'),
        ("b", "{"),
    ):
        folder = tmp_path / "finetune" / name
        folder.mkdir(parents=True)
        (folder / "config.json").write_text("{}")
        (folder / "status.json").write_text(status)
    frame = collect(tmp_path)
    assert frame.empty
    first, second = problems(frame)
    assert (first.kind, second.kind) == ("unfinished", "unfinished")
    assert "failed at step 3 of 80" in first.reason and "loss is nan" in first.reason
    assert "status.json cannot be read" in second.reason


def test_the_same_run_found_twice_counts_once_the_later_one(make: Any, tmp_path: Path) -> None:
    chain = make.runs()
    make.save(tmp_path / "a", chain)
    chain["test"]["finished"] = "2026-11-24T00:00:00Z"
    later = make.save(tmp_path / "b", {"test": chain["test"]})[0]
    frame = collect(tmp_path / "a", tmp_path / "b")
    assert list(frame.query("phase == 'test'")["path"]) == [str(later)]
    assert [problem.kind for problem in problems(frame)] == ["duplicate"]


def test_moved_aside_runs_and_code_copies_are_passed_over(make: Any, tmp_path: Path) -> None:
    make.save(tmp_path / "_stale", make.runs())
    make.save(tmp_path / "_code", make.runs(seed=1))
    assert collect(tmp_path).empty
    assert len(collect(tmp_path / "_stale")) == 3


def test_one_record_file_is_a_root_too(make: Any, tmp_path: Path) -> None:
    paths = make.save(tmp_path, make.runs())
    assert list(collect(paths[-1])["path"]) == [str(paths[-1])]


def test_ancestors_run_by_other_code_show(make: Any, tmp_path: Path) -> None:
    chain = make.runs()
    chain["pretrain"]["code"]["fingerprint"] = "0" * 64
    chain["pretrain"]["data"]["manifest_sha256"]["train"] = "9" * 64
    make.save(tmp_path, chain)
    row = collect(tmp_path).query("phase == 'test'").iloc[0]
    assert row["fingerprints"] == f"{'f' * 64}+{'0' * 64}"
    assert row["pretrain_manifest"] == "9" * 64
    assert row["pretrain_id"] == chain["pretrain"]["run_id"]


def test_whole_numbers_stay_whole_beside_gaps(make: Any, frame_of: Callable[..., pd.DataFrame]) -> None:
    frame = frame_of(make.runs())
    assert frame["levels"].dtype == "int64"
    assert frame["metric.top1"].dtype == "float64"
    assert {repr(value) for value in frame["pretrain.eval_videos"].dropna()} == {"64"}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every folder")
def test_a_folder_that_cannot_be_listed_is_named(tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    locked.mkdir(mode=0)
    assert [problem.path for problem in problems(collect(tmp_path))] == [str(locked)]


def test_flat_and_protocol() -> None:
    assert flat({"a": {"b": 1, "c": {}}, "d": [1, 2]}) == {"a.b": 1, "a.c": "{}", "d": "[1, 2]"}
    config = {
        "phase": "test",
        "sampling": {"mode": "uniform", "num_frames": 8, "frame_stride": 2, "short_video": "loop"},
        "transform": {"resize": 256, "crop_size": 224},
        "benchmark": {"split": "2", "test_per_class": 5},
        "num_clips": 2,
        "num_crops": 3,
        "within_group": True,
    }
    scored = "mean of softmax, top-1 of a video, last checkpoint, trained with flip ?, any coverage"
    rest = "split 2, at most 5 test videos a class, group given"
    assert protocol(config) == f"uniform 8, 2x3 views, resize 256 crop 224, short videos loop, {scored}, {rest}"
    assert "trained with flip mapped" in protocol(config, "mapped")


FULL = {
    "phase": "test",
    "sampling": {"mode": "uniform", "num_frames": 8, "frame_stride": 1, "short_video": "loop", "rule": "tsm"},
    "transform": {"resize": 256, "crop_size": 256},
    "model": {"num_frames": 8, "input_size": 224},
    "benchmark": {"split": "val"},
    "num_clips": 2,
    "num_crops": 3,
    "average": "logits",
    "metric": "video",
    "selection": "last",
    "coverage": 0.97,
    "protocol": {"flip": "none", "name": "tsm_accurate"},
}


def test_every_value_of_a_protocol_tells_rows_apart() -> None:
    said = (
        "uniform 8 by tsm, 2x3 views, resize 256 crop 256, short videos loop, mean of logits, top-1 of a video, "
        "last checkpoint, trained with flip none, coverage of at least 97 % asked for, "
        "trained on 8 frames of 224 px, split val"
    )
    assert protocol(FULL) == said
    changes = [
        {"num_clips": 1},
        {"num_crops": 1},
        {"average": "softmax"},
        {"metric": "clip"},
        {"selection": "best"},
        {"coverage": 0.9},
        {"protocol": {"flip": "mapped"}},
        {"model": {"num_frames": 8, "input_size": 256}},
        {"model": {"num_frames": 3, "input_size": 224}},
        {"transform": {"resize": 300, "crop_size": 256}},
        {"transform": {"resize": 256, "crop_size": 224}},
    ]
    dense = {"mode": "dense", "num_frames": 8, "frame_stride": 8, "short_video": "loop"}
    samplings = [{"rule": "parts"}, {"num_frames": 16}, {"short_video": "pad_last"}, dense, dense | {"frame_stride": 4}]
    samplings += [dense | {"window": 64}, dense | {"first_frame": 3}]
    changes += [{"sampling": FULL["sampling"] | change} for change in samplings]
    texts = [protocol(FULL | change) for change in changes]
    assert len({said, *texts}) == len(changes) + 1


def test_the_name_of_a_protocol_is_a_column_and_its_values_are_not_twice(
    make: Any, frame_of: Callable[..., pd.DataFrame]
) -> None:
    chain = make.runs(config={"test.protocol": {"name": "own", "flip": "none"}})
    frame = frame_of(chain)
    assert frame.query("phase == 'test'").iloc[0]["protocol_name"] == "own"
    assert not [name for name in frame.columns if name.startswith("test.protocol")]


@pytest.mark.parametrize(
    ("decoder", "package"), [("pyav", "av"), ("frames", "pillow"), ("torchcodec", "torchcodec"), ("decord", "decord")]
)
def test_a_decoder_has_the_version_of_its_package(
    make: Any, frame_of: Callable[..., Any], decoder: str, package: str
) -> None:
    """Another version may decode other pixels: such runs are never averaged."""
    chain = make.runs(levels=0, config={f"{phase}.benchmark.decoder": decoder for phase in ("finetune", "test")})
    for record in chain.values():
        record["environment"] |= {"av": "1", "pillow": "2", "torchcodec": "3", "decord": "4"}
    assert set(frame_of(chain)["decoder"]) == {f"{decoder} {record['environment'][package]}"}
