"""Frame folders in tar shards: every frame reads back, an interrupted run goes on, nothing is deleted."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import numpy as np
import pytest

from benchmarks.commands.audit import audit
from benchmarks.commands.frames import encoded_images, images_of, packed_frames
from benchmarks.commands.layout import PrepareError
from benchmarks.commands.pack import describe, pack
from benchmarks.commands.prepare import prepare
from benchmarks.commands.prepared import load_prepared
from hcml.data.video import read_frames
from tests.benchmarks.tree import FRAMES, TOY, frame_folder, picture, write_lists

FOLDER = "20bn-v1"
SHARDS = f"{FOLDER}.shards"


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("frames")
    for number in range(1, 7):
        frame_folder(root / FOLDER / str(number), 8 + number)
    lines = [f"{'test' if number > 4 else 'train'} {number % 3} {FOLDER}/{number}" for number in range(1, 8)]
    write_lists(root, lines, ("1",))
    return root


@pytest.fixture
def root(tmp_path: Path, grown: Path) -> Path:
    return Path(shutil.copytree(grown, tmp_path / "root"))


def hashes(root: Path) -> dict[int, list[str]]:
    folder = root / FOLDER
    return {k: [hashlib.sha256(data).hexdigest() for data in encoded_images(folder / str(k))] for k in range(1, 7)}


def test_every_frame_reads_back_from_the_shards(root: Path) -> None:
    before = hashes(root)
    outcome = pack(FRAMES, root, shard_size=40_000, processes=2)
    assert (outcome.videos, outcome.packed_now, outcome.missing) == (6, 6, ["7"])
    assert outcome.frames == sum(range(9, 15)) and outcome.shards == len(list((root / SHARDS).glob("*.tar"))) > 1
    assert not outcome.unreadable and all((root / FOLDER / str(k)).is_dir() for k in range(1, 7))
    assert sorted(path.name for path in (root / SHARDS).iterdir() if path.suffix not in (".tar", ".sqlite")) == [
        ".lock"
    ]
    shutil.rmtree(root / FOLDER)
    assert hashes(root) == before
    frames = list(images_of(root / FOLDER / "3"))
    assert len(frames) == 11 and all(np.abs(f.astype(int) - picture(i)).mean() < 6 for i, f in enumerate(frames))


def test_the_shards_are_plain_tar_files_and_the_index_says_where(root: Path) -> None:
    pack(FRAMES, root, processes=0)
    with tarfile.open(root / SHARDS / "000000.tar") as archive:
        names = archive.getnames()
    assert names[:2] == ["1/00001.jpg", "1/00002.jpg"] and len(names) == sum(range(9, 15))
    with sqlite3.connect(root / SHARDS / "index.sqlite") as connection:
        assert connection.execute("SELECT * FROM meta").fetchall() == [("format", "1")]
        shard, frames, places = connection.execute("SELECT shard, frames, places FROM videos WHERE id = '2'").fetchone()
    places = np.frombuffer(places, "<u8").reshape(frames, 2)
    content = (root / SHARDS / shard).read_bytes()
    for number, (offset, size) in enumerate(places.tolist(), 1):
        assert content[offset : offset + size] == (root / FOLDER / "2" / f"{number:05d}.jpg").read_bytes()
        assert content[offset - 512 :].startswith(f"2/{number:05d}.jpg\0".encode())


def test_manifests_and_audit_are_the_same_packed_or_not(root: Path) -> None:
    prepare(FRAMES, root, processes=0)
    before = load_prepared(FRAMES, root, "original", "1")
    assert audit(FRAMES, root, processes=0).found == {}
    indices = np.array([8, 0, 5])
    loose = read_frames(root / FOLDER / "5", indices, "frames")
    pack(FRAMES, root, shard_size=40_000, processes=0)
    shutil.rmtree(root / FOLDER)
    prepare(FRAMES, root, processes=0)
    after = load_prepared(FRAMES, root, "original", "1")
    assert after.train.content_hash() == before.train.content_hash() and after.test.missing == ["7"]
    assert np.array_equal(read_frames(root / FOLDER / "5", indices, "frames"), loose)
    report = audit(FRAMES, root, processes=0)
    assert report.checked == 6 and report.found == {}


def test_a_bad_shard_and_bad_frames_are_audited(root: Path) -> None:
    (root / FOLDER / "2/00004.jpg").write_bytes((root / FOLDER / "2/00004.jpg").read_bytes()[:300])
    prepare(FRAMES, root, processes=0)
    report = audit(FRAMES, root, processes=0)
    assert report.found.keys() == {"2"} and "00004.jpg" in report.found["2"].reason
    (root / FOLDER / "2/00004.jpg").write_bytes((root / FOLDER / "2/00003.jpg").read_bytes())
    pack(FRAMES, root, shard_size=40_000, processes=0)
    shutil.rmtree(root / FOLDER)
    (root / SHARDS / "000000.tar").unlink()
    report = audit(FRAMES, root, processes=0)
    gone = {"1", "2", "3", "4", "5", "6"} - set(report.found)
    assert report.found and gone, "videos of the other shards are well"


def test_bad_folders_are_left_out_with_the_reason_and_packed_when_they_are_well(root: Path) -> None:
    (root / FOLDER / "2/00004.jpg").rename(root / "away.jpg")
    (root / FOLDER / "5/00001.jpg").write_bytes(b"")
    outcome = pack(FRAMES, root, processes=0)
    assert outcome.unreadable.keys() == {"2", "5"} and outcome.videos == 4
    assert "no 00004.jpg" in outcome.unreadable["2"] and "00001.jpg is empty" in outcome.unreadable["5"]
    assert not any("deleting it is yours" in line for line in describe(outcome, 1.0))
    (root / "away.jpg").rename(root / FOLDER / "2/00004.jpg")
    shutil.copy(root / FOLDER / "5/00002.jpg", root / FOLDER / "5/00001.jpg")
    outcome = pack(FRAMES, root, processes=0)
    assert (outcome.packed_now, outcome.videos, outcome.shards) == (2, 6, 2)
    assert packed_frames(root / SHARDS) == {str(k): 8 + k for k in range(1, 7)}
    assert any("69 files and folders" in line or "75 files and folders" in line for line in describe(outcome, 1.0))
    assert pack(FRAMES, root, processes=0).packed_now == 0


COMMAND = """
import sys
from pathlib import Path
from benchmarks.commands.pack import pack
from tests.benchmarks.tree import FRAMES

