from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hcml.config import (
    BackboneConfig,
    BenchmarkConfig,
    ComputeConfig,
    ConfigError,
    FinetuneRun,
    LengthConfig,
    ModelConfig,
    ObjectiveConfig,
    PretrainRun,
    SamplingConfig,
    TestRun,
    TransformConfig,
    science,
    split_batch,
    to_dict,
)

numbers = st.integers(1, 12)


@given(world=numbers, micro=numbers, accumulation=numbers)
def test_what_multiplies_to_the_batch_is_accepted(world: int, micro: int, accumulation: int) -> None:
    batch = world * micro * accumulation
    given_ = LengthConfig(steps=1, batch_size=batch, micro_batch=micro, accumulation=accumulation)
    follows = replace(given_, micro_batch=0)
    assert split_batch(given_, world) == split_batch(follows, world) == (micro, accumulation)
    assert split_batch(given_, world).share * world == batch


@given(world=numbers, batch=st.integers(1, 64), micro=st.integers(0, 12), accumulation=numbers)
def test_a_split_is_the_batch_or_is_refused_with_the_numbers(
    world: int, batch: int, micro: int, accumulation: int
) -> None:
    length = LengthConfig(steps=1, batch_size=batch, micro_batch=micro, accumulation=accumulation)
    try:
        split = split_batch(length, world, "pretrain.length")
    except ConfigError as error:
        text = str(error)
        assert f"pretrain.length.batch_size={batch}" in text and f"{world} process" in text
        assert f"pretrain.length.accumulation={accumulation}" in text
        assert batch % (world * accumulation) if not micro else batch != world * micro * accumulation
    else:
        assert split.micro_batch * split.accumulation * world == batch
        assert split.accumulation == accumulation and micro in (0, split.micro_batch)


@given(world=numbers, batch=st.integers(1, 64), micro=numbers, accumulation=numbers)
def test_the_advice_of_a_refusal_works(world: int, batch: int, micro: int, accumulation: int) -> None:
    length = LengthConfig(steps=1, batch_size=batch, micro_batch=micro, accumulation=accumulation)
    try:
        split_batch(length, world)
    except ConfigError as error:
        for way in str(error).partition(": set ")[2].split(", or "):
            key, _, value = way.partition(" ")[0].rstrip(",").partition("=")
            if key.startswith("length."):
                split_batch(replace(length, **{key.removeprefix("length."): int(value)}), world)
            else:
                split_batch(length, int(key))


def test_messages_name_the_numbers_and_the_ways_out() -> None:
    odd = LengthConfig(steps=1, batch_size=16)
    with pytest.raises(ConfigError, match=r"3 processes x finetune.length.accumulation=1 = 3 does not divide it. Set"):
        split_batch(odd, 3, "finetune.length")
    with pytest.raises(
        ConfigError, match=r"2 processes x length.micro_batch=16 x length.accumulation=1 = 32 clips, but"
    ):
        split_batch(replace(odd, micro_batch=16), 2)
    with pytest.raises(ConfigError, match=r"set length.micro_batch=8 \(or 0, which follows\)"):
        split_batch(replace(odd, micro_batch=16), 2)


@pytest.mark.parametrize("values", [{"micro_batch": -1}, {"accumulation": 0}])
def test_impossible_numbers_are_refused(values: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="must be at least"):
        LengthConfig(steps=1, **values)


def test_an_unknown_kind_of_batchnorm_is_refused() -> None:
    with pytest.raises(ConfigError, match="compute.bn='none' is not one of local, sync, frozen"):
        ComputeConfig(bn="none")


Make = Callable[..., FinetuneRun]


def common(levels: int = 2) -> dict:
    return {
        "model": ModelConfig(backbone=BackboneConfig(name="test_resnet"), levels=levels, num_frames=5, input_size=32),
        "benchmark": BenchmarkConfig(),
        "sampling": SamplingConfig(num_frames=5),
        "transform": TransformConfig(crop_size=32),
    }


@pytest.fixture
def finetune() -> Make:
    def make(bn: str = "local", **length: int) -> FinetuneRun:
        values = {"steps": 4, "batch_size": 16} | length
        return FinetuneRun(**common(), compute=ComputeConfig(bn=bn), length=LengthConfig(**values))

    return make


def test_the_split_is_part_of_a_run_where_it_changes_a_result(finetune: Make) -> None:
    plain = science(finetune())
    assert "bn" not in plain["compute"] and set(plain["length"]) == {"steps", "epochs", "batch_size"}
    assert plain == science(finetune(micro_batch=16)) != science(finetune(micro_batch=8))
    assert science(finetune(accumulation=2)) == science(finetune(micro_batch=8, accumulation=2))
    assert science(finetune(micro_batch=8)) != science(finetune(micro_batch=8, accumulation=2))
    assert science(finetune("sync")) == science(finetune("sync", micro_batch=4)) != plain
    assert science(finetune("sync", accumulation=2)) != science(finetune("sync"))
    assert science(finetune("frozen")) == science(finetune("frozen", micro_batch=2, accumulation=4)) != plain
    assert to_dict(finetune())["length"]["accumulation"] == 1


def test_a_test_does_not_read_it() -> None:
    run = TestRun(**common(), compute=ComputeConfig(bn="frozen"))
    assert science(run) == science(replace(run, compute=ComputeConfig()))


def test_accumulation_is_refused_where_it_would_take_negatives_away() -> None:
    twice = {"length": LengthConfig(steps=4, batch_size=16, accumulation=2)}
    with pytest.raises(ConfigError, match="pretrain.length.accumulation=2 gives a contrastive loss fewer negatives"):
        PretrainRun(**common(), **twice)
    with pytest.raises(ConfigError, match="finetune.length.accumulation=2 gives"):
        FinetuneRun(**common(), **twice, auxiliary_weight=0.5, objective=ObjectiveConfig())
    PretrainRun(**common(levels=1), **twice)
    FinetuneRun(**common(), **twice)
