"""The embedding in timm: bit-exact, in every layout, checked when built, and refused with a reason."""

from __future__ import annotations

import copy
import pickle

import pytest
import timm
import torch
from torch import nn

from hcml.backbone import Backbone, build_backbone
from hcml.config import BackboneConfig, ConfigError, TemporalConfig
from hcml.taps import choose_taps, find_segments, token_grid

SEGMENTED = [
    "resnet18",
    "regnety_002",
    "convnext_atto",
    "efficientnet_b0",
    "resnetv2_18",
    "swin_tiny_patch4_window7_224",
]
HOOKED = ["vit_tiny_patch16_224"]
SIZE = 64


def build(name: str, **temporal) -> Backbone:
    torch.manual_seed(0)
    config = BackboneConfig(name=name, zero_init_last=True)  # as timm's own initialisation
    return build_backbone(config, TemporalConfig(**temporal), 5, input_size=SIZE)


def untouched(name: str) -> nn.Module:
    torch.manual_seed(0)
    fixed = timm.models.get_pretrained_cfg(name).fixed_input_size
    return timm.create_model(name, num_classes=5, **({"img_size": SIZE} if fixed else {}))


@pytest.fixture(scope="module")
def frames() -> torch.Tensor:
    return torch.randn(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))


def identity(index: int, feature: torch.Tensor) -> torch.Tensor:
    return feature


def test_fresh_residual_blocks_are_active_by_default() -> None:
    """Else a temporal shift in front of a block's first convolution has no effect on a fresh network."""
    torch.manual_seed(0)
    backbone = build_backbone(BackboneConfig(name="resnet18"), TemporalConfig(), 5)
    plain = untouched("resnet18").state_dict()
    changed = {key for key, value in backbone.model.state_dict().items() if not torch.equal(value, plain[key])}
    assert changed == {key for key in plain if key.endswith("bn2.weight")}
    assert all(backbone.model.state_dict()[key].eq(1).all() and plain[key].eq(0).all() for key in changed)


@pytest.mark.parametrize("name", SEGMENTED + HOOKED)
def test_equals_timm_bit_for_bit_and_leaves_no_trace(name: str, frames: torch.Tensor) -> None:
    """Same seed: same parameters, statistics and random state as timm.create_model; same features and logits."""
    plain = untouched(name)
    after_timm = torch.get_rng_state()
    backbone = build(name)
    assert torch.equal(torch.get_rng_state(), after_timm), "the check must not touch the global random state"
    assert all(module.training for module in backbone.modules())
    ours, theirs = backbone.model.state_dict(), plain.state_dict()
    assert list(ours) == list(theirs)
    assert all(torch.equal(ours[key], theirs[key]) for key in ours), "the check must not touch batch-norm statistics"
    assert (backbone.segments is None) == (name in HOOKED)
    plain.eval()
    backbone.eval()
    with torch.no_grad():
        # timm starts residual branches at (nearly) zero; other weights show that those are run too.
        for parameter in plain.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.05)
        backbone.model.load_state_dict(plain.state_dict())
        features = plain.forward_features(frames)
        assert torch.equal(backbone(frames), features)
        assert torch.equal(backbone(frames, identity), features)
        assert torch.equal(backbone(frames, lambda i, x: x + 0 * x), features)
        assert torch.equal(backbone.head(backbone(frames)), plain(frames))


