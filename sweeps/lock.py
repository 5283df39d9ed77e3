"""One process per run folder: a lock file with a heartbeat, taken over when its owner is dead."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

log = logging.getLogger(__name__)


class Locked(RuntimeError):
    """Another living process holds the folder."""


class FolderLock:
    """Context manager around a run folder.

    `heartbeat` seconds lie between two refreshes of `lock.json`, each also calling `beat` (which must be quick). The
    owner counts as dead when its process is gone (same host) or, seen from another host, when its heartbeat is older
    than `6 * heartbeat` and at least a minute. `wait` is how long to wait, in seconds, for a living owner to leave.
    Raises :class:`Locked` on entry. If the lock is taken away, `on_lost` is called from the heartbeat thread.

    `job` and `restarts` are the scheduler's: an earlier start of the same job does not count as a living owner. The
    scheduler has given it up, but on a node that it cannot reach the process may go on; it finds its lock taken at its
    next heartbeat, which is waited for.
    """

    def __init__(
        self,
        folder: Path,
        heartbeat: float = 10.0,
        beat: Callable[[], None] = lambda: None,
        wait: float = 0.0,
        on_lost: Callable[[], None] = lambda: os._exit(74),
        job: str = "",
        restarts: int = 0,
    ) -> None:
        self.path = folder / "lock.json"
        self.heartbeat, self.beat, self.wait, self.on_lost = heartbeat, beat, wait, on_lost
        self.job, self.restarts = job, restarts
        self.token = uuid.uuid4().hex
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> FolderLock:
        deadline = time.monotonic() + self.wait
        while True:
            with _guard(self.path):
                owner = read_owner(self.path)
                alive = owner is not None and is_alive(owner)
                if not alive or self._is_earlier_start(owner):
                    self._write()
                    break
            if time.monotonic() >= deadline:
                raise Locked(
                    f"{self.path.parent} is in use by process {owner.get('pid')} on {owner.get('host')}: wait for it, "
                    "or end that process"
                )
            time.sleep(0.2)
        if alive and owner is not None:
            log.warning("an earlier start of job %s still runs on %s: it ends now", self.job, owner.get("host"))
            self._until_gone(owner)
        self._thread = threading.Thread(target=self._beat_forever, name="heartbeat", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        with _guard(self.path):
            owner = read_owner(self.path)
            if owner is not None and owner.get("token") == self.token:
                self.path.unlink()

    def _is_earlier_start(self, owner: dict[str, Any] | None) -> bool:
        same = owner is not None and bool(self.job) and owner.get("job") == self.job
        return same and owner is not None and int(owner.get("restarts", 0)) < self.restarts

    def _until_gone(self, owner: dict[str, Any]) -> None:
        """Two of its heartbeats, in which it sees the lock; less where it can be seen to be gone."""
        deadline = time.monotonic() + 2.5 * float(owner.get("heartbeat", 10))
        while time.monotonic() < deadline and (owner.get("host") != socket.gethostname() or is_alive(owner)):
            time.sleep(0.2)

    def _write(self) -> None:
        owner = {
            "token": self.token,
            "pid": os.getpid(),
            "born": process_birth(os.getpid()),
            "host": socket.gethostname(),
            "time": time.time(),
            "heartbeat": self.heartbeat,
            "job": self.job,
            "restarts": self.restarts,
        }
        write_json(self.path, owner)

    def _beat_forever(self) -> None:
        while not self._stop.wait(self.heartbeat):
            try:
                with _guard(self.path):
                    owner = read_owner(self.path)
                    lost = owner is None or owner.get("token") != self.token
                    if not lost:
                        self._write()
                if not lost:
                    self.beat()
            except OSError as error:  # a disk that is full for a while must not end the heartbeat for good
                log.warning("no heartbeat in %s: %s", self.path.parent, error)
                continue
            if lost:
                self.on_lost()
                return


class _guard:
    """A short critical section around reading and writing the lock file."""

    def __init__(self, path: Path) -> None:
        self.path = path.with_name(".lock.guard")

    def __enter__(self) -> None:
        self.file = open(self.path, "w")
        fcntl.flock(self.file, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        self.file.close()


def read_owner(path: Path) -> dict[str, Any] | None:
    """The content of a lock file; None if there is none or if it was cut short by a crash."""
    try:
        owner = json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return None
    return owner if isinstance(owner, dict) else None


def is_alive(owner: dict[str, Any]) -> bool:
    """Does the process that wrote this lock still live, as far as can be seen from here?"""
    if owner.get("host") == socket.gethostname():
        born = process_birth(int(owner["pid"]))
        return born is not None and born == owner.get("born")  # another birth: the pid was given to someone else
    return time.time() - float(owner.get("time", 0)) < max(60.0, 6 * float(owner.get("heartbeat", 10)))


def process_birth(pid: int) -> str | None:
    """Start time of a process in the system's own unit ('' where it has no /proc); None if there is no such process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        if Path("/proc/self").exists():
            return None
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return None
        except PermissionError:
            return ""
        return ""
    values = text.rpartition(")")[2].split()
    return None if values[0] in "ZX" else values[19]  # a zombie has ended


def write_json(path: Path, content: Any) -> None:
    """Write atomically and durably: a reader sees the old or the new file, never a part."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        with open(partial, "w", encoding="utf-8") as file:
            json.dump(content, file, indent=1, sort_keys=True)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
