import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

import hcml.objectives.contrastive as contrastive
from hcml.config import ContrastConfig
from hcml.objectives.contrastive import (
    Places,
    draw,
    draw_places,
    grid,
    info_nce,
    left_out,
    pool_target,
    query_times,
    rank_positive,
    unit,
    wins,
)


def places(*rows):
    return Places(*(torch.tensor(column) for column in zip(*rows, strict=True)))


def features(batch=3, times=6, dim=8, size=4, seed=0):
    return torch.randn(batch, times, dim, size, size, generator=torch.Generator().manual_seed(seed))


def test_query_times_are_the_frames_of_the_design():
    # T = 8 frames, delta = 1: level 2 queries frames 2..6, i.e. indices 1..5 of P.
    assert list(query_times(2, 7, 1)) == [1, 2, 3, 4, 5]
    assert list(query_times(3, 7, 2)) == [2, 3, 4]
    with pytest.raises(ValueError, match="num_frames=4, delta=2"):
        query_times(3, 3, 2)


def test_equals_cross_entropy_when_nothing_is_left_out():
    config = ContrastConfig(exclusion_radius=0, temperature=0.2)
    target, prediction = unit(features()), unit(features(seed=1))
    every = grid(3, range(6), 4, 4)
    result = info_nce(every.of(prediction), every.of(target), every, every.of(target), every, config)
    scores = every.of(prediction) @ every.of(target).T / 0.2
    expected = F.cross_entropy(scores, torch.arange(len(every)))
    torch.testing.assert_close(result.loss, expected)
    assert result.log_n.item() == pytest.approx(math.log(len(every)))
    assert result.top1.item() == pytest.approx((scores.argmax(1) == torch.arange(len(every))).float().mean().item())


def test_chunks_change_neither_loss_nor_gradient(monkeypatch):
    config = ContrastConfig()
    target = unit(features())
    drawn = draw_places(features(), 2, config, torch.Generator().manual_seed(0))
    results = []
    for chunk in (7, 10_000):
        monkeypatch.setattr(contrastive, "CHUNK", chunk)
        prediction = unit(features(seed=1)).requires_grad_()
        args = (drawn.queries.of(prediction), drawn.positives.of(target), drawn.positives)
        result = info_nce(*args, drawn.keys.of(target), drawn.keys, config)
        results.append((result.loss, torch.autograd.grad(result.loss, prediction)[0]))
    torch.testing.assert_close(results[0][0], results[1][0])
    torch.testing.assert_close(results[0][1], results[1][1])


def test_constant_predictions_lose_log_n():
    config = ContrastConfig()
    target = unit(torch.ones(2, 6, 8, 4, 4))
    drawn = draw_places(torch.ones(2, 6, 8, 4, 4), 2, config, torch.Generator().manual_seed(0))
    keys = drawn.keys.of(target)
    result = info_nce(drawn.queries.of(target), drawn.positives.of(target), drawn.positives, keys, drawn.keys, config)
    torch.testing.assert_close(result.loss, result.log_n)


def test_a_collapsed_level_scores_its_chance():
    """All features are one direction, no round numbers: top-1 is that of a guess, in the loss as in the rankings."""
    config = ContrastConfig()
    direction = torch.randn(32, generator=torch.Generator().manual_seed(0))
    target = unit(direction.view(1, 1, -1, 1, 1).expand(3, 6, -1, 4, 4))
    prediction = unit(features(batch=3, dim=32))
    drawn = draw_places(target, 2, config, torch.Generator().manual_seed(0))
    queries = drawn.queries.of(prediction)
    keys = drawn.keys.of(target)
    result = info_nce(queries, drawn.positives.of(target), drawn.positives, keys, drawn.keys, config)
    assert 0 < result.chance < 0.01
    torch.testing.assert_close(result.top1, result.chance)
    for axis in ("time", "space"):
        ranking = rank_positive(queries, target, drawn.positives, axis, 2, 1)
        torch.testing.assert_close(ranking.hits, ranking.chance)


def test_wins():
    own = torch.tensor([0.5, 0.5, 0.5, 0.5])
    scores = torch.tensor([[0.4, 0.3], [0.6, 0.5], [0.5, 0.5], [0.5, float("-inf")]])
    assert wins(own, scores).tolist() == pytest.approx([1, 0, 1 / 3, 1 / 2])
    assert wins(own[:1], scores[:1, :0]).tolist() == [1]


