"""What the processes of a training exchange: gradients, statistics, features.

Gradients are averaged here and not by torch's DistributedDataParallel, which does the same with hooks, buckets and
overlap, for three reasons. It changes its buckets after the first step, and with them the order of sums: a resumed run
of three or more processes would not be bit-identical to an uninterrupted one. It must be wrapped anew, around a
forward pass that holds all losses, whenever a turn of the curriculum changes what is trained. And it takes the running
statistics of the first process, where the mean over all is at hand.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Sequence
from typing import Any

import torch
import torch.distributed as dist
from timm.layers.norm_act import convert_sync_batchnorm
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from hcml.config import ConfigError
from hcml.training.distributed import World

log = logging.getLogger(__name__)

BUCKET_BYTES = 32 * 2**20
"""Gradients that travel together: many small messages are slow, and one big one cannot start before all are there."""


class Group:
    """The processes that share the batches of a training; alone, every method returns what it is given.

    NCCL on GPUs of their own, gloo otherwise.
    """

    def __init__(self, world: World, device: torch.device) -> None:
        self.world, self.size, self.rank, self.device = world, world.size, world.rank, device
        self.handle: Any = None
        self.through_cpu = False
        if self.size == 1:
            return
        own = f"{os.uname().nodename} {_gpu(device)}" if device.type == "cuda" else ""
        everywhere = world.gather_all(own)
        if "" not in everywhere and len(set(everywhere)) == self.size:
            # by itself NCCL aborts the process after ten minutes, in which a slow disk may keep the first one
            self.handle = dist.new_group(backend="nccl", timeout=world.timeout)
            return
        self.handle = dist.new_group(backend="gloo", timeout=world.timeout)
        self.through_cpu = device.type == "cuda"
        if self.through_cpu:
            log.warning("several processes share a GPU, which NCCL refuses: gradients travel through gloo, slowly")

    def gather(self, tensor: Tensor) -> Tensor:
        """[B, ...] of each process, B equal -> [size x B, ...] in the order of the ranks, with gradients."""
        return tensor if self.size == 1 else _Gather.apply(tensor, self)

    def total(self, tensor: Tensor) -> Tensor:
        """The sum over all processes."""
        if self.size == 1:
            return tensor
        summed = tensor.detach().clone()
        dist.all_reduce(summed, group=self.handle)
        return summed

    def start_mean(self, buffer: Tensor) -> Any:
        """Begin to sum `buffer` over all processes, in place; `wait()` for what is returned, then divide."""
        return dist.all_reduce(buffer, group=self.handle, async_op=True)


class _Gather(torch.autograd.Function):
    """All processes compute one loss L of what all have, so each has dL/d(its part) without asking the others. The
    mean over processes that gradients go through later would make it 1 / size of that."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, group: Group) -> Tensor:
        ctx.group, ctx.count = group, len(tensor)
        own = tensor.detach().contiguous()
        if group.through_cpu:
            own = own.cpu()
        parts = [torch.empty_like(own) for _ in range(group.size)]
        dist.all_gather(parts, own, group=group.handle)
        return torch.cat(parts).to(tensor.device)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        start = ctx.group.rank * ctx.count
        return gradient[start : start + ctx.count] * ctx.group.size, None


