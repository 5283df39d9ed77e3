import pytest
import torch

from hcml.config import ContrastConfig, ModelConfig, MotionConfig, ObjectiveConfig
from hcml.model import build_model
from hcml.objectives.measure import measure_batch
from hcml.objectives.self_supervision import SelfSupervision


@pytest.fixture(scope="module")
def setting():
    torch.manual_seed(0)
    config = ModelConfig(levels=2, num_frames=6, motion=MotionConfig(dim=8))
    model = build_model(config).eval()
    heads = SelfSupervision(config, ObjectiveConfig(), model.backbone.map_sizes(48)[:2]).eval()
    return (lambda clip: model(clip, classify=False).motion), heads


def figures(found):
    return {name: total / count for name, (total, count) in found.items()}


def test_figures_and_baselines(setting):
    motion_of, heads = setting
    clip = torch.rand(3, 6, 3, 48, 48)
    flow = torch.zeros(3, 5, 2, 48, 48)
    flow[:, :, 0] = 2
    found = figures(measure_batch(motion_of, heads, clip, seed=1, flow=flow))
    assert found["end_point_error_still"] == 2
    assert found["end_point_error"] != 2
    for axis in ("all", "time", "space"):
        assert 0 < found[f"chance_{axis}_2"] < 1
        for who in ("top1", "static", "persistence"):
            assert 0 <= found[f"{who}_{axis}_2"] <= 1
    assert found["loss_contrast_2"] > 0 and found["log_n_2"] > 0


def test_repeatable_and_additive(setting):
    motion_of, heads = setting
    clip = torch.rand(2, 6, 3, 48, 48)
    assert measure_batch(motion_of, heads, clip, seed=3) == measure_batch(motion_of, heads, clip, seed=3)


def test_a_still_video_leaves_nothing_to_rank(setting):
    """All times look alike: top-1 over time is a tie, so exactly chance, for the query and for both baselines."""
    motion_of, heads = setting
    still = torch.rand(2, 1, 3, 48, 48).expand(-1, 6, -1, -1, -1)
    found = figures(measure_batch(motion_of, heads, still, seed=0))
    for who in ("top1", "static", "persistence"):
        assert found[f"{who}_time_2"] == pytest.approx(found["chance_time_2"], rel=0.05)


def test_the_training_log_has_the_chance_of_each_top1_by_the_names_of_the_held_out_figures(setting):
    motion_of, heads = setting
    clip = torch.rand(2, 6, 3, 48, 48)
    stats = heads(clip, motion_of(clip), 2, torch.Generator().manual_seed(3)).stats
    found = figures(measure_batch(motion_of, heads, clip, seed=3))
    for axis in ("all", "time", "space"):
        assert 0 <= stats[f"top1_{axis}_2"] <= 1
        assert stats[f"chance_{axis}_2"].item() == pytest.approx(found[f"chance_{axis}_2"], rel=0.05)
    # All of the queries, drawn alike, in both.
    assert stats["chance_all_2"].item() == pytest.approx(found["chance_all_2"], rel=1e-5)
    assert stats["top1_all_2"].item() == pytest.approx(found["top1_all_2"], rel=1e-5)


@pytest.mark.parametrize(
    ("delta", "radius", "scenes", "share", "chance"),
    [
        (1, 0, [0, 1, 1, 2, 2], 2 / 3, 1 / 5),
        (2, 1, [0, 1, 2, 1, 2], 1, (1 / 3 + 1 / 4) / 2),
        (2, 0, [0, 1, 2, 1, 2], 1, 1 / 5),
        (1, 1, [0, 1, 1, 2, 2], 2 / 3, (1 / 3 + 1 / 3 + 1 / 4) / 3),  # t is within the radius of t + 1 as it is
    ],
)
def test_persistence_is_not_compared_with_itself(delta, radius, scenes, share, chance):
    """Where the scene at t + delta is that at t, persistence names it; were its own place among the candidates, it
    would name that one for every query."""
    torch.manual_seed(1)
    lower = torch.randn(3, 3, 8, 4, 4)[:, scenes] + 0.01 * torch.randn(3, 5, 8, 4, 4)
    config = ModelConfig(levels=2, num_frames=6, motion=MotionConfig(dim=8))
    contrast = ContrastConfig(delta=delta, exclusion_radius=radius)
    heads = SelfSupervision(config, ObjectiveConfig(contrast=contrast), [(64, 4, 4), (128, 4, 4)]).eval()
    upper = torch.randn(3, 5, 8, 4, 4)
    found = figures(measure_batch(lambda clip: [lower, upper], heads, torch.rand(3, 6, 3, 16, 16), seed=0))
    assert found["persistence_time_2"] == pytest.approx(share)
    assert found["persistence_all_2"] == pytest.approx(share)
    # The query's chance, not that of persistence, which has one candidate less.
    assert found["chance_time_2"] == pytest.approx(chance)
