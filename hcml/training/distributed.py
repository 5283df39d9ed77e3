"""Several processes of one run: who does what, and how all of them end together.

A run is told its place by RANK and WORLD_SIZE in the environment (rendezvous.py: where they meet). What is not
gradients goes through the store of torch.distributed and through gloo. A process that fails says so in the store, and
the others then fail too, with its traceback: nobody waits for results that will never come (watcher.py).
"""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch.distributed.distributed_c10d import PrefixStore

from hcml.training.preemption import Preempted
from hcml.training.rendezvous import meet, meeting_file, number, place
from hcml.training.watcher import (
    FAILED,
    GRACE_SECONDS,
    INTERRUPTED,
    LEAVE_SECONDS,
    Failure,
    OnFailure,
    Watcher,
    leave,
    wait_for_readers,
)

log = logging.getLogger(__name__)
T = TypeVar("T")

POLL_SECONDS = 0.1
TIMEOUT = timedelta(minutes=30)


class RankFailed(RuntimeError):
    """Another process of this run failed; the message is its traceback."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.text)
        self.summary = failure.summary


class RankLost(RuntimeError):
    """The connection to another process broke."""


@dataclass(frozen=True)
class World:
    """This process among the `size` ones of its run. A world of one needs no torch.distributed."""

    rank: int = 0
    size: int = 1
    store: Any = None
    watcher: Watcher | None = None
    timeout: timedelta = TIMEOUT
    """After which a collective counts as broken."""

    @property
    def first(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    def check(self) -> None:
        """Raises :class:`RankFailed` when another process has failed, and KeyboardInterrupt when it was asked to stop;
        called now and then, it ends the work early."""
        if self.watcher is not None and (failure := self.watcher.failure) is not None:
            raise _cause(failure)

    def gather(self, value: T) -> list[T]:
        """The values of all ranks in their order, on rank 0; [] elsewhere. Raises :class:`RankFailed`."""
        if self.size == 1:
            return [value]
        self.meet("gather")  # the gathering itself could not be interrupted
        values: list[Any] | None = [None] * self.size if self.rank == 0 else None
        dist.gather_object(value, values, dst=0)
        return values or []

    def gather_all(self, value: T) -> list[T]:
        """The values of all ranks in their order, on every rank."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, value)
        return values

    def share(self, value: T) -> T:
        """Rank 0's value, on every rank."""
        if self.size == 1:
            return value
        values = [value if self.rank == 0 else None]
        dist.broadcast_object_list(values, src=0)
        return value if self.rank == 0 else values[0]  # type: ignore[return-value]

    def meet(self, where: str) -> None:
        """Wait until all ranks are here. Raises :class:`RankFailed` when one of them never will be."""
        if self.size == 1:
            return
        self.store.add(f"hcml/{where}", 1)
        while self.store.add(f"hcml/{where}", 0) < self.size:
            self.check()
            time.sleep(POLL_SECONDS)

    def fail(self, interrupted: bool = False, wait: float = LEAVE_SECONDS) -> None:
        """Tell the others of the exception that is being handled, and wait until they know, at most `wait` seconds."""
        assert self.watcher is not None
        self.watcher.own = True
        if interrupted:
            text = f"{INTERRUPTED}rank {self.rank} of {self.size} was asked to stop"
        else:
            text = f"rank {self.rank} of {self.size} failed:\n{traceback.format_exc().rstrip()}"
        try:
            self.store.compare_set(FAILED, "", text)
            wait_for_readers(self.store, self.size, wait)  # this process reads it, too
        except RuntimeError as error:  # rank 0, which kept the store, is gone
            log.warning("the other processes cannot be told: %s", error)


def world_size() -> int:
    """Number of processes of this run, from WORLD_SIZE."""
    return number("WORLD_SIZE", 1)


def rank() -> int:
    """The place of this process among them, from RANK."""
    return number("RANK", 0)


@contextmanager
def joined(timeout: timedelta = TIMEOUT, on_failure: OnFailure = leave, patience: float = 0.0) -> Iterator[World]:
    """The world of this run, while the block lasts. An exception in the block ends the block in every process.

    Args:
        timeout: within which the processes must meet, and after which a collective counts as broken.
        on_failure: called from another thread when another process has failed and this one's main thread cannot be
            reached, since it waits in a collective; the process then ends with the exit code that it returns.
        patience: seconds by which the first process may come later than within `timeout`; may be infinite.

    Raises ConfigError for an environment that contradicts itself, CalledOff when the first process does not start the
    run, and what torch.distributed raises when the processes cannot meet.
    """
    if world_size() == 1:
        yield World()
        return
    here = place()
    if torch.cuda.is_available():
        torch.cuda.set_device(here.local_rank % torch.cuda.device_count())
    store = meet(here, timeout, patience)
    watcher = Watcher(_second_connection(store), here.rank, here.size, on_failure)
    watcher.start()
    world = World(here.rank, here.size, store, watcher, timeout)
    try:
        dist.init_process_group(
            "gloo", store=PrefixStore("gloo", store), rank=here.rank, world_size=here.size, timeout=timeout
        )
        try:
            yield world
        except Preempted:  # all of them stop at one step
            _part(world)
            raise
        _part(world)
    except KeyboardInterrupt:
        if watcher.failure is None:
            world.fail(interrupted=True)
        raise
    except BaseException as error:
        _explain(world, error)
        raise
    finally:
        if world.first and watcher.failure is not None and not watcher.own:
            # the store goes with this process: the others would read of a broken connection, and not why
            wait_for_readers(store, here.size, GRACE_SECONDS)
        watcher.stop()
        if dist.is_initialized():
            dist.destroy_process_group()
        if world.first and (path := meeting_file()) is not None:
            path.unlink(missing_ok=True)


def _part(world: World) -> None:
    """Leave together: rank 0 keeps the store, which nobody may still ask when it is gone."""
    world.meet("end")
    assert world.watcher is not None
    world.watcher.stop()
    dist.barrier()


def _cause(failure: Failure) -> BaseException:
    """What the end of another process means for this one."""
    return KeyboardInterrupt(failure.summary) if failure.interrupted else RankFailed(failure)


def _explain(world: World, error: BaseException) -> None:
    """Tell the others of `error`; or, where it is only the echo of another process's end, raise that in its place."""
    assert world.watcher is not None
    if isinstance(error, RankFailed | Preempted):
        return
    if not _is_connection(error):
        world.fail()
        return
    if (failure := world.watcher.wait(2.0)) is not None:
        raise _cause(failure) from error
    try:
        raise RankLost(
            f"the connection to another process of this run broke ({str(error).splitlines()[0]}): it was killed (out "
            "of memory?), or its node died. The run goes on from its last checkpoint when it is started again"
        ) from error
    except RankLost:
        world.fail(wait=GRACE_SECONDS)  # the one that is gone will never read it
        raise


def _is_connection(error: BaseException) -> bool:
    """Whether an error of torch.distributed says that the other side is gone. Our own errors are RuntimeErrors, too: a
    checkpoint that a network file system lost to `Connection timed out` must keep its own message."""
    if type(error) is not RuntimeError and not isinstance(error, dist.DistError):
        return False
    signs = ("gloo", "nccl", "connection", "broken pipe", "reset by peer", "socket")
    return any(sign in str(error).lower() for sign in signs)


def _second_connection(store: Any) -> Any:
    """Another connection to the same store, where this version of torch can make one: a connection that waits for a
    key is blocked for everybody else."""
    return store.clone() if hasattr(store, "clone") else store
