"""The folder of the runs: may it be written, by whom else, how much fits, do locks hold, do clocks agree."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sweeps.checks.finding import Finding, isolated, ok, problem, run, warning

LOW_BYTES, FEW_BYTES = 20 * 2**30, 2 * 2**30
LOW_FILES, FEW_FILES = 20_000, 1_000
"""A run folder has some 15 files, a copy of the code some 250."""
SHARED = re.compile(r"nfs|lustre|gpfs|beegfs|ceph|panfs|wekafs|orangefs|afs|smb|cifs|9p|virtiofs|glusterfs|daos|vast")
SKEW = 2.0
"""Seconds between two clocks that are worth a word; a heartbeat of another host counts as dead after a minute."""


def existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that there is."""
    return next(path for path in (folder, *folder.parents) if path.is_dir())


def writable(folder: Path) -> Iterator[Finding]:
    """A file can be made, synced and renamed there."""
    there = existing(folder)
    made = "" if there == folder else f" (it will be made in {there})"
    try:
        with tempfile.NamedTemporaryFile(dir=there, prefix=".doctor-", delete=False) as file:
            path = Path(file.name)
            file.write(b"x")
            os.fsync(file.fileno())
        os.replace(path, path.with_suffix(".renamed"))
        path.with_suffix(".renamed").unlink()
    except OSError as error:
        text = f"{folder} cannot be written ({error.strerror}){made}"
        yield problem("runs", text, "give paths.runs a folder of yours, on a file system that the compute nodes see")
        return
    yield ok("runs", f"{folder} can be written{made}")


def trusted(folder: Path) -> Iterator[Finding]:
    """Nobody else may write there: the code that jobs run lies in it."""
    name, there = "trust", existing(folder)
    open_to_all = [path for path in (there, *there.parents) if replaceable(path, path == folder)]
    rule = "whoever can write there can run code as you (docs/cluster.md, what is trusted)"
    mode, me = there.stat(), os.getuid()
    if open_to_all:
        worst = open_to_all[0]
        yield problem(name, f"everybody may write to {worst}: {rule}", f"chmod o-w {worst}, or another paths.runs")
    elif mode.st_uid not in (me, 0):
        yield warning(name, f"{there} belongs to {user(mode.st_uid)}: {rule}", "is that a person you work with?")
    elif mode.st_mode & stat.S_IWGRP and mode.st_gid != os.getgid():
        yield warning(name, f"the group {mode.st_gid} may write to {there}: {rule}", f"chmod g-w {there}, if not meant")
    elif mode.st_mode & stat.S_IWGRP:
        yield warning(name, f"your group may write to {there}: {rule}", f"chmod g-w {there}, if that is not meant")
    else:
        yield ok(name, f"nobody but {user(mode.st_uid)} may write to {there}")


def replaceable(path: Path, itself: bool) -> bool:
    """Everybody may put files into `path` or, where it is a folder above, replace what is in it."""
    mode = path.stat().st_mode
    return bool(mode & stat.S_IWOTH) and (itself or not mode & stat.S_ISVTX)


def user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"user {number}"


def space(folder: Path) -> Iterator[Finding]:
    """Free bytes and files of the file system, for this user."""
    there = existing(folder)
    found = os.statvfs(there)
    free, files = found.f_bavail * found.f_frsize, found.f_favail
    counted = found.f_files > 0  # some file systems make inodes as they are needed, and say 0
    text = f"{amount(free)} free in {there}" + (f", room for {files:,} files" if counted else ", files not limited")
    remedy = "make room, or set paths.runs to another file system: a ResNet-101 run needs about 1.5 GiB while training"
    if free < FEW_BYTES or (counted and files < FEW_FILES):
        yield problem("space", text, remedy)
    elif free < LOW_BYTES or (counted and files < LOW_FILES):
        yield warning("space", text, remedy)
    else:
        yield ok("space", text)


@dataclass(frozen=True)
class Quota:
    """Used and allowed, in bytes and files; 0 allowed = no limit."""

    used: int
    limit: int
    files: int
    file_limit: int

    @property
    def share(self) -> float:
        """Of what is allowed, the tighter of the two."""
        of_bytes = self.used / self.limit if self.limit else 0.0
        return max(of_bytes, self.files / self.file_limit if self.file_limit else 0.0)


