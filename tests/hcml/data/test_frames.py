"""Folders of JPEGs, lying there or packed: the frame that was asked for, or an error that names it."""

from __future__ import annotations

import io
import multiprocessing
import re
import sqlite3
import tarfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hcml.config import SamplingConfig, TransformConfig
from hcml.data.dataset import ClipDataset
from hcml.data.loader import train_batches
from hcml.data.manifest import Manifest, VideoEntry
from hcml.data.video import VideoError, open_reader, read_frames

ReadIndex = Callable[[np.ndarray], int]
WANTED = [[0], [19], [3, 3, 3], [19, 0, 7], list(range(20)), list(range(2, 18, 2))]


def jpeg(image: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "JPEG", quality=90)
    return stream.getvalue()


@pytest.fixture
def folder(tmp_path: Path, burn: Callable[..., np.ndarray]) -> Path:
    """Video `v`: 20 frames of 64 x 48 pixels."""
    path = tmp_path / "frames" / "v"
    write(path, [jpeg(burn(index, 64, 48)) for index in range(20)])
    return path


def write(path: Path, frames: list[bytes]) -> None:
    path.mkdir(parents=True)
    for number, data in enumerate(frames, 1):
        (path / f"{number:05d}.jpg").write_bytes(data)


def pack(frames: Path, shards: int = 1) -> Path:
    """All folders in `frames` -> `frames.shards`; the folders go."""
    target = frames.with_name(frames.name + ".shards")
    target.mkdir()
    with closing(sqlite3.connect(target / "index.sqlite")) as index:
        index.execute("CREATE TABLE videos (id TEXT PRIMARY KEY, shard TEXT, frames INTEGER, places BLOB)")
        index.execute("CREATE TABLE meta (key TEXT, value TEXT)")
        index.execute("INSERT INTO meta VALUES ('format', '1')")
        folders = sorted(frames.iterdir())
        for number in range(shards):
            name = f"{number:06d}.tar"
            with tarfile.open(target / name, "w") as tar:
                for folder in folders[number::shards]:
                    for path in sorted(folder.iterdir()):
                        tar.add(path, f"{folder.name}/{path.name}")
            with tarfile.open(target / name) as tar:
                members = tar.getmembers()
            for folder in folders[number::shards]:
                mine = [m for m in members if m.name.startswith(f"{folder.name}/")]
                places = np.array([[m.offset_data, m.size] for m in mine], dtype="<u8")
                index.execute("INSERT INTO videos VALUES (?, ?, ?, ?)", (folder.name, name, len(mine), places.tobytes()))
        index.commit()
    frames.rename(frames.with_name("elsewhere"))
    return target


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("wanted", WANTED, ids=str)
def test_the_frames_asked_for(folder: Path, read_index: ReadIndex, wanted: list[int], packed: bool) -> None:
    if packed:
        pack(folder.parent)
    with closing(open_reader(folder, "frames")) as reader:
        assert len(reader) == 20
        frames = reader.get(np.array(wanted))
    assert frames.shape == (len(wanted), 48, 64, 3) and frames.dtype == np.uint8
    assert [read_index(frame) for frame in frames] == wanted


def test_packed_and_lying_there_are_the_same_pixels(folder: Path) -> None:
    there = read_frames(folder, np.arange(20), "frames")
    pack(folder.parent)
    assert np.array_equal(read_frames(folder, np.arange(20), "frames"), there)


def test_grey_frames_are_read_as_colour(tmp_path: Path) -> None:
    write(tmp_path / "v", [jpeg(np.full((32, 32), 77, dtype=np.uint8))])
    assert np.array_equal(read_frames(tmp_path / "v", np.array([0]), "frames"), np.full((1, 32, 32, 3), 77))


def refusal(path: Path, index: int = 11) -> str:
    with pytest.raises(VideoError) as caught:
        read_frames(path, np.array([index]), "frames")
    assert caught.value.path == str(path) and len(str(caught.value).splitlines()) == 1
    return caught.value.reason


class TestFolders:
    def test_a_gap(self, folder: Path) -> None:
        (folder / "00007.jpg").unlink()
        assert "frame 00007.jpg is missing, but there is 00020.jpg" in refusal(folder)

    def test_numbered_from_zero(self, folder: Path) -> None:
        """Would be off by one."""
        (folder / "00001.jpg").rename(folder / "00000.jpg")
        assert "starts at 0, not at 1 (00000.jpg ... 00020.jpg)" in refusal(folder)

    def test_two_files_for_one_frame(self, folder: Path) -> None:
        (folder / "7.jpg").write_bytes((folder / "00008.jpg").read_bytes())
        assert "two files for one frame" in refusal(folder)

    def test_no_frames(self, tmp_path: Path) -> None:
        (tmp_path / "v").mkdir()
        (tmp_path / "v" / "img_00001.jpg").touch()
        assert "holds no frames (00001.jpg, 00002.jpg, ...)" in refusal(tmp_path / "v", 0)

    def test_a_file(self, mp4: Path) -> None:
        assert "is a file, and benchmark.decoder=frames reads folders" in refusal(mp4)

    def test_a_folder_without_frames_for_other_readers(self, folder: Path) -> None:
        with pytest.raises(VideoError, match="a folder of frames needs benchmark.decoder=frames"):
            open_reader(folder)

    def test_neither_lying_there_nor_packed(self, tmp_path: Path) -> None:
        said = refusal(tmp_path / "frames" / "v")
        assert "neither such a folder nor" in said and "frames.shards/index.sqlite; check the data root" in said

    def test_a_dangling_link(self, tmp_path: Path) -> None:
        (tmp_path / "v").symlink_to(tmp_path / "nowhere")
        assert "neither such a folder" in refusal(tmp_path / "v")

    def test_a_relative_path(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(folder.parent)
        assert read_frames("v", np.array([3]), "frames").shape == (1, 48, 64, 3)
        with pytest.raises(VideoError, match="neither such a folder"):
            read_frames("w", np.array([3]), "frames")


def damage(data: bytes, how: str) -> bytes:
    if how == "size":
        return jpeg(np.zeros((40, 64, 3), dtype=np.uint8))
    return {"empty": b"", "cut": data[:-40], "head": data[:10], "text": b"404 not found" * 20}[how]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("empty", "frame 00012.jpg is empty (0 bytes)"),
        ("cut", "frame 00012.jpg cannot be decoded (image file is truncated"),
        ("head", "frame 00012.jpg cannot be decoded"),
        ("text", "frame 00012.jpg cannot be decoded (is not a JPEG)"),
        ("size", "frame 00012.jpg is 64x40, but 00001.jpg is 64x48"),
    ],
)
def test_a_damaged_frame_is_named(folder: Path, how: str, said: str, packed: bool) -> None:
    path = folder / "00012.jpg"
    path.write_bytes(damage(path.read_bytes(), how))
    if packed:
        pack(folder.parent)
    with pytest.raises(VideoError) as caught:
        read_frames(folder, np.array([0, 11]), "frames")
    assert said in caught.value.reason and "extract its frames again" in caught.value.reason
    assert len(read_frames(folder, np.array([0, 10, 12]), "frames")) == 3  # the others are as good as before


