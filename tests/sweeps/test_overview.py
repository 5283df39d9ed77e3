"""From run folders, queue and accounting to rows; files here are made by hand, the queue is a list."""

from __future__ import annotations

import io
import json
import os
import random
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from sweeps import overview
from sweeps.live import duration, shorten
from sweeps.lock import process_birth
from sweeps.overview import Row, render, rows
from sweeps.slurm.queue import EndedJob, QueuedJob
from sweeps.sweep_file import Submission, write_submission

NOW = 1_800_000_000.0
SUBMISSION = "0123456789ab"


class Sweep:
    """A sweep on disk: pretrain -> finetune -> test by default, run ids 000..., 111..., 222..."""

    def __init__(self, root: Path, count: int = 3, launcher: str = "slurm") -> None:
        self.root = root
        phases = ("pretrain", "finetune", "test")
        self.runs: list[dict[str, Any]] = []
        for i in range(count):
            run_id = f"{i:x}".rjust(1, "0") * 64 if count < 16 else f"{i:012x}".ljust(64, "0")
            parent = self.runs[-1]["run_id"] if i % 3 else None
            name = f"slug-{run_id[:12]}"
            self.runs.append(
                {"run_id": run_id, "phase": phases[i % 3], "name": name, "parent": parent, "seconds": 100.0}
            )
        self.content = {"sweep": "feedfeedfeed", "launcher": launcher, "runs": self.runs}

    def folder(self, i: int) -> Path:
        return self.root / self.runs[i]["phase"] / self.runs[i]["name"]

    def write(self, i: int, state: str | None = None, record: bool = False, lock: bool = False, **status: Any) -> Path:
        folder = self.folder(i)
        folder.mkdir(parents=True, exist_ok=True)
        if state is not None:
            known = {"state": state, "step": 40, "total_steps": 80, "time": "2027-01-15T07:59:00Z", "host": "n7"}
            (folder / "status.json").write_text(json.dumps(known | {"job": f"86_{i}", "restarts": 0} | status))
        if record:
            (folder / "record.json").write_text("{}")
        if lock:
            owner = {"pid": os.getpid(), "born": process_birth(os.getpid()), "host": socket.gethostname()}
            (folder / "lock.json").write_text(json.dumps(owner | {"time": NOW - 3, "job": f"86_{i}", "restarts": 0}))
        return folder

    def submit(self, *indices: int, job_id: str | None = "86", submission: str = SUBMISSION, when: str = "") -> None:
        tasks = {str(i): self.folder(i).relative_to(self.root).as_posix() for i in indices}
        name = f"hcml-x-{submission}"
        when = when or "2027-01-15T06:00:00Z"
        write_submission(self.root, Submission(submission, "feedfeedfeed", name, "", tasks, {}, "", when, 50, job_id))

    def rows(self, queue: list[QueuedJob] | None = None, accounting: Any = None) -> list[Row]:
        return rows(self.root, self.content, queue, accounting, NOW)

    def states(self, *given: Any) -> list[str]:
        return [row.state for row in self.rows(*given)]


@pytest.fixture
def sweep(tmp_path: Path) -> Sweep:
    return Sweep(tmp_path)


def queued(i: int, state: str = "RUNNING", number: str = "86", **more: Any) -> QueuedJob:
    return QueuedJob(f"{number}_{i}", f"hcml-x-{SUBMISSION}", state, **more)


def test_a_sweep_that_has_left_nothing_yet(sweep: Sweep) -> None:
    assert sweep.states() == ["waiting", "waiting", "waiting"]
    assert rows(sweep.root / "nowhere", sweep.content, [], None, NOW)[0].state == "waiting"


def test_numbers_of_a_run(sweep: Sweep) -> None:
    folder = sweep.write(0, "running", lock=True, step=41)
    lines = [
        {"step": s, "loss": 2.0 - s / 100, "clips_per_second": 8.0, "data_time": 0.5, "step_time": 1.5}
        for s in (40, 50)
    ]
    text = "".join(json.dumps(line) + "\n" for line in lines) + '{"step": 60, "lo'
    (folder / "metrics.jsonl").write_text(text)
    sweep.submit(0, 1, 2)
    row = sweep.rows([queued(0, nodes="n3")])[0]
    assert (row.state, row.step, row.total_steps, row.loss) == ("running", 50, 80, 1.5)
    assert (row.clips_per_second, row.seconds_left, row.node, row.job) == (8.0, 60.0, "n3", "86_0")


def test_a_run_that_stands_still_while_its_heart_beats(sweep: Sweep) -> None:
    folder = sweep.write(0, "running", lock=True)
    (folder / "metrics.jsonl").write_text('{"step": 40}\n')
    for age, said in ((60, ""), (2400, "no step logged for 40 min: does it hang?")):
        os.utime(folder / "metrics.jsonl", (NOW - age, NOW - age))
        assert sweep.rows()[0].message == said
    sweep.write(0, "running", step=80)  # all steps done: it measures what it has learned
    assert sweep.rows()[0].message == ""


