"""Several processes of one run, as `torchrun` starts them: who does what, and how all of them end together.

A run is told its place by RANK and WORLD_SIZE in the environment. Processes meet through the store of
torch.distributed, and gather through gloo. A process that fails says so in the store, and the others then fail too,
with its traceback: nobody waits for results that will never come. (One that is killed cannot: torchrun then ends all.)
"""

from __future__ import annotations

import logging
import os
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
from torch.distributed.rendezvous import rendezvous

from hcml.config import ConfigError

log = logging.getLogger(__name__)
T = TypeVar("T")

POLL_SECONDS = 0.1
LEAVE_SECONDS = 60.0
"""How long a process that failed stays until the others have read why."""
FAILED, READ = "hcml/failed", "hcml/read"


class RankFailed(RuntimeError):
    """Another process of this run failed; the message is its traceback."""


@dataclass(frozen=True)
class World:
    """This process among the `size` ones of its run. A world of one needs no torch.distributed."""

    rank: int = 0
    size: int = 1
    store: Any = None

    def check(self) -> None:
        """Raises :class:`RankFailed` when another process has failed; called now and then, it ends the work early."""
        if self.store is not None and self.store.check([FAILED]):
            text = self.store.get(FAILED).decode()
            self.store.add(READ, 1)
            if self.rank == 0:  # it keeps the store, and so leaves last
                self._wait_for(READ, self.size - 1)
            raise RankFailed(text)

    def gather(self, value: T) -> list[T]:
        """The values of all ranks in their order, on rank 0; [] elsewhere. Raises :class:`RankFailed`."""
        if self.size == 1:
            return [value]
        self.meet("gather")  # the gathering itself could not be interrupted
        values: list[Any] | None = [None] * self.size if self.rank == 0 else None
        dist.gather_object(value, values, dst=0)
        return values or []

    def meet(self, where: str) -> None:
        """Wait until all ranks are here. Raises :class:`RankFailed` when one of them never will be."""
        if self.size == 1:
            return
        self.store.add(f"hcml/{where}", 1)
        while self.store.add(f"hcml/{where}", 0) < self.size:
            self.check()
            time.sleep(POLL_SECONDS)

    def fail(self) -> None:
        """Tell the others of the exception that is being handled, and wait until they know."""
        text = f"rank {self.rank} of {self.size} failed:\n{traceback.format_exc().rstrip()}"
        try:
            if self.store.compare_set(FAILED, "", text).decode() != text:
                self.store.add(READ, 1)  # another one was first: its traceback is the cause
            elif self.size > 1:
                self._wait_for(READ, self.size - 1)
        except RuntimeError as error:  # rank 0, which kept the store, is gone
            log.warning("the other processes cannot be told: %s", error)

    def _wait_for(self, key: str, count: int) -> None:
        deadline = time.monotonic() + LEAVE_SECONDS
        while self.store.add(key, 0) < count and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)


def world_size() -> int:
    """Number of processes of this run, from WORLD_SIZE."""
    return _number("WORLD_SIZE", 1)


def rank() -> int:
    """The place of this process among them, from RANK."""
    return _number("RANK", 0)


def _number(name: str, default: int) -> int:
    text = os.environ.get(name, str(default))
    if not text.isdigit():
        raise ConfigError(f"{name}={text!r} in the environment is no number: torchrun sets it, or leave it out")
    return int(text)


@contextmanager
def joined(timeout: timedelta = timedelta(minutes=30)) -> Iterator[World]:
    """The world of this run, while the block lasts. An exception in the block ends the block in every process.

    Raises ConfigError for an environment that contradicts itself and what torch.distributed raises when the
    processes cannot meet within `timeout`.
    """
    size, place = world_size(), rank()
    if size == 1:
        yield World()
        return
    if place >= size:
        raise ConfigError(f"RANK={place} but WORLD_SIZE={size}: ranks count from 0")
    if torch.cuda.is_available():
        torch.cuda.set_device(_number("LOCAL_RANK", place) % torch.cuda.device_count())
    store, place, size = next(iter(rendezvous("env://", timeout=timeout)))
    dist.init_process_group("gloo", store=PrefixStore("gloo", store), rank=place, world_size=size, timeout=timeout)
    world = World(place, size, store)
    try:
        yield world
        world.meet("end")
        dist.barrier()  # rank 0 keeps the store: nobody may still ask it when it leaves
    except RankFailed:
        raise
    except BaseException:
        world.fail()
        raise
    finally:
        dist.destroy_process_group()
