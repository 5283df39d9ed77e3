"""`python -m sweeps.job FOLDER`: execute the run that is frozen in a run folder.

The folder's config.json says everything; status.json tells how it went, and so does the exit code: 0 done, 1 failed,
2 the folder cannot be used, 73 another process is in it, 74 it was taken over, 75 preempted (start it again to go on).

A training or a test can be shared by several processes: `torchrun --nproc-per-node 3 -m sweeps.job FOLDER`, or a
launcher's RANK, WORLD_SIZE, LOCAL_RANK and HCML_RENDEZVOUS (hcml/training/rendezvous.py). The first of them holds the
folder and writes. All end together, and none with 0 unless the run is done.
"""

from __future__ import annotations

import ctypes
import faulthandler
import logging
import os
import shutil
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hcml.config import BenchmarkConfig, ConfigError, RunConfig, Runtime
from sweeps.freeze import run_from_dict, runtime_from_dict
from sweeps.identity import file_hash
from sweeps.leaks import trained_on
from sweeps.lock import FolderLock, Locked, write_json
from sweeps.store import FolderError, Store, now, read_json
from sweeps.work import carry_out

if TYPE_CHECKING:
    from hcml.training.watcher import Failure

log = logging.getLogger(__name__)

DONE, FAILED, UNUSABLE, IN_USE, PREEMPTED = 0, 1, 2, 73, 75
LOCK_WAIT = 30.0
"""Seconds to wait for a process that holds the folder: a run whose launcher was killed is just saving."""

Work = Callable[["Assignment"], dict[str, Any]]
Parting = Callable[[int], int]
"""What a launcher still has to do before a process ends with a code; returns the exit code."""


class Assignment:
    """A frozen run and everything around it that its execution needs."""

    def __init__(self, folder: Path) -> None:
        frozen = read_json(folder / "config.json")
        if frozen is None:
            raise FolderError(f"{folder} has no config.json: run folders are made by sweeps/run.py")
        self.folder = folder
        self.frozen = frozen
        self.run_id: str = frozen["run_id"]
        self.config: RunConfig = run_from_dict(frozen["config"])
        self.runtime: Runtime = runtime_from_dict(frozen["runtime"])
        self.store = Store(folder.parents[1])
        self.step = self.total_steps = 0
        self.job, self.restarts = scheduler_job()
        # of the first process, which comes to the others when it has the folder
        self.patience = float(os.environ.get("HCML_LOCK_WAIT", LOCK_WAIT))
        self.parting: Parting = lambda code: code
        self._writing = threading.Lock()
        self._ended = False

    def count(self, step: int, total_steps: int) -> None:
        """Called after each step; the heartbeat writes the numbers into status.json."""
        self.step, self.total_steps = step, total_steps

    @property
    def finished(self) -> bool:
        status = read_json(self.folder / "status.json") or {}
        return status.get("state") == "done" and (self.folder / "record.json").is_file()

    @property
    def lineage(self) -> list[dict[str, Any]]:
        """The frozen config.json of each ancestor, nearest first."""
        found, current = [], self.frozen
        while current["parent"] is not None:
            current = self._ancestor(current["parent"])[1]
            found.append(current)
        return found

    @property
    def trained_on(self) -> list[BenchmarkConfig]:
        """The benchmarks that the weights to start from have been trained on."""
        if self.frozen["weights"]:
            return trained_on(Path(self.frozen["weights"]))
        ancestors = self.lineage
        given = ancestors[-1]["weights"] if ancestors else ""
        seen = [BenchmarkConfig(**ancestor["config"]["benchmark"]) for ancestor in ancestors]
        return seen + (trained_on(Path(given)) if given else [])

    @property
    def parent_weights(self) -> Path | None:
        """The weights file to start from: the parent's, or the one given by `checkpoint=`."""
        if self.frozen["weights"]:
            given = Path(self.frozen["weights"])
            if file_hash(str(given), "checkpoint") != self.frozen["weights_sha256"]:
                raise FolderError(
                    f"{given} is not the file any more that this run was planned with: type the command again, which "
                    "makes a run of the new file"
                )
            return given
        if self.frozen["parent"] is None:
            return None
        weights = self._ancestor(self.frozen["parent"])[0] / "weights.pt"
        if not weights.is_file():
            raise FolderError(f"{weights} is missing: the parent run must finish first")
        return weights

    def _ancestor(self, run_id: str) -> tuple[Path, dict[str, Any]]:
        for phase in ("pretrain", "finetune"):
            folder = self.store.find(phase, run_id)
            frozen = read_json(folder / "config.json") if folder else None
            if folder is not None and frozen is not None:
                return folder, frozen
        raise FolderError(f"the ancestor {run_id[:12]} of {self.folder.name} is not in {self.store.root}")

    def write_status(self, state: str, message: str = "") -> None:
        """Say how the run is. Behind any other state there is no `running`: a late heartbeat says nothing any more."""
        with self._writing:
            if self._ended and state == "running":
                return
            self._ended = state != "running"
            self._write_status(state, message)

    def _write_status(self, state: str, message: str) -> None:
        status = {
            "state": state,
            "step": self.step,
            "total_steps": self.total_steps,
            "time": now(),
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "message": message,
            "job": self.job,
            "restarts": self.restarts,
        }
        write_json(self.folder / "status.json", status)

    def abandon(self, failure: Failure) -> int:
        """Another process of this run has ended, and our main thread waits for it in a collective: leave its traceback
        where ours would be. Returns the exit code; nothing of this process runs on."""
        log.error("%s", failure.text)
        state, code = ("preempted", PREEMPTED) if failure.interrupted else ("failed", FAILED)
        if int(os.environ.get("RANK", "0")) == 0:
            self.close(state, failure.summary)
        return self.parting(code)

    def close(self, state: str, message: str = "") -> None:
        """The last status of a run that did not finish. On a full disk the one before stays: the run then counts as
        interrupted, which it is."""
        try:
            self.write_status(state, message)
        except OSError as error:
            log.error("status.json cannot be written (%s); the run is %s: %s", error, state, message)


