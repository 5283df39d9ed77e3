"""When each level joins the pretraining: a plan made of turns, computed before the first step."""

from __future__ import annotations

from dataclasses import dataclass

from hcml.config import ConfigError, CurriculumConfig


@dataclass(frozen=True)
class Turn:
    """Consecutive steps with the same active levels; the learning rate restarts at each turn."""

    first_step: int
    num_steps: int
    active_levels: int
    """Levels 1..active_levels are computed and have their losses on."""

    @property
    def end(self) -> int:
        """The step behind the turn's last one."""
        return self.first_step + self.num_steps


def turns(curriculum: CurriculumConfig, levels: int, total_steps: int) -> list[Turn]:
    """The turns of a pretraining of ``total_steps`` steps, in order, without gaps.

    ``progressive``: turn ``l`` has levels 1..l active (a started loss stays on), its length is
    ``steps_per_level[l - 1]`` or an even share of the steps. ``joint``: one turn with all levels.

    Raises ConfigError when there is no level, when a turn would be empty, or when ``steps_per_level`` does not fit
    ``levels`` and ``total_steps``.
    """
    if levels < 1:
        raise ConfigError(f"levels={levels}: a curriculum needs at least one level")
    if total_steps < 1:
        raise ConfigError(f"total_steps={total_steps}: a curriculum needs at least one step")
    lengths = curriculum.steps_per_level
    if curriculum.name == "joint":
        if lengths:
            raise ConfigError(
                f"curriculum.steps_per_level={lengths} has no meaning with curriculum.name=joint: empty it"
            )
        return [Turn(0, total_steps, levels)]
    if not lengths:
        if total_steps < levels:
            raise ConfigError(
                f"{total_steps} steps cannot be split over levels={levels}: pretrain for at least {levels} steps"
            )
        edges = [level * total_steps // levels for level in range(levels + 1)]
    else:
        if len(lengths) != levels or sum(lengths) != total_steps:
            raise ConfigError(
                f"curriculum.steps_per_level={lengths} must name {levels} turns that add up to {total_steps} steps"
            )
        edges = [sum(lengths[:level]) for level in range(levels + 1)]
    return [Turn(edges[i], edges[i + 1] - edges[i], i + 1) for i in range(levels)]


def turn_at(plan: list[Turn], step: int) -> Turn:
    """The turn that holds ``step``; ValueError when none does."""
    for turn in plan:
        if turn.first_step <= step < turn.end:
            return turn
    raise ValueError(f"step {step} lies outside the plan of {plan[-1].end if plan else 0} steps")
