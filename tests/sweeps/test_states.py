"""Which state a run is said to be in, for all that can be known of it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweeps.slurm.queue import EndedJob, QueuedJob
from sweeps.states import BAD, STATES, TERMINAL, Evidence, decide


def status(state: str, job: str = "86_0", restarts: int = 0, message: str = "") -> dict[str, Any]:
    return {"state": state, "job": job, "restarts": restarts, "message": message, "host": "n1"}


def job(state: str = "PENDING", reason: str = "", restarts: int = 0, job_id: str = "86_0") -> QueuedJob:
    return QueuedJob(job_id, "hcml-pretrain-0123456789ab", state, reason, "n1" if state == "RUNNING" else "", restarts)


def over(state: str, code: int = 0, number: int = 0) -> EndedJob:
    return EndedJob("86_0", state, code, number, "n1")


SLURM: dict[str, Any] = {"queue_known": True, "submitted": "86_0", "submitted_ago": 1000.0}
CASES: list[tuple[str, dict[str, Any], str, str]] = [
    ("nothing", {}, "waiting", ""),
    ("not submitted yet", {"queue_known": True}, "waiting", ""),
    ("a parent that runs", {"parent": ("p", "running")}, "waiting", ""),
    ("a parent that failed", {"parent": ("p", "failed")}, "blocked", "its parent is failed: p"),
    ("a parent that is blocked", {"parent": ("p", "blocked")}, "blocked", "its parent is blocked: p"),
    ("done", {"status": status("done"), "recorded": True}, "done", ""),
    ("done, its job is ending", {"status": status("done"), "recorded": True, "queued": job("COMPLETING")}, "done", ""),
    ("done without a record", {"status": status("done"), **SLURM}, "lost", "record.json is not there"),
    ("alive", {"status": status("running"), "alive": True}, "running", ""),
    ("alive again after a failure", {"status": status("failed"), "alive": True}, "running", ""),
    ("failed", {"status": status("failed", message="ValueError: x"), **SLURM}, "failed", "ValueError: x"),
    ("preempted, local", {"status": status("preempted", message="SIGTERM")}, "preempted", "SIGTERM"),
    ("in the queue", {"queued": job(reason="Priority"), **SLURM}, "pending", "Priority"),
    ("held", {"queued": job("REQUEUE_HOLD", "JobHeldUser"), **SLURM}, "pending", "REQUEUE_HOLD JobHeldUser"),
    ("waits for its parent", {"queued": job(reason="Dependency"), "parent": ("p", "running"), **SLURM}, "pending", ""),
    (
        "its parent is bad",
        {"queued": job(reason="Dependency"), "parent": ("p", "lost"), **SLURM},
        "blocked",
        "is lost: p",
    ),
    ("never", {"queued": job(reason="DependencyNeverSatisfied"), **SLURM}, "blocked", "ended without success"),
    ("tried again", {"status": status("failed"), "queued": job(job_id="90_0"), **SLURM}, "pending", ""),
    ("requeued", {"status": status("preempted"), "queued": job(reason="BeginTime"), **SLURM}, "requeued", "BeginTime"),
    ("requeued by a dead node", {"status": status("running"), "queued": job(restarts=1), **SLURM}, "requeued", ""),
    ("requeued before it began", {"queued": job(restarts=1), **SLURM}, "requeued", ""),
    ("starting", {"queued": job("RUNNING"), **SLURM}, "running", "starting"),
    (
        "starting again",
        {"status": status("preempted"), "queued": job("RUNNING", restarts=1), **SLURM},
        "running",
        "starting",
    ),
    ("going back", {"status": status("preempted"), "queued": job("RUNNING"), **SLURM}, "requeued", "leaves its node"),
    ("has just failed", {"status": status("failed"), "queued": job("COMPLETING"), **SLURM}, "failed", ""),
    ("being ended", {"status": status("running"), "queued": job("COMPLETING"), **SLURM}, "running", "ending"),
    ("suspended", {"status": status("running"), "queued": job("SUSPENDED"), **SLURM}, "running", "suspended"),
    (
        "hangs",
        {"status": status("running"), "queued": job("RUNNING"), "silent": 1500.0, **SLURM},
        "running",
        "no heartbeat for 25 min",
    ),
    ("cancelled", {"status": status("running"), "silent": 9.0, "ended": over("CANCELLED"), **SLURM}, "cancelled", ""),
    ("cancelled, saved", {"status": status("preempted"), "ended": over("CANCELLED"), **SLURM}, "cancelled", "saved"),
    ("cancelled before it began", {"ended": over("CANCELLED"), **SLURM}, "cancelled", ""),
    (
        "cancelled by its dependency",
        {"ended": over("CANCELLED"), "parent": ("p", "failed"), **SLURM},
        "blocked",
        "is failed: p",
    ),
    ("no memory", {"status": status("running"), "ended": over("OUT_OF_MEMORY"), **SLURM}, "failed", "OUT_OF_MEMORY"),
    ("no time", {"status": status("running"), "ended": over("TIMEOUT"), **SLURM}, "failed", "timeout_min"),
    ("no node", {"status": status("running"), "ended": over("NODE_FAIL"), **SLURM}, "failed", "NODE_FAIL: node n1"),
    (
        "killed",
        {"status": status("running"), "ended": over("FAILED", 9), **SLURM},
        "failed",
        "SIGKILL (out of memory?)",
    ),
    ("killed, by a shell", {"status": status("running"), "ended": over("FAILED", 137), **SLURM}, "failed", "SIGKILL"),
    ("killed by another", {"status": status("running"), "ended": over("FAILED", 0, 11), **SLURM}, "failed", "SIGSEGV"),
    ("an exit code", {"ended": over("FAILED", 3), **SLURM}, "failed", "exit code 3"),
    ("preempted for good", {"status": status("running"), "ended": over("PREEMPTED"), **SLURM}, "preempted", ""),
    (
        "completed, not done",
        {"status": status("running"), "ended": over("COMPLETED"), **SLURM},
        "lost",
        "86_0 completed",
    ),
    (
        "a later job died",
        {"status": status("failed", job="80_0", message="old"), "ended": over("OUT_OF_MEMORY"), **SLURM},
        "failed",
        "OUT_OF_MEMORY",
    ),
    (
        "accounting is late",
        {"status": status("running"), "silent": 20.0, **SLURM},
        "running",
        "accounting has not said yet",
    ),
    ("gone, without accounting", {"status": status("running"), "silent": 300.0, **SLURM}, "lost", "5 min ago"),
    (
        "no queue, fresh",
        {"status": status("running"), "silent": 300.0, "submitted": "86_0"},
        "running",
        "the queue cannot be asked",
    ),
    (
        "no queue, old",
        {"status": status("running"), "silent": 700.0, "submitted": "86_0"},
        "lost",
        "gone without a word",
    ),
    ("elsewhere, fresh", {"status": status("running", job=""), "silent": 300.0}, "running", "last heartbeat 300 s ago"),
    ("elsewhere, old", {"status": status("running", job=""), "silent": 700.0}, "lost", "process on n1"),
    (
        "here, its process is gone",
        {"status": status("running", job=""), "silent": 3.0, "owner": {"here": True, "host": "n1"}},
        "lost",
        "process on n1",
    ),
    ("submitted, no trace", SLURM, "lost", "job 86_0 is not in the queue"),
    ("just submitted", {**SLURM, "submitted_ago": 3.0}, "pending", "just submitted"),
    ("submitted, no queue", {**SLURM, "queue_known": False}, "pending", "the queue cannot be asked"),
    ("a damaged status", {"damage": "status.json is damaged"}, "lost", "status.json is damaged"),
    ("a damaged status, in the queue", {"damage": "x", "queued": job("RUNNING"), **SLURM}, "running", ""),
]


@pytest.mark.parametrize(("evidence", "state", "said"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_the_state_of_a_run(evidence: dict[str, Any], state: str, said: str) -> None:
    found, message = decide(Evidence(**evidence))
    assert found == state
    assert said in message


def test_every_state_has_a_case() -> None:
    assert {case[2] for case in CASES} == set(STATES)
    assert BAD < TERMINAL < set(STATES)


statuses = st.one_of(
    st.just({}),
    st.fixed_dictionaries(
        {"state": st.sampled_from(["running", "done", "failed", "preempted", "", None, 3])},
        optional={
            "job": st.sampled_from(["", "86_0", "80_1", None]),
            "restarts": st.one_of(st.integers(0, 3), st.none(), st.text(max_size=2)),
            "message": st.one_of(st.text(max_size=5), st.none()),
        },
    ),
)
jobs = st.builds(
    QueuedJob,
    st.sampled_from(["86_0", "86"]),
    st.text(max_size=4),
    st.sampled_from(["PENDING", "RUNNING", "COMPLETING", "REQUEUED", "REQUEUE_HOLD", "SUSPENDED", "SPECIAL_EXIT", "?"]),
    st.sampled_from(["", "Dependency", "DependencyNeverSatisfied", "Priority"]),
    restarts=st.integers(0, 3),
)
ends = st.builds(
    EndedJob,
    st.just("86_0"),
    st.sampled_from(["COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "PREEMPTED", "BOOT_FAIL", "DEADLINE", "REVOKED"]),
    st.integers(0, 255),
    st.integers(0, 200),
)


@given(
    st.builds(
        Evidence,
        status=statuses,
        damage=st.sampled_from(["", "damaged"]),
        recorded=st.booleans(),
        owner=st.sampled_from([{}, {"here": True, "host": "a"}, {"host": "b", "job": "86_0"}]),
        alive=st.booleans(),
        silent=st.one_of(st.none(), st.floats(0, 2000)),
        queue_known=st.booleans(),
        queued=st.one_of(st.none(), jobs),
        submitted=st.sampled_from(["", "86_0"]),
        submitted_ago=st.one_of(st.none(), st.floats(0, 2000)),
        ended=st.one_of(st.none(), ends),
        parent=st.one_of(st.none(), st.tuples(st.just("p"), st.sampled_from(STATES))),
    )
)
def test_every_run_has_one_state_and_what_lives_is_never_over(evidence: Evidence) -> None:
    state, message = decide(evidence)
    assert state in STATES and isinstance(message, str)
    if evidence.status.get("state") == "done" and evidence.recorded:
        assert state == "done"
    elif evidence.alive:
        assert state == "running"
    if evidence.queued is not None and state in TERMINAL - {"done"}:
        # what is in the queue is over only if its own start has said so, or if it can never begin
        assert state == "blocked" or (state == "failed" and evidence.status.get("state") == "failed")
    assert state != "done" or evidence.recorded
