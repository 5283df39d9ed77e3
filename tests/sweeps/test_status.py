"""The command `python sweeps/status.py`, with sweeps made by hand and SLURM's commands as scripts of the tests' own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from sweeps import status
from sweeps.slurm import queue
from sweeps.sweep_file import Submission, write_submission

ROOT = Path(__file__).resolve().parents[2]
IDS = ["a" * 64, "b" * 64]


def make_sweep(root: Path, sweep: str = "feed00000000", launcher: str = "slurm", **more: Any) -> Path:
    """Two runs, the second one a child of the first, in one submission as job 86."""
    runs = [
        {"run_id": run_id, "phase": phase, "name": f"slug-{run_id[:12]}", "parent": parent, "execute": True}
        for run_id, phase, parent in zip(IDS, ("pretrain", "finetune"), (None, IDS[0]), strict=True)
    ]
    about = {"sweep": sweep, "time": "2026-11-23T21:00:00Z", "command": "python sweeps/run.py -m seed=0", "cwd": "."}
    (root / "_sweeps").mkdir(parents=True, exist_ok=True)
    (root / "_sweeps" / f"{sweep}.json").write_text(json.dumps(about | {"launcher": launcher, "runs": runs} | more))
    return root


def submit(root: Path, sweep: str = "feed00000000", job: str = "86", submission: str = "0123456789ab") -> None:
    tasks = {str(i): f"{phase}/slug-{IDS[i][:12]}" for i, phase in enumerate(("pretrain", "finetune"))}
    name = f"hcml-x-{submission}"
    write_submission(root, Submission(submission, sweep, name, "", tasks, {}, "", "2026-11-23T21:00:00Z", 50, job))


def set_state(root: Path, i: int, state: str, **more: Any) -> None:
    folder = root / ("pretrain", "finetune")[i] / f"slug-{IDS[i][:12]}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "status.json").write_text(json.dumps({"state": state, "step": 3, "total_steps": 8} | more))
    (folder / "record.json").write_text("{}")


def in_queue(monkeypatch: pytest.MonkeyPatch, *jobs: queue.QueuedJob) -> list[list[str]]:
    """Sets the queue; returns the list that cancelled jobs are put into."""
    cancelled: list[list[str]] = []
    monkeypatch.setattr(queue, "queued", lambda: list(jobs))
    monkeypatch.setattr(queue, "ended", lambda ids: {})
    monkeypatch.setattr(queue, "cancel", lambda ids: cancelled.append(sorted(ids)))
    return cancelled


def test_done(tmp_path, monkeypatch, capsys) -> None:
    make_sweep(tmp_path)
    in_queue(monkeypatch)
    for i in (0, 1):
        set_state(tmp_path, i, "done")
    assert status.main(["--runs", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "python sweeps/run.py -m seed=0" in out and "2 runs: 2 done" in out and "try" not in out


def test_failed(tmp_path, monkeypatch, capsys) -> None:
    make_sweep(tmp_path)
    submit(tmp_path)
    in_queue(monkeypatch)
    set_state(tmp_path, 0, "failed", message="ValueError: x")
    (tmp_path / "pretrain" / f"slug-{IDS[0][:12]}" / "log.txt").write_text("Traceback\nValueError: x\n")
    assert status.main(["feed", "--runs", str(tmp_path)]) == 1
    out = capsys.readouterr().out
    assert "    Traceback" in out and "its parent is failed: slug-aaaaaaaaaaaa" in out
    assert f"python sweeps/status.py feed00000000 --retry-failed --runs {tmp_path}" in out


def test_still_going(tmp_path, monkeypatch, capsys) -> None:
    make_sweep(tmp_path)
    submit(tmp_path)
    jobs = [queue.QueuedJob(f"86_{i}", "hcml-x-0123456789ab", "PENDING", "Priority") for i in (0, 1)]
    in_queue(monkeypatch, *jobs)
    assert status.main(["--runs", str(tmp_path), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["counts"] == {"pending": 2} and told["runs"][0]["message"] == "Priority"
    assert told["sweep"] == "feed00000000"


def test_cancelled_is_not_success(tmp_path, monkeypatch) -> None:
    make_sweep(tmp_path, launcher="local")
    set_state(tmp_path, 0, "done")
    set_state(tmp_path, 1, "preempted")
    assert status.main(["--runs", str(tmp_path)]) == 1


def test_without_any_command_of_slurm(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setenv("PATH", "")
    make_sweep(tmp_path)
    submit(tmp_path)
    set_state(tmp_path, 0, "done")
    assert status.main(["--runs", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "without the queue: there is no command squeue here" in out and "1 pending, 1 done" in out


def test_the_newest_sweep_is_the_default_and_a_beginning_is_enough(tmp_path, monkeypatch, capsys) -> None:
    make_sweep(tmp_path, "feed00000000", time="2026-11-23T21:00:00Z")
    make_sweep(tmp_path, "fe0000000000", time="2026-11-22T21:00:00Z")
    (tmp_path / "_sweeps" / "bad000000000.json").write_text("{")
    assert status.choose(tmp_path, "")["sweep"] == "feed00000000"
    assert status.choose(tmp_path, "fe0")["sweep"] == "fe0000000000"
    for wanted, said in (
        ("fe", "beginning of fe0000000000, feed00000000"),
        ("x", "the newest: feed"),
        ("bad", "cannot be"),
    ):
        assert status.main([wanted, "--runs", str(tmp_path)]) == 2
        assert said in capsys.readouterr().err
    assert status.main(["list", "--runs", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line[:12] for line in lines] == ["bad000000000", "fe0000000000", "feed00000000"]


def test_no_sweep(tmp_path, capsys) -> None:
    for words in ([], ["list"], ["cancel"]):
        assert status.main([*words, "--runs", str(tmp_path)]) == 2
        assert "--cluster NAME" in capsys.readouterr().err


def test_where_the_runs_are(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(status, "_HERE", tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PLACE", str(tmp_path / "scratch"))
    folder = tmp_path / "conf" / "cluster"
    folder.mkdir(parents=True)
    (folder / "here.yaml").write_text("# @package _global_\npaths: {runs: '${oc.env:PLACE}/runs'}\n")
    (folder / "bare.yaml").write_text("launcher: {partition: x}\n")
    assert status.runs_folder("", "here") == tmp_path / "scratch" / "runs"
    assert status.runs_folder("", "bare") == status.runs_folder("", "") == tmp_path / "runs"
    assert status.runs_folder("there", "here") == tmp_path / "there"
    with pytest.raises(status.NoSweep, match="there are: bare, here"):
        status.runs_folder("", "../x")


def test_cancelling_ends_the_jobs_of_the_sweep_alone(tmp_path, monkeypatch, capsys) -> None:
    make_sweep(tmp_path)
    submit(tmp_path)
    submit(tmp_path, sweep="0ther0000000", job="90", submission="bbbbbbbbbbbb")
    cancelled = in_queue(
        monkeypatch,
        queue.QueuedJob("86_0", "hcml-x-0123456789ab", "RUNNING"),
        queue.QueuedJob("86_1", "hcml-x-0123456789ab", "PENDING"),
        queue.QueuedJob("90_1", "hcml-x-bbbbbbbbbbbb", "PENDING"),
        queue.QueuedJob("95", "interactive", "RUNNING"),
    )
    assert status.main(["cancel", "feed", "--runs", str(tmp_path)]) == 0
    assert cancelled == [["86"]]
    out = capsys.readouterr().out
    assert "cancelled 2 jobs of sweep feed00000000 (1 PENDING, 1 RUNNING): 86" in out
    assert "left alone: 1 jobs of runs that it shares with sweep 0ther0000000" in out
    in_queue(monkeypatch)
    assert status.main(["cancel", "--runs", str(tmp_path)]) == 0
    assert "no job of sweep feed00000000 is in the queue" in capsys.readouterr().out


def test_cancelling_a_local_sweep_says_how_to_end_it(tmp_path, capsys) -> None:
    make_sweep(tmp_path, launcher="local")
    assert status.main(["cancel", "--runs", str(tmp_path)]) == 0
    assert "nothing of it runs" in capsys.readouterr().out
    set_state(tmp_path, 0, "running")
    hold = (
        "import sys, time; from pathlib import Path; from sweeps.lock import FolderLock\n"
        "with FolderLock(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    )
    folder = tmp_path / "pretrain" / f"slug-{IDS[0][:12]}"
    environment = os.environ | {"PYTHONPATH": str(ROOT), "HCML_LAUNCHER": "4242"}
    with subprocess.Popen(
        [sys.executable, "-c", hold, str(folder)], env=environment, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None and process.stdout.readline()
        try:
            assert status.main(["cancel", "--runs", str(tmp_path)]) == 1
            assert status.main(["--runs", str(tmp_path)]) == 0
        finally:
            process.kill()
    out = capsys.readouterr().out
    assert f"process {process.pid} on " in out and "kill 4242" in out
    assert "1 running, 1 waiting" in out


def test_retrying(tmp_path, monkeypatch, capsys) -> None:
    make_sweep(tmp_path)
    submit(tmp_path)
    in_queue(monkeypatch)
    set_state(tmp_path, 0, "failed")
    asked = []

    def resubmit(root: Path, sweep: dict[str, Any], run_ids: list[str]) -> int:
        asked.append((root, sweep["sweep"], run_ids))
        return 0

    monkeypatch.setattr("sweeps.slurm.jobs.resubmit", resubmit)
    assert status.main(["--retry-failed", "--runs", str(tmp_path)]) == 0
    assert asked == [(tmp_path, "feed00000000", IDS)]
    for i in (0, 1):
        set_state(tmp_path, i, "done")
    assert status.main(["--retry-failed", "--runs", str(tmp_path)]) == 0
    assert len(asked) == 1 and "nothing to try again" in capsys.readouterr().out


def test_nothing_is_submitted_blindly(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setenv("PATH", "")
    make_sweep(tmp_path)
    set_state(tmp_path, 0, "failed")
    assert status.main(["--retry-failed", "--runs", str(tmp_path)]) == 1
    assert "nothing is submitted" in capsys.readouterr().err


def test_retrying_a_local_sweep_is_typing_its_command(tmp_path, capsys) -> None:
    make_sweep(tmp_path, launcher="local", cwd="/some where")
    set_state(tmp_path, 0, "failed")
    assert status.main(["--retry-failed", "--runs", str(tmp_path)]) == 1
    assert "cd '/some where' && python sweeps/run.py -m seed=0" in capsys.readouterr().out


def test_watching_ends_when_nothing_changes_any_more(tmp_path, monkeypatch, capsys) -> None:
    make_sweep(tmp_path, launcher="local")
    set_state(tmp_path, 0, "done")
    monkeypatch.setattr(time, "sleep", lambda seconds: set_state(tmp_path, 1, "done"))
    assert status.main(["--watch", "--runs", str(tmp_path)]) == 0
    assert capsys.readouterr().out.splitlines()[-1].endswith("2 runs: 2 done")


@pytest.mark.parametrize("words", [["a", "b"], ["list", "a"], ["cancel", "--watch"], ["--watch", "--json"]])
def test_what_cannot_be_meant(words: list[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        status.main(words)
    assert stop.value.code == 2


def test_as_typed_it_is_quick_and_needs_no_torch(tmp_path) -> None:
    make_sweep(tmp_path, launcher="local")
    code = "import sys, runpy; sys.argv = sys.argv[1:]\ntry: runpy.run_path(sys.argv[0], run_name='__main__')\n"
    code += "finally: print([m for m in ('torch', 'hydra', 'pandas', 'numpy') if m in sys.modules])"
    command = [sys.executable, "-c", code, str(ROOT / "sweeps" / "status.py"), "--runs", str(tmp_path)]
    began = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert time.perf_counter() - began < 5
    assert done.stdout.splitlines()[-1] == "[]", done.stdout + done.stderr
    assert "2 runs: 2 waiting" in done.stdout


def test_ctrl_c_only_looks_away(tmp_path) -> None:
    make_sweep(tmp_path, launcher="local")
    command = [sys.executable, str(ROOT / "sweeps" / "status.py"), "--watch", "--runs", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and "2 waiting" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert "the runs go on" in process.stdout.read()
        assert process.wait(10) == 0
