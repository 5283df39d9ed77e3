"""A run that two codes have done is in a frame twice, under one id: which of the two stands behind a cell."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cached_property

import pandas as pd

Behind = tuple[tuple[str, ...], str]
"""Of a cell: the ids of its runs, and the block of its row, which names the code where a table has runs of several."""


class Copies:
    """The rows of a frame of :func:`results.collect.collect` by run id; a place is the number of a row."""

    def __init__(self, frame: pd.DataFrame) -> None:
        self._frame = frame

    @cached_property
    def _places(self) -> dict[str, list[int]]:
        places: dict[str, list[int]] = {}
        for place, run_id in enumerate(self._ids):
            places.setdefault(run_id, []).append(place)
        return places

    def _values(self, column: str) -> list[str]:
        return [] if self._frame.empty else [str(value) for value in self._frame[column].to_numpy()]

    @cached_property
    def _ids(self) -> list[str]:
        return self._values("run_id")

    @cached_property
    def _code(self) -> list[str]:
        return self._values("fingerprints")

    @cached_property
    def _own(self) -> list[str]:
        return self._values("fingerprint")

    def of(self, behind: Behind) -> list[int]:
        """The places of the runs behind a cell, in the order of their ids; of one that two codes have done, that of the
        code which the block names, both where it names none."""
        ids, block = behind
        found: list[int] = []
        for run_id in sorted(set(ids)):
            copies = self._places.get(run_id, [])
            found += [place for place in copies if len(copies) > 1 and _names(block, self._code[place])] or copies
        return found

    def beside(self, place: int, ids: Iterable[str]) -> list[int]:
        """The places of the ancestors `ids` of a run; of one that two codes have done, that of the run's own code,
        else that of any code which its chain names, else all."""
        own, *_ = chain = self._code[place].split("+")
        found: list[int] = []
        for run_id in ids:
            copies = self._places.get(run_id, [])
            codes = {one: self._code[one].split("+") for one in copies}
            same = [one for one in copies if codes[one][0] == own]
            found += same or [one for one in copies if set(codes[one]) <= set(chain)] or copies
        return found

    def keys(self, behind: Behind) -> list[str]:
        """Of the runs behind a cell, those of the frame and those that it has lost."""
        places = self.of(behind)
        return [*map(self.key, places), *(run_id for run_id in sorted(set(behind[0])) if run_id not in self._places)]

    def key(self, place: int) -> str:
        """The id of a run, and its code where several have done it: no two rows have the same."""
        run_id = self._ids[place]
        return run_id if len(self._places[run_id]) == 1 else f"{run_id} {self._own[place]}"


def _names(block: str, code: str) -> bool:
    """Whether the block names the code: whole, for code that one half ran is other code."""
    return re.search(rf"(?:^| ){re.escape(code)}(?:;|$)", block) is not None