def test_time_left_of_a_phase_without_metrics_is_the_plans(sweep: Sweep) -> None:
    sweep.write(2, "running", lock=True, step=20)
    assert sweep.rows()[2].seconds_left == 75.0


def test_blocked_reaches_the_last_descendant(sweep: Sweep) -> None:
    sweep.write(0, "failed", message="ValueError: x")
    sweep.submit(0, 1, 2)
    jobs = [queued(1, "PENDING", reason="Dependency"), queued(2, "PENDING", reason="Dependency")]
    found = sweep.rows(jobs)
    assert [row.state for row in found] == ["failed", "blocked", "blocked"]
    assert found[1].message == f"its parent is failed: {sweep.runs[0]['name']}"
    # the parent is tried again: nothing is blocked any more
    sweep.submit(0, job_id="90", submission="bbbbbbbbbbbb", when="2027-01-15T07:00:00Z")
    again = QueuedJob("90_0", "hcml-x-bbbbbbbbbbbb", "PENDING", "Priority")
    assert sweep.states([again, *jobs]) == ["pending", "pending", "pending"]


def test_a_job_is_known_by_its_name_before_its_number_is_written_down(sweep: Sweep) -> None:
    sweep.submit(0, 1, job_id=None)
    assert sweep.states([queued(0, number="99")]) == ["running", "waiting", "waiting"]


def test_a_renamed_job_is_known_by_its_number(sweep: Sweep) -> None:
    sweep.submit(0)
    assert sweep.states([QueuedJob("86_0", "mine", "RUNNING")])[0] == "running"
    assert sweep.states([QueuedJob("86", "mine", "RUNNING"), QueuedJob("1_0", "hcml-x-", "RUNNING")])[0] == "lost"


def test_a_folder_is_found_whatever_its_slug(sweep: Sweep) -> None:
    sweep.write(0, "done", record=True)
    sweep.folder(0).rename(sweep.folder(0).with_name(f"older-slug-{sweep.runs[0]['run_id'][:12]}"))
    assert sweep.states()[0] == "done"


def test_accounting_is_asked_once_and_only_for_what_nothing_else_explains(sweep: Sweep) -> None:
    sweep.write(0, "done", record=True)
    sweep.write(1, "running")
    sweep.submit(0, 1, 2)
    asked = []

    def accounting(ids: list[str]) -> dict[str, EndedJob]:
        asked.append(ids)
        return {"86_1": EndedJob("86_1", "OUT_OF_MEMORY", 0, 125, "n2")}

    found = sweep.rows([queued(2, "PENDING")], accounting)
    assert asked == [["86_1"]]
    assert (found[1].state, found[1].node, found[1].job) == ("failed", "n2", "86_1")
    assert "OUT_OF_MEMORY on n2" in found[1].message
    assert found[2].state == "pending"
    asked.clear()
    sweep.write(1, "done", record=True)
    assert sweep.states([queued(2, "PENDING")], accounting) == ["done", "done", "pending"]
    assert asked == []


def test_the_log_of_a_run_that_spoke_is_its_own(sweep: Sweep) -> None:
    folder = sweep.write(0, "failed", message="ValueError: x")
    (folder / "log.txt").write_text("".join(f"line {i}\n" for i in range(50)))
    sweep.submit(0)
    printed = sweep.root / "_submissions" / SUBMISSION / "86_0_0_log.out"
    printed.write_text("slurmstepd: error: killed\n")
    assert sweep.rows([])[0].log == [f"line {i}" for i in range(30, 50)]


def test_the_log_of_a_run_that_died_without_a_word_is_what_its_job_printed(sweep: Sweep) -> None:
    folder = sweep.write(0, "running")
    (folder / "log.txt").write_text("line\n")
    sweep.submit(0)
    printed = sweep.root / "_submissions" / SUBMISSION / "86_0_0_log.out"
    printed.write_text("line\n\nslurmstepd: error: \x1b[31mDetected 1 oom-kill event(s)\x1b]0;x\x07\r\n")
    found = sweep.rows([], lambda ids: {})
    assert (found[0].state, found[0].log) == (
        "lost",
        ["line", "slurmstepd: error: Detected 1 oom-kill event(s)]0;x"],
    )


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"state": []}', '{"state": "running", "step": "x"}', "\x00\xff"]
)
@pytest.mark.parametrize("file", ["status.json", "lock.json", "metrics.jsonl", "record.json"])
def test_damaged_files_are_shown_not_raised(sweep: Sweep, file: str, text: str) -> None:
    folder = sweep.write(0, "running")
    (folder / file).write_text(text, encoding="latin-1")
    (sweep.root / "_submissions" / "x").mkdir(parents=True)
    (sweep.root / "_submissions" / "x" / "submission.json").write_text(text, encoding="latin-1")
    for queue in (None, []):
        (first, *_) = sweep.rows(queue)
        assert first.state in overview.STATES
        if file == "status.json" and not text.startswith('{"'):
            assert (first.state, "status.json is damaged" in first.message) == ("lost", True)
    render(sweep.rows([]), 80)


