"""Runs that are killed, that meet, that find no room: real processes."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.commands.layout import Layout
from benchmarks.commands.ledger import read_ledger
from benchmarks.commands.prepared import load_prepared
from tests.benchmarks.tree import TOY, encode, grow, write_lists


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return grow(tmp_path_factory.mktemp("grown"))


@pytest.fixture
def root(tmp_path: Path, grown: Path) -> Path:
    return Path(shutil.copytree(grown, tmp_path / "root"))


COMMAND = """
import sys
from pathlib import Path
from benchmarks.commands.prepare import prepare
from tests.benchmarks.tree import TOY

if __name__ == "__main__":
    print(prepare(TOY, Path(sys.argv[1]), "h264", processes=2, say=lambda line: print(line, flush=True)).done_now)
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "command.py"
    path.write_text(COMMAND)
    return path


def start(script: Path, root: Path, **options) -> subprocess.Popen:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3]), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, str(script), str(root)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


@pytest.mark.slow
def test_a_killed_run_goes_on_where_it_stopped(tmp_path: Path, script: Path) -> None:
    root = tmp_path / "root"
    first = encode(root / "wave/0.mp4", 120, size=(160, 120))
    for number in range(1, 24):
        shutil.copy(first, root / f"wave/{number}.mp4")
    write_lists(root, [f"{'train' if number else 'test'} 2 wave/{number}.mp4" for number in range(24)])
    (root / "list1.txt").open("a").write("test 1 wave/none.mp4\n")
    process = start(script, root)
    ledger = Layout(root, "h264").ledger
    deadline = time.monotonic() + 60
    while not ledger.exists() or ledger.read_bytes().count(b"\n") < 3:
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    done = read_ledger(ledger)
    assert 3 <= len(done) < 24
    assert not (root / "manifests").exists()
    with ledger.open("a") as stream:
        stream.write('{"video_id": "23", "frames"')  # torn by the kill
    output, errors = start(script, root).communicate(timeout=120)
    assert output.splitlines()[-1] == str(24 - len(done)), errors
    assert {row["frames"] for row in read_ledger(ledger).values()} == {120}
    assert len(load_prepared(TOY, root, "h264", "2").train.entries) == 23
    assert not Layout(root, "h264").scratch.exists()
    assert len([path for path in (root / "prepared/h264").rglob("*") if path.is_file()]) == 24


@pytest.mark.slow
def test_two_runs_at_once_do_the_work_once(root: Path, script: Path) -> None:
    runs = [start(script, root), start(script, root)]
    outputs = [process.communicate(timeout=120)[0] for process in runs]
    assert sorted(output.splitlines()[-1] for output in outputs) == ["0", "3"]
    assert len(Layout(root, "h264").ledger.read_text().splitlines()) == 3


@pytest.mark.slow
def test_a_disk_that_takes_no_more_is_one_clear_error(root: Path, script: Path) -> None:
    """A limit on file size stands for a full disk: the system refuses to write in the same way."""

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))

    _, errors = start(script, root, preexec_fn=limit).communicate(timeout=120)
    assert "PrepareError" in errors.splitlines()[-1], errors
    assert "cannot be written" in errors and "make room there" in errors
    assert not list((root / "prepared/h264").rglob("*.mp4"))
