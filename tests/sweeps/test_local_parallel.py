"""Several runs at a time on one machine: who runs beside whom, on which GPU, in how many processes."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from hcml.config import ConfigError, Runtime
from sweeps.dispatch import check_trusted, describe, executor_for
from sweeps.launchers import Request, request_of
from sweeps.local import LocalExecutor
from sweeps.plan import make_plan
from sweeps.provenance import ROOT
from sweeps.resolve import resolve
from sweeps.store import FolderError, Store

JOB = """
import json, os, sys, time
from pathlib import Path
folder = Path(sys.argv[1])
rank = os.environ.get("RANK", "0")
began = time.time()
time.sleep(0.4)
keys = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "HCML_RENDEZVOUS", "CUDA_VISIBLE_DEVICES", "EXTRA")
seen = {key: os.environ.get(key) for key in keys} | {"began": began, "ended": time.time()}
(folder / f"seen-{rank}.json").write_text(json.dumps(seen))
sys.exit(int(os.environ.get("EXIT_" + rank, "0")))
"""


class Executor(LocalExecutor):
    def command(self, folder: Path) -> list[str]:
        return [sys.executable, "-c", JOB, str(folder)]


@pytest.fixture
def go(settings, tmp_path):
    """go(overrides, ...) -> (outcomes, what each process saw) of four runs without parents."""

    def run(*overrides, **arguments):
        given = settings(*overrides)
        jobs = [resolve(settings(f"seed={seed}", "phase=pretrain", "levels=1")) for seed in range(4)]
        plan = make_plan(jobs, lambda run: "new")
        store = Store(tmp_path / "runs")
        executor = Executor(
            ROOT,
            report=lambda line: None,
            request_of=lambda entry: request_of(given, entry.run.phase),
            environment={"EXTRA": "given"},
            **arguments,
        )
        outcomes = executor.execute(plan, lambda entry: store.prepare(entry.run, Runtime(), {"fingerprint": "a"}))
        seen = [json.loads(path.read_text()) for path in sorted(store.root.glob("*/*/seen-*.json"))]
        return [outcome.state for outcome in outcomes.values()], seen

    return run


def most_at_once(seen, key=lambda line: True):
    marks = [(line["began"], 1) for line in seen if key(line)] + [(line["ended"], -1) for line in seen if key(line)]
    count = most = 0
    for _, change in sorted(marks):
        count += change
        most = max(most, count)
    return most


@pytest.mark.parametrize("parallel", [1, 2])
def test_no_more_than_max_parallel_run_at_a_time(go, parallel):
    states, seen = go(max_parallel=parallel)
    assert states == ["done"] * 4 and most_at_once(seen) == parallel
    assert {line["EXTRA"] for line in seen} == {"given"} and {line["RANK"] for line in seen} == {None}


def test_no_gpu_is_given_to_two_runs(go):
    states, seen = go("launcher.gpus_per_node=1", max_parallel=4, slots=["0", "3"])
    assert states == ["done"] * 4 and most_at_once(seen) == 2
    for name in ("0", "3"):
        assert most_at_once(seen, lambda line, name=name: line["CUDA_VISIBLE_DEVICES"] == name) == 1


def test_runs_that_ask_for_nothing_do_not_crowd_the_first_gpu(go):
    _, seen = go(max_parallel=4, slots=["0", "1"])
    assert {line["CUDA_VISIBLE_DEVICES"] for line in seen} == {"0", "1"} and most_at_once(seen) == 2


def test_a_run_of_several_processes_tells_each_its_place(go):
    states, seen = go("launcher.tasks_per_node=2", "launcher.gpus_per_node=2", slots=["4", "5"])
    assert states == ["done"] * 4 and most_at_once(seen) == 2
    first = seen[:2]
    assert [(line["RANK"], line["LOCAL_RANK"], line["WORLD_SIZE"]) for line in first] == [
        ("0", "0", "2"),
        ("1", "1", "2"),
    ]
    assert first[0]["HCML_RENDEZVOUS"] == first[1]["HCML_RENDEZVOUS"] != seen[2]["HCML_RENDEZVOUS"]
    assert {line["CUDA_VISIBLE_DEVICES"] for line in seen} == {"4,5"}


def test_a_run_one_of_whose_processes_fails_has_failed(go, monkeypatch):
    monkeypatch.setenv("EXIT_1", "3")
    states, _ = go("launcher.tasks_per_node=2")
    assert states == ["failed"] * 4


def test_a_run_that_wants_more_gpus_than_there_are_is_refused(settings, tmp_path):
    given = settings("levels=0", "launcher.gpus_per_node=2", "launcher.gpus=0")
    plan = make_plan([resolve(given)], lambda run: "new")
    requests = {entry.run.run_id: request_of(given, entry.run.phase) for entry in plan.entries}
    sweep = describe(plan, Store(tmp_path), requests, {}, given)
    with pytest.raises(ConfigError, match="asks for 2 GPUs .* there are 0 here"):
        executor_for(given, Store(tmp_path), ROOT, sweep, requests)


def test_the_same_command_is_the_same_sweep(settings, tmp_path):
    given = settings("levels=1")
    plan = make_plan([resolve(given)], lambda run: "new")
    again = make_plan([resolve(given)], lambda run: "done")
    requests = {entry.run.run_id: request_of(given, entry.run.phase) for entry in plan.entries}
    first, second = (describe(p, Store(tmp_path), requests, {}, given) for p in (plan, again))
    assert first["sweep"] == second["sweep"] and len(first["requests"]) == 1
    assert [run["execute"] for run in first["runs"]] == [True] * 3 and not any(r["execute"] for r in second["runs"])
    assert Request.of(first["requests"][0]) == requests[plan.entries[0].run.run_id]


def test_a_folder_that_everybody_can_write_to_is_refused(tmp_path):
    check_trusted(tmp_path / "new")
    code = tmp_path / "_code"
    code.mkdir(mode=0o755)
    check_trusted(tmp_path)
    code.chmod(0o777)
    with pytest.raises(FolderError, match="chmod o-w"):
        check_trusted(tmp_path)
