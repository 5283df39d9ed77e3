import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from hcml.config import (
    ComputeConfig,
    ConfigError,
    ContrastConfig,
    CurriculumConfig,
    LengthConfig,
    ObjectiveConfig,
    PretrainRun,
    ReconstructionConfig,
    Runtime,
)
from hcml.data.manifest import Data
from hcml.model import build_model
from hcml.objectives.self_supervision import SelfSupervision
from hcml.training.arithmetic import set_up
from hcml.training.journal import read_journal
from hcml.training.pretrain import PretrainTask, run_pretrain

Make = Callable[..., PretrainRun]


def make_task(config: PretrainRun, steps: int = 6) -> PretrainTask:
    set_up(config.compute, config.seed)
    model = build_model(config.model)
    sizes = model.backbone.map_sizes(config.model.input_size)[: config.model.levels]
    return PretrainTask(model, SelfSupervision(config.model, config.objective, sizes), config, steps)


def gradients(task: PretrainTask, turn_index: int) -> set[str]:
    """Names of the parameters that one step of a turn gives a gradient."""
    turn = task.turns[turn_index]
    task.begin(turn)
    task.modules.zero_grad(set_to_none=True)
    size = task.config.model.input_size
    clip = torch.rand(2, task.config.model.num_frames, 3, size, size)
    batch: Any = {"label": torch.zeros(2, dtype=torch.int64)}
    task.losses(clip, batch, turn, torch.Generator().manual_seed(0)).total.backward()
    return {name for name, parameter in task.modules.named_parameters() if parameter.grad is not None}


@pytest.mark.parametrize("levels", [1, 2, 3])
def test_each_turn_reaches_exactly_its_parameters(pretrain_config: Make, levels: int) -> None:
    task = make_task(pretrain_config(model={"levels": levels, "num_frames": 6}, sampling=_frames(6)))
    for index, turn in enumerate(task.turns):
        reached = gradients(task, index)
        assert reached == set(task.reached(turn.active_levels))
        assert turn.active_levels == index + 1
        top = f"model.hierarchy.levels.{index}."
        assert any(name.startswith(top + "motion") for name in reached)
        assert not any(name.startswith(top + "fusion") for name in reached)
        assert not any("layer4" in name or ".fc." in name for name in reached)
    assert {name for name, _ in task.trained_parameters()} == reached


def _frames(count: int) -> Any:
    from hcml.config import SamplingConfig

    return SamplingConfig(num_frames=count, frame_stride=1)


def test_motion_only_freezes_the_backbone_and_its_statistics(pretrain_config: Make) -> None:
    task = make_task(pretrain_config(train="motion"))
    before = {name: tensor.clone() for name, tensor in task.model.backbone.state_dict().items()}
    reached = gradients(task, 1)
    assert reached and not any("backbone" in name for name in reached)
    assert all(torch.equal(tensor, before[name]) for name, tensor in task.model.backbone.state_dict().items())


def test_freeze_lower_keeps_earlier_levels_and_their_statistics(pretrain_config: Make) -> None:
    task = make_task(pretrain_config(curriculum=CurriculumConfig(freeze_lower=True)))
    lower = set(task.reached(1))
    assert gradients(task, 0) == lower
    before = {name: tensor.clone() for name, tensor in task.modules.state_dict().items()}
    reached = gradients(task, 1)
    assert reached == set(task.reached(2)) - lower
    after = task.modules.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    # One forward pass in training mode moves running statistics; only those above the frozen part may move.
    assert changed and all("backbone.model.layer2" in name for name in changed), changed


def test_statistics_of_a_trained_backbone_do_move(pretrain_config: Make) -> None:
    task = make_task(pretrain_config())
    before = task.model.backbone.state_dict()["model.bn1.running_mean"].clone()
    gradients(task, 0)
    assert not torch.equal(task.model.backbone.state_dict()["model.bn1.running_mean"], before)


