import csv
import json
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

import benchmarks
from benchmarks import synthmotion
from benchmarks.synthmotion import CLASSES, GROUPS, TIERS, VERSIONS, Spec, SpecError, write
from benchmarks.synthmotion.__main__ import main
from benchmarks.synthmotion.encode import encode
from benchmarks.synthmotion.render import draw_scene, render
from benchmarks.synthmotion.write import damaged_videos, load_spec, write_benchmark
from hcml.config import BenchmarkConfig
from hcml.data.video import open_reader

ONE = {"train": 1, "test": 1}
TWO = {"train": 2, "test": 1}


def config(version: str = "small", train: int = 1, test: int = 1) -> BenchmarkConfig:
    return BenchmarkConfig(version=version, train_per_class=train, test_per_class=test)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def two(tmp_path_factory, small_spec) -> Path:
    """A root with 2 training videos and 1 test video of each class, rendered by two processes."""
    root = tmp_path_factory.mktemp("two")
    write_benchmark(root, "small", TWO, spec=small_spec, processes=2)
    return root


@pytest.fixture()
def one(tmp_path, small_spec) -> Path:
    write_benchmark(tmp_path, "small", ONE, spec=small_spec, processes=1)
    return tmp_path


def test_a_small_set_is_a_prefix_and_growing_it_gives_the_same_bytes(one, two, small_spec):
    folder = one / "synthmotion-small"
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.mp4")}
    assert len(before) == 32
    calls = []
    again = write_benchmark(one, "small", TWO, processes=1, progress=lambda done, total: calls.append((done, total)))
    assert again == folder and calls[-1] == (16, 16)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert contents(folder) == contents(two / "synthmotion-small")


def test_asking_again_renders_nothing(one):
    folder = one / "synthmotion-small"
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    write_benchmark(one, "small", ONE, progress=lambda done, total: pytest.fail("rendered again"))
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_an_interrupted_rendering_is_completed(one):
    folder = one / "synthmotion-small"
    whole = contents(folder)
    rows = folder / "videos.jsonl"
    lines = rows.read_text().splitlines()
    rows.write_text("\n".join(lines[:20]) + "\n" + lines[20][:50])  # killed while writing a line
    (folder / "summary.json").unlink()
    (folder / "videos/train/left/00000.mp4").unlink()
    (folder / "videos/train/up/00000.mp4").write_bytes(b"")
    write_benchmark(one, "small", ONE, processes=1)
    assert contents(folder) == whole


