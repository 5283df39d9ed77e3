from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

from hcml.config import ComputeConfig, ConfigError, FeatureConfig, ModelConfig, ProbeRun, Runtime
from hcml.data.manifest import Data
from hcml.model import build_model
from hcml.training.checkpoint import CheckpointError
from hcml.training.features import clip_features, frozen_features
from hcml.training.transfer import save_weights

Make = Callable[..., ProbeRun]
EXACT = ComputeConfig(precision="fp32", threads=1)


@pytest.fixture
def parent(model_config: Callable[..., ModelConfig], tmp_path: Path) -> Path:
    torch.manual_seed(1)
    config = model_config()
    return save_weights(
        tmp_path / "parent", build_model(config), {"phase": "pretrain", "model": asdict(config), "benchmark": {}}, 6
    )


@pytest.mark.parametrize(
    ("source", "pool", "widths"),
    [
        ("level", "mean", lambda c, d: [c[1], d]),
        ("level", "concat", lambda c, d: [5 * c[1], 4 * d]),
        ("motion", "mean", lambda c, d: [d, d]),
        ("motion", "concat", lambda c, d: [4 * d, 4 * d]),
        ("final", "mean", lambda c, d: [c[3]]),
        ("final", "concat", lambda c, d: [5 * c[3]]),
    ],
)
def test_widths_of_the_parts(
    model_config: Callable[..., ModelConfig], source: str, pool: str, widths: Callable
) -> None:
    config = model_config()
    model = build_model(config).eval()
    channels = [tap.channels for tap in model.backbone.taps]
    with torch.no_grad():
        parts = clip_features(model, torch.rand(3, 5, 3, 32, 32), FeatureConfig(source, pool))
    assert [part.shape[1] for part in parts] == widths(channels, config.motion.dim)
    assert all(part.shape[0] == 3 and part.dtype == torch.float32 for part in parts)


def test_final_features_are_what_the_classifier_reads(model_config: Callable[..., ModelConfig]) -> None:
    model = build_model(model_config()).eval()
    clip = torch.rand(2, 5, 3, 32, 32)
    with torch.no_grad():
        (features,) = clip_features(model, clip, FeatureConfig("final"))
        logits = features @ model.backbone.model.fc.weight.T + model.backbone.model.fc.bias
        assert torch.allclose(logits, model(clip).logits, atol=1e-5)


def test_level_features_hold_the_fused_map(model_config: Callable[..., ModelConfig]) -> None:
    """F + W P, pooled, is a linear function of the two parts: a linear probe loses nothing for reading them apart."""
    model = build_model(model_config()).eval()
    clip = torch.rand(2, 5, 3, 32, 32)
    fused = []

    def note(module: torch.nn.Module, args: object, output: torch.Tensor) -> None:
        fused.append(output.mean((1, -2, -1)))

    handle = model.hierarchy.level(1).fusion.register_forward_hook(note)
    with torch.no_grad():
        top, motion = clip_features(model, clip, FeatureConfig("level"))
        assert fused == []  # stopped in front of it
        model(clip)
        handle.remove()
        weight = model.hierarchy.level(1).fusion.project.weight[:, :, 0, 0]
        assert torch.allclose(top + 4 / 5 * motion @ weight.T, fused[0], atol=1e-5)


def test_level_features_read_nothing_that_pretraining_leaves_untrained(
    model_config: Callable[..., ModelConfig],
) -> None:
    model = build_model(model_config()).eval()
    trained = {name for name, _ in model.pretrain_parameters(2)}
    clip = torch.rand(2, 5, 3, 32, 32)
    for source in ("level", "motion"):
        model.zero_grad()
        parts = clip_features(model, clip, FeatureConfig(source))
        torch.cat(parts, 1).square().sum().backward()
        reached = {name for name, p in model.named_parameters() if p.grad is not None}
        assert reached <= trained, source
    model.zero_grad()
    clip_features(model, clip, FeatureConfig("final"))[0].square().sum().backward()
    assert not {name for name, p in model.named_parameters() if p.grad is not None} <= trained


def test_a_mean_cannot_see_the_order_and_a_concatenation_can(model_config: Callable[..., ModelConfig]) -> None:
    model = build_model(model_config(levels=0)).eval()
    clip = torch.rand(1, 5, 3, 32, 32)
    with torch.no_grad():
        for pool, equal in (("mean", True), ("concat", False)):
            ahead, back = (clip_features(model, c, FeatureConfig("final", pool))[0] for c in (clip, clip.flip(1)))
            assert torch.allclose(ahead, back, atol=1e-5) == equal


