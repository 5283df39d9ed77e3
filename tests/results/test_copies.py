from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from results.collect import collect
from results.copies import Copies
from results.tables import all_tables
from tests.results.test_frozen_tables import frozen

OLD, NEW, OTHER = "a" * 64, "b" * 64, "c" * 64
FRAME = pd.DataFrame(
    {
        "run_id": ["one", "two", "two", "three", "three"],
        "fingerprint": [OLD, OLD, NEW, NEW, OTHER],
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
    assert copies.keys((("two", "one", "gone"), OLD)) == ["one", f"two {OLD}", "gone"]
    assert copies.keys((("two",), "")) == [f"two {OLD}", f"two {NEW}"], "its own code, whatever its ancestors' is"
    assert len({copies.key(place) for place in range(len(FRAME))}) == len(FRAME)


def test_an_ancestor_is_the_one_of_the_same_code() -> None:
    copies = Copies(FRAME)
    assert copies.beside(0, ["two", "one"]) == [1, 0]
    assert copies.beside(2, ["two", "three"]) == [2, 3], "what the run's own code has done comes before all else"
    assert copies.beside(4, ["two"]) == [1, 2], "neither is of this code: both, rather than a guess"
    assert copies.beside(0, ["gone"]) == []


def of_split(make: Any, split: str, code: str, correct: int) -> dict[str, Any]:
    benchmark = {"name": "ucf101", "version": "v1", "split": split, "test_per_class": 0, "decoder": "decord"}
    changes: dict[str, Any] = {"data__benchmark": "ucf101", "groups": {}}
    changes["data__manifest_sha256"] = {"train": split * 64, "test": split + "e" * 63}
    config = {f"{phase}.benchmark": benchmark for phase in ("finetune", "test")}
    return dict(make.runs(levels=0, pretraining="none", fingerprint=code, correct=correct, config=config, **changes))


def of_tier(make: Any, tier: str, code: str, correct: int) -> dict[str, Any]:
    benchmark = {"name": "synthmotion", "version": "v1", "split": tier, "test_per_class": 0, "decoder": "decord"}
    config = {f"{phase}.benchmark": benchmark for phase in ("finetune", "test")}
    chain = make.runs(levels=0, pretraining="none", fingerprint=code, correct=correct, config=config)
    chain["test"]["groups"] = {tier: {"top1": 100 * correct / 480, "videos": 480}}
    chain["test"]["group_chance"] = {tier: 25.0}
    return dict(chain)


def codes_of(root: Path, name: str) -> list[tuple[str, set[str]]]:
    """(text, code of the runs that it leads to) of the cells of one table."""
    frame = collect(root)
    (table,) = (one for one in all_tables(frame) if one.name == name)
    copies = Copies(frame)
    cells = [(row, cell) for row in table.rows for cell in row.cells if cell.runs]
    places = [(cell.text, copies.of((cell.runs, row.block))) for row, cell in cells]
    return [(text, {str(frame["fingerprint"].iat[place])[:1] for place in where}) for text, where in places]


@pytest.mark.parametrize(("kind", "table"), [(of_split, "top1_per_split"), (of_tier, "top1_per_tier")])
def test_one_part_done_by_two_codes(kind: Any, table: str, make: Any, tmp_path: Path) -> None:
    """A row of several parts names its code, though only one of them has two."""
    names = "123" if kind is of_split else ("direction", "change", "order")
    make.save(tmp_path / "a", *(kind(make, name, OLD, 240) for name in names))
    make.save(tmp_path / "b", kind(make, names[1], NEW, 300))
    found = codes_of(tmp_path, table)
    assert found and all(len(codes) == 1 for _, codes in found), found
    assert {text[:4] for text, codes in found if codes == {"b"}} == {"62.5"}


def test_a_retrieval_done_by_two_codes(make: Any, tmp_path: Path) -> None:
    for code, recall in ((OLD, 40.0), (NEW, 30.0)):
        make.save(tmp_path / code[:1], frozen(make, "retrieval", recall, fingerprint=code))
    make.save(tmp_path / "a", frozen(make, "probe", 60.0, fingerprint=OLD))
    found = codes_of(tmp_path, "self_supervised_evaluation")
    assert found and all(len(codes) == 1 for _, codes in found), found
    assert {codes.pop() for text, codes in found if text.startswith("30.0")} == {"b"}


def test_no_runs() -> None:
    assert Copies(pd.DataFrame()).of((("one",), "")) == [] and Copies(pd.DataFrame()).keys((("one",), "")) == ["one"]