def test_what_is_left_out():
    positive = places((0, 3, 2, 2))
    keys = places((0, 3, 2, 2), (0, 2, 1, 3), (0, 3, 2, 0), (0, 1, 2, 2), (1, 3, 2, 2))
    names = ["itself", "neighbour", "other place", "other time", "other clip"]

    def kept(**options):
        out = left_out(positive, keys, ContrastConfig(**options))[0]
        return [name for name, gone in zip(names, out.tolist(), strict=True) if not gone]

    assert kept() == ["other place", "other time", "other clip"]
    assert kept(negatives=["space"]) == ["other place"]
    assert kept(negatives=["time"]) == ["other time"]
    assert kept(negatives=["clip"]) == ["other clip"]
    assert kept(exclusion_radius=0) == ["neighbour", "other place", "other time", "other clip"]


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 200), st.integers(1, 80), st.floats(0, 1), st.integers(0, 5))
def test_draws_are_distinct_ascending_and_repeatable(total, count, share, seed):
    weights = torch.rand(total, generator=torch.Generator().manual_seed(seed))
    first, second = (draw(weights, count, share, torch.Generator().manual_seed(seed)) for _ in range(2))
    assert torch.equal(first, second)
    assert len(first) == min(total, count) == len(first.unique())
    assert torch.equal(first, first.sort().values)


def test_draws_prefer_motion():
    weights = torch.zeros(1000)
    weights[100:150] = 1.0
    chosen = draw(weights, 100, 0.5, torch.Generator().manual_seed(0))
    moving = ((chosen >= 100) & (chosen < 150)).sum()
    assert moving == 50  # the motion share takes all that moves; there are only 50


def test_targets_carry_no_gradient_and_are_pooled():
    motion = torch.arange(16.0).view(1, 1, 1, 4, 4).requires_grad_()
    pooled = pool_target(motion, 2, 2)
    assert not pooled.requires_grad
    assert pooled.flatten().tolist() == [2.5, 4.5, 10.5, 12.5]


def test_gradient_descent_lowers_the_loss():
    torch.manual_seed(0)
    config = ContrastConfig()
    raw = features()
    target = unit(raw)
    predictor = contrastive.Predictor(8)
    optimiser = torch.optim.Adam(predictor.parameters(), lr=1e-2)
    losses = []
    for step in range(40):
        drawn = draw_places(raw, 2, config, torch.Generator().manual_seed(step))
        # The future is in the input: what is to be learned is to pass it on.
        future = torch.roll(raw, -1, dims=1).flatten(0, 1)
        prediction = unit(predictor(future).view(raw.shape))
        args = (drawn.queries.of(prediction), drawn.positives.of(target), drawn.positives)
        loss = info_nce(*args, drawn.keys.of(target), drawn.keys, config).loss
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.6 * losses[0]


def test_ranking_over_time_and_space():
    target = unit(features(batch=1, times=6, size=3))
    positives = places((0, 4, 1, 1), (0, 0, 0, 0))
    perfect = rank_positive(positives.of(target), target, positives, "time", 2, 1)
    assert perfect.hits == 2
    # time 4: candidates 0, 1, 2 beside it; time 0: candidates 2..5.
    assert perfect.chance.item() == pytest.approx(1 / 4 + 1 / 5)
    place = rank_positive(positives.of(target), target, positives, "space", 2, 1)
    assert place.hits == 2
    assert place.chance.item() == pytest.approx(1 / 1 + 1 / 6)  # the centre of 3x3 has no place left


def test_times_before_the_first_target_are_no_candidates():
    """Six times, radius 1. The target's double stands at index 0, where only P_1 has seen all its frames."""
    target = unit(features(batch=1, times=6, size=3))
    target[:, 0] = target[:, 4]
    positives = places((0, 4, 1, 1))
    queries = positives.of(target)
    expected = {2: (1 / 2, 1 / 4), 3: (1, 1 / 3), 4: (1, 1 / 2)}  # candidates 0, 1, 2 | 1, 2 | 2 beside the positive
    for level, (hits, chance) in expected.items():
        ranking = rank_positive(queries, target, positives, "time", level, 1)
        assert (ranking.hits.item(), ranking.chance.item()) == pytest.approx((hits, chance))
        space = rank_positive(queries, target, places((0, 4, 0, 0)), "space", level, 1)
        assert space.chance.item() == pytest.approx(1 / 6)  # places of one time: the same at every level


def test_level_2_ranks_over_all_times():
    """Spelled out, time by time: every index of P holds a target of level 2."""
    target, prediction = unit(features(seed=2)), unit(features(seed=3))
    drawn = draw_places(features(seed=2), 2, ContrastConfig(), torch.Generator().manual_seed(0))
    queries = drawn.queries.of(prediction)
    hits = chance = 0.0
    rows = zip(queries, drawn.positives.clip, drawn.positives.time, drawn.positives.y, drawn.positives.x, strict=True)
    for query, clip, time, y, x in rows:
        others = [t for t in range(6) if abs(t - int(time)) > 1]
        scores = [float(query @ target[clip, t, :, y, x]) for t in (int(time), *others)]
        hits += scores[0] == max(scores)
        chance += 1 / len(scores)
    ranking = rank_positive(queries, target, drawn.positives, "time", 2, 1)
    assert (ranking.hits.item(), ranking.chance.item()) == pytest.approx((hits, chance))


def test_ties_count_as_chance():
    target = unit(torch.ones(1, 6, 4, 3, 3))
    positives = places((0, 4, 0, 0))
    ranking = rank_positive(positives.of(target), target, positives, "time", 2, 1)
    assert ranking.hits == ranking.chance == 0.25
