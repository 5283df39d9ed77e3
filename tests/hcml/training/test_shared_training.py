"""Trainings shared by processes are those of one process: losses, gradients, checkpoints, ends."""

from __future__ import annotations

import functools
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from hcml.config import (
    ComputeConfig,
    ConfigError,
    CurriculumConfig,
    LengthConfig,
    OptimConfig,
    Runtime,
)
from hcml.data.dataset import ClipDataset
from hcml.data.loader import train_batches
from hcml.data.manifest import Data
from hcml.training import collectives
from hcml.training.collectives import GradientMean, Group, RunningStatistics, hold_statistics, synchronise_batchnorm
from hcml.training.distributed import joined
from hcml.training.journal import read_journal
from tests.hcml.training.processes import Config, run_processes, train

pytestmark = pytest.mark.slow


def numbers(folder: Path) -> list[dict[str, float]]:
    """The journal without times."""
    lines = read_journal(folder / "metrics.jsonl")
    return [{k: v for k, v in line.items() if "time" not in k and k != "clips_per_second"} for line in lines]


def state(folder: Path) -> dict[str, torch.Tensor]:
    return torch.load(folder / "weights.pt")["model"]


@pytest.fixture
def every_step(runtime: Runtime) -> Runtime:
    return replace(runtime, log_every=1, save_every=100)


@pytest.mark.parametrize("kind, size", [("pretrain", 2), ("finetune", 2), ("auxiliary", 4)])
def test_the_losses_are_those_of_one_process(
    configs: Callable, data: Data, every_step: Runtime, tmp_path: Path, kind: str, size: int
) -> None:
    config = configs(kind)

    def work(rank: int) -> None:
        with joined() as world:
            report = train(config, data, tmp_path / "shared", every_step, world)
            assert (report == {}) == (rank > 0)

    train(config, data, tmp_path / "alone", every_step)
    assert run_processes(size, tmp_path, work) == {}
    alone, shared = numbers(tmp_path / "alone"), numbers(tmp_path / "shared")
    assert len(alone) == len(shared) == 20
    worst: dict[str, float] = {}
    for a, b in zip(alone, shared, strict=True):
        assert a.keys() == b.keys()
        for name in a.keys() - {"alarms"}:
            # relative to what is above 1: a contrast over a thousand keys is a loss of 7, rounded in units of 5e-7
            worst[name] = max(worst.get(name, 0.0), abs(a[name] - b[name]) / max(1.0, abs(a[name])))
    assert max(value for name, value in worst.items() if name.startswith("loss")) < 1e-5, worst
    assert all(worst.get(name, 0.0) < 1e-3 for name in ("rank_2", "std_2", "reconstruction_ratio")), worst
    drift = max((a.double() - state(tmp_path / "shared")[k]).abs().max() for k, a in state(tmp_path / "alone").items())
    assert drift < 1e-4


def test_gradients_are_those_of_one_process_and_buckets_change_nothing(
    configs: Callable, data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runtime: Runtime
) -> None:
    """One step of plain SGD with rate 1: what weights lose is their gradient."""
    bare = OptimConfig(name="sgd", lr=1.0, momentum=0.0, weight_decay=0.0, warmup=0.0, clip_norm=0.0)
    config = configs("pretrain", steps=1, optim=bare, curriculum=CurriculumConfig(name="joint"))
    monkeypatch.setattr(collectives, "BUCKET_BYTES", 2000)
    train(replace(config, optim=replace(bare, lr=1e-30)), data, tmp_path / "before", runtime)
    train(config, data, tmp_path / "alone", runtime)

    def work(_: int) -> None:
        with joined() as world:
            train(config, data, tmp_path / "shared", runtime, world)

    assert run_processes(2, tmp_path, work) == {}
    before, alone, shared = (state(tmp_path / name) for name in ("before", "alone", "shared"))
    for name, start in before.items():
        gradient, difference = start.double() - alone[name].double(), alone[name].double() - shared[name].double()
        # relative to it, but for what only rounding fills: a bias that the next operation takes away again
        assert difference.norm() <= 1e-4 * gradient.norm() + 1e-6, name


