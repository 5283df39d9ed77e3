from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

import benchmarks
from benchmarks.synthesize import MARK, SynthesisError, containers, synthesize
from benchmarks.synthesize.containers import Clip, draw
from benchmarks.synthesize.plans import Order, chosen_classes, motions_of, plan_of

NAMES = ("kinetics400", "sthv1", "sthv2", "ucf101", "hmdb51")
SMALL = {"classes": 6, "train_per_class": 2, "test_per_class": 1, "short_side": 32}
"""What the fixture `imitation` asks for."""
EACH = pytest.mark.parametrize("name", NAMES)
Roots = Callable[[str], Path]


def contents(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@EACH
def test_every_split_has_the_counts_that_were_asked_for(name: str, imitation: Roots) -> None:
    data, root = benchmarks.module_of(name), imitation(name)
    assert data.title in (root / MARK).read_text()
    for split in data.splits:
        listing = data.listing(root, split)
        for subset, count in (("train", 2), ("test", 1)):
            assert set(Counter(v.label for v in listing.subset(subset)).values()) == {count}
            assert len({v.label for v in listing.subset(subset)}) == 6
        missing = [v for v in listing.videos if not any((root / place).exists() for place in v.places)]
        dead = {"val": ["train", "test"], "test": ["train"]}[split] if name == "kinetics400" else []
        assert [v.subset for v in missing] == dead
        # nothing lies where the likeliest layout is not
        assert all((root / v.places[0]).exists() for v in listing.videos if v not in missing)


@EACH
def test_no_file_is_unlisted(name: str, imitation: Roots) -> None:
    data, root = benchmarks.module_of(name), imitation(name)
    listed = {v.places[0] for split in data.splits for v in data.listing(root, split).videos}
    files = {path for path in contents(root) if Path(path).suffix in (".mp4", ".webm", ".avi", ".jpg")}
    videos = {str(Path(path).parent) for path in files} if data.frame_folders else files
    assert videos <= listed and len(videos) >= 18 - 2


@EACH
def test_equal_wishes_give_equal_bytes_with_any_number_of_processes(
    name: str, imitation: Roots, tmp_path: Path
) -> None:
    calls: list[tuple[int, int]] = []
    again = synthesize(
        benchmarks.module_of(name), tmp_path / "again", processes=2, progress=lambda *c: calls.append(c), **SMALL
    )
    assert calls[-1][0] == calls[-1][1] > 10
    assert contents(again) == contents(imitation(name))


@pytest.mark.parametrize("name", ["sthv1", "hmdb51"])
def test_another_call_adds_what_is_missing_and_leaves_the_rest(name: str, imitation: Roots, tmp_path: Path) -> None:
    root = tmp_path / "copy"
    shutil.copytree(imitation(name), root)
    before = contents(root)
    times = {path: path.stat().st_mtime_ns for path in root.rglob("*") if path.suffix in (".avi", ".jpg")}
    lost = min(path.parent if name == "sthv1" else path for path in times)
    shutil.rmtree(lost) if lost.is_dir() else lost.unlink()
    next(root.rglob("*train*.csv" if name == "sthv1" else "climb_test_split1.txt")).unlink()
    calls: list[tuple[int, int]] = []
    synthesize(benchmarks.module_of(name), root, progress=lambda *c: calls.append(c), **SMALL)
    assert calls == [(1, 1)] and contents(root) == before
    kept = {path: time for path, time in times.items() if lost not in (path, path.parent)}
    assert len(kept) > 10 and all(path.stat().st_mtime_ns == time for path, time in kept.items())


def test_what_is_not_an_imitation_is_left_alone(tmp_path: Path) -> None:
    data = benchmarks.module_of("ucf101")
    (tmp_path / "UCF-101").mkdir()
    with pytest.raises(SynthesisError, match="is not empty and holds no imitation"):
        synthesize(data, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["UCF-101"]
    (tmp_path / "file").touch()
    with pytest.raises(SynthesisError, match="is not empty"):
        synthesize(data, tmp_path / "file")


def test_another_imitation_is_left_alone(imitation: Roots) -> None:
    for name, wishes in (("hmdb51", SMALL), ("ucf101", SMALL | {"classes": 7})):
        with pytest.raises(SynthesisError, match="holds another imitation"):
            synthesize(benchmarks.module_of(name), imitation("ucf101"), **wishes)


@pytest.mark.parametrize(
    "wishes", [{"classes": 0}, {"classes": 52}, {"train_per_class": 0}, {"test_per_class": 100}, {"short_side": 33}]
)
def test_wishes_that_cannot_be_met_are_refused(tmp_path: Path, wishes: dict[str, int]) -> None:
    with pytest.raises(SynthesisError, match="must be"):
        synthesize(benchmarks.module_of("hmdb51"), tmp_path, **wishes)
    assert not any(tmp_path.iterdir())


def test_an_unknown_data_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SynthesisError, match="cannot be imitated; there are: kinetics400"):
        synthesize(replace(benchmarks.module_of("hmdb51"), name="hmdb52"), tmp_path)


@pytest.mark.parametrize(
    ("name", "codec", "ending"),
    [
        ("kinetics400", "h264", ".mp4"),
        ("sthv2", "vp9", ".webm"),
        ("ucf101", "mpeg4", ".avi"),
        ("hmdb51", "mpeg4", ".avi"),
    ],
)
def test_containers_are_those_of_the_data_set(name: str, codec: str, ending: str, tmp_path: Path) -> None:
    root = synthesize(
        benchmarks.module_of(name), tmp_path / "x", classes=2, train_per_class=1, test_per_class=1, processes=1
    )
    shapes, rates = set(), set()
    for path in root.rglob(f"*{ending}"):
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            assert stream.codec_context.name == codec
            shapes.add((stream.width, stream.height))
            rates.add(stream.average_rate)
            types = [int(frame.pict_type) for frame in container.decode(video=0)]
        assert 30 <= len(types) <= 40
        b_frames = types.count(int(av.video.frame.PictureType.B))
        if codec == "mpeg4":  # the family that decord reads wrong, with more B-frames than others
            assert stream.codec_context.has_b_frames and b_frames > len(types) / 3
            assert b"XVID" in path.read_bytes()[:512]
    assert min(min(shape) for shape in shapes) == 240
    if name != "kinetics400":
        assert {height for _, height in shapes} == {240}
    if name == "ucf101":
        assert shapes == {(320, 240)}
    if name == "sthv2":
        assert rates == {Fraction(12)}
    if name == "kinetics400":
        assert len(shapes) > 1 and len(rates) > 1


def test_v1_is_numbered_jpeg_files_100_pixels_high(tmp_path: Path) -> None:
    root = synthesize(benchmarks.module_of("sthv1"), tmp_path / "x", classes=2, train_per_class=1, test_per_class=1)
    folders = list((root / "20bn-something-something-v1").iterdir())
    assert len(folders) == 4
    for folder in folders:
        names = sorted(path.name for path in folder.iterdir())
        assert names == [f"{i:05}.jpg" for i in range(1, len(names) + 1)] and 30 <= len(names) <= 40
        with Image.open(folder / names[0]) as picture:
            assert picture.format == "JPEG" and picture.height == 100


def test_official_line_ends_and_traps_are_there(imitation: Roots) -> None:
    ucf = contents(imitation("ucf101"))
    for file in ("classInd", "trainlist01", "testlist03"):
        text = ucf[f"ucfTrainTestlist/{file}.txt"]
        assert text.count(b"\r\n") == text.count(b"\n") > 0
    assert any("HandstandPushups/v_HandStandPushups_" in path for path in ucf)
    assert b" 1 \n" in contents(imitation("hmdb51"))["testTrainMulti_7030_splits/climb_stairs_test_split1.txt"]
    assert b'"massaging person\'s head",' in (imitation("kinetics400") / "train.csv").read_bytes()
    assert b"[something] from left to right" in (
        (imitation("sthv2") / "something-something-v2-train.json").read_bytes()
    )


@pytest.mark.parametrize("name", ["ucf101", "hmdb51"])
def test_each_split_tests_on_other_videos(name: str, imitation: Roots) -> None:
    data = benchmarks.module_of(name)
    tested = [{v.video_id for v in data.listing(imitation(name), split).subset("test")} for split in data.splits]
    assert not (tested[0] & tested[1] or tested[1] & tested[2] or tested[0] & tested[2])


@EACH
@pytest.mark.parametrize("classes", [1, 5, 8, 40])
def test_every_clip_is_a_scene_of_its_own(name: str, classes: int) -> None:
    data = benchmarks.module_of(name)
    names = chosen_classes(data, classes)
    assert len(names) == len(set(names)) == classes and set(names) <= set(data.classes())
    clips = plan_of(Order(data, classes, 4, 2)).clips
    assert len({(clip.subset, clip.motion, clip.index) for clip in clips}) == len(clips)
    assert len({clip.place for clip in clips}) == len(clips)
    if name in ("kinetics400", "sthv1", "sthv2"):  # with one split, test textures are new as well
        assert {clip.subset for clip in clips} == {"train", "test"}


@pytest.mark.parametrize("name", ["sthv1", "sthv2"])
def test_mirrored_classes_show_mirrored_motion(name: str) -> None:
    data = benchmarks.module_of(name)
    names = chosen_classes(data, 8)
    assert {x for pair in data.mirrored for x in pair} <= set(names)
    motions = motions_of(data, names)
    for first, second in data.mirrored:
        assert motions[first][0] == motions[second][0] and (motions[first][1], motions[second][1]) == (False, True)
    assert len(set(motions.values())) == 8
    clip = Clip("x", "train", "right", frames=30)
    assert np.array_equal(draw(clip)[:, :, ::-1], draw(replace(clip, mirrored=True)))


@pytest.mark.parametrize("place", ["a.avi", "a.webm", "a"])
def test_an_interruption_leaves_no_half_video(place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = containers._scaled

    def interrupted(clip: Clip, pixel_format: str) -> Iterator[av.VideoFrame]:
        yield from islice(whole(clip, pixel_format), 20)
        raise KeyboardInterrupt

    monkeypatch.setattr(containers, "_scaled", interrupted)
    with pytest.raises(KeyboardInterrupt):
        containers.write_clip(tmp_path, Clip(place, "train", "right", frames=30))
    assert not any(tmp_path.iterdir())
