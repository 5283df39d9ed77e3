"""A small specification that renders in milliseconds, and small imitations of the official data sets."""

from collections.abc import Callable
from pathlib import Path

import pytest

import benchmarks
from benchmarks.synthesize import synthesize
from benchmarks.synthmotion import Spec


@pytest.fixture(scope="session")
def small_spec() -> Spec:
    return Spec(size=40, frames=8, radii_train=(5.0, 7.0), radii_test=(6.0,))


@pytest.fixture(scope="session")
def imitation(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Name of a data set -> the root of an imitation: 6 classes, in each split 2 training videos and 1 test video of
    each, 32 pixels high. Rendered once a session, so nothing must be changed in it."""
    made: dict[str, Path] = {}

    def root_of(name: str) -> Path:
        if name not in made:
            made[name] = synthesize(
                benchmarks.module_of(name),
                tmp_path_factory.mktemp(name),
                classes=6,
                train_per_class=2,
                test_per_class=1,
                short_side=32,
                processes=1,
            )
        return made[name]

    return root_of