if __name__ == "__main__":
    print(pack(FRAMES, Path(sys.argv[1]), shard_size=30000, processes=1).packed_now)
"""


@pytest.mark.slow
def test_a_killed_run_goes_on_with_the_next_shard(tmp_path: Path, grown: Path) -> None:
    root = tmp_path / "root"
    (root / FOLDER).mkdir(parents=True)
    for number in range(60):
        shutil.copytree(grown / FOLDER / str(1 + number % 6), root / FOLDER / str(number))
    write_lists(root, [f"train 0 {FOLDER}/{number}" for number in range(60)], ("1",))
    script = tmp_path / "command.py"
    script.write_text(COMMAND)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    process = subprocess.Popen([sys.executable, str(script), str(root)], env=environment)
    deadline = time.monotonic() + 60
    while len(list((root / SHARDS).glob("*.tar"))) < 3:
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (root / SHARDS / "index.sqlite").exists(), "readers see all of a run or nothing"
    again = subprocess.run([sys.executable, str(script), str(root)], env=environment, capture_output=True, text=True)
    assert 0 < int(again.stdout) < 60, again.stderr
    assert len(packed_frames(root / SHARDS)) == 60
    before = {k: list(encoded_images(root / FOLDER / str(k))) for k in range(60)}
    shutil.rmtree(root / FOLDER)
    assert {k: list(encoded_images(root / FOLDER / str(k))) for k in range(60)} == before


def test_what_cannot_be_packed_is_refused(root: Path) -> None:
    with pytest.raises(PrepareError, match="toy consists of video files"):
        pack(TOY, root)
    (root / f"{FOLDER}.shards").mkdir()
    (root / SHARDS / "index.sqlite").write_bytes(b"not a database at all, is it" * 100)
    with pytest.raises(PrepareError, match=r"index\.sqlite"):
        pack(FRAMES, root, processes=0)