def test_features_are_the_same_however_they_are_computed(
    probe_config: Make, data: Data, runtime: Runtime, parent: Path
) -> None:
    config = probe_config(init="run", features=FeatureConfig(num_clips=2, num_crops=3), compute=EXACT)
    first = frozen_features(config, data, runtime, parent, None)
    again = frozen_features(replace(config, batch_size=3), data, replace(runtime, workers=1), parent, None)
    assert first.train.rows.shape == (16, sum(first.train.widths)) and len(first.test.entries) == 10
    assert torch.allclose(first.train.rows, again.train.rows, atol=1e-5)
    assert torch.allclose(first.test.rows, again.test.rows, atol=1e-5)
    assert first.train.labels.tolist() == [entry.label for entry in data.train.entries]
    assert first.report["costs"]["clips"] == 26 * 6 and first.report["costs"]["views"] == 6
    one = frozen_features(replace(config, features=FeatureConfig()), data, runtime, parent, None)
    assert not torch.allclose(first.test.rows, one.test.rows, atol=1e-4)


def test_weights_come_from_the_parent_and_are_not_changed(
    probe_config: Make, data: Data, runtime: Runtime, parent: Path
) -> None:
    before = parent.read_bytes()
    config = probe_config(init="run")
    loaded = frozen_features(config, data, runtime, parent, None)
    assert parent.read_bytes() == before
    assert loaded.report["weights"]["source"] == "a pretrain run"
    random = frozen_features(replace(config, init="scratch"), data, runtime, None, None)
    other = frozen_features(replace(config, init="scratch", seed=1), data, runtime, None, None)
    assert random.report["weights"] is None
    assert not torch.allclose(loaded.train.rows, random.train.rows, atol=1e-3)
    assert torch.equal(loaded.train.rows, other.train.rows)  # the parent's weights were drawn from seed 1, too


def test_unreadable_videos_are_left_out_and_counted(probe_config: Make, data: Data, runtime: Runtime) -> None:
    train = replace(data.train, entries=[replace(data.train.entries[0], path="gone.mp4"), *data.train.entries[1:]])
    test = replace(data.test, entries=[*data.test.entries[:-1], replace(data.test.entries[-1], path="gone.mp4")])
    steps: list[tuple[int, int]] = []
    frozen = frozen_features(
        probe_config(), Data(train, test), runtime, None, lambda done, total: steps.append((done, total))
    )
    assert frozen.report["unreadable"] == {"train": 1, "test": 1}
    assert list(frozen.train.unreadable) == ["train-00"] and len(frozen.train.rows) == 15
    assert frozen.train.entries[0].video_id == "train-01"
    assert steps[-1] == (26, 26) and steps == sorted(steps)
    sick = replace(data.train, quarantine={"train-03": "grey frames"})
    frozen = frozen_features(probe_config(), Data(sick, data.test), runtime, None, None)
    assert "train-03" not in [entry.video_id for entry in frozen.train.entries] and len(frozen.train.rows) == 15
    nothing = replace(data.train, entries=[replace(e, path=f"gone/{e.path}") for e in data.train.entries])
    with pytest.raises(RuntimeError, match="no train video can be read, of 16"):
        frozen_features(probe_config(), Data(nothing, data.test), runtime, None, None)


def test_what_does_not_fit_is_refused(probe_config: Make, data: Data, runtime: Runtime, parent: Path) -> None:
    with pytest.raises(ConfigError, match="init=run needs the weights.pt"):
        frozen_features(probe_config(init="run"), data, runtime, None, None)
    with pytest.raises(ConfigError, match="init=scratch does not read"):
        frozen_features(probe_config(), data, runtime, parent, None)
    with pytest.raises(CheckpointError, match="levels: checkpoint has 2, this run has 3"):
        frozen_features(probe_config(model={"levels": 3}, init="run"), data, runtime, parent, None)
    config = probe_config().model
    tested = save_weights(
        parent.parent / "b", build_model(config), {"phase": "test", "model": asdict(config), "benchmark": {}}, 6
    )
    with pytest.raises(CheckpointError, match="the weights of a pretrain or finetune run are needed"):
        frozen_features(probe_config(init="run"), data, runtime, tested, None)


def test_useless_weights_are_an_error(probe_config: Make, data: Data, runtime: Runtime, tmp_path: Path) -> None:
    config = probe_config(init="run")
    model = build_model(config.model)
    broken = copy.deepcopy(model)
    next(broken.backbone.model.parameters()).data.fill_(float("nan"))
    weights = save_weights(
        tmp_path / "nan", broken, {"phase": "finetune", "model": asdict(config.model), "benchmark": {}}, 1
    )
    with pytest.raises(FloatingPointError, match="features are not finite"):
        frozen_features(config, data, runtime, weights, None)
