"""The command: lines, exit codes, and the job's side of `--submit` without a scheduler."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sweeps import doctor
from sweeps.checks import on_node, submission
from sweeps.checks.finding import Finding, ok, problem
from sweeps.checks.site import read_site
from sweeps.slurm.queue import QueuedJob, SchedulerError


@pytest.mark.parametrize(("finding", "code"), [(ok("x", "fine"), 0), (problem("x", "bad", "mend it"), 1)])
def test_the_exit_code_is_that_of_the_worst(monkeypatch: Any, capsys: Any, finding: Finding, code: int) -> None:
    monkeypatch.setattr(
        doctor, "checks", lambda site: [("x", lambda: [finding]), ("y", lambda: 1 / 0)][: 2 - (not code)]
    )
    assert doctor.main(["-m", "levels=1,2", "cluster=example"]) == code
    out = capsys.readouterr().out
    assert str(finding) in out and ("ZeroDivisionError" in out) == bool(code)
    assert out.splitlines()[-1] == ("2 problems, 0 warnings" if code else "no problems, 0 warnings")


def test_words_that_no_sweep_would_take_are_refused(capsys: Any) -> None:
    assert doctor.main(["launcher.partitoin=x"]) == 2
    assert "partitoin" in capsys.readouterr().err
    assert doctor.main(["cluster=no-such-site"]) == 2


def test_every_check_has_a_name_and_none_is_made_before_it_is_asked_for() -> None:
    names = [name for name, _ in doctor.checks(read_site(["launcher=slurm"]))]
    assert len(names) == len(set(names)) > 15
    assert {"locks", "trust", "slurm", "decord", "weights", "gpu", "all-reduce", "data sets"} <= set(names)


@pytest.fixture
def prepared(tmp_path: Path) -> Any:
    """(submission, its file) as --submit leaves them."""
    site = read_site(["launcher=slurm", f"paths.runs={tmp_path / 'runs'}", f"paths.data.root={tmp_path}"])
    return submission.write(site, dict(site.request("pretrain").values), 0)


def test_the_job_writes_what_it_found(prepared: Any, monkeypatch: Any, tmp_path: Path) -> None:
    _, path = prepared
    monkeypatch.setattr("sweeps.slurm.task.take_place", lambda *_: (0, 1))
    monkeypatch.setattr(on_node, "checks", lambda *_: [("a", lambda: [ok("a", "fine")]), ("b", lambda: 1 / 0)])
    assert on_node.main([str(path)]) == 0
    result = json.loads((path.parent / on_node.RESULT).read_text())
    assert result["done"] and [(f["name"], f["level"]) for f in result["findings"]] == [
        ("job", "ok"),
        ("shared", "ok"),
        ("all-reduce", "ok"),
        ("a", "ok"),
        ("b", "problem"),
    ]


def test_another_folder_of_the_same_name_on_the_node_is_a_problem(prepared: Any, tmp_path: Path) -> None:
    (found,) = on_node.sees(tmp_path / "runs", "_doctor/_submissions/0/token")
    assert found.level == "problem" and "not the folder of the login node" in found.text


def test_gpus_that_do_not_arrive_are_a_problem(monkeypatch: Any) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    (found,) = on_node.together({"gpus": 2})
    assert found.level == "problem" and "torch sees none" in found.text


@pytest.fixture
def site(tmp_path: Path, monkeypatch: Any) -> Any:
    monkeypatch.setattr(submission, "POLL", 0.01)
    monkeypatch.setattr(submission, "SETTLE", 0.05)
    monkeypatch.setattr(submission.queue, "ended", lambda _: {})
    monkeypatch.setattr(submission.submit, "sbatch", lambda *_: "7")
    return read_site(["launcher=slurm", f"paths.runs={tmp_path / 'runs'}", f"paths.data.root={tmp_path}"])


def test_a_job_that_ends_without_a_word_is_a_problem(site: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(submission.queue, "queued", lambda: [])
    (found,) = submission.submitted(site, 5.0, lambda _: None)
    assert found.level == "problem" and "7 ended before it was through" in found.text


def test_a_job_that_waits_too_long_is_left_in_the_queue(site: Any, monkeypatch: Any, tmp_path: Path) -> None:
    def waiting() -> list[QueuedJob]:
        (folder,) = (tmp_path / "runs/_doctor/_submissions").iterdir()
        return [QueuedJob("7_0", f"hcml-doctor-{folder.name}", "PENDING", "Resources")]

    monkeypatch.setattr(submission.queue, "queued", waiting)
    said: list[str] = []
    (found,) = submission.submitted(site, 0.05, said.append)
    assert found.level == "warning" and "pending (Resources)" in found.text
    assert "job 7: pending (Resources)" in said[-1]


def test_what_sbatch_refuses_is_a_problem(site: Any, monkeypatch: Any) -> None:
    def refuse(*_: Any) -> str:
        raise SchedulerError("sbatch refused: Invalid qos specification")

    monkeypatch.setattr(submission.submit, "sbatch", refuse)
    (found,) = submission.submitted(site, 5.0, lambda _: None)
    assert found.level == "problem" and "Invalid qos" in found.text


def test_what_the_job_found_is_told_with_the_place(site: Any, monkeypatch: Any, tmp_path: Path) -> None:
    def ending() -> list[QueuedJob]:
        (folder,) = (tmp_path / "runs/_doctor/_submissions").iterdir()
        found = [vars(problem("nccl", "failed", "ask"))]
        (folder / on_node.RESULT).write_text(json.dumps({"done": True, "findings": found}))
        return []

    monkeypatch.setattr(submission.queue, "queued", ending)
    assert list(submission.submitted(site, 5.0, lambda _: None)) == [problem("node: nccl", "failed", "ask")]
