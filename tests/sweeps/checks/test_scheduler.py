"""SLURM's words, judged. The texts are those of SLURM 22.05.8."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from sweeps.checks import scheduler
from sweeps.checks.scheduler import minutes, one_request, read_partition, small
from sweeps.checks.site import Site, read_site
from sweeps.slurm.queue import Limits, SchedulerError

LINE = (
    "PartitionName={name} AllowGroups=ALL AllowAccounts=ALL AllowQos=ALL Default={default} GraceTime=20 "
    "MaxTime={time} Nodes=n[1-2] PreemptMode={mode} State=UP TotalCPUs=4 TotalNodes=2 TRES=cpu=4,mem=16000M,node=2"
)
NORMAL = LINE.format(name="normal", default="YES", time="1-00:00:00", mode="OFF")
CHEAP = LINE.format(name="cheap", default="NO", time="UNLIMITED", mode="CANCEL")
LIMITS = Limits(1001, 10000, False, 30, True, False, True, "22.05.8", "test")


@pytest.fixture(scope="module")
def site() -> Callable[..., Site]:
    return lambda *overrides: read_site(["launcher=slurm", *overrides])


def texts(findings: Any, level: str) -> str:
    return " | ".join(found.text for found in findings if found.level == level)


@pytest.mark.parametrize(
    ("text", "expected"), [("UNLIMITED", 0), ("1-00:00:00", 1440), ("04:00:00", 240), ("00:00:30", 1), ("", 0)]
)
def test_time_limits(text: str, expected: int) -> None:
    assert minutes(text) == expected


def test_partitions_are_read() -> None:
    found = read_partition(NORMAL)
    assert found == scheduler.Partition("normal", True, True, 2, 1440, "OFF", 20)
    assert str(found) == "normal (default): 2 nodes, limit 24 h"
    assert "preempted: cancel, grace 20 s" in str(read_partition(CHEAP))


def test_partitions_that_were_typed_must_be_there_and_long_enough(site: Callable[..., Site]) -> None:
    there = [read_partition(NORMAL), read_partition(CHEAP)]
    assert list(scheduler.asked_partitions(site("launcher.timeout_min=1440"), there)) == []
    found = scheduler.asked_partitions(site("launcher.timeout_min=1441", "launcher.phases.test.partition=nix"), there)
    bad = texts(found, "problem")
    assert "launcher.timeout_min=1441 is above the 1440 min of normal" in bad
    assert "launcher.phases.test.partition=nix: there are: normal, cheap" in bad
    assert list(scheduler.asked_partitions(site("launcher.partition=cheap", "launcher.timeout_min=9999"), there)) == []


def test_preemption_is_told_and_cancelling_partitions_warn(site: Callable[..., Site]) -> None:
    there = [read_partition(NORMAL), read_partition(CHEAP)]
    settings = {"PreemptType": "preempt/partition_prio", "PreemptMode": "REQUEUE"}
    (found,) = scheduler.preemption(site(), LIMITS, settings, there)
    assert found.level == "ok" and "SIGTERM alone" in found.text and "30 s (KillWait)" in found.text
    chosen = list(scheduler.preemption(site("launcher.partition=cheap"), LIMITS, settings, there))
    assert "cheap cancels" in texts(chosen, "warning")
    short = replace(LIMITS, kill_wait=5, preempt_send_user_signal=True)
    (found,) = scheduler.preemption(site(), short, settings, there)
    assert found.level == "warning" and "user's signal is sent, too" in found.text


def test_limits(site: Callable[..., Site]) -> None:
    assert texts(scheduler.cluster(site(), LIMITS), "ok").startswith("22.05.8 on test; arrays of at most 1000 elements")
    assert "launcher.max_array=5000" in texts(scheduler.cluster(site("launcher.max_array=5000"), LIMITS), "warning")
    assert "switched off" in texts(scheduler.cluster(site(), replace(LIMITS, max_array_size=1)), "problem")
    assert "say `--requeue`" in texts(scheduler.cluster(site(), replace(LIMITS, job_requeue=False)), "ok")


def test_accounts_that_were_typed_must_be_ones_own(site: Callable[..., Site], monkeypatch: Any) -> None:
    answers = {"assoc": "mine||normal,long\nother|gpu|normal\n", "user": "mine\n"}
    monkeypatch.setattr(scheduler, "ask", lambda *command: answers[command[3]])
    assert "mine, other (default: mine); qos: long, normal" in texts(scheduler.accounts(site()), "ok")
    found = scheduler.accounts(site("launcher.account=yours", "launcher.qos=fast"))
    assert texts(found, "problem").count("is not yours") == 2
    assert texts(scheduler.accounts(site("launcher.account=other")), "problem") == ""

    def refused(*_: str) -> str:
        raise SchedulerError("sacctmgr failed")

    monkeypatch.setattr(scheduler, "ask", refused)
    assert "cannot be asked" in texts(scheduler.accounts(site()), "ok")
    assert "sacctmgr failed" in texts(scheduler.accounting(LIMITS), "warning")
    assert "keeps no accounts" in texts(scheduler.accounting(replace(LIMITS, accounting=False)), "ok")


def test_without_slurm_one_line_is_enough_unless_it_was_typed(site: Callable[..., Site], monkeypatch: Any) -> None:
    monkeypatch.setattr(scheduler.shutil, "which", lambda _: None)
    (found,) = scheduler.scheduler(read_site([]))
    assert found.level == "ok" and "none here" in found.text
    (found,) = scheduler.scheduler(site())
    assert found.level == "problem" and "sbatch" in found.text


def test_a_controller_that_does_not_answer_is_a_finding(site: Callable[..., Site], monkeypatch: Any) -> None:
    def down() -> Limits:
        raise SchedulerError("scontrol gave no answer within 60 s")

    monkeypatch.setattr(scheduler.shutil, "which", lambda name: name)
    monkeypatch.setattr(scheduler.queue, "limits", down)
    (found,) = scheduler.scheduler(site())
    assert found.level == "problem" and "no answer" in found.text


def test_requests_that_sbatch_refuses_or_that_waste_gpus(site: Callable[..., Site]) -> None:
    def refuse(_: Any) -> str:
        raise SchedulerError("sbatch refuses: Invalid generic resource (gres) specification")

    request = site("launcher.gpus_per_node=4", "launcher.tasks_per_node=2").request("pretrain")
    assert one_request(request, "pretrain", refuse).level == "problem"
    found = one_request(request, "pretrain", lambda _: "")
    assert found.level == "warning" and "GPUs that no process uses" in found.text
    even = site("launcher.gpus_per_node=2", "launcher.tasks_per_node=2").request("pretrain")
    assert one_request(even, "pretrain", lambda _: "").level == "ok"


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["launcher.gpus_per_node=8", "launcher.tasks_per_node=8"], (1, 2, 2, None)),
        (["launcher.gpus_per_node=8", "launcher.nodes=4"], (2, 1, 1, None)),
        (
            ["'launcher.gres=\"gpu:a100:4,nvme:1\"'".strip("'"), "launcher.tasks_per_node=4"],
            (1, 2, None, "gpu:a100:2,nvme:1"),
        ),
        (["launcher.gres=gpu", "launcher.nodes=2"], (2, 1, None, "gpu:1")),
        ([], (1, 2, None, None)),
    ],
)
def test_the_doctors_job_is_two_processes_and_five_minutes(
    site: Callable[..., Site], overrides: list[str], expected: tuple[Any, ...]
) -> None:
    values = small(site(*overrides, "launcher.partition=cheap").request("pretrain")).values
    assert (values["nodes"], values["tasks_per_node"], values["gpus_per_node"], values["gres"]) == expected
    assert values["timeout_min"] == 5 and values["partition"] == "cheap"
