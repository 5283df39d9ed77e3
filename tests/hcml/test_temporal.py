"""The channel shift: what moves where, causality, and that names and weights stay the plain network's."""

from __future__ import annotations

import copy
import pickle

import pytest
import timm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hcml.backbone import Backbone, build_backbone
from hcml.config import BackboneConfig, TemporalConfig
from hcml.temporal import apply_temporal, first_convolutions, shift_channels


def build(name: str, causal: bool = True) -> Backbone:
    """A shifted backbone whose residual branches do something: timm starts a ResNet's at zero (the last batch
    norm of each block), where the shift, which sits in the branch, has no effect and any causality test passes."""
    torch.manual_seed(0)
    backbone = build_backbone(BackboneConfig(name=name), TemporalConfig(mode="shift", causal=causal), 3).eval()
    with torch.no_grad():
        for parameter in backbone.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.05)
    return backbone


def test_causal_shift_takes_the_first_channels_from_the_frame_before() -> None:
    x = torch.arange(1.0, 13.0).view(3, 4, 1, 1)  # one clip of 3 frames, 4 channels
    out = shift_channels(x, num_frames=3, fold=1, causal=True)
    assert out.flatten(1).tolist() == [[0, 2, 3, 4], [1, 6, 7, 8], [5, 10, 11, 12]]


def test_two_sided_shift_takes_one_fold_from_each_neighbour() -> None:
    x = torch.arange(1.0, 13.0).view(3, 4, 1, 1)
    out = shift_channels(x, num_frames=3, fold=1, causal=False)
    assert out.flatten(1).tolist() == [[5, 0, 3, 4], [9, 2, 7, 8], [0, 6, 11, 12]]


@settings(max_examples=25, deadline=None)
@given(
    clips=st.integers(1, 3), frames=st.integers(1, 5), fold=st.integers(0, 3), causal=st.booleans(), seed=st.integers(0)
)
def test_shift_against_a_loop(clips: int, frames: int, fold: int, causal: bool, seed: int) -> None:
    x = torch.randn(clips * frames, 7, 2, 3, generator=torch.Generator().manual_seed(seed % 2**63))
    before = x.clone()
    out = shift_channels(x, frames, fold, causal).view(clips, frames, 7, 2, 3)
    assert torch.equal(x, before), "the input must not be written to"
    x = x.view(clips, frames, 7, 2, 3)
    for b in range(clips):
        for t in range(frames):
            for c in range(7):
                source = t - 1 if c < fold and causal else t
                if not causal:
                    source = t + 1 if c < fold else t - 1 if c < 2 * fold else t
                wanted = x[b, source, c] if 0 <= source < frames else torch.zeros(2, 3)
                assert torch.equal(out[b, t, c], wanted)


def test_shift_keeps_channels_last() -> None:
    x = torch.randn(4, 8, 5, 5).contiguous(memory_format=torch.channels_last)
    assert shift_channels(x, 2, 2, True).is_contiguous(memory_format=torch.channels_last)


def test_shift_refuses_a_batch_that_is_no_whole_number_of_clips() -> None:
    with pytest.raises(ValueError, match="7 frames, no multiple of num_frames=4"):
        shift_channels(torch.zeros(7, 8, 2, 2), 4, 1, True)


@pytest.mark.parametrize("name", ["resnet18", "convnext_atto", "efficientnet_b0"])
def test_no_feature_depends_on_a_later_frame_when_causal(name: str) -> None:
    """d feature(t) / d frame(s) = 0 for all s > t, in eval mode; and the frame before does matter."""
    backbone = build(name)
    frames = torch.randn(4, 3, 32, 32, requires_grad=True)
    features = backbone(frames, num_frames=4)
    for t in range(4):
        (grad,) = torch.autograd.grad(features[t].square().sum(), frames, retain_graph=True)
        per_frame = grad.abs().amax(dim=(1, 2, 3))
        assert torch.all(per_frame[t + 1 :] == 0)
        assert torch.all(per_frame[max(0, t - 1) : t + 1] > 0)


def test_two_sided_shift_does_look_ahead() -> None:
    backbone = build("resnet18", causal=False)
    frames = torch.randn(4, 3, 32, 32, requires_grad=True)
    (grad,) = torch.autograd.grad(backbone(frames, num_frames=4)[1].square().sum(), frames)
    assert grad[2].abs().max() > 0


def test_clips_do_not_mix() -> None:
    backbone = build("resnet18")
    frames = torch.randn(6, 3, 32, 32)
    with torch.no_grad():
        together = backbone(frames, num_frames=3)
        changed = torch.cat([frames[:3], torch.randn(3, 3, 32, 32)])
        assert torch.equal(backbone(changed, num_frames=3)[:3], together[:3])


def test_parameter_names_and_values_are_the_plain_networks() -> None:
    torch.manual_seed(3)
    plain = timm.create_model("resnet18", num_classes=5)
    torch.manual_seed(3)
    shifted = timm.create_model("resnet18", num_classes=5)
    shift = apply_temporal(shifted, TemporalConfig(mode="shift"))
    assert shift is not None
    assert shift.convs == [f"layer{stage}.{block}.conv1" for stage in (1, 2, 3, 4) for block in (0, 1)]
    assert plain.state_dict().keys() == shifted.state_dict().keys()
    assert all(torch.equal(a, b) for a, b in zip(plain.parameters(), shifted.parameters(), strict=True))


def test_mode_none_adds_nothing() -> None:
    model = timm.create_model("resnet18")
    assert apply_temporal(model, TemporalConfig(mode="none")) is None
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_blocks_without_a_skip_connection_are_left_alone() -> None:
    model = timm.create_model("efficientnet_b0")
    hooked = {name.rpartition(".")[0] for name, _ in first_convolutions(model)}
    assert hooked == {name for name, module in model.named_modules() if getattr(module, "has_skip", False)}


def test_the_first_convolution_is_not_the_shortcuts() -> None:
    assert [n for n, _ in first_convolutions(timm.create_model("regnety_002"))][:2] == ["s1.b1.conv1", "s2.b1.conv1"]


@pytest.mark.parametrize("name", ["vgg11", "dla34"])
def test_a_network_without_residual_convolutions_is_refused(name: str) -> None:
    with torch.device("meta"):
        model = timm.create_model(name)
    with pytest.raises(ValueError, match=f"{name} has none"):
        apply_temporal(model, TemporalConfig(mode="shift"), name)


def test_too_large_a_fold_div_is_refused() -> None:
    model = timm.create_model("resnet18")
    with pytest.raises(ValueError, match=r"fold_div=128 .* layer1\.0\.conv1 has only 64"):
        apply_temporal(model, TemporalConfig(mode="shift", fold_div=128), "resnet18")


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_a_copy_has_a_shift_of_its_own(duplicate) -> None:
    backbone = build("resnet18")
    twin = duplicate(backbone)
    frames = torch.randn(4, 3, 32, 32)
    with torch.no_grad():
        wanted = backbone(frames, num_frames=4)
        assert torch.equal(twin(frames, num_frames=4), wanted)
        twin(frames, num_frames=2)
    assert backbone.temporal is not None and twin.temporal is not None
    assert (backbone.temporal.num_frames, twin.temporal.num_frames) == (4, 2)


def test_a_shifted_backbone_asks_for_num_frames() -> None:
    backbone = build_backbone(BackboneConfig(name="resnet18"), TemporalConfig(mode="shift"), 3)
    with pytest.raises(ValueError, match="pass num_frames"):
        backbone(torch.zeros(4, 3, 32, 32))
