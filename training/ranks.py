"""The exchange between the processes of one run; with one process, there is none."""

import contextlib
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from geolrm.training.state import TrainingState

CPU = torch.device("cpu")


@dataclass(frozen=True, slots=True)
class Process:
    """This process among those that share a run."""

    rank: int = 0
    count: int = 1
    threads: int = 1
    device: torch.device = CPU


def parallel(module: nn.Module, process: Process) -> nn.Module:
    """Wrap the module so that its gradients are averaged over processes."""
    if process.count == 1:
        return module
    devices = [process.device.index] if process.device.type == "cuda" else None
    return DistributedDataParallel(module, device_ids=devices)


def apart(module: nn.Module) -> contextlib.AbstractContextManager:
    """Add up the gradients of the passes in the block here alone, without the others."""
    if isinstance(module, DistributedDataParallel):
        return module.no_sync()
    return contextlib.nullcontext()


@torch.no_grad()
def average(state: TrainingState, process: Process) -> None:
    """Give every process the mean of what all have learned: weights, averages and moments.

    An object of many views is worth more steps than one of few; their largest number counts for
    all, so that a run which is resumed goes on from the same numbers everywhere.
    """
    if process.count == 1:
        return
    named = [(n, weight) for n, weight in state.model.named_parameters() if weight.requires_grad]
    learned = [
        tensor
        for name, weight in named
        for tensor in (weight, state.average.weights[name], *state.moments(weight))
    ]
    _reduce(learned, process, dist.ReduceOp.SUM, process.count)
    _reduce([state.steps(weight) for _, weight in named], process, dist.ReduceOp.MAX)


def _reduce(tensors: list[torch.Tensor], process: Process, how: Any, share: float = 1.0) -> None:
    """Reduce tensors over processes in place, and divide them by ``share``."""
    flat = torch.cat([tensor.flatten().to(process.device) for tensor in tensors])
    dist.all_reduce(flat, op=how)
    parts = (flat / share).split([tensor.numel() for tensor in tensors])
    for tensor, part in zip(tensors, parts, strict=True):
        tensor.copy_(part.reshape(tensor.shape))


def agreed(process: Process, *wishes: bool) -> list[bool]:
    """Agree on wishes: each is True on every process as soon as it is on one."""
    if process.count == 1:
        return list(wishes)
    flags = torch.tensor([float(wish) for wish in wishes], device=process.device)
    dist.all_reduce(flags, op=dist.ReduceOp.MAX)
    return [bool(flag) for flag in flags.tolist()]


def gathered(value: Any, process: Process) -> list[Any]:
    """Gather the value of every process, by rank."""
    if process.count == 1:
        return [value]
    values: list[Any] = [None] * process.count
    dist.all_gather_object(values, value)
    return values


def share(state: TrainingState, process: Process) -> None:
    """Give every process rank 0's step, weights, averages and moments."""
    if process.count == 1:
        return
    flat = state.tensors() if process.rank == 0 else {}
    listed = [(state.step, [(name, t.shape, t.dtype) for name, t in flat.items()])]
    dist.broadcast_object_list(listed, device=process.device)
    step, entries = listed[0]
    received = {}
    for name, shape, dtype in entries:
        tensor = flat[name] if process.rank == 0 else torch.empty(shape, dtype=dtype)
        tensor = tensor.to(process.device)
        dist.broadcast(tensor, 0)
        received[name] = tensor.cpu()
    if process.rank > 0:
        state.restore(received, step)
