"""A small specification that renders in milliseconds."""

import pytest

from benchmarks.synthmotion import Spec


@pytest.fixture(scope="session")
def small_spec() -> Spec:
    return Spec(size=40, frames=8, radii_train=(5.0, 7.0), radii_test=(6.0,))
