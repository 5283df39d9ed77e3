"""The finished runs that tables are made of: rows of the frame by phase, and their arms, each found once."""

from __future__ import annotations

import numpy as np
import pandas as pd

from results.arm import Arm, Run
from results.grouping import arms_of


class Runs:
    """The rows of a frame of :func:`results.collect.collect`. The frame must not change while this is used."""

    def __init__(self, frame: pd.DataFrame) -> None:
        self._frame = frame
        self._phases: dict[str, list[Run]] = {}
        self._arms: dict[str, list[Arm]] = {}

    @classmethod
    def of(cls, source: pd.DataFrame | Runs) -> Runs:
        return source if isinstance(source, Runs) else cls(source)

    def phase(self, name: str) -> list[Run]:
        """The runs of one phase, without gaps; ``videos`` = test videos that were read."""
        if name not in self._phases:
            self._phases[name] = _rows(self._frame, name)
        return self._phases[name]

    def arms(self, phase: str) -> list[Arm]:
        if phase not in self._arms:
            self._arms[phase] = arms_of(self.phase(phase))
        return self._arms[phase]


def _rows(frame: pd.DataFrame, phase: str) -> list[Run]:
    if frame.empty:
        return []
    frame = frame.copy(deep=False)
    frame.attrs = {}  # pandas copies them, problems and all, with every column it hands out
    chosen = (frame["phase"] == phase).to_numpy()
    found: list[dict[str, object]] = [{} for wanted in chosen if wanted]
    # column by column: pandas needs a thousand times longer for a row than for its values
    for name in map(str, frame.columns):
        values = frame[name].to_numpy()[chosen]
        places = np.flatnonzero(~pd.isna(values))  # most figures are of other phases
        for place, value in zip(places.tolist(), values[places].tolist(), strict=True):
            found[place][name] = value
    return [run | {"videos": run["videos_test"] - run["unreadable_test"]} for run in found]  # type: ignore[operator]
