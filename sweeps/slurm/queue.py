"""What SLURM's own commands say: squeue, sacct, scontrol and scancel, one call for many jobs.

Every command is given as a list of arguments, never to a shell, and has a time limit. A job is named as SLURM shows it:
"86", or "86_3" for an element of an array.
"""

from __future__ import annotations

import logging
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

log = logging.getLogger(__name__)

TIMEOUT = 60.0
"""Seconds that a command may take. SLURM's own commands try a controller that does not answer for about that long."""
CHUNK = 200
"""Job ids in one command: far below any limit on the length of a command line."""
ENDED = frozenset(
    "BOOT_FAIL CANCELLED COMPLETED DEADLINE FAILED NODE_FAIL OUT_OF_MEMORY PREEMPTED REVOKED TIMEOUT".split()
)
"""States in which a job is over for good (one that is requeued has another: PENDING, REQUEUED, COMPLETING...)."""

_COLUMNS = (
    ("JobArrayID", 48),
    ("State", 24),
    ("RestartCnt", 12),
    ("SubmitTime", 24),
    ("NodeList", 128),
    ("Reason", 96),
)
_DEFAULTS = re.compile(r"(SQUEUE|SACCT|SCANCEL)_|SLURM_TIME_FORMAT$")
"""A user's own defaults for these commands: filters and formats that would change what is read here."""


class SchedulerError(RuntimeError):
    """A command of SLURM is missing, fails or hangs; the message says what to do."""


@dataclass(frozen=True)
class QueuedJob:
    """A job, or one element of an array, that SLURM has in its queue."""

    job_id: str
    name: str
    state: str
    """PENDING, RUNNING, COMPLETING, REQUEUE_HOLD..."""
    reason: str = ""
    """Why it is not running ("Resources", "Dependency", "BeginTime"); '' if SLURM gives none."""
    nodes: str = ""
    restarts: int = 0
    submitted: str = ""
    """ISO, local time of the cluster."""

    @property
    def submission(self) -> str:
        """The last part of the name, which is the submission's id if the job is one of ours."""
        return self.name.rpartition("-")[2]


@dataclass(frozen=True)
class EndedJob:
    """A job, or one element of an array, that accounting knows to be over."""

    job_id: str
    state: str
    """One of :data:`ENDED`."""
    exit_code: int = 0
    signal: int = 0
    nodes: str = ""


@dataclass(frozen=True)
class Limits:
    """What the cluster is set to. Sizes are numbers of jobs; 0 = not said."""

    max_array_size: int = 0
    """The highest array index is one less."""
    max_job_count: int = 0
    preempt_send_user_signal: bool = False
    """Preemption sends the signal of `sbatch --signal`, not SIGTERM alone."""
    kill_wait: int = 30
    """Seconds from SIGTERM to SIGKILL."""
    job_requeue: bool = True
    """Jobs may be requeued unless they say otherwise."""
    kill_invalid_depend: bool = False
    accounting: bool = True
    version: str = ""
    cluster: str = ""


