"""Composing configurations as `python sweeps/run.py` does, without starting it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

SWEEPS = Path(__file__).resolve().parents[2] / "sweeps"
if str(SWEEPS) not in sys.path:
    sys.path.append(str(SWEEPS))  # where run.py lets Hydra find hydra_plugins/

from sweeps import schema  # noqa: E402

schema.register()


@pytest.fixture
def composed() -> Iterator[Callable[..., DictConfig]]:
    """compose(*overrides) -> the configuration of one job."""
    with initialize_config_dir(config_dir=str(SWEEPS / "conf"), version_base="1.3"):
        yield lambda *overrides: compose("config", overrides=list(overrides))


@pytest.fixture
def settings(composed: Callable[..., DictConfig]) -> Callable[..., dict[str, Any]]:
    """settings(*overrides) -> the same as plain types, which is what sweeps.resolve takes."""

    def plain(*overrides: str) -> dict[str, Any]:
        container = OmegaConf.to_container(composed(*overrides), resolve=True, throw_on_missing=True)
        assert isinstance(container, dict)
        return container

    return plain
