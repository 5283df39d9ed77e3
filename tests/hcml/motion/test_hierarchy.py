import pytest
import torch

from hcml.config import FusionConfig, MotionConfig
from hcml.motion.hierarchy import Hierarchy

SIZES = [(8, 12, 12), (12, 6, 6), (16, 3, 3)]


def build(fusion="random", **motion):
    torch.manual_seed(0)
    return Hierarchy(SIZES, MotionConfig(dim=8, **motion), FusionConfig(init=fusion))


def feed(hierarchy, maps, active=3, fuse_top=True):
    embedding = hierarchy.embed(maps[0].shape[1], active, fuse_top)
    fused = [embedding(i, m.flatten(0, 1)).view(m.shape) for i, m in enumerate(maps)]
    return fused, embedding.motion


def maps(batch=2, frames=5):
    torch.manual_seed(1)
    return [torch.randn(batch, frames, *size) for size in SIZES]


@pytest.mark.parametrize("prime", ["cost_volume", "difference", "both"])
@pytest.mark.parametrize("semantic_cost_volume", [False, True])
@pytest.mark.parametrize("norm", ["group", "batch"])
def test_shapes(prime, semantic_cost_volume, norm):
    fused, motion = feed(build(prime=prime, semantic_cost_volume=semantic_cost_volume, norm=norm), maps())
    assert [tuple(m.shape) for m in motion] == [(2, 4, 8, h, w) for _, h, w in SIZES]
    assert [f.shape for f in fused] == [m.shape for m in maps()]


def test_frame_without_motion_is_left_alone():
    fused, _ = feed(build(), maps())
    for f, m in zip(fused, maps(), strict=True):
        assert torch.equal(f[:, 0], m[:, 0]) and not torch.equal(f[:, 1], m[:, 1])
    fused, _ = feed(build(pairing="lookahead"), maps())
    for f, m in zip(fused, maps(), strict=True):
        assert torch.equal(f[:, -1], m[:, -1]) and not torch.equal(f[:, 0], m[:, 0])


def test_zero_fusion_changes_nothing():
    for f, m in zip(feed(build(fusion="zero"), maps())[0], maps(), strict=True):
        assert torch.equal(f, m)


def test_static_input_knows_no_other_frame():
    """A clip and its shuffled copy give the same motion feature for the same frame."""
    hierarchy = build(input="static", prime="both")
    one = maps()
    order = torch.tensor([0, 3, 1, 4, 2])
    _, motion = feed(hierarchy, one)
    _, shuffled = feed(hierarchy, [m[:, order] for m in one])
    for p, q in zip(motion, shuffled, strict=True):
        torch.testing.assert_close(q[:, 0], p[:, 2])  # frame 3 is second in the shuffled clip
    _, video = feed(build(prime="both"), one)
    assert not torch.allclose(video[0], motion[0])


def test_levels_above_the_active_ones_pass_unchanged():
    fused, motion = feed(build(), maps(), active=2, fuse_top=False)
    assert len(motion) == 2
    assert not torch.equal(fused[0], maps()[0])
    assert torch.equal(fused[1], maps()[1]) and torch.equal(fused[2], maps()[2])


def test_detached_levels_send_no_gradient_down():
    for detach in (False, True):
        hierarchy = build(detach_levels=detach)
        inputs = [m.requires_grad_() for m in maps()]
        # Level 2 stands on the map that carries level 1's fused motion.
        embedding = hierarchy.embed(5, 2, False)
        first = embedding(0, inputs[0].flatten(0, 1))
        second = first.view(2, 5, 8, 12, 12)[..., ::2, ::2].repeat(1, 1, 2, 1, 1)[:, :, :12].flatten(0, 1)
        embedding(1, second)
        embedding.motion[1].sum().backward()
        below = [parameter.grad is not None for parameter in hierarchy.levels[0].motion.parameters()]
        assert all(below) if not detach else not any(below)
        # The fusion and the map below are no motion of the lower level: they learn from the level above.
        assert hierarchy.levels[0].fusion.project.weight.grad is not None
        assert inputs[0].grad is not None
