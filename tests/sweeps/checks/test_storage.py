"""Folders of runs: who may write, how much fits, which mount, do locks hold."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sweeps.checks import locks, machine, storage
from sweeps.checks.storage import Mount, judged, mount_of, read_quota

MOUNTINFO = r"""22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
40 22 0:50 / /lustre rw,noatime shared:9 - lustre 10.0.0.1@tcp:/scratch rw,flock,lazystatfs
41 22 0:51 / /home/my\040group rw - nfs4 server:/home rw,vers=4.2,local_lock=none
42 40 0:52 / /lustre/project rw - lustre 10.0.0.1@tcp:/project rw,localflock
43 22 0:53 / /nolock rw - nfs server:/x rw,vers=3,nolock
44 22 0:54 / /noflock rw - lustre 10.0.0.2@tcp:/y rw
45 22 0:55 / /dev/shm rw - tmpfs tmpfs rw
"""


@pytest.mark.parametrize(
    ("path", "point", "kind"),
    [
        ("/lustre/me/runs", "/lustre", "lustre"),
        ("/lustre/project/runs", "/lustre/project", "lustre"),
        ("/lustrexy", "/", "ext4"),
        ("/home/my group/runs", "/home/my group", "nfs4"),
    ],
)
def test_the_innermost_mount_counts(path: str, point: str, kind: str) -> None:
    found = mount_of(Path(path), MOUNTINFO)
    assert (found.point, found.kind) == (point, kind)


@pytest.mark.parametrize(
    ("path", "slurm", "level", "says"),
    [
        ("/lustre/x", True, "ok", "lustre"),
        ("/lustre/project", True, "warning", "within one node"),
        ("/nolock", True, "warning", "within one node"),
        ("/noflock", False, "warning", "without the option flock"),
        ("/dev/shm/runs", True, "warning", "is memory"),
        ("/somewhere", True, "warning", "ext4"),
        ("/somewhere", False, "ok", "ext4"),
    ],
)
def test_file_systems_are_judged_by_sharing_and_locks(path: str, slurm: bool, level: str, says: str) -> None:
    found = judged(mount_of(Path(path), MOUNTINFO), slurm)
    assert found.level == level and says in found.text


def test_quota_output_is_read() -> None:
    text = """Disk quotas for user me (uid 1000):
Filesystem   space   quota   limit   grace   files   quota   limit   grace
server:/home 950000* 900000 1000000 1700000000 1200 0 0 0
"""
    found = read_quota(text)
    assert found is not None and found.share == pytest.approx(0.95) and (found.files, found.file_limit) == (1200, 0)
    lustre = "      /lustre  4096  0  8192  -  90  80  100  -"
    assert read_quota(lustre) == storage.Quota(4096 * 1024, 8192 * 1024, 90, 100)
    assert read_quota("Disk quotas for user me (uid 1000): none") is None


def test_a_folder_that_everybody_may_write_to_is_a_problem(tmp_path: Path) -> None:
    folder = tmp_path / "runs"
    folder.mkdir(mode=0o755)
    (found,) = storage.trusted(folder)
    assert found.level == "ok"
    folder.chmod(0o757)
    (found,) = storage.trusted(folder)
    assert found.level == "problem" and str(folder) in found.text
    folder.chmod(0o775)
    assert next(iter(storage.trusted(folder))).level == "warning"
    folder.chmod(0o755)
    tmp_path.chmod(0o777)  # somebody could put another folder in its place
    assert next(iter(storage.trusted(folder))).level == "problem"
    tmp_path.chmod(0o1777)
    assert next(iter(storage.trusted(folder))).level == "ok"


def test_a_folder_that_is_not_there_yet_is_tried_where_it_would_be_made(tmp_path: Path) -> None:
    (found,) = storage.writable(tmp_path / "a" / "b")
    assert found.level == "ok" and f"made in {tmp_path}" in found.text
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_a_problem(tmp_path: Path, monkeypatch: Any) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(storage.tempfile, "NamedTemporaryFile", refuse)
    (found,) = storage.writable(tmp_path)
    assert found.level == "problem" and "Permission denied" in found.text


@pytest.mark.parametrize(
    ("blocks", "files", "total", "level"),
    [
        (2**40, 10**6, 10**7, "ok"),
        (2**30, 10**6, 10**7, "problem"),
        (10 * 2**30, 10**6, 10**7, "warning"),
        (2**40, 500, 10**7, "problem"),
        (2**40, 0, 0, "ok"),
    ],
)
def test_space_and_inodes(tmp_path: Path, monkeypatch: Any, blocks: int, files: int, total: int, level: str) -> None:
    given = SimpleNamespace(f_bavail=blocks, f_frsize=1, f_favail=files, f_files=total)
    monkeypatch.setattr(os, "statvfs", lambda _: given)
    assert next(iter(storage.space(tmp_path))).level == level


def test_a_held_lock_keeps_another_process_out(tmp_path: Path) -> None:
    (found,) = locks.locks(tmp_path)
    assert found.level == "ok" and list(tmp_path.iterdir()) == []


def test_locks_that_do_not_hold_are_a_problem(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(locks.fcntl, "flock", lambda *_: None)
    (found,) = locks.locks(tmp_path)
    assert found.level == "problem" and "held lock was given" in found.text


def test_a_clock_that_is_off_is_told(tmp_path: Path, monkeypatch: Any) -> None:
    assert next(iter(storage.clock(tmp_path))).level == "ok"
    real = storage.time.time
    monkeypatch.setattr(storage.time, "time", lambda: real() - 30)
    found = next(iter(storage.clock(tmp_path)))
    assert found.level == "warning" and "+30" in found.text


def test_batches_that_do_not_fit_into_shared_memory_are_told(monkeypatch: Any) -> None:
    length = {"length": {"batch_size": 64}}
    settings = {"runtime": {"workers": 8}, "input_size": 224, "num_frames": 8, "pretrain": length, "finetune": length}
    for size, level in ((64 * 2**20, "warning"), (2**33, "ok")):
        given = SimpleNamespace(f_bavail=size, f_frsize=1)
        monkeypatch.setattr(os, "statvfs", lambda _, given=given: given)
        assert next(iter(machine.shared_memory(settings))).level == level


def test_unknown_mounts_are_no_error() -> None:
    assert mount_of(Path("/x"), "garbage\n") == Mount("/", "unknown", "", frozenset())
