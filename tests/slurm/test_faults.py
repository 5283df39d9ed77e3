"""Everything that happens to jobs on a cluster, in one sweep: afterwards the same command has finished all of it, with
the bits of runs to which nothing ever happened, and no step was executed by two processes at a time."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.slurm.cluster import Cluster, until
from tests.slurm.typed import SLURM, Home, assert_never_twice, assert_same_bits, status

pytestmark = [pytest.mark.slurm, pytest.mark.slow]

SWEEP = ["-m", "phase=finetune", "levels=0,1", "seed=0,1,2"]
"""Nine runs, six of them without a parent, each of those on a node of its own."""
FAILS, LOSES_NODE, UNDISTURBED = "finetune-l0-s0", "finetune-l0-s1", "finetune-l0-s2"
PREEMPTED, TIMED_OUT, KILLED = "pretrain-l1-s0", "pretrain-l1-s1", "pretrain-l1-s2"
FIRST = (FAILS, LOSES_NODE, UNDISTURBED, PREEMPTED, TIMED_OUT, KILLED)


@pytest.mark.timeout(900)
def test_the_same_command_finishes_whatever_has_happened(calm: Cluster, data: Path, tmp_path: Path) -> None:
    whole, home = Home(tmp_path / "whole", data), Home(tmp_path / "broken", data, braked=True)
    command = [*SWEEP, *SLURM, "launcher.phases.pretrain.partition=preemptible"]
    home.slow(1.5)  # 90 s of steps: longer than two time-outs can take
    sweep = home.start(*command)
    until(lambda: len(home.found()) == 9, 90, "nine runs are frozen")
    found = home.found()
    names = {name: folder.name for name, folder in found.items()}

    def steps(name: str) -> int:
        return len(home.events().get(names[name], []))

    until(lambda: all(steps(name) >= 6 for name in FIRST), 120, "six runs with a checkpoint each")
    first = {name: home.job_of(folder)[0] for name, folder in found.items()}
    nodes = {name: home.events()[names[name]][0].node for name in FIRST}
    assert len(set(nodes.values())) == len(FIRST), nodes

    sweep.kill()
    sweep.wait(10)
    home.fail_once(names[FAILS])
    os.kill(home.events()[names[KILLED]][-1].pid, signal.SIGKILL)
    calm.kill_node(nodes[LOSES_NODE])
    # By its limit, twice: USR2 comes within 30 s, as signal_delay_s is longer than a minute.
    subprocess.run(["scontrol", "update", f"JobId={first[TIMED_OUT]}", "TimeLimit=1"], check=True, timeout=30)
    higher = ["sbatch", "--parsable", "-p", "normal", "-w", nodes[PREEMPTED], "--exclusive", "--wrap", "sleep 3"]
    subprocess.run(higher, check=True, timeout=30, cwd=tmp_path, capture_output=True)

    # Meanwhile, undisturbed and by the other launcher: what all of it must come to.
    reference = whole.start(*SWEEP, "launcher.max_parallel=2")

    until(lambda: status(found[FAILS]).get("state") == "failed", 30, "one has failed")
    until(lambda: calm.states([first[FAILS]])[first[FAILS]] == "FAILED", 30, "SLURM says so, too")
    until(lambda: calm.states([first[KILLED]])[first[KILLED]] == "FAILED", 30, "SLURM says that one was killed")
    child = home.job_of(found["finetune-l1-s2"])[0]
    until(lambda: calm.states([child]).get(child) == "CANCELLED", 30, "the child of the killed one is in no queue")
    until(
        lambda: len({(e.job, e.start) for e in home.events()[names[PREEMPTED]]}) == 2, 60, "the preempted one is back"
    )
    assert home.events()[names[PREEMPTED]][-1].job == first[PREEMPTED], "by SLURM, as the same job"

    # Typed again while others run on: those are left alone.
    again = home.start(*command)
    until(lambda: home.job_of(found[FAILS])[0] != first[FAILS], 90, "the failed one is submitted again")
    until(lambda: home.job_of(found["finetune-l1-s2"])[0] != child, 30, "the cancelled child is submitted again")
    for name in (LOSES_NODE, PREEMPTED, TIMED_OUT, UNDISTURBED):
        assert home.job_of(found[name])[0] == first[name], f"{name} was submitted a second time"

    until(lambda: max(e.start for e in home.events()[names[LOSES_NODE]]) >= 1, 120, "the lost one runs elsewhere")
    assert home.events()[names[LOSES_NODE]][-1].node != nodes[LOSES_NODE]
    until(lambda: max(e.start for e in home.events()[names[TIMED_OUT]]) >= 2, 150, "one was timed out twice")
    subprocess.run(["scontrol", "update", f"JobId={first[TIMED_OUT]}", "TimeLimit=30"], check=True, timeout=30)
    home.release()
    assert reference.wait(400) == 0, (whole.folder / "typed.txt").read_text()
    assert again.wait(400) == 0, (home.folder / "typed.txt").read_text()
    assert "0 failed" in (home.folder / "typed.txt").read_text()

    events = home.events()
    assert set(events) == set(names.values())
    for name, folder in found.items():
        assert_never_twice(events[folder.name])
        assert status(folder)["state"] == "done", name
        assert_same_bits(folder, whole.found()[name])
    assert len({(e.job, e.start, e.pid) for e in events[names[UNDISTURBED]]}) == 1
    for name in (PREEMPTED, TIMED_OUT, KILLED, LOSES_NODE):
        assert "goes on from step" in (found[name] / "log.txt").read_text(), f"{name} began anew"

    before = calm.next_job()
    last = home.type(*command)
    assert "0 done, 9 skipped, 0 failed" in last and calm.next_job() == before
    assert sum(map(len, home.events().values())) == sum(map(len, events.values()))
