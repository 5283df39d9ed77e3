"""Runs -> array jobs and their dependencies. Pure.

One array for each resource class and phase where the tree of runs allows it. A child depends on its own parent, element
by element: `aftercorr` ties elements of equal index, so the children of an array take the indices of their parents; a
parent with many children has arrays of its own behind it (`afterok` on that one element).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from sweeps.identity import PlannedRun
from sweeps.launchers import Request


@dataclass(frozen=True)
class After:
    """What must have ended well before elements of an array start."""

    array: int | str
    """Number of the array in the list that it is part of, or SLURM's number of one that is in the queue already."""
    index: int | None = None
    """One element of it; None = the element of equal index."""

    def text(self, ids: Sequence[str]) -> str:
        """sbatch's --dependency; `ids`: SLURM's numbers of the arrays submitted so far."""
        number = self.array if isinstance(self.array, str) else ids[self.array]
        return f"aftercorr:{number}" if self.index is None else f"afterok:{number}_{self.index}"


@dataclass
class ArrayJob:
    """Runs of one phase and one resource class."""

    phase: str
    request: Request
    after: After | None
    elements: dict[int, PlannedRun] = field(default_factory=dict)
    """Index -> run."""


def make_arrays(
    todo: Sequence[PlannedRun],
    request_of: Callable[[PlannedRun], Request],
    queued: Mapping[str, str],
    max_array: int,
) -> list[ArrayJob]:
    """Array jobs in the order in which they can be submitted.

    Args:
        todo: runs to submit, parents before children.
        queued: run_id -> SLURM job id (`86_3`) of runs that are in the queue already.
        max_array: indices stay below it, as SLURM's MaxArraySize asks.

    A run whose parent is neither in `todo` nor in `queued` has no dependency: its parent has finished.
    """
    if max_array < 1:
        raise ValueError(f"max_array={max_array} must be at least 1")
    depths: dict[str, int] = {}
    groups: dict[tuple[int, str, Request], list[PlannedRun]] = {}
    for run in todo:
        depth = depths[run.run_id] = depths.get(run.parent or "", -1) + 1
        groups.setdefault((depth, run.phase, request_of(run)), []).append(run)
    arrays: list[ArrayJob] = []
    places: dict[str, tuple[int | str, int]] = {}
    for run_id, job_id in queued.items():
        array, _, index = job_id.partition("_")
        places[run_id] = (array, int(index))
    for (_, phase, request), runs in sorted(groups.items(), key=lambda item: item[0][0]):
        for after, elements in _split(runs, places, max_array):
            for index, run in elements.items():
                places[run.run_id] = (len(arrays), index)
            arrays.append(ArrayJob(phase, request, after, elements))
    return arrays


def _split(
    runs: Sequence[PlannedRun], places: Mapping[str, tuple[int | str, int]], max_array: int
) -> Iterator[tuple[After | None, dict[int, PlannedRun]]]:
    free: list[PlannedRun] = []
    behind: dict[int | str, dict[int, list[PlannedRun]]] = {}
    for run in runs:
        parent = run.parent or ""
        if parent in places:
            array, index = places[parent]
            behind.setdefault(array, {}).setdefault(index, []).append(run)
        else:
            free.append(run)
    yield from ((None, chunk) for chunk in _chunks(free, max_array))
    for array, families in behind.items():
        yield from _families(array, families, max_array)


def _families(
    array: int | str, families: Mapping[int, list[PlannedRun]], max_array: int
) -> Iterator[tuple[After, dict[int, PlannedRun]]]:
    """As few arrays as possible: the largest families get their own, the others go by layers, the n-th child of each
    parent in layer n."""
    largest = sorted(families, key=lambda index: -len(families[index]))
    sizes = [len(families[index]) for index in largest] + [0]
    own = min(range(len(sizes)), key=lambda count: sum(-(-s // max_array) for s in sizes[:count]) + sizes[count])
    for index in largest[:own]:
        yield from ((After(array, index), chunk) for chunk in _chunks(families[index], max_array))
    layers: list[dict[int, PlannedRun]] = [{} for _ in range(sizes[own])]
    for index in sorted(largest[own:]):
        for layer, run in zip(layers, families[index], strict=False):
            layer[index] = run
    yield from ((After(array), layer) for layer in layers)


def _chunks(runs: Sequence[PlannedRun], size: int) -> Iterator[dict[int, PlannedRun]]:
    for start in range(0, len(runs), size):
        yield dict(enumerate(runs[start : start + size]))


def index_list(indices: Sequence[int]) -> str:
    """sbatch's --array of ascending indices: `0-3,7`."""
    spans: list[list[int]] = []
    for index in indices:
        if spans and index == spans[-1][1] + 1:
            spans[-1][1] = index
        else:
            spans.append([index, index])
    return ",".join(f"{a}-{b}" if b > a else str(a) for a, b in spans)