def run_command(
    arguments: Sequence[str],
    timeout: float | None = None,
    check: bool = True,
    environment: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a command of SLURM to its end, in `environment` (default: ours); its output as text.

    Raises :class:`SchedulerError` if it cannot be found or started, takes longer than `timeout` seconds (default
    :data:`TIMEOUT`) or, with `check`, ends with another exit code than 0.
    """
    name, timeout = arguments[0], TIMEOUT if timeout is None else timeout
    given = os.environ if environment is None else environment
    environment = {key: value for key, value in given.items() if not _DEFAULTS.match(key)}
    try:
        # its own session: Ctrl-C is for us alone, and a time-out ends what it has started, too
        process = subprocess.Popen(
            list(arguments),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
            env=environment,
            start_new_session=True,
        )
    except FileNotFoundError as error:
        raise SchedulerError(
            f"there is no command {name} here: type this on a login node of the cluster (or load its SLURM module)"
        ) from error
    except OSError as error:
        raise SchedulerError(
            f"{name} cannot be started ({error}): check SLURM's installation on this machine"
        ) from error
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired as error:
        raise SchedulerError(
            f"{name} gave no answer within {timeout:.0f} s: SLURM is busy or down; try again later (`scontrol ping` "
            "says whether its controller answers)"
        ) from error
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if check and process.returncode:
        said = (err.strip() or out.strip() or "no message")[-500:]
        raise SchedulerError(f"{name} failed with exit code {process.returncode}: {said}")
    return subprocess.CompletedProcess(list(arguments), process.returncode, out, err)


def queued() -> list[QueuedJob]:
    """One's own jobs that are in the queue, each element of an array on its own. One call of squeue.

    Raises :class:`SchedulerError`.
    """
    columns = ",".join(f"{name}:{width}" for name, width in (*_COLUMNS, ("Name", 256)))
    found = run_command(["squeue", "--noheader", "--array", "--user", str(os.getuid()), "--Format", columns])
    return [_queued(line) for line in found.stdout.splitlines() if line.strip()]


def _queued(line: str) -> QueuedJob:
    cells, start = [], 0
    for _, width in _COLUMNS:  # columns of fixed width, since a name may hold any separator; so the name is the last
        cells.append(line[start : start + width].strip())
        start += width
    job_id, state, restarts, submitted, nodes, reason = cells
    number = int(restarts) if restarts.isdigit() else 0
    return QueuedJob(
        job_id, line[start:].strip(), state, "" if reason == "None" else reason, nodes, number, _known(submitted)
    )


def _known(value: str) -> str:
    return "" if value in ("None", "N/A", "Unknown", "None assigned", "(null)") else value


_bypassed = False


def ended(job_ids: Iterable[str]) -> dict[str, EndedJob]:
    """Those of `job_ids` that are over, by id, as accounting has them: {} where accounting does not work (logged once).

    Arrays are asked for as a whole, so a thousand elements are one call.
    """
    global _bypassed
    wanted = set(job_ids)
    found: dict[str, EndedJob] = {}
    for some in _chunks({job_id.partition("_")[0] for job_id in wanted}):
        command = ["sacct", "-X", "-n", "-P", "-o", "JobID,State,ExitCode,NodeList", "-j", ",".join(some)]
        try:
            lines = run_command(command).stdout.splitlines()
        except SchedulerError as error:
            if not _bypassed:
                log.warning("going on without accounting: %s", error)
                _bypassed = True
            return {}
        for line in lines:
            cells = line.split("|")
            state = cells[1].split(" ")[0] if len(cells) >= 4 else ""  # "CANCELLED by 1000"
            if state in ENDED:
                code, _, number = cells[2].partition(":")
                for job_id in _elements(cells[0]):
                    if job_id in wanted:
                        found[job_id] = EndedJob(job_id, state, _int(code), _int(number), _known(cells[3]))
    return found


def _elements(job_id: str) -> Iterator[str]:
    """The jobs that a line of accounting is about: an array that never started has one line, "86_[0-3,7%2]"."""
    base, bracket, rest = job_id.partition("_[")
    if not bracket:
        yield job_id
        return
    for part in rest.rstrip("]").partition("%")[0].split(","):
        if match := re.fullmatch(r"(\d+)(?:-(\d+)(?::(\d+))?)?", part):
            first, last, step = match[1], match[2] or match[1], match[3] or "1"
            for index in range(int(first), int(last) + 1, max(1, int(step))):
                yield f"{base}_{index}"


def cancel(job_ids: Iterable[str]) -> None:
    """Cancel jobs, whole arrays by their plain id. What is over already is no error. Raises :class:`SchedulerError`."""
    for some in _chunks(job_ids):
        done = run_command(["scancel", *some], check=False)
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        if done.returncode and (not lines or not all(_is_over(line) for line in lines)):
            raise SchedulerError(f"scancel failed with exit code {done.returncode}: {done.stderr.strip()[-500:]}")


def _is_over(message: str) -> bool:
    return "Invalid job id specified" in message or "already completing or completed" in message


def job_state(job_id: str) -> str:
    """The state of a job: "RUNNING", "CANCELLED", "PREEMPTED"... '' if SLURM does not know it or cannot be asked.

    While the processes of an ended job are still being killed, SLURM says COMPLETING, whatever the job will be; here
    one gets REQUEUED for a job that will run again, and what it ends as where that can be told.
    """
    try:
        shown = run_command(["scontrol", "--oneliner", "show", "job", job_id], check=False).stdout
    except SchedulerError as error:
        log.warning("the state of job %s is unknown: %s", job_id, error)
        return ""
    state = _field(shown, "JobState")
    if state != "COMPLETING":
        return state
    if _field(shown, "EndTime") == "Unknown":  # it has no end: there is another beginning
        return "REQUEUED"
    if job_id in (over := ended([job_id])):
        return over[job_id].state
    return "CANCELLED" if _field(shown, "ExitCode") == "0:15" else state


def _field(shown: str, name: str) -> str:
    found = re.search(rf"(?:^|\s){name}=(\S*)", shown)
    return found[1] if found else ""


def requeue(job_id: str, tries: int = 3, pause: float = 1.0) -> bool:
    """Ask SLURM to run a job again; True also if SLURM is doing so already, as it does at preemption (it then refuses
    the request). False if it will not run again: cancelled, or requeueing is forbidden. `pause`: seconds."""
    if job_state(job_id) in ("CANCELLED", "COMPLETED", "DEADLINE"):
        return False  # SLURM would obey, and bring back what somebody has just cancelled
    for attempt in range(tries):
        try:
            done = run_command(["scontrol", "requeue", job_id], check=False)
            if not done.returncode:
                return True
            if "pending" in done.stderr.lower():  # SLURM's refusal to requeue what waits to run again
                return True
            log.info("scontrol requeue %s: %s", job_id, done.stderr.strip())
        except SchedulerError as error:
            log.warning("job %s could not be requeued: %s", job_id, error)
        state = job_state(job_id)
        if state in ("PENDING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD"):
            return True
        if state in ENDED:
            return False
        if attempt + 1 < tries:
            time.sleep(pause)
    return False


def limits() -> Limits:
    """What the cluster is set to. Raises :class:`SchedulerError`."""
    text = run_command(["scontrol", "show", "config"]).stdout
    said = {
        key.strip(): value.strip() for key, found, value in (line.partition("=") for line in text.splitlines()) if found
    }
    options = ",".join(said.get(key, "") for key in ("SchedulerParameters", "DependencyParameters"))
    return Limits(
        max_array_size=_int(said.get("MaxArraySize", "")),
        max_job_count=_int(said.get("MaxJobCount", "")),
        preempt_send_user_signal="preempt_send_user_signal" in said.get("SlurmctldParameters", ""),
        kill_wait=_int(said.get("KillWait", ""), 30),
        job_requeue=_int(said.get("JobRequeue", ""), 1) != 0,
        kill_invalid_depend="kill_invalid_depend" in options,
        accounting=not said.get("AccountingStorageType", "").endswith("/none"),
        version=said.get("SLURM_VERSION", ""),
        cluster=said.get("ClusterName", ""),
    )


def _int(text: str, default: int = 0) -> int:
    """The leading number of a text such as "30 sec"."""
    found = re.match(r"\d+", text)
    return int(found[0]) if found else default


def _chunks(job_ids: Iterable[str]) -> Iterator[list[str]]:
    ordered = sorted(set(job_ids))
    for start in range(0, len(ordered), CHUNK):
        yield ordered[start : start + CHUNK]