def test_a_turn_without_a_loss_is_refused(pretrain_config: Make) -> None:
    silent = ObjectiveConfig(reconstruction=ReconstructionConfig(weight=0.0))
    with pytest.raises(ConfigError, match="first turn has no loss"):
        make_task(pretrain_config(objective=silent))
    both = ObjectiveConfig(reconstruction=ReconstructionConfig(weight=0.0), contrast=ContrastConfig(weight=0.0))
    with pytest.raises(ConfigError, match="no loss"):
        make_task(pretrain_config(objective=both, curriculum=CurriculumConfig(name="joint")))
    assert make_task(pretrain_config(objective=silent, curriculum=CurriculumConfig(name="joint"))).turns


def test_losses_are_float32_under_bf16(pretrain_config: Make) -> None:
    task = make_task(pretrain_config(compute=ComputeConfig(precision="bf16", threads=1)))
    task.begin(task.turns[1])
    clip = torch.rand(2, 5, 3, 32, 32)
    batch: Any = {}
    losses = task.losses(clip, batch, task.turns[1], torch.Generator().manual_seed(0))
    assert {losses.total.dtype, *(term.dtype for term in losses.terms.values())} == {torch.float32}


def test_a_whole_pretraining(pretrain_config: Make, data: Data, tmp_path: Path, runtime: Runtime) -> None:
    reports = [run_pretrain(pretrain_config(), data, tmp_path / str(i), runtime) for i in range(2)]
    report = reports[0]
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    assert report["steps"] == 6
    assert {"reconstruction_ratio", "top1_all_2", "top1_time_2", "persistence_time_2"} <= report["metrics"].keys()
    assert set(report["groups"]) == {"a", "b"}
    assert report["costs"]["clips"] == 24 and report["costs"]["gmacs"] > 0
    assert report["unreadable"] == {"train": 0, "test": 0}
    assert 0 < report["costs"]["trained_parameters"] < report["costs"]["num_parameters"]
    weights = torch.load(tmp_path / "0" / "weights.pt", weights_only=True)
    assert weights["phase"] == "pretrain" and weights["step"] == 6
    assert set(weights) == {"model", "heads", "config", "phase", "step", "trained_on", "train"}
    # The same seed twice: the same losses, weights and figures.
    assert reports[1]["metrics"] == report["metrics"]
    losses = [[line["loss"] for line in read_journal(tmp_path / str(i) / "metrics.jsonl")] for i in range(2)]
    assert losses[0] == losses[1]
    other = torch.load(tmp_path / "1" / "weights.pt", weights_only=True)
    assert all(torch.equal(tensor, other["model"][name]) for name, tensor in weights["model"].items())


def test_a_collapsed_level_raises_the_alarm(
    pretrain_config: Make,
    data: Data,
    tmp_path: Path,
    runtime: Runtime,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    from hcml.model import HCML

    forward = HCML.forward

    def collapsed(self: HCML, clip: Tensor, **options: Any) -> Any:
        output = forward(self, clip, **options)
        return output._replace(motion=[0 * motion + 1 for motion in output.motion])

    monkeypatch.setattr(HCML, "forward", collapsed)
    report = run_pretrain(pretrain_config(), data, tmp_path, runtime)
    raised = {alarm["name"]: alarm for alarm in report["alarms"]}
    assert {"std_1", "std_2", "rank_1", "rank_2", "loss_contrast_2"} <= raised.keys()
    assert raised["std_2"]["at_end"] and raised["std_2"]["last_step"] == 6
    assert "ALARM at step" in caplog.text and "level 2 predicts at chance" in caplog.text
    assert "std_1" in read_journal(tmp_path / "metrics.jsonl")[-1]["alarms"]


def test_longer_training_explains_the_motion_of_its_videos(
    pretrain_config: Make, data: Data, tmp_path: Path, runtime: Runtime
) -> None:
    config = pretrain_config(model={"levels": 1}, length=LengthConfig(steps=60, batch_size=8))
    config.optim.lr = 3e-3
    same = Data(data.train, replace(data.train, subset="test"))
    assert run_pretrain(config, same, tmp_path, runtime)["metrics"]["reconstruction_ratio"] < 0.95
