"""How the batch of a step is split over devices and forward passes, and when that is part of what a run is."""

from __future__ import annotations

from typing import Any, NamedTuple

from hcml.config.base import ConfigError, to_dict
from hcml.config.training import LengthConfig


class Split(NamedTuple):
    """processes x micro_batch x accumulation = batch_size."""

    micro_batch: int
    """Clips of one forward pass on one device."""
    accumulation: int
    """Forward passes of a step on one device."""

    @property
    def share(self) -> int:
        """Clips of a step on one device."""
        return self.micro_batch * self.accumulation


def split_batch(length: LengthConfig, world: int = 1, where: str = "length") -> Split:
    """What each of `world` processes does of a step; `where` is the key of `length`, for the message.

    The batch of a step is fixed by the configuration, whatever the number of processes. Raises ConfigError with the
    numbers unless processes x micro-batch x accumulation is the batch.
    """
    batch, micro, accumulation = length.batch_size, length.micro_batch, length.accumulation
    if not micro and batch % (world * accumulation) == 0:
        return Split(batch // (world * accumulation), accumulation)
    if micro and world * micro * accumulation == batch:
        return Split(micro, accumulation)
    processes = f"{world} process{'es' if world > 1 else ''}"
    if not micro:
        unit = world * accumulation
        low = batch // unit * unit
        sizes = f"{low} or {low + unit}" if low else f"{unit}"
        raise ConfigError(
            f"{where}.batch_size={batch} cannot be shared evenly: {processes} x {where}.accumulation={accumulation} = "
            f"{unit} does not divide it. Set {where}.batch_size={sizes}, another {where}.accumulation, or another "
            "number of processes (launcher.nodes x launcher.tasks_per_node)"
        )
    raise ConfigError(
        f"{processes} x {where}.micro_batch={micro} x {where}.accumulation={accumulation} = "
        f"{world * micro * accumulation} clips, but {where}.batch_size={batch}: {_way_out(length, world, where)}"
    )


def _way_out(length: LengthConfig, world: int, where: str) -> str:
    """What to set so that the split fits: the nearest key first."""
    batch, micro, accumulation = length.batch_size, length.micro_batch, length.accumulation
    ways = []
    if batch % (world * accumulation) == 0:
        ways.append(f"{where}.micro_batch={batch // (world * accumulation)} (or 0, which follows)")
    if batch % (world * micro) == 0:
        ways.append(f"{where}.accumulation={batch // (world * micro)}")
    if batch % (micro * accumulation) == 0:
        ways.append(f"{batch // (micro * accumulation)} processes (launcher.nodes x launcher.tasks_per_node)")
    ways.append(f"{where}.batch_size={world * micro * accumulation}, which is another run")
    return "set " + ", or ".join(ways)


def science(run: Any) -> dict[str, Any]:
    """:func:`to_dict` of a run without what of its split changes no result, so that it may differ between executions.

    With `bn=local` the micro-batch decides the statistics that a batch is normalised with, with `bn=sync` the
    accumulation does, with `bn=frozen` neither. One device that takes the whole batch is the default, and left out.
    """
    plain = to_dict(run)
    bn = plain["compute"].pop("bn")
    length = plain.get("length")
    if length is None:  # nothing is trained: running statistics are used, whatever `bn` says
        return plain
    if bn != "local":
        plain["compute"]["bn"] = bn
    micro, accumulation = length.pop("micro_batch"), length.pop("accumulation")
    micro = micro or length["batch_size"] // accumulation
    if bn == "local" and micro != length["batch_size"]:
        length |= {"micro_batch": micro, "accumulation": accumulation}
    if bn == "sync" and accumulation > 1:
        length["accumulation"] = accumulation
    return plain
