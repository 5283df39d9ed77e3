"""What a person types behind the doctor, as the sweep would read it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sweeps.cache import cache_environment
from sweeps.launchers import Request, request_of
from sweeps.schema import DataPaths

CONF = Path(__file__).resolve().parents[1] / "conf"


@dataclass(frozen=True)
class Site:
    """The configurations that were typed: the first of a sweep, and one more for each further value of a sweep.

    (Backbones and data sets are looked at one by one, so no combinations are needed.)
    """

    all_settings: tuple[Mapping[str, Any], ...]
    typed: tuple[str, ...] = ()

    @property
    def launcher(self) -> Mapping[str, Any]:
        launcher: Mapping[str, Any] = self.settings["launcher"]
        return launcher

    @property
    def settings(self) -> Mapping[str, Any]:
        return self.all_settings[0]

    @property
    def runs(self) -> Path:
        return Path(self.settings["paths"]["runs"]).expanduser().resolve()

    @property
    def data(self) -> DataPaths:
        return DataPaths(**self.settings["paths"]["data"])

    @property
    def environment(self) -> dict[str, str]:
        """What `paths.cache` adds to the environment of runs."""
        return cache_environment(self.settings["paths"]["cache"])

    @property
    def slurm(self) -> bool:
        """The sweep would go to SLURM."""
        return self.launcher.get("kind") == "slurm"

    @property
    def tasks_per_node(self) -> int:
        return max(1, int(self.launcher.get("tasks_per_node") or 1))

    def requests(self) -> dict[str, dict[str, Any]]:
        """What is asked for: '' -> the keys of all phases; a phase that has its own -> these in place of them."""
        base = {key: value for key, value in self.launcher.items() if key != "phases"}
        found = {"": base}
        for phase, values in self.launcher["phases"].items():
            own = {key: value for key, value in values.items() if value is not None}
            found |= {phase: base | own} if own else {}
        return found

    def request(self, phase: str) -> Request:
        """What a run of a phase asks for. Raises ConfigError."""
        return request_of(self.settings, phase)


def read_site(arguments: Sequence[str]) -> Site:
    """The site of a command line. Raises what Hydra raises for a key or a file that there is not."""
    from hydra import compose, initialize_config_dir
    from omegaconf import OmegaConf

    from sweeps import schema

    if str(CONF.parent) not in sys.path:
        sys.path.append(str(CONF.parent))  # where Hydra finds hydra_plugins/
    schema.register()
    found = []
    with initialize_config_dir(config_dir=str(CONF), version_base="1.3"):
        for overrides in variants(arguments):
            found.append(OmegaConf.to_container(compose("config", overrides=overrides), resolve=True))
    settings: tuple[Any, ...] = tuple(found)
    return Site(settings, tuple(arguments))


def variants(arguments: Sequence[str]) -> Iterator[list[str]]:
    """The overrides of the first job of a sweep; then the same with one value changed, for each further value."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    choices = []
    for override in OverridesParser.create().parse_overrides(list(arguments)):
        key = override.get_key_element()
        if override.is_sweep_override():
            choices.append([f"{key}={value}" for value in override.sweep_string_iterator()])
        else:
            choices.append([str(override.input_line)])
    first = [values[0] for values in choices]
    yield first
    for place, values in enumerate(choices):
        for value in values[1:]:
            yield [*first[:place], value, *first[place + 1 :]]
