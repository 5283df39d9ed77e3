"""Sweeps on a real SLURM, as they are typed: what depends on what, what is shared, what is frozen, what is safe."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from tests.slurm.cluster import Cluster, until
from tests.slurm.typed import ROOT, SLURM, STEPS, Home, assert_never_twice, assert_same_bits

pytestmark = [pytest.mark.slurm, pytest.mark.slow]

SIX = ["-m", "levels=1", "phase=test,retrieval", "finetune.label_smoothing=0.0,0.1"]
"""Six runs: a pretraining, behind it two fine-tunings, each with its test, and a retrieval."""
HELD = "+launcher.additional_parameters.hold=true"


def held(cluster: Cluster) -> list[str]:
    return sorted({e.job_id.partition("_")[0] for e in cluster.queue() if e.state == "PENDING"}, key=int)


def let_go(jobs: list[str]) -> None:
    subprocess.run(["scontrol", "release", *jobs], check=True, timeout=30)


def test_six_runs_share_their_pretraining_and_are_submitted_once(calm: Cluster, data: Path, tmp_path: Path) -> None:
    home = Home(tmp_path, data, braked=True)
    said = home.type(*SIX, *SLURM)
    assert "6 done, 0 skipped, 0 failed" in said
    found = home.found()
    tails = ("finetune-l1-s0", "finetune-l1-s0-0.1", "test-l1-s0", "test-l1-s0-0.1")
    assert set(found) == {"pretrain-l1-s0", "retrieval-l1-s0", *tails}

    ran = home.events()
    assert set(ran) == {folder.name for folder in found.values()}
    for events in ran.values():
        assert_never_twice(events)
        assert len({(event.pid, event.job) for event in events}) == 1, "undisturbed, a run is one process"

    parent, first = home.job_of(found["pretrain-l1-s0"])
    array = parent.partition("_")[0]
    assert first["dependency"] == ""
    for name in ("finetune-l1-s0", "finetune-l1-s0-0.1", "retrieval-l1-s0"):
        assert home.job_of(found[name])[1]["dependency"] in (f"afterok:{parent}", f"aftercorr:{array}")
        assert ran[found["pretrain-l1-s0"].name][-1].time < ran[found[name].name][0].time
    for tail in ("", "-0.1"):  # element to element: each test waits for its own fine-tuning only
        above, below = found[f"finetune-l1-s0{tail}"], found[f"test-l1-s0{tail}"]
        array, _, index = home.job_of(above)[0].partition("_")
        job, submission = home.job_of(below)
        assert submission["dependency"] == f"aftercorr:{array}" and job.partition("_")[2] == index
        assert ran[above.name][-1].time < ran[below.name][0].time
    assert set(calm.states([home.job_of(folder)[0] for folder in found.values()]).values()) == {"COMPLETED"}

    before, steps, submitted = calm.next_job(), sum(map(len, ran.values())), len(home.submissions())
    again = home.type(*SIX, *SLURM)
    assert "0 done, 6 skipped, 0 failed" in again
    assert calm.next_job() == before and not calm.queue() and len(home.submissions()) == submitted
    assert sum(map(len, home.events().values())) == steps
    assert home.status().returncode == 0


def test_what_was_frozen_is_what_runs(calm: Cluster, data: Path, tmp_path: Path) -> None:
    """The checkout is edited while the jobs wait: YAML, code of the method, code of the jobs."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "hcml", "benchmarks", "sweeps", "results"], cwd=ROOT, capture_output=True
    )
    for name in listed.stdout.decode().split("\0")[:-1]:
        if (ROOT / name).is_file():
            (tmp_path / "checkout" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, tmp_path / "checkout" / name)
    home = Home(tmp_path / "home", data, checkout=tmp_path / "checkout")
    plain = Home(tmp_path / "plain", data)
    said = home.type("phase=finetune", "levels=0", *SLURM, HELD, "launcher.detach=true")
    assert "go on" in said
    (folder,) = home.found().values()
    frozen = (folder / "config.json").read_bytes()
    until(lambda: held(calm), 10, "the job in the queue")

    for path in (tmp_path / "checkout").rglob("*"):
        if path.suffix == ".yaml":
            path.write_text("broken: [\n")
        elif path.suffix == ".py":
            path.write_text("raise RuntimeError('edited after submission')\n")
    plain.type("phase=finetune", "levels=0")  # on this machine, by the launcher=local that is the default
    let_go(held(calm))
    calm.wait_idle(60)
    assert home.states() == {"finetune-l0-s0": "done"}
    assert (folder / "config.json").read_bytes() == frozen
    record = json.loads((folder / "record.json").read_text())
    assert record["config"]["optim"]["lr"] == json.loads(frozen)["config"]["optim"]["lr"]
    assert_same_bits(folder, plain.found()["finetune-l0-s0"])


