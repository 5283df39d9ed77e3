import pytest
from hypothesis import given
from hypothesis import strategies as st

from hcml.config import ConfigError, CurriculumConfig
from hcml.objectives.curriculum import Turn, turn_at, turns


def test_progressive_turns_add_one_level_each() -> None:
    assert turns(CurriculumConfig(), 3, 80) == [Turn(0, 26, 1), Turn(26, 27, 2), Turn(53, 27, 3)]


def test_steps_per_level_sets_the_lengths() -> None:
    plan = turns(CurriculumConfig(steps_per_level=[10, 3, 7]), 3, 20)
    assert plan == [Turn(0, 10, 1), Turn(10, 3, 2), Turn(13, 7, 3)]


def test_joint_is_one_turn_with_all_levels() -> None:
    assert turns(CurriculumConfig(name="joint"), 3, 80) == [Turn(0, 80, 3)]


@given(levels=st.integers(1, 4), extra=st.integers(0, 500))
def test_turns_cover_every_step_once_and_evenly(levels: int, extra: int) -> None:
    total = levels + extra
    plan = turns(CurriculumConfig(), levels, total)
    assert [turn.active_levels for turn in plan] == list(range(1, levels + 1))
    assert plan[0].first_step == 0 and plan[-1].end == total
    assert all(a.end == b.first_step for a, b in zip(plan, plan[1:], strict=False))
    lengths = [turn.num_steps for turn in plan]
    assert max(lengths) - min(lengths) <= 1
    for step in (0, total // 2, total - 1):
        turn = turn_at(plan, step)
        assert turn.first_step <= step < turn.end


@pytest.mark.parametrize(
    ("curriculum", "levels", "steps", "message"),
    [
        (CurriculumConfig(), 3, 2, "at least 3 steps"),
        (CurriculumConfig(), 0, 10, "at least one level"),
        (CurriculumConfig(), 1, 0, "at least one step"),
        (CurriculumConfig(steps_per_level=[5, 5]), 3, 10, "3 turns that add up to 10"),
        (CurriculumConfig(steps_per_level=[5, 5]), 2, 11, "add up to 11"),
        (CurriculumConfig(name="joint", steps_per_level=[5, 5]), 2, 10, "joint"),
    ],
)
def test_impossible_plans_are_refused(curriculum: CurriculumConfig, levels: int, steps: int, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        turns(curriculum, levels, steps)


def test_a_step_outside_the_plan_is_an_error() -> None:
    plan = turns(CurriculumConfig(), 2, 10)
    for step in (-1, 10):
        with pytest.raises(ValueError, match="outside the plan of 10 steps"):
            turn_at(plan, step)