def quota(folder: Path, timeout: float = 20.0) -> Iterator[Finding]:
    """What the site's quota commands say of this user on that file system."""
    there = existing(folder)
    mount = mount_of(there, Path("/proc/self/mountinfo").read_text(errors="replace"))
    name = user(os.getuid())
    if mount.kind == "lustre" and shutil.which("lfs"):
        command = ["lfs", "quota", "-q", "-u", name, mount.point]
    elif shutil.which("quota"):
        command = ["quota", "-w", "-p", "-f", mount.point]
    else:
        yield ok("quota", "there is no command here to ask for one (the site may have its own)")
        return
    code, out, err = run(command, timeout)
    if code is None:
        yield warning("quota", f"`{' '.join(command)}` gave no answer in {timeout:.0f} s", "ask the site for yours")
        return
    found = read_quota(out)
    if found is None:
        said = (err.strip() or out.strip() or "nothing").splitlines()[0]
        yield ok("quota", f"none that `{' '.join(command)}` tells: {said}")
        return
    parts = [f"{amount(found.used)} of {amount(found.limit)}"] if found.limit else []
    parts += [f"{found.files:,} of {found.file_limit:,} files"] if found.file_limit else []
    text = f"{', '.join(parts) or 'no limit'} used on {mount.point}"
    if found.share >= 1:
        yield problem("quota", text, "nothing more can be written: delete something, or set paths.runs elsewhere")
    elif found.share > 0.9:
        yield warning("quota", text, "little is left: delete something, or set paths.runs elsewhere")
    else:
        yield ok("quota", text)


def read_quota(text: str) -> Quota | None:
    """The last line of numbers of `quota -w` or `lfs quota -q`: blocks of 1 KiB, quota, limit, grace, files, quota,
    limit, grace. A star marks what is over its limit."""
    for line in reversed(text.splitlines()):
        match = re.search(r"\s(\d+)\*?\s+(\d+)\s+(\d+)\s+(\S+)\s+(\d+)\*?\s+(\d+)\s+(\d+)", line)
        if match:
            blocks, soft, hard, files, file_soft, file_hard = (int(match[i]) for i in (1, 2, 3, 5, 6, 7))
            return Quota(1024 * blocks, 1024 * (hard or soft), files, file_hard or file_soft)
    return None


@dataclass(frozen=True)
class Mount:
    """Where a file system is attached, of which type and with which options."""

    point: str
    kind: str
    source: str
    options: frozenset[str]


def mount_of(path: Path, mountinfo: str) -> Mount:
    """The mount that a folder lies on, by the text of /proc/self/mountinfo."""
    best = Mount("/", "unknown", "", frozenset())
    path = path.resolve()
    for line in mountinfo.splitlines():
        before, dash, after = line.partition(" - ")
        fields, tail = before.split(" "), after.split(" ")
        if not dash or len(fields) < 6 or len(tail) < 2:
            continue
        point = re.sub(r"\\(\d{3})", lambda code: chr(int(code[1], 8)), fields[4])
        options = frozenset((fields[5] + "," + (tail[2] if len(tail) > 2 else "")).split(","))
        if path.is_relative_to(point) and len(point) >= len(best.point):
            best = Mount(point, tail[0], tail[1], options)
    return best


def file_system(folder: Path, slurm: bool) -> Iterator[Finding]:
    """Its type: shared between nodes, and with locks that reach from one to the other?"""
    mount = mount_of(existing(folder), Path("/proc/self/mountinfo").read_text(errors="replace"))
    yield judged(mount, slurm)


def judged(mount: Mount, slurm: bool) -> Finding:
    name, text = "file system", f"{mount.kind} at {mount.point}"
    near = {"nolock", "local_lock=all", "local_lock=flock"} & mount.options
    if mount.kind in ("tmpfs", "ramfs"):
        remedy = "it is lost when the machine starts anew, and no other node sees it: set paths.runs to a disk"
        return warning(name, f"{text} is memory", remedy)
    if mount.kind == "lustre" and not {"flock", "localflock"} & mount.options:
        return warning(name, f"{text} without the option flock", "ask the site to mount it with `flock`")
    if mount.kind == "lustre" and "localflock" in mount.options:
        near = frozenset({"localflock"})
    if near:
        return warning(
            name,
            f"{text} with {', '.join(sorted(near))}: locks hold within one node alone",
            "two nodes could take up one run in the same second; launch sweeps from one login node only",
        )
    if slurm and not SHARED.search(mount.kind) and not mount.kind.startswith("fuse"):
        remedy = "a disk of this machine? all nodes must see paths.runs: --submit tells whether a compute node does"
        return warning(name, text, remedy)
    return ok(name, text)


def locks(folder: Path, timeout: float = 30.0) -> Iterator[Finding]:
    """flock between two processes: held, refused, released."""
    yield from isolated("locks", "sweeps.checks.locks", [str(existing(folder))], timeout)


def clock(folder: Path) -> Iterator[Finding]:
    """This machine's clock beside that of the file system's server."""
    try:
        with tempfile.NamedTemporaryFile(dir=existing(folder), prefix=".doctor-") as file:
            file.write(b"x")
            os.fsync(file.fileno())
            off = os.fstat(file.fileno()).st_mtime - time.time()
    except OSError:
        return  # `writable` has said so
    if abs(off) > SKEW:
        remedy = "tell the site: heartbeats are compared between machines, and a minute's difference looks like death"
        yield warning("clock", f"that of the file system is {off:+.1f} s off this machine's", remedy)
    else:
        yield ok("clock", "this machine and the file system agree")


def amount(size: float) -> str:
    """Bytes in words."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}"
        size /= 1024
    return f"{size:,.1f} TiB"