def main(arguments: list[str] | None = None, work: Work | None = None, parting: Parting = lambda code: code) -> int:
    """Execute the run in the folder named by the only argument; returns the exit code. `parting` is called only where
    it cannot return, since another process of the run has ended."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if len(arguments) != 1:
        print("usage: python -m sweeps.job RUN_FOLDER", file=sys.stderr)
        return UNUSABLE
    try:
        job = Assignment(Path(arguments[0]).resolve())
    except (FolderError, ConfigError) as error:
        print(error, file=sys.stderr)
        return UNUSABLE
    job.parting = parting
    rank, size = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    if size > 1 and job.config.phase in ("probe", "retrieval"):
        print(
            f"WORLD_SIZE={size}: only trainings and tests can be shared by several processes, this is a "
            f"{job.config.phase} run; start it as one process (python -m sweeps.job FOLDER)",
            file=sys.stderr,
        )
        return UNUSABLE
    _listen()
    if rank:
        return follow(job, work or carry_out, rank)
    code, started = lead(job, work or carry_out)
    if size > 1 and not started:
        from hcml.training.rendezvous import call_off

        call_off("the first process does not start the run: see its log", code)
    return code


def lead(job: Assignment, work: Work) -> tuple[int, bool]:
    """Do the part of the first (or only) process of a run: the exit code, and whether the run was started at all."""
    started = False
    try:
        scheduled = {"job": job.job, "restarts": job.restarts}
        lock = FolderLock(
            job.folder, job.runtime.heartbeat, beat=lambda: job.write_status("running"), wait=job.patience, **scheduled
        )
        with lock:
            if job.finished:  # by the process that was waited for, or before a requeue that came too late
                return DONE, False
            started = True
            return execute(job, work), True
    except KeyboardInterrupt:  # while waiting for the lock
        return PREEMPTED, started
    except Locked as error:
        print(error, file=sys.stderr)
        return IN_USE, started
    except OSError as error:  # of the folder itself: what the run raises ends in its status
        print(f"{job.folder} cannot be written ({error}): free some space and start the run again", file=sys.stderr)
        return FAILED, started


def execute(job: Assignment, work: Work) -> int:
    """Run `work` with its log and status kept; the folder's lock must be held."""
    from hcml.training.distributed import RankFailed
    from hcml.training.preemption import Preempted

    logging.basicConfig(
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        handlers=[logging.StreamHandler(sys.stdout), logging.FileHandler(job.folder / "log.txt")],
        force=True,
    )
    faulthandler.enable()
    started = now()
    try:
        job.write_status("running")
        record = work(job)
        if record:
            from results.record import write_record

            write_record(job.folder / "record.json", record | {"started": started, "finished": now()})
    except Preempted as stop:
        log.info("%s", stop)
        job.close("preempted", str(stop))
        return PREEMPTED
    except KeyboardInterrupt:
        job.close("preempted", "stopped from outside")
        return PREEMPTED
    except BaseException as error:
        log.error("failed:\n%s", traceback.format_exc().rstrip())
        job.close("failed", error.summary if isinstance(error, RankFailed) else f"{type(error).__name__}: {error}")
        if not isinstance(error, Exception):
            raise
        return FAILED
    job.write_status("done")
    # weights.pt is what is left to read; the two checkpoints are three times as large each.
    shutil.rmtree(job.folder / "checkpoints", ignore_errors=True)
    return DONE


def follow(job: Assignment, work: Work, rank: int) -> int:
    """Do the part of a process that is not the first of its run: nothing is written to the folder."""
    text = f"%(asctime)s rank {rank} %(levelname)s %(name)s: %(message)s"
    logging.basicConfig(level=logging.INFO, format=text, stream=sys.stdout, force=True)
    faulthandler.enable()
    from hcml.training.preemption import Preempted
    from hcml.training.rendezvous import CalledOff

    try:
        work(job)
    except CalledOff as end:
        log.info("%s", end)
        return end.code
    except (KeyboardInterrupt, Preempted) as stop:
        log.info("%s", stop)
        return PREEMPTED
    except Exception:
        log.error("failed:\n%s", traceback.format_exc().rstrip())
        return FAILED
    return DONE


def scheduler_job() -> tuple[str, int]:
    """SLURM's id of this job (`86_3` for an element of an array, '' outside of SLURM) and how often it was started
    before."""
    element = os.environ.get("SLURM_ARRAY_TASK_ID")
    array = os.environ.get("SLURM_ARRAY_JOB_ID")
    job = f"{array}_{element}" if array and element else os.environ.get("SLURM_JOB_ID", "")
    return job, int(os.environ.get("SLURM_RESTART_COUNT") or 0)


def _listen() -> None:
    """Stop politely: SIGTERM or SIGUSR2 outside the training loop (which saves first) ends the run as preempted.

    Under a launcher Ctrl-C is the launcher's to handle, and on Linux its death is a SIGTERM for us, so that a killed
    sweep leaves no run behind and the same command goes on from there.
    """

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGUSR2, stop)
    # A run that hangs says where: `scancel --signal=USR1 JOB` and goes on.
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    if "HCML_LAUNCHER" not in os.environ:
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # 1 = PR_SET_PDEATHSIG
        if os.getppid() != int(os.environ["HCML_LAUNCHER"]):  # it died before the call above
            os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