class GradientMean:
    """Averages the gradients of `parameters` over the processes while the backward pass still runs.

    Buckets are fixed, filled from the last parameter (whose gradient comes first), and sent in their order; so what
    is summed with what never changes. A parameter that no loss reaches keeps `grad` = None: it is the same one
    everywhere, since all processes run the same code.

    Use: `arm()` before the last backward pass of a step, `finish()` behind it; `close()` when what is trained changes.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], group: Group) -> None:
        self.group = group
        self._buckets: list[_Bucket] = []
        self._handles: list[Any] = []
        self._armed = False
        self._next = 0
        if group.size == 1:
            return
        for part in _parts(list(parameters)[::-1]):
            bucket = _Bucket(part)
            self._buckets.append(bucket)
            for parameter in part:
                self._handles.append(parameter.register_post_accumulate_grad_hook(self._hook(bucket)))

    def _hook(self, bucket: _Bucket) -> Any:
        def arrived(_: Tensor) -> None:
            if self._armed:
                bucket.missing -= 1
                self._send(wait_for_all=True)

        return arrived

    def arm(self) -> None:
        """The next backward pass is the last one of its step."""
        self._armed, self._next = True, 0
        for bucket in self._buckets:
            bucket.missing = len(bucket.parameters)

    def _send(self, wait_for_all: bool) -> None:
        while self._next < len(self._buckets):
            bucket = self._buckets[self._next]
            if wait_for_all and bucket.missing:
                return
            bucket.send(self.group)
            self._next += 1

    def finish(self) -> None:
        """Wait until every gradient is the mean over the processes."""
        self._send(wait_for_all=False)
        self._armed = False
        for bucket in self._buckets:
            bucket.receive(self.group.size)

    def close(self) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles, self._buckets = [], []


class _Bucket:
    """Parameters whose gradients travel as one buffer."""

    def __init__(self, parameters: Sequence[nn.Parameter]) -> None:
        self.parameters = parameters
        self.missing = len(parameters)
        self.work: Any = None
        first = parameters[0]
        self.buffer = torch.zeros(sum(p.numel() for p in parameters), dtype=first.dtype, device=first.device)
        ends = torch.tensor([p.numel() for p in parameters]).cumsum(0).tolist()
        self.views = [self.buffer[end - p.numel() : end].view(p.shape) for p, end in zip(parameters, ends, strict=True)]

    def _pairs(self) -> tuple[list[Tensor], list[Tensor]]:
        pairs = [(view, p.grad) for view, p in zip(self.views, self.parameters, strict=True) if p.grad is not None]
        return [view for view, _ in pairs], [gradient for _, gradient in pairs]

    @torch.no_grad()
    def send(self, group: Group) -> None:
        views, gradients = self._pairs()
        if gradients:
            torch._foreach_copy_(views, gradients)
        self.work = group.start_mean(self.buffer)

    @torch.no_grad()
    def receive(self, size: int) -> None:
        self.work.wait()
        self.buffer.div_(size)
        views, gradients = self._pairs()
        if gradients:
            torch._foreach_copy_(gradients, views)


def _parts(parameters: list[nn.Parameter]) -> list[list[nn.Parameter]]:
    """Runs of one type and device, of about BUCKET_BYTES."""
    parts: list[list[nn.Parameter]] = []
    size = 0
    for parameter in parameters:
        kind = (parameter.dtype, parameter.device)
        nbytes = parameter.numel() * parameter.element_size()
        if not parts or size + nbytes > BUCKET_BYTES or kind != (parts[-1][0].dtype, parts[-1][0].device):
            parts.append([])
            size = 0
        parts[-1].append(parameter)
        size += nbytes
    return parts


class RunningStatistics:
    """Running means and variances of batch normalisation become those of all processes: each saw other clips."""

    def __init__(self, module: nn.Module, group: Group) -> None:
        self.group = group
        layers = [m for m in module.modules() if isinstance(m, _BatchNorm) and m.training]
        own = [m for m in layers if not isinstance(m, nn.SyncBatchNorm)]  # the others agree already
        self.buffers = [b for m in own for b in (m.running_mean, m.running_var) if b is not None]

    @torch.no_grad()
    def average(self) -> None:
        if self.group.size == 1 or not self.buffers:
            return
        flat = self.group.total(torch.cat([b.flatten() for b in self.buffers])) / self.group.size
        torch._foreach_copy_(self.buffers, list(flat.split([b.numel() for b in self.buffers])))


def synchronise_batchnorm(module: nn.Module, group: Group) -> None:
    """`compute.bn=sync`: batch normalisation takes its statistics over all processes, in place; alone, nothing changes.

    Raises ConfigError on a CPU, where torch cannot do that, and for layers that cannot be replaced.
    """
    if group.size == 1:
        return
    if group.device.type != "cuda":
        raise ConfigError(
            f"compute.bn=sync needs GPUs: torch's SyncBatchNorm refuses CPU tensors, and this run has {group.size} "
            "processes on CPUs. Set compute.bn=frozen or compute.bn=local, or run it as one process"
        )
    for name, layer in module.named_modules():
        if isinstance(layer, _BatchNorm) and (layer._forward_hooks or layer._forward_pre_hooks):
            raise ConfigError(f"compute.bn=sync cannot replace {name}, which carries hooks: set compute.bn=local")
    for name, child in list(module.named_children()):
        setattr(module, name, convert_sync_batchnorm(child, group.handle))


def hold_statistics(module: nn.Module) -> None:
    """`compute.bn=frozen`: batch normalisation uses its running statistics and leaves them; call after `train()`."""
    for layer in module.modules():
        if isinstance(layer, _BatchNorm):
            layer.eval()


def _gpu(device: torch.device) -> str:
    index = torch.cuda.current_device() if device.index is None else device.index
    return str(torch.cuda.get_device_properties(index).uuid)
