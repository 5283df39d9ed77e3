"""`launcher.*`: names of keys, values for one phase, and what is refused before anything is submitted."""

from __future__ import annotations

from dataclasses import fields

import pytest
from hydra.errors import ConfigCompositionException
from hydra_plugins.hydra_submitit_launcher.config import SlurmQueueConf

from hcml.config import ConfigError
from sweeps.launchers import RESOURCES, LauncherConfig, Request, check_launcher, request_of, worlds_of


def test_the_keys_of_the_stock_launcher_keep_their_names():
    stock = {f.name for f in fields(SlurmQueueConf)}
    assert stock <= {f.name for f in fields(LauncherConfig)}
    assert stock - set(RESOURCES) == {"_target_", "submitit_folder", "max_num_timeout", "name", "stderr_to_stdout"}


def test_a_phase_may_ask_for_something_else(settings):
    given = settings(
        "launcher=slurm", "launcher.gpus_per_node=8", "launcher.nodes=2", "launcher.tasks_per_node=8",
        "launcher.phases.test.gpus_per_node=1", "launcher.phases.test.nodes=1", "launcher.phases.test.tasks_per_node=1",
    )  # fmt: skip
    pretrain, test = request_of(given, "pretrain"), request_of(given, "test")
    assert (pretrain.world, pretrain.gpus) == (16, 16)
    assert (test.world, test.gpus) == (1, 1)
    assert request_of(given, "finetune") == pretrain != test


def test_runs_that_nothing_can_share_are_one_process(settings):
    given = settings("launcher=slurm", "launcher.nodes=2", "launcher.tasks_per_node=4", "launcher.gpus_per_node=4")
    assert worlds_of(given) == {"pretrain": 8, "finetune": 8, "test": 8, "probe": 1, "retrieval": 1}
    assert request_of(given, "probe").gpus == 1
    with pytest.raises(ConfigError, match="probe runs are one process"):
        request_of(settings("launcher.phases.probe.tasks_per_node=2"), "probe")


def test_cpus_are_those_that_the_run_uses(settings):
    given = settings("launcher=slurm", "runtime.workers=6", "compute.threads=3")
    assert request_of(given, "test").values["cpus_per_task"] == 9
    assert request_of(settings("launcher.cpus_per_task=2"), "test").values["cpus_per_task"] == 2


@pytest.mark.parametrize(
    "gres, gpus", [("gpu", 1), ("gpu:4", 4), ("gpu:a100:2", 2), ("gpu:h100:8(S:0-1)", 8), ("nvme:1", 0)]
)
def test_gpus_of_gres(settings, gres, gpus):
    values = request_of(settings(), "test").values | {"nodes": 2, "gres": gres}
    assert Request.of(values).gpus == 2 * gpus


@pytest.mark.parametrize(
    "override, message",
    [
        ("launcher.nodes=2", "launcher.nodes=2, but launcher=local has one machine"),
        ("launcher.phases.test.nodes=2", "launcher.phases.test.nodes=2"),
        ("launcher.kind=pbs", "type launcher=slurm"),
        ("launcher.max_parallel=0", "max_parallel=0 must be at least 1"),
        ("launcher.max_num_timeout=3", "launcher.max_requeues"),
        ('launcher.name="a/b"', "launcher.name"),
        ("launcher.poll_s=0", "poll_s"),
    ],
)
def test_what_no_run_could_start_with_is_refused(settings, override, message):
    with pytest.raises(ConfigError) as error:
        check_launcher(settings(override)["launcher"])
    assert message in str(error.value)


def test_line_breaks_are_refused_wherever_they_are(settings):
    """Behind one, bash would execute the rest of the value."""
    launcher = settings("launcher=slurm")["launcher"]
    check_launcher(launcher)
    bad = "a\nrm -rf b"
    test = launcher["phases"]["test"]
    for where, key, value in (
        (launcher, "comment", bad),
        (launcher, "python", bad),
        (launcher, "srun_args", [bad]),
        (launcher, "additional_parameters", {"mail-user": bad}),
        (launcher, "additional_parameters", {bad: 1}),
        (test, "partition", bad),
    ):
        before, where[key] = where[key], value
        with pytest.raises(ConfigError, match="line break"):
            check_launcher(launcher)
        where[key] = before


def test_a_misspelt_key_of_a_phase_is_refused(settings):
    with pytest.raises(ConfigCompositionException, match="gpu_per_node"):
        settings("launcher.phases.test.gpu_per_node=1")
    with pytest.raises(ConfigCompositionException, match="train"):
        settings("launcher.phases.train.nodes=1")


def test_requests_are_equal_by_content():
    assert Request.of({"a": 1, "b": [2]}) == Request.of({"b": [2], "a": 1})
