from __future__ import annotations

import pandas as pd
import pytest

from results.copies import Copies

OLD, NEW, OTHER = "a" * 64, "b" * 64, "c" * 64
FRAME = pd.DataFrame(
    {
        "run_id": ["one", "two", "two", "three", "three"],
        "fingerprint": [OLD, OLD, NEW, NEW, NEW[:-1] + "d"],
        "fingerprints": [OLD, OLD, f"{NEW}+{OLD}", NEW, OTHER],
    }
)


@pytest.mark.parametrize(
    ("ids", "block", "places"),
    [
        (("one",), "", [0]),
        (("two", "one", "two"), f"code {OLD}", [0, 1]),
        (("two",), f"1: synthmotion v1; {NEW}+{OLD}; quick", [2]),
        (("two",), OLD, [1]),
        (("two",), f"quick; {OLD};", [1]),
        (("two",), "nothing of code", [1, 2]),
        (("two",), f"{NEW}", [1, 2]),  # only half of it is of this code
        (("gone",), OLD, []),
    ],
)
def test_the_code_that_a_block_names_chooses(ids: tuple[str, ...], block: str, places: list[int]) -> None:
    assert Copies(FRAME).of((ids, block)) == places


def test_keys_tell_copies_apart_and_keep_what_is_lost() -> None:
    copies = Copies(FRAME)
    assert copies.keys((("two", "one", "gone"), OLD)) == ["one", f"two {'a' * 12}", "gone"]
    assert copies.keys((("two",), "")) == [f"two {'a' * 12}", f"two {'b' * 12}"]
    keys = [copies.key(place) for place in range(len(FRAME))]
    assert keys[0] == "one" and len({*keys}) >= 4


def test_an_ancestor_is_the_one_of_the_same_code() -> None:
    copies = Copies(FRAME)
    assert copies.beside(0, ["two", "one"]) == [1, 0]
    assert copies.beside(2, ["two"]) == [1, 2], "its chain is of both"
    assert copies.beside(3, ["two"]) == [1, 2], "neither is of this code alone"
    assert copies.beside(0, ["gone"]) == []


def test_no_runs() -> None:
    assert Copies(pd.DataFrame()).of((("one",), "")) == [] and Copies(pd.DataFrame()).keys((("one",), "")) == ["one"]