def test_two_forward_passes_a_step_give_what_one_gives(
    configs: Callable, data: Data, every_step: Runtime, tmp_path: Path
) -> None:
    whole = configs("finetune")
    halves = configs("finetune", length=LengthConfig(steps=20, batch_size=8, accumulation=2))
    quarters = configs("finetune", length=LengthConfig(steps=20, batch_size=8, micro_batch=2, accumulation=2))

    def work(_: int) -> None:
        with joined() as world:
            train(quarters, data, tmp_path / "2x2", every_step, world)

    train(whole, data, tmp_path / "1", every_step)
    train(halves, data, tmp_path / "2", every_step)
    assert run_processes(2, tmp_path, work) == {}
    for name in ("2", "2x2"):
        for a, b in zip(numbers(tmp_path / "1"), numbers(tmp_path / name), strict=True):
            assert a["loss"] == pytest.approx(b["loss"], abs=1e-5) and a["top1"] == b["top1"]


def test_accumulation_averages_statistics_and_local_batchnorm_is_averaged_over_processes(
    configs: Callable, data: Data, runtime: Runtime, tmp_path: Path
) -> None:
    """Local statistics depend on the micro-batch alone: two devices, or one that takes two turns."""
    local = ComputeConfig(threads=1, precision="fp32")
    config = configs("finetune", steps=1, compute=local)
    turns = configs("finetune", steps=1, compute=local, length=LengthConfig(steps=1, batch_size=8, accumulation=2))

    def work(_: int) -> None:
        with joined() as world:
            train(config, data, tmp_path / "shared", replace(runtime, log_every=1), world)

    train(turns, data, tmp_path / "turns", replace(runtime, log_every=1))
    assert run_processes(2, tmp_path, work) == {}
    (one,), (two,) = numbers(tmp_path / "turns"), numbers(tmp_path / "shared")
    assert one["loss"] == pytest.approx(two["loss"], abs=1e-6)
    assert one["grad_norm"] == pytest.approx(two["grad_norm"], rel=1e-5)


def test_a_stopped_run_goes_on_bit_for_bit(configs: Callable, data: Data, runtime: Runtime, tmp_path: Path) -> None:
    """Stopped by a signal to the second of three processes; bf16, AdamW and local statistics, as by default."""
    config = configs(
        "pretrain",
        steps=8,
        compute=ComputeConfig(threads=1),
        optim=OptimConfig(),
        length=LengthConfig(steps=8, batch_size=6),
    )

    def once(_: int) -> None:
        with joined() as world:
            train(config, data, tmp_path / "whole", runtime, world)

    def stopped(rank: int) -> None:
        def interrupt(done: int, total: int) -> None:
            if rank == 1 and done == 4:
                os.kill(os.getpid(), signal.SIGTERM)

        with joined() as world:
            train(config, data, tmp_path / "parts", runtime, world, on_step=interrupt)

    def rest(_: int) -> None:
        with joined() as world:
            train(config, data, tmp_path / "parts", runtime, world)

    assert run_processes(3, tmp_path / "a", once) == {}
    ends = run_processes(3, tmp_path / "b", stopped)
    assert sorted(ends) == [0, 1, 2]
    assert all("Preempted: stopped by SIGTERM after step 5" in text for text in ends.values())
    assert (tmp_path / "parts/checkpoints/step-00000005.pt").exists()
    assert run_processes(3, tmp_path / "c", rest) == {}
    assert numbers(tmp_path / "whole") == numbers(tmp_path / "parts")
    whole, parts = state(tmp_path / "whole"), state(tmp_path / "parts")
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_shares_of_a_batch_make_the_batch(configs: Callable, data: Data) -> None:
    config = configs("finetune")
    clips = ClipDataset(data.train, config.sampling, config.transform, config.benchmark.decoder, 0)
    with train_batches(clips, 8, 0, 0, 3) as whole:
        batches = list(whole)
    shares = []
    for rank in range(4):
        with train_batches(clips, 8, 0, 0, 3, rank=rank, world_size=4) as stream:
            shares.append(list(stream))
    for step, batch in enumerate(batches):
        assert batch["video_id"] == [video for share in shares for video in share[step]["video_id"]]
        assert torch.equal(batch["clip"], torch.cat([share[step]["clip"] for share in shares]))
        assert {share[step]["epoch"] for share in shares} == {batch["epoch"]}
    with pytest.raises(ValueError, match="batch_size=8 cannot be shared evenly by world_size=3"):
        train_batches(clips, 8, 0, 0, 3, world_size=3)


