"""What the losses of a step ask of the other processes that take a part of its batch."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor


class Peers(Protocol):
    """The processes of a run, each with an equal share of the batch: consecutive clips, in the order of the ranks.

    A loss that all of them compute on what they gathered has the gradient of one process with the whole batch, once
    the gradients of all are averaged: :meth:`gather` sees to that.
    """

    size: int

    def gather(self, tensor: Tensor) -> Tensor:
        """The tensors of all, [B, ...] -> [size x B, ...], with gradients."""
        ...

    def total(self, tensor: Tensor) -> Tensor:
        """The sum over all, without gradients."""
        ...
