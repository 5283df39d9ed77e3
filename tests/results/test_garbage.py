from __future__ import annotations

import gc

import pytest

from results.garbage import no_search_for_cycles


@pytest.mark.parametrize("before", [True, False])
def test_the_search_is_as_before_whatever_happens(before: bool) -> None:
    was = gc.isenabled()
    try:
        gc.enable() if before else gc.disable()
        with pytest.raises(ZeroDivisionError), no_search_for_cycles():
            assert not gc.isenabled()
            1 / 0  # noqa: B018
        assert gc.isenabled() == before
    finally:
        gc.enable() if was else gc.disable()


def test_what_somebody_has_frozen_stays_frozen() -> None:
    gc.freeze()
    try:
        before = gc.get_freeze_count()
        with no_search_for_cycles():
            pass
        assert gc.get_freeze_count() > before / 2 > 0, "some of it may end"
    finally:
        gc.unfreeze()


def test_what_was_made_is_not_young_afterwards() -> None:
    """Or all of it would be searched at once: a quarter of a second for the tables of ten thousand runs."""
    was = gc.isenabled()
    try:
        gc.enable()
        with no_search_for_cycles():
            made = [[number] for number in range(1000)]
        old = set(map(id, gc.get_objects(generation=2)))
        assert all(id(item) in old for item in made)
    finally:
        gc.enable() if was else gc.disable()