def test_gathering_gives_everybody_all_and_each_its_gradient(tmp_path: Path) -> None:
    parts = [torch.arange(6.0).view(3, 2) + 10 * rank for rank in range(2)]

    def work(rank: int) -> None:
        with joined() as world:
            group = Group(world, torch.device("cpu"))
            own = parts[rank].clone().requires_grad_()
            whole = group.gather(own)
            assert torch.equal(whole, torch.cat(parts))
            whole.square().sum().backward()
            # averaged over two processes later, which makes it the gradient of the sum
            assert torch.equal(own.grad, 2 * 2 * parts[rank])
            assert torch.equal(group.total(own), parts[0] + parts[1])
            reached, alone = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(1))
            mean = GradientMean([reached, alone], group)
            (reached.sum() * (rank + 1)).backward()
            mean.arm()
            (reached.sum() * (rank + 1)).backward()
            mean.finish()
            assert torch.equal(reached.grad, torch.full((2,), 3.0)) and alone.grad is None
            mean.close()
            norm = nn.BatchNorm1d(1)
            norm.running_mean.fill_(rank)
            RunningStatistics(norm, group).average()
            assert norm.running_mean == 0.5
            with pytest.raises(ConfigError, match="compute.bn=sync needs GPUs"):
                synchronise_batchnorm(nn.ModuleDict({"model": norm}), group)

    assert run_processes(2, tmp_path, work) == {}


def test_frozen_statistics_stay_and_weights_learn(
    configs: Callable, data: Data, runtime: Runtime, tmp_path: Path
) -> None:
    train(configs("finetune", steps=2), data, tmp_path / "run", runtime)
    weights = state(tmp_path / "run")
    means = [value for name, value in weights.items() if name.endswith("running_mean")]
    assert means and all((value == 0).all() for value in means)
    assert (weights["backbone.model.bn1.weight"] != 1).any()
    layer = nn.BatchNorm2d(2)
    hold_statistics(layer)
    assert not layer.training and layer.weight.requires_grad


def on_a_gpu(config: Config, data: Data, folder: Path, runtime: Runtime, rank: int) -> None:
    with joined() as world:
        train(config, data, folder, runtime, world)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="SyncBatchNorm refuses CPU tensors, NCCL a shared GPU")
def test_synchronised_statistics_give_the_losses_of_one_process(
    configs: Callable, data: Data, every_step: Runtime, tmp_path: Path
) -> None:
    config = configs("finetune", compute=ComputeConfig(precision="fp32", bn="sync"))
    gpu = replace(every_step, device="cuda")
    work = functools.partial(on_a_gpu, config, data, tmp_path / "shared", gpu)
    assert run_processes(2, tmp_path, work, method="spawn") == {}
    train(config, data, tmp_path / "alone", gpu)
    for a, b in zip(numbers(tmp_path / "alone"), numbers(tmp_path / "shared"), strict=True):
        assert a["loss"] == pytest.approx(b["loss"], abs=1e-4)