class TestShards:
    def test_a_truncated_shard(self, folder: Path) -> None:
        shard = pack(folder.parent) / "000000.tar"
        shard.write_bytes(shard.read_bytes()[:9000])
        assert "000000.tar" in refusal(folder, 19)
        assert read_frames(folder, np.array([0]), "frames").shape == (1, 48, 64, 3)

    def test_a_shard_of_another_packing(self, folder: Path, burn: Callable[..., np.ndarray]) -> None:
        """Every place holds a whole JPEG, of another video."""
        write(folder.parent / "w", [path.read_bytes() for path in sorted(folder.iterdir())])
        shards = pack(folder.parent, shards=2)
        (shards / "000001.tar").replace(shards / "000000.tar")
        assert "index and shard do not belong together" in refusal(folder)

    def test_a_shard_that_is_not_there(self, folder: Path) -> None:
        (pack(folder.parent) / "000000.tar").unlink()
        assert re.search("000000.tar' cannot be opened .*No such file or directory", refusal(folder))

    def test_a_video_that_was_not_packed(self, folder: Path) -> None:
        pack(folder.parent)
        assert "index.sqlite does not list it; pack the frames again" in refusal(folder.with_name("x"))

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            ("UPDATE meta SET value = '2'", "it has format 2, not 1"),
            ("UPDATE videos SET frames = 21", "has 320 bytes of places for 21 frames"),
            ("UPDATE videos SET shard = 'a' || char(0)", "cannot be opened (embedded null byte)"),
            ("UPDATE videos SET places = NULL", "damaged row"),
            ("UPDATE videos SET shard = CAST(x'b4b4' AS TEXT)", "cannot be read (Could not decode to UTF-8"),
            ("UPDATE videos SET places = zeroblob(319)", "has 319 bytes of places for 20 frames"),
            ("DROP TABLE videos", "cannot be read (no such table: videos)"),
        ],
    )
    def test_another_index(self, folder: Path, change: str, said: str) -> None:
        with closing(sqlite3.connect(pack(folder.parent) / "index.sqlite")) as index:
            index.execute(change)
            index.commit()
        assert said in refusal(folder)

    @pytest.mark.parametrize("place", [(2**64 - 1, 7), (2048, 2**63)])
    def test_a_place_outside_of_the_shard(self, folder: Path, place: tuple[int, int]) -> None:
        """Neither an overflow nor an attempt to fill the memory."""
        with closing(sqlite3.connect(pack(folder.parent) / "index.sqlite")) as index:
            index.execute("UPDATE videos SET places = ?", (np.tile(np.array(place, dtype="<u8"), (20, 1)).tobytes(),))
            index.commit()
        assert "000000.tar is truncated: it ends before byte" in refusal(folder)

    def test_a_damaged_index(self, folder: Path) -> None:
        (pack(folder.parent) / "index.sqlite").write_bytes(b"<html>" * 999)
        assert "cannot be read (file is not a database)" in refusal(folder)


def read_first(path: Path) -> int:
    from hcml.data import frames

    image = read_frames(path, np.array([5]), "frames")
    assert len(image) == 1
    return len(frames._connections)


def test_a_fork_opens_the_index_anew(folder: Path) -> None:
    pack(folder.parent)
    here = read_first(folder)
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert pool.apply(read_first, (folder,)) == here + 1


def test_packed_frames_through_the_loader(folder: Path, read_index: ReadIndex) -> None:
    for name in "wxyz":
        write(folder.parent / name, [path.read_bytes() for path in sorted(folder.iterdir())])
    pack(folder.parent, shards=2)
    entries = [VideoEntry(name, f"frames/{name}", 0, 20, 25.0) for name in "vwxyz"]
    manifest = Manifest("toy", "v1", "1", "train", folder.parents[1], ["a"], {}, entries)
    data = ClipDataset(manifest, SamplingConfig(num_frames=4), TransformConfig(crop_size=48), "frames")
    with train_batches(data, 5, 0, 0, 3, workers=2, timeout=30) as batches:
        assert [sorted(batch["video_id"]) for batch in batches] == [list("vwxyz")] * 3