def test_an_interruption_between_chunks_loses_no_finished_video(tmp_path, small_spec, monkeypatch):
    real, calls = write.write_some, []

    def stop_at_the_second(spec, folder, keys):
        calls.append(len(keys))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(spec, folder, keys)

    monkeypatch.setattr(write, "write_some", stop_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        write_benchmark(tmp_path, "small", ONE, spec=small_spec, processes=1)
    write_benchmark(tmp_path, "small", ONE, processes=1)
    assert calls == [16, 16, 16]


def test_a_line_that_no_interruption_explains_is_an_error(one):
    rows = one / "synthmotion-small" / "videos.jsonl"
    rows.write_text("{}\n" + rows.read_text())
    with pytest.raises(SpecError, match=r"videos\.jsonl:1: not a row"):
        write_benchmark(one, "small", ONE)


def test_a_failed_write_leaves_no_video(tmp_path, small_spec, monkeypatch):
    frames = render(draw_scene(small_spec, "train", "up", 0))
    monkeypatch.setattr("benchmarks.synthmotion.encode.os.replace", _full_disk)
    with pytest.raises(SpecError, match="No space left.*check the disk"):
        encode(tmp_path / "a" / "x.mp4", frames, small_spec)
    assert not list((tmp_path / "a").iterdir())


def _full_disk(*_):
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("decoder", ["decord", "pyav"])
def test_videos_decode_to_what_was_rendered(two, small_spec, decoder):
    reader = open_reader(two / "synthmotion-small/videos/train/cross/00001.mp4", decoder)
    try:
        assert len(reader) == small_spec.frames
        frames = reader.get(np.arange(small_spec.frames)).astype(float)
    finally:
        reader.close()
    rendered = render(draw_scene(small_spec, "train", "cross", 1)).astype(float)
    luma, drawn = (video @ np.array([0.299, 0.587, 0.114]) for video in (frames, rendered))
    assert np.abs(luma - drawn).mean() < 3  # colour is halved in resolution, brightness is not
    errors = np.abs(luma[:, None] - drawn[None]).mean(axis=(2, 3))
    np.testing.assert_array_equal(errors.argmin(axis=1), np.arange(small_spec.frames))  # each frame is itself


def test_encoding_does_not_depend_on_what_memory_held_before(tmp_path):
    spec, path = Spec(frames=12), tmp_path / "x.mp4"
    videos = [render(draw_scene(spec, "train", name, 0)) for name in CLASSES]
    rng, seen = np.random.default_rng(0), []
    for _ in range(3):
        for number, frames in enumerate(videos):
            encode(path, frames, spec)
            seen.append((number, path.read_bytes()))
            junk = [np.full(size, 255, np.uint8) for size in rng.integers(100, 50000, 40)]
            del junk[::2]
    assert len(set(seen)) == len(videos)


def test_files_are_h264_with_the_asked_rate(two, small_spec):
    with av.open(str(two / "synthmotion-small/videos/test/up/00000.mp4")) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264" and stream.codec_context.pix_fmt == "yuv420p"
        assert stream.average_rate == small_spec.fps and stream.frames == small_spec.frames
        assert (stream.width, stream.height) == (small_spec.size, small_spec.size)


def test_the_rows_hold_what_was_drawn_and_summary_counts_them(two, small_spec):
    folder = two / "synthmotion-small"
    rows = [json.loads(line) for line in (folder / "videos.jsonl").read_text().splitlines()]
    summary = json.loads((folder / "summary.json").read_text())
    assert {subset: part["videos"] for subset, part in summary["subsets"].items()} == {"train": 32, "test": 16}
    assert summary["spec_sha256"] == small_spec.content_hash()
    for row in rows[::7]:
        scene = draw_scene(small_spec, row["subset"], row["class"], row["index"])
        assert row["parameters"] == json.loads(json.dumps(scene.parameters))
    assert len({row["frames_sha256"] for row in rows}) == 48


def test_manifests_list_the_first_videos_of_each_class(two):
    data = benchmarks.load(config(train=2), two)
    assert [len(data.train.entries), len(data.test.entries)] == [32, 16]
    assert data.train.classes == list(CLASSES) and data.train.groups == GROUPS
    for manifest in (data.train, data.test):
        for entry in manifest.entries:
            subset, name, _ = synthmotion.parse_video_id(entry.video_id)
            assert subset == manifest.subset and CLASSES[entry.label] == name and name in TIERS[entry.group]
            assert entry.num_frames == 8 and entry.fps == 12 and manifest.video_path(entry).is_file()
    with (two / "synthmotion-small/train.csv").open(newline="") as stream:
        assert next(csv.reader(stream)) == ["video_id", "path", "class", "num_frames", "fps", "group"]


@pytest.mark.parametrize("tier", TIERS)
def test_a_tier_is_a_split_with_its_classes_alone(two, tier):
    chosen = replace(config(train=2), split=tier)
    every, data = benchmarks.load(config(train=2), two), benchmarks.load(chosen, two)
    assert data.train.classes == list(TIERS[tier]) and data.train.groups == {tier: [0, 1, 2, 3]}
    assert benchmarks.num_classes(chosen) == 4 and benchmarks.num_classes(config()) == 16
    names = {e.video_id: CLASSES[e.label] for e in every.train.entries if e.group == tier}
    assert {e.video_id: data.train.classes[e.label] for e in data.train.entries} == names


def test_a_manifest_does_not_depend_on_what_else_was_rendered(one, two):
    small, large = (benchmarks.load(config(), root) for root in (one, two))
    assert small.train.content_hash() == large.train.content_hash()
    assert large.train.content_hash() != benchmarks.load(config(train=2), two).train.content_hash()


def test_missing_videos_are_named_with_the_command_that_renders_them(one, tmp_path):
    with pytest.raises(SpecError, match="too few for 3 of each.*--version small --train-per-class 3"):
        benchmarks.load(config(train=3), one)
    with pytest.raises(SpecError, match="too few for 30 of each"):  # 0 = the default counts, not all there are
        benchmarks.load(config(test=0), one)
    with pytest.raises(SpecError, match=r"train\.csv does not exist.*python -m benchmarks\.synthmotion"):
        benchmarks.load(config("v1"), tmp_path / "nothing")


def test_unknown_versions_splits_and_benchmarks_are_refused(one):
    with pytest.raises(SpecError, match="no version 'v9'.*v1, calibration"):
        benchmarks.load(config("v9"), one)
    with pytest.raises(SpecError, match="split=.2. is not a split of synthmotion: all, direction"):
        benchmarks.prepare(replace(config(), split="2"), one)
    with pytest.raises(benchmarks.UnknownBenchmark, match="'ucf7' is unknown; there are: hmdb51, "):
        benchmarks.load(replace(config(), name="ucf7"), one)


def test_a_folder_of_another_specification_is_refused(one, small_spec):
    (one / "synthmotion-small").rename(one / "synthmotion-v1")
    with pytest.raises(SpecError, match="another specification"):
        benchmarks.load(config("v1"), one)
    with pytest.raises(SpecError, match="another specification"):
        benchmarks.prepare(config("v1"), one)


def test_a_fixed_version_cannot_be_rendered_otherwise(tmp_path, small_spec):
    with pytest.raises(SpecError, match="is fixed"):
        write_benchmark(tmp_path, "v1", ONE, spec=small_spec)


def test_a_damaged_specification_is_refused(one):
    (one / "synthmotion-small/spec.json").write_text("{")
    with pytest.raises(SpecError, match=r"spec\.json: not a readable specification"):
        load_spec(one, "small")


def test_motion_fields_come_from_the_manifest_alone(two, small_spec):
    manifest = benchmarks.load(config(), two).test
    found = benchmarks.motion_field(manifest, "test-right-00000", np.array([1, 3, 5]))
    assert found is not None
    flow, valid = found
    assert flow.shape == (2, 2, 40, 40) and valid.shape == (2, 40, 40) and valid.any()
    expected = synthmotion.displacement(draw_scene(small_spec, "test", "right", 0), np.array([1, 3, 5]))
    np.testing.assert_array_equal(flow, expected[0])


def test_a_benchmark_without_truth_has_no_motion_field(two, monkeypatch):
    manifest = benchmarks.load(config(), two).test
    monkeypatch.setitem(benchmarks.BENCHMARKS, "synthmotion", "json")
    assert benchmarks.motion_field(manifest, "test-right-00000", np.array([0, 1])) is None


def test_damaged_videos_are_found(one):
    folder = one / "synthmotion-small"
    assert damaged_videos(folder) == []
    (folder / "videos/train/up/00000.mp4").unlink()
    (folder / "videos/train/down/00000.mp4").write_bytes(b"junk")
    (folder / "videos/test/left/00000.mp4").write_bytes((folder / "videos/test/right/00000.mp4").read_bytes())
    assert damaged_videos(folder) == ["train-up-00000", "train-down-00000", "test-left-00000"]


def test_the_command_renders_verifies_and_reports(tmp_path, capsys):
    command = ["--root", str(tmp_path), "--train-per-class", "1", "--test-per-class", "0", "--processes", "1"]
    own = [*command, "--version", "mine", "--frames", "6"]
    assert main([*own, "--verify"]) == 0
    assert "16 videos are there" in capsys.readouterr().out
    assert load_spec(tmp_path, "mine") == replace(Spec(), frames=6)
    assert main([*command, "--version", "mine", "--frames", "7"]) == 1
    assert "another specification" in capsys.readouterr().err
    assert main([*command, "--frames", "6"]) == 1
    assert "version v1 is fixed" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([*command, "--test-per-class", "-1"])


def test_default_counts_stand_for_zero():
    assert synthmotion.counts(config(train=0, test=0)) == {"train": 100, "test": 30}
    assert set(VERSIONS) == {"v1", "calibration"}