def test_children_of_a_failed_parent_are_blocked_and_get_a_new_dependency(
    calm: Cluster, data: Path, tmp_path: Path
) -> None:
    home = Home(tmp_path, data, braked=True)
    command = ["phase=finetune", "levels=1", *SLURM]
    home.type(*command, "plan=true")
    home.type(*command, HELD, "launcher.detach=true")
    names = home.found()
    home.fail_once(names["pretrain-l1-s0"].name)
    first = home.job_of(names["finetune-l1-s0"])
    let_go(held(calm))
    until(lambda: home.states().get("pretrain-l1-s0") == "failed", 60, "the pretraining to fail")
    calm.wait_idle(30)
    assert calm.states([first[0]])[first[0]] == "CANCELLED", "a child of a failed parent stays in no queue"
    shown = home.status()
    assert shown.returncode == 1 and "made to fail" in shown.stdout and "blocked" in shown.stdout, shown.stdout

    again = home.type(*command)
    assert "2 done, 0 skipped, 0 failed" in again
    parent, _ = home.job_of(names["pretrain-l1-s0"])
    job, submission = home.job_of(names["finetune-l1-s0"])
    assert job != first[0] and submission["dependency"] in (
        f"aftercorr:{parent.partition('_')[0]}",
        f"afterok:{parent}",
    )
    assert parent.partition("_")[0] not in first[1]["dependency"]
    assert len(home.events()[names["finetune-l1-s0"].name]) == STEPS


def test_hostile_names_reach_neither_a_shell_nor_another_folder(calm: Cluster, data: Path, tmp_path: Path) -> None:
    inside = tmp_path / "ru ns;touch OOPS;$(touch OOPS)`touch OOPS`'\"&|"
    home = Home(tmp_path / "home", data)
    said = home.type(
        "phase=finetune", "levels=0", *SLURM, f"paths.runs={quoted(str(inside))}",
        f"launcher.comment={quoted('$(touch OOPS) `touch OOPS`; touch OOPS')}",
    )  # fmt: skip
    assert "1 done, 0 skipped, 0 failed" in said
    assert not [path for path in (*tmp_path.rglob("OOPS*"), *Path.cwd().glob("OOPS*"))]
    assert {path.name for path in tmp_path.iterdir()} == {"home", inside.name}

    (submission,) = inside.glob("_submissions/*/submission.json")
    script = (submission.parent / "script.sh").read_text()
    assert "touch OOPS" in script, "the names did reach sbatch"
    made = [path for path in (inside, *inside.rglob("*")) if not path.is_symlink()]
    writable = [path for path in made if path.stat().st_mode & stat.S_IWOTH]
    assert not writable, f"everybody can write to {writable[0]}"
    assert not [path for path in made if path.suffix in (".pkl", ".pickle")], "a job would execute what is in there"


@pytest.mark.parametrize(
    ("key", "said_of_it"),
    [("comment", "line break"), ("partition", "line break"), ("account", "line break"), ("name", "letters, digits")],
)
def test_a_line_break_ends_no_sbatch_line(calm: Cluster, data: Path, tmp_path: Path, key: str, said_of_it: str) -> None:
    before = calm.next_job()
    home = Home(tmp_path, data)
    said = home.type("phase=finetune", "levels=0", *SLURM, f"launcher.{key}='x\ntouch OOPS'", expect=2)
    assert f"launcher.{key}" in said and said_of_it in said and "Traceback" not in said
    assert calm.next_job() == before and not list(tmp_path.rglob("OOPS*"))


def test_a_folder_that_everybody_can_write_to_is_refused(calm: Cluster, data: Path, tmp_path: Path) -> None:
    home = Home(tmp_path, data)
    home.runs.mkdir()
    os.chmod(home.runs, 0o777)
    said = home.type("phase=finetune", "levels=0", *SLURM, expect=2)
    assert "everybody can write" in said and not home.submissions() and not home.found()


def quoted(text: str) -> str:
    """As Hydra's grammar wants it."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