@pytest.mark.parametrize("name", SEGMENTED + HOOKED)
def test_every_tap_is_a_channel_first_map_that_may_be_changed(name: str, frames: torch.Tensor) -> None:
    backbone = build(name).eval()
    seen: list[tuple[int, ...]] = []

    def note(index: int, feature: torch.Tensor) -> torch.Tensor:
        assert index == len(seen)
        seen.append(tuple(feature.shape))
        return feature

    with torch.no_grad():
        plain = backbone(frames, note)
        assert [shape[1:] for shape in seen] == backbone.map_sizes(SIZE)
        for tap, shape in zip(backbone.taps, seen, strict=True):
            assert shape == (2, tap.channels, SIZE // tap.reduction, SIZE // tap.reduction)
        for at in range(len(backbone.taps)):
            changed = backbone(frames, lambda i, x, at=at: x.flip(1) if i == at else x)
            assert not torch.equal(changed, plain)
    wanted = [16, 16, 16, 16] if name in HOOKED else [4, 8, 16, 32]
    assert [tap.reduction for tap in backbone.taps] == wanted


def test_a_token_map_lies_as_its_patches_do(frames: torch.Tensor) -> None:
    """Changing one pixel patch of the input moves the first tap's map most at that patch's place."""
    backbone = build(HOOKED[0]).eval()
    moved = frames.clone()
    moved[:, :, 16:32, 48:64] += 3.0  # row 1, column 3 of the 4x4 patches
    with torch.no_grad():
        change = (backbone(moved, stop_after=0) - backbone(frames, stop_after=0)).abs().sum(1)[0]
    assert change.flatten().argmax().item() == 1 * 4 + 3


@pytest.mark.parametrize("name", ["resnet18", "swin_tiny_patch4_window7_224", "vit_tiny_patch16_224"])
def test_stop_after_returns_the_injected_map_and_runs_nothing_behind_it(name: str, frames: torch.Tensor) -> None:
    backbone = build(name).train()
    visited: list[int] = []

    def inject(index: int, feature: torch.Tensor) -> torch.Tensor:
        visited.append(index)
        return feature + 1

    out = backbone(frames, inject, stop_after=1)
    assert visited == [0, 1]
    assert out.shape[1:] == backbone.map_sizes(SIZE)[1]
    out.square().sum().backward()
    reached = {key for key, parameter in backbone.model.named_parameters() if parameter.grad is not None}
    assert reached == {key for key, _ in backbone.path_parameters(1)}
    assert 0 < len(reached) < len(list(backbone.path_parameters()))
    for key, module in backbone.stage_modules(1):
        assert backbone.model.get_submodule(key) is module


def test_stages_behind_the_stop_keep_their_batch_norm_statistics(frames: torch.Tensor) -> None:
    backbone = build("resnet18").train()
    before = copy.deepcopy(backbone.state_dict())
    backbone(frames, stop_after=1)
    changed = {key.split(".")[1] for key, value in backbone.state_dict().items() if not torch.equal(value, before[key])}
    assert changed == {"bn1", "layer1", "layer2"}


def test_map_sizes_leaves_modes_and_statistics_alone() -> None:
    backbone = build("resnet18").train()
    backbone.model.layer1.eval()  # as when a part is frozen
    before = copy.deepcopy(backbone.state_dict())
    assert backbone.map_sizes(48) == [(64, 12, 12), (128, 6, 6), (256, 3, 3), (512, 2, 2)]
    assert all(torch.equal(value, before[key]) for key, value in backbone.state_dict().items())
    assert backbone.training and not backbone.model.layer1.training and backbone.model.layer2.training


def test_a_size_that_the_model_does_not_take_is_named() -> None:
    with pytest.raises(ValueError, match="swin_tiny_patch4_window7_224 does not take frames of 80 px"):
        build("swin_tiny_patch4_window7_224").map_sizes(80)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_a_hooked_copy_injects_for_itself(duplicate, frames: torch.Tensor) -> None:
    backbone = build(HOOKED[0]).eval()
    assert backbone.hooks is not None
    backbone.hooks.fired = []
    twin = duplicate(backbone)
    with torch.no_grad():
        for parameter in backbone.parameters():
            parameter.zero_()
        calls: list[int] = []
        out = twin(frames, lambda i, x: calls.append(i) or x)
        assert calls == [0, 1, 2, 3]
        assert out.abs().max() > 0
        assert backbone.hooks is not None and backbone.hooks.fired == [], "the original's hooks must stay silent"


def test_hooks_are_silent_again_after_an_error_and_after_a_stop(frames: torch.Tensor) -> None:
    backbone = build(HOOKED[0]).eval()

    def broken(index: int, feature: torch.Tensor) -> torch.Tensor:
        raise KeyError("broken level")

    with torch.no_grad():
        wanted = backbone(frames)
        with pytest.raises(KeyError, match="broken level"):
            backbone(frames, broken)
        assert torch.equal(backbone.model.forward_features(frames), wanted)
        backbone(frames, lambda i, x: x + 1, stop_after=0)
        assert torch.equal(backbone.model.forward_features(frames), wanted)


def test_gradient_checkpointing_is_refused_with_hooks(frames: torch.Tensor) -> None:
    backbone = build(HOOKED[0])
    backbone.model.set_grad_checkpointing(True)
    with pytest.raises(ValueError, match=r"gradient checkpointing cannot be used with vit_tiny"):
        backbone(frames)


def test_channels_last_gives_the_same_features(frames: torch.Tensor) -> None:
    backbone = build("resnet18", mode="shift").eval()
    with torch.no_grad():
        plain = backbone(frames, num_frames=2)
        backbone = backbone.to(memory_format=torch.channels_last)
        out = backbone(frames.to(memory_format=torch.channels_last), num_frames=2)
    assert out.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(out, plain, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("mode", ["none", "shift"])
def test_torch_compile_sees_one_whole_graph(mode: str, frames: torch.Tensor) -> None:
    backbone = build("resnet18", mode=mode).eval()

    def run(x: torch.Tensor) -> torch.Tensor:
        return backbone(x, lambda i, feature: feature * (i + 1), num_frames=2)

    with torch.no_grad():
        assert torch.equal(torch.compile(run, backend="eager", fullgraph=True)(frames), run(frames))


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("hrnet_w18_small", "its feature_info names modules that it does not have: stage1"),
        ("coat_tiny", "its features are a list"),
    ],
)
def test_a_model_that_cannot_be_embedded_is_refused_with_the_reason(name: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=f"{name} cannot carry motion levels: {reason}"):
        build(name)


