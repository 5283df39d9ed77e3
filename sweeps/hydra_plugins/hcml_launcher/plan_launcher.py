"""Hydra's `plan` launcher: all jobs of a sweep as one plan.

A stock launcher runs job after job, each composing its own configuration; this one composes and validates all of them
first, merges the runs they share, skips what is finished, and reports once. (Hydra takes launchers only from the
namespace package `hydra_plugins`.)
"""

# No `from __future__ import annotations` here: Hydra executes plugin modules before they are in sys.modules, where
# dataclasses would look such annotations up.
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, filter_overrides, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict


@dataclass
class PlanLauncherConfig:
    _target_: str = "hydra_plugins.hcml_launcher.plan_launcher.PlanLauncher"


ConfigStore.instance().store(group="hydra/launcher", name="plan", node=PlanLauncherConfig, provider="hcml_launcher")


class PlanLauncher(Launcher):
    """Ends the process itself, with the sweep's exit code, because Hydra would reduce every failure to a traceback."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.hydra_context, self.config = hydra_context, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        from sweeps.launch import launch

        setup_globals()
        composed: list[tuple[Sequence[str], DictConfig | Exception]] = []
        for number, overrides in enumerate(job_overrides, start=initial_job_idx):
            shown = list(filter_overrides(overrides))
            try:
                config = self.hydra_context.config_loader.load_sweep_config(self.config, list(overrides))
            except Exception as error:  # whatever composing raises is this job's problem, listed with the others
                composed.append((shown, error))
                continue
            with open_dict(config):
                config.hydra.job.id = str(number)
                config.hydra.job.num = number
            HydraConfig.instance().set_config(config)
            with open_dict(config):
                del config["hydra"]
            composed.append((shown, config))
        sys.exit(launch(composed))