def test_odd_values_in_a_lock(sweep: Sweep) -> None:
    folder = sweep.write(0, "running")
    for owner in ({"host": socket.gethostname()}, {"pid": "x", "host": socket.gethostname()}, {"time": "x"}):
        (folder / "lock.json").write_text(json.dumps(owner))
        assert sweep.states()[0] in overview.STATES


def test_a_file_in_place_of_a_folder(sweep: Sweep) -> None:
    sweep.folder(0).parent.mkdir()
    sweep.folder(0).write_text("")
    assert sweep.rows([])[0].state == "lost"


def test_runs_that_are_no_runs_are_left_out(tmp_path: Path) -> None:
    assert rows(tmp_path, {"runs": [None, {}, {"run_id": "ab", "phase": 3}]}, None, None, NOW)[0].state == "waiting"


def test_a_thousand_runs_in_under_three_seconds(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path, 1000)
    chance = random.Random(0)
    for i in range(1000):
        state = chance.choice(["done", "running", "failed", "preempted", None])
        folder = sweep.write(i, state, record=state == "done", lock=state == "running")
        (folder / "metrics.jsonl").write_text('{"step": 40, "loss": 1.0}\n' * 1000)
        (folder / "log.txt").write_text("line\n" * 1000)
    sweep.submit(*range(1000))
    jobs = [queued(i, "PENDING") for i in range(0, 1000, 2)]
    began = time.perf_counter()
    found = sweep.rows(jobs, lambda ids: {job: EndedJob(job, "FAILED", 1) for job in ids})
    text = render(found, 120)
    assert time.perf_counter() - began < 3
    assert len(found) == 1000 and "1000 runs: " in text


def shown(state: str, i: int = 0, message: str = "", **more: Any) -> Row:
    return Row(f"{i:064d}", "pretrain", f"synthmotion-r50-both-levels3-seed0-{i:012d}", state, message=message, **more)


def test_the_table() -> None:
    found = [
        shown(
            "running", 1, step=50, total_steps=80, loss=1.23456, clips_per_second=33.333, seconds_left=600, node="n1"
        ),
        shown("failed", 2, "ValueError: x", log=["a", "b"]),
        shown("failed", 3, "ValueError: x", log=["c"]),
    ]
    lines = render(found).splitlines()
    assert lines[0].split() == ["state", "run", "step", "loss", "clips/s", "left", "node"]
    assert lines[2].split()[2:] == ["50/80", "1.235", "33.3", "10", "min", "n1"]
    assert lines[5] == "3 runs: 1 running, 2 failed; about 10 min left for the slowest that runs"
    assert lines[7:] == [
        f"pretrain/{found[1].name} failed: ValueError: x",
        "    a",
        "    b",
        f"    and 1 more with the same message: pretrain/{found[2].name}",
    ]


@pytest.mark.parametrize("width", [20, 60, 80, 120, 200])
def test_the_table_fits(width: int) -> None:
    found = [shown("failed", i, "a long message " * 20, step=50, total_steps=80, loss=1.0) for i in range(3)]
    lines = render(found, width, logs=False).splitlines()
    assert max(map(len, lines[:-1])) <= width
    if width >= 60:
        assert all("000000000001" in line for line in lines[3:4])


def test_lengths_of_time_and_names() -> None:
    assert [duration(s) for s in (5, 600, 7200, 400000)] == ["5 s", "10 min", "2.0 h", "4.6 d"]
    assert shorten("abc", 3) == "abc"
    assert shorten("pretrain/slug-000000000001", 24) == "pretrain/sl…000000000001"


def test_a_view_that_is_no_terminal_has_a_line_for_each_change() -> None:
    stream = io.StringIO()
    with overview.Live(stream) as live:
        live.show([shown("waiting", 1), shown("running", 2, job="86_2", node="n1")])
        live.show([shown("waiting", 1), shown("running", 2, job="86_2", node="n1", step=3)])
        live.show([shown("pending", 1), shown("failed", 2, "no luck", log=["Traceback"])], "no squeue")
        live.show([shown("pending", 1), shown("failed", 2, "no luck", log=["Traceback"])], "no squeue")
    lines = [line[9:] if line[2:3] == ":" else line for line in stream.getvalue().splitlines()]
    assert lines == [
        f"running pretrain/{shown('', 2).name} (job 86_2 on n1)",
        "2 runs: 1 running, 1 waiting",
        f"pending pretrain/{shown('', 1).name}",
        f"failed pretrain/{shown('', 2).name} no luck",
        "",
        f"pretrain/{shown('', 2).name} failed: no luck",
        "    Traceback",
        "2 runs: 1 pending, 1 failed",
        "no squeue",
    ]


def test_a_view_on_a_terminal_repaints_and_shows_what_matters() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    many = [shown("done", i) for i in range(100)]
    many[77] = shown("failed", 77, "no luck", log=["Trace[red]back"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TERM", "xterm")
        patch.setenv("COLUMNS", "100")
        patch.setenv("LINES", "20")
        with overview.Live(stream) as live:
            live.show(many)
            live.show(many)
    text = stream.getvalue()
    assert text.count("Trace[red]back") == 1
    assert "000000000077" in text and "and 86 more" in text and "100 runs: 99 done, 1 failed" in text
