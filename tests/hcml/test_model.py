import pytest
import torch

from hcml.config import (
    BackboneConfig,
    ConfigError,
    FusionConfig,
    ModelConfig,
    MotionConfig,
    ObjectiveConfig,
    TemporalConfig,
)
from hcml.model import build_model
from hcml.objectives.self_supervision import SelfSupervision


def config(**changes):
    return ModelConfig(**{"num_classes": 5, "num_frames": 6, "motion": MotionConfig(dim=8), **changes})


@pytest.mark.parametrize("name", ["resnet18", "convnext_atto", "efficientnet_b0"])
def test_fresh_model_with_zero_fusion_equals_its_backbone_bit_for_bit(name):
    model = build_model(config(backbone=BackboneConfig(name), levels=3, fusion=FusionConfig("zero"))).eval()
    clip = torch.rand(2, 6, 3, 48, 48)
    with torch.no_grad():
        frames = ((clip - model.mean) / model.std).flatten(0, 1)
        plain = model.backbone.model(frames).view(2, 6, -1).mean(1)
        assert torch.equal(model(clip).logits, plain)
        model.hierarchy.levels[0].fusion.project.weight.add_(0.1)
        assert not torch.equal(model(clip).logits, plain)  # the motion is really in the path


@pytest.mark.parametrize("temporal", ["none", "shift"])
def test_a_query_sees_no_future_frame(temporal):
    """d query(t) / d frame(s) = 0 for all s > t, and not 0 for s = t."""
    model = build_model(config(levels=3, temporal=TemporalConfig(mode=temporal))).eval().double()
    with torch.no_grad():  # timm starts the last batch norm of a block at zero, which would hide the shift
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    clip = torch.rand(1, 6, 3, 48, 48, dtype=torch.float64, requires_grad=True)
    motion = model(clip, classify=False).motion
    for features in motion:
        for index in range(5):  # index t - 1 is frame t
            (gradient,) = torch.autograd.grad(features[0, index].square().sum(), clip, retain_graph=True)
            reached = gradient[0].abs().sum(dim=(1, 2, 3))
            assert reached[index + 2 :].eq(0).all()
            assert (reached[index : index + 2] > 0).all()


def test_lookahead_sees_the_next_frame():
    model = build_model(config(levels=1, motion=MotionConfig(dim=8, pairing="lookahead"))).eval()
    clip = torch.rand(1, 6, 3, 48, 48, requires_grad=True)
    (gradient,) = torch.autograd.grad(model(clip, classify=False).motion[0][0, 0].square().sum(), clip)
    assert gradient[0, 1].abs().sum() > 0


@pytest.mark.parametrize("detach", [False, True])
@pytest.mark.parametrize("levels", [1, 2, 3, 4])
def test_which_parameters_get_a_gradient(levels, detach):
    """Per turn: the path to the active level, its blocks, the fusions below it; nothing else."""
    network = config(levels=levels, input_size=64, motion=MotionConfig(dim=8, detach_levels=detach))
    model = build_model(network)
    heads = SelfSupervision(network, ObjectiveConfig(), model.backbone.map_sizes(64)[:levels])
    clip = torch.rand(3, 6, 3, 64, 64)
    for active in range(1, levels + 1):
        model.zero_grad()
        heads.zero_grad()
        motion = model(clip, active_levels=active, classify=False).motion
        heads(clip, motion, active, torch.Generator().manual_seed(0)).total.backward()
        reached = {name for name, p in model.named_parameters() if p.grad is not None}
        assert reached == {name for name, _ in model.pretrain_parameters(active)}
        reached = {name for name, p in heads.named_parameters() if p.grad is not None}
        assert reached == {name for name, _ in heads.active_parameters(active)}
        stages = {name.split(".")[2] for name, _ in model.pretrain_parameters(active) if ".layer" in name}
        assert stages == {f"layer{i}" for i in range(1, active + 1)}
        assert f"hierarchy.levels.{active - 1}.fusion.project.weight" not in reached


def reached_by(model, loss):
    model.zero_grad()
    loss.backward()
    return {name for name, parameter in model.named_parameters() if parameter.grad is not None}


@pytest.mark.parametrize("detach", [False, True])
def test_detached_levels_train_their_own_stage_and_no_motion_block_below(detach):
    model = build_model(config(levels=3, input_size=64, motion=MotionConfig(dim=8, detach_levels=detach)))
    clip = torch.rand(2, 6, 3, 64, 64)
    expected = {name for name, _ in model.pretrain_parameters(3)}
    below = {name for name in expected if name.startswith(("hierarchy.levels.0.motion", "hierarchy.levels.1.motion"))}
    reached = reached_by(model, model(clip, classify=False).motion[2].square().sum())
    assert below and reached == (expected - below if detach else expected)
    # With the labels' loss behind the fusions, every level learns from that, and of the others from its own alone.
    labelled = reached_by(model, model(clip).logits.square().sum())
    assert labelled == {name for name, _ in model.named_parameters()}
    beside = reached_by(model, model(clip).motion[2].square().sum())
    assert beside.isdisjoint(below) is detach


def test_shapes_and_levels():
    model = build_model(config(levels=2))
    output = model(torch.rand(2, 6, 3, 48, 48))
    assert output.logits.shape == (2, 5) and output.logits.dtype == torch.float32
    assert [tuple(p.shape) for p in output.motion] == [(2, 5, 8, 12, 12), (2, 5, 8, 6, 6)]
    assert build_model(config(levels=0))(torch.rand(2, 6, 3, 48, 48)).motion == []


def test_nothing_to_compute_is_refused():
    with pytest.raises(ValueError, match="at least one active level"):
        build_model(config(levels=0))(torch.rand(1, 6, 3, 48, 48), classify=False)


def test_too_small_an_input_is_refused_with_the_map():
    with pytest.raises(ValueError, match="level 1"):
        build_model(config(levels=1, input_size=8))


def test_five_levels_are_refused_with_the_reason():
    with pytest.raises(ConfigError, match="at most 4 levels"):
        config(levels=5)


def test_channels_last_and_bf16_give_the_same_within_rounding():
    model = build_model(config(levels=3)).eval()
    clip = torch.rand(2, 6, 3, 48, 48)
    with torch.no_grad():
        plain = model(clip).logits
        torch.testing.assert_close(
            model.to(memory_format=torch.channels_last)(clip).logits, plain, atol=1e-4, rtol=1e-4
        )
        with torch.autocast("cpu", torch.bfloat16):
            torch.testing.assert_close(model(clip).logits, plain, atol=0.1, rtol=0.1)
