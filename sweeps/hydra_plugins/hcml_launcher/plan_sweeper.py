"""Hydra's basic sweeper without its rehearsal: the `plan` launcher composes and checks every job before any starts, so
that composing all of them once more beforehand only doubles the time of a large sweep."""

from collections.abc import Sequence
from dataclasses import dataclass

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper, BasicSweeperConf
from hydra.core.config_store import ConfigStore


@dataclass
class PlanSweeperConfig(BasicSweeperConf):
    _target_: str = "hydra_plugins.hcml_launcher.plan_sweeper.PlanSweeper"


ConfigStore.instance().store(group="hydra/sweeper", name="plan", node=PlanSweeperConfig, provider="hcml_launcher")


class PlanSweeper(BasicSweeper):
    def validate_batch_is_legal(self, batch: Sequence[Sequence[str]]) -> None:
        pass
