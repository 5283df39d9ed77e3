"""Work for several processes: to read ten thousand records and to make their tables takes longer than all else."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

MANY = 2_000
"""Runs: what there is to do for fewer is done sooner than processes start."""
MOST = 8
_Item = TypeVar("_Item")
_Found = TypeVar("_Found")
_held: list[Sequence[Callable[[], Any]]] = []
"""Of a process that was started to work: what it may be asked to do."""


def usable(runs: int) -> int:
    """How many processes the work for so many runs is worth, this one among them: one for each core, or one alone."""
    # elsewhere no fork is safe, and a helper has no helpers
    if runs < MANY or sys.platform != "linux" or multiprocessing.parent_process() is not None:
        return 1
    return min(len(os.sched_getaffinity(0)), MOST)


def over_processes(read: Callable[[Sequence[str]], list[_Found]], paths: Sequence[str], processes: int) -> list[_Found]:
    """What `read` finds in `paths`, for each path one thing, in their order; each process has a part of them."""
    own, *others = _dealt(paths, processes) or [paths]
    with beside([partial(read, part) for part in others], processes) as found:
        here = read(own)
        return _gathered([here, *found()])


@contextmanager
def beside(makers: Sequence[Callable[[], _Found]], processes: int) -> Iterator[Callable[[], list[_Found]]]:
    """The makers work in all processes but this one while the block does; yields what waits for their results.

    They may be any functions that start no processes, but results are pickled. What one raises is raised where the
    results are asked for; what a process could not end (it was killed, for its memory perhaps) is made here then.
    """
    parts = _dealt(makers, processes - 1)

    def here() -> list[_Found]:
        return [make() for make in makers]

    if not parts:
        yield here
        return
    # forked: a new interpreter would import pandas first, and would not have the makers' data
    fork = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(len(parts), fork, _begin, (parts,)) as pool:
        # a part's results come together: while this process works, each piece of a pipe would wait for its interpreter
        working = [pool.submit(_make_held, number) for number in range(len(parts))]

        def results() -> list[_Found]:
            try:
                return _gathered([future.result() for future in working])
            except BrokenProcessPool:
                return here()

        yield results


def _begin(parts: Sequence[Sequence[Callable[[], Any]]]) -> None:
    _held[:] = parts
    threading.Thread(target=_end_with_the_caller, daemon=True).start()


def _end_with_the_caller() -> None:
    """Or a helper whose caller was killed would wait for ever for somebody to take its results."""
    caller = multiprocessing.parent_process()
    assert caller is not None
    multiprocessing.connection.wait([caller.sentinel])
    os._exit(1)


def _make_held(part: int) -> list[Any]:
    return [make() for make in _held[part]]


def _dealt(items: Sequence[_Item], hands: int) -> list[Sequence[_Item]]:
    """In turns, so that what stands together (all tests, say, which take longest) is everybody's work."""
    return [items[hand::hands] for hand in range(min(hands, len(items)))]


def _gathered(parts: Sequence[Sequence[_Item]]) -> list[_Item]:
    """The items in the order that they had before they were dealt."""
    return [parts[number % len(parts)][number // len(parts)] for number in range(sum(map(len, parts)))]
