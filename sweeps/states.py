"""The state of a run, decided from what its folder, SLURM's queue and SLURM's accounting say of it. Pure."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sweeps.slurm.queue import EndedJob, QueuedJob

STATES = (
    "running",
    "requeued",
    "pending",
    "waiting",
    "done",
    "preempted",
    "cancelled",
    "failed",
    "lost",
    "blocked",
)
"""requeued: stopped, and in the queue again. pending: in the queue. waiting: not submitted. preempted: stopped and
saved, and nothing will start it again by itself. lost: it said that it runs, but it does not. blocked: what it starts
from has not been made."""
TERMINAL = frozenset({"done", "preempted", "cancelled", "failed", "lost", "blocked"})
"""States that nothing changes by itself any more."""
BAD = TERMINAL - {"done"}

SILENCE = 600.0
"""Seconds without a heartbeat after which a run counts as dead where nobody else can be asked."""
GRACE = 60.0
"""Seconds that SLURM's commands may be behind: a job that was just submitted need not be in what squeue said a moment
ago, and accounting learns of an end a little later than the queue."""
NEVER = "DependencyNeverSatisfied"


@dataclass
class Row:
    """One run of a sweep, as it is shown."""

    run_id: str
    phase: str
    name: str
    state: str
    step: int | None = None
    total_steps: int | None = None
    loss: float | None = None
    clips_per_second: float | None = None
    seconds_left: float | None = None
    node: str = ""
    job: str = ""
    message: str = ""
    log: list[str] = field(default_factory=list)
    """The last lines of its log, if it failed or is lost."""


@dataclass
class Evidence:
    """All that is known of a run."""

    status: Mapping[str, Any] = field(default_factory=dict)
    """status.json, {} if there is none."""
    damage: str = ""
    """Which of its files cannot be read, and why."""
    recorded: bool = False
    """record.json is there."""
    owner: Mapping[str, Any] = field(default_factory=dict)
    """lock.json, {} if there is none."""
    alive: bool = False
    """The owner lives, as far as can be seen from here."""
    silent: float | None = None
    """Seconds since the last heartbeat; None if there never was one."""
    queue_known: bool = False
    queued: QueuedJob | None = None
    submitted: str = ""
    """The id of the last job that was submitted for it; '' if there is none."""
    submitted_ago: float | None = None
    """Seconds since then; None if nobody knows."""
    ended: EndedJob | None = None
    """That job in accounting, if it is over."""
    parent: tuple[str, str] | None = None
    """Name and state of the run that it starts from."""


def decide(run: Evidence) -> tuple[str, str]:
    """(one of :data:`STATES`, why). Status file and heartbeat come first, then the queue, then accounting."""
    state = run.status.get("state")
    said = str(run.status.get("message") or "")
    if state == "done" and run.recorded:
        return "done", ""
    if run.alive:
        return "running", ""
    if run.queued is not None:
        return _in_queue(run, run.queued, said)
    if run.ended is not None and run.status.get("job") not in (None, run.submitted):
        return _by_accounting(run, run.ended)  # of a later job than the one that wrote the status
    if state == "failed":
        return "failed", said or "it left no message"
    if state == "done":
        return "lost", "status.json says done, but record.json is not there"
    if state == "preempted":
        over = run.ended.state if run.ended else ""
        return ("cancelled", "it has saved its state") if over == "CANCELLED" else ("preempted", said)
    if state == "running":
        return _silent(run)
    return _never_started(run)


def _in_queue(run: Evidence, job: QueuedJob, said: str) -> tuple[str, str]:
    state = run.status.get("state")
    if job.state not in ("RUNNING", "COMPLETING", "STOPPED", "SUSPENDED", "CONFIGURING", "SIGNALING", "STAGE_OUT"):
        parent_bad = run.parent is not None and run.parent[1] in BAD
        if job.reason == NEVER or (parent_bad and job.reason == "Dependency"):
            return "blocked", _blocked(run)
        again = state in ("running", "preempted") or job.restarts > 0
        reason = job.reason if job.state == "PENDING" else f"{job.state} {job.reason}".strip()
        return ("requeued" if again else "pending"), reason
    this_start = run.status.get("job") == job.job_id and _int(run.status.get("restarts")) >= job.restarts
    if state == "failed" and this_start:
        return "failed", said or "it left no message"
    if state == "preempted" and (this_start or job.state == "COMPLETING"):
        return "requeued", "it has saved its state and leaves its node"
    if job.state == "COMPLETING":
        return "running", "SLURM is ending it"
    if job.state != "RUNNING":
        return "running", job.state.lower()
    if state == "running" and this_start and run.silent is not None and run.silent > SILENCE:
        return "running", f"no heartbeat for {run.silent / 60:.0f} min: does it hang?"
    return "running", "" if state == "running" and this_start else "starting"


def _silent(run: Evidence) -> tuple[str, str]:
    """It said that it runs; its owner is not alive, and it is not in the queue (or nobody knows)."""
    if run.ended is not None:
        return _by_accounting(run, run.ended)
    by_slurm = bool(run.submitted or run.owner.get("job") or run.status.get("job"))
    if run.silent is not None and run.silent <= SILENCE:
        if by_slurm and not run.queue_known:
            return "running", f"last heartbeat {run.silent:.0f} s ago; the queue cannot be asked"
        if not by_slurm and not run.owner.get("here"):
            return "running", f"last heartbeat {run.silent:.0f} s ago"
        if by_slurm and run.silent < GRACE:
            return "running", "it has left the queue; accounting has not said yet how it ended"
    where = f" on {host}" if (host := run.owner.get("host") or run.status.get("host")) else ""
    since = f", {run.silent / 60:.0f} min ago" if run.silent is not None and run.silent >= 60 else ""
    queue = " and it is not in the queue" if by_slurm and run.queue_known else ""
    return "lost", f"its process{where} has gone without a word{since}{queue} (killed? out of memory? node down?)"


def _never_started(run: Evidence) -> tuple[str, str]:
    """There is no status of it, and it is not in the queue (or nobody knows)."""
    parent_bad = run.parent is not None and run.parent[1] in BAD
    if run.damage:
        return "lost", run.damage
    if run.ended is not None:
        if run.ended.state == "CANCELLED" and parent_bad:
            return "blocked", _blocked(run)
        return _by_accounting(run, run.ended)
    if parent_bad:
        return "blocked", _blocked(run)
    if not run.submitted:
        return "waiting", ""
    if not run.queue_known:
        return "pending", "the queue cannot be asked"
    if run.submitted_ago is not None and run.submitted_ago < GRACE:
        return "pending", "just submitted"
    return "lost", f"job {run.submitted} is not in the queue and has left nothing"


def _blocked(run: Evidence) -> str:
    if run.parent is not None and run.parent[1] in BAD:
        return f"its parent is {run.parent[1]}: {run.parent[0]}"
    return "what it depends on has ended without success"


def _by_accounting(run: Evidence, job: EndedJob) -> tuple[str, str]:
    node = f" on {job.nodes}" if job.nodes else ""
    if job.state == "CANCELLED":
        return "cancelled", ""
    if job.state == "PREEMPTED":
        return "preempted", "SLURM took its resources and did not give it time to save"
    if job.state == "COMPLETED":
        return "lost", f"SLURM says that job {job.job_id} completed{node}, but the run did not"
    if job.state == "OUT_OF_MEMORY":
        return "failed", f"OUT_OF_MEMORY{node}: ask for more (launcher.mem_gb), or lower runtime.workers"
    if job.state == "TIMEOUT":
        return "failed", f"TIMEOUT{node}: it had no time to save; raise launcher.timeout_min or launcher.signal_delay_s"
    if job.state == "NODE_FAIL":
        return "failed", f"NODE_FAIL: node {job.nodes} went down"
    if killed := _signal(job):
        guess = " (out of memory?)" if killed == "SIGKILL" else ""
        return "failed", f"killed by {killed}{guess}{node}"
    return "failed", f"{job.state}, exit code {job.exit_code}{node}"


def _signal(job: EndedJob) -> str:
    """The signal that ended a job: of its script, of a process that srun or the shell reports, '' for none. srun gives
    the number of a signal itself, and a shell 128 more."""
    number = job.signal or (job.exit_code - 128 if job.exit_code > 128 else 0)
    number = number or (job.exit_code if job.exit_code == signal.SIGKILL else 0)
    try:
        return signal.Signals(number).name if number else ""
    except ValueError:
        return ""


def _int(value: Any) -> int:
    return value if isinstance(value, int) else 0