class Chain(nn.Module):
    """A model in timm's manner whose forward_features does something between its submodules."""

    feature_info = [{"module": "a", "num_chs": 4, "reduction": 4}, {"module": "b", "num_chs": 4, "reduction": 8}]

    def __init__(self, twist: float) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 4, 4, 4)
        self.b = nn.Conv2d(4, 4, 2, 2)
        self.norm = nn.BatchNorm2d(4)
        self.twist = twist

    def forward_features(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(self.b(self.a(x) * self.twist))


def test_the_check_notices_what_happens_between_submodules(frames: torch.Tensor) -> None:
    honest, twisted = Chain(1.0).eval(), Chain(1.001).eval()
    with torch.no_grad():
        segments, layouts = find_segments(honest, choose_taps(honest), frames, honest.forward_features(frames))
        assert (segments.stages, segments.tail, layouts) == ([["a"], ["b"]], ["norm"], ["NCHW", "NCHW"])
        with pytest.raises(ValueError, match="do not give forward_features"):
            find_segments(twisted, choose_taps(twisted), frames, twisted.forward_features(frames))


def test_taps_are_chosen_by_reduction_and_the_last_map_of_each_counts() -> None:
    model = nn.Module()
    reductions = [1, 2, 4, 4, 8, 32]
    for i in range(len(reductions)):
        model.add_module(f"s{i}", nn.Identity())
    model.feature_info = [
        {"module": f"s{i}", "num_chs": 8 + i, "reduction": reduction} for i, reduction in enumerate(reductions)
    ]
    assert [(tap.stage, tap.reduction, tap.channels) for tap in choose_taps(model)] == [
        (3, 4, 11),
        (4, 8, 12),
        (5, 32, 13),
    ]


def test_more_levels_than_maps_are_refused_with_the_numbers() -> None:
    backbone = build("levit_128s")
    backbone.require_taps(2)
    with pytest.raises(ValueError, match=r"levels=3 needs 3 tapped stages, but levit_128s has 2 \(reductions 16, 32\)"):
        backbone.require_taps(3)


def test_an_unknown_tap_is_refused() -> None:
    with pytest.raises(ValueError, match=r"stop_after=4: resnet18 has taps 0\.\.3"):
        build("resnet18")(torch.zeros(1, 3, 32, 32), stop_after=4)


def test_token_grid() -> None:
    assert token_grid(64, 32, 16, 8) == (4, 2)
    assert token_grid(40, 40, 16, 9) == (3, 3)  # a convolutional stem rounds up
    with pytest.raises(ValueError, match="7 tokens make no map at reduction 16 of frames of 64x32"):
        token_grid(64, 32, 16, 7)


def test_mean_and_std_are_the_models_own() -> None:
    assert build("resnet18").mean == (0.485, 0.456, 0.406)
    assert build("vit_tiny_patch16_224").std == (0.5, 0.5, 0.5)
