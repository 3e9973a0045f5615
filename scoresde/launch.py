"""Several processes as one: who am I, what do the others say. `accelerate launch` starts them, torch.distributed joins them."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def joined() -> bool:
    """Whether this process is one of several."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def world() -> int:
    """How many processes there are."""
    return dist.get_world_size() if joined() else 1


def rank() -> int:
    """Which of them this is, from 0; the first one writes."""
    return dist.get_rank() if joined() else 0


def join(device: str) -> Any:
    """Join the processes that a launcher started, if it did, and take this one's device: gloo on the CPU, NCCL on GPUs."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return device
    from accelerate import PartialState

    return PartialState(cpu=device == "cpu").device


def gather(x: Tensor) -> Tensor:
    """The rows of all processes, in order of rank, on every one of them; (B, ...) each."""
    if not joined():
        return x
    parts = [torch.empty_like(x) for _ in range(world())]
    dist.all_gather(parts, x.contiguous())
    return torch.cat(parts)


def share(count: int) -> range:
    """This process' part of `count` rows: contiguous, as even as can be."""
    n, i = world(), rank()
    return range(count * i // n, count * (i + 1) // n)


def shared(count: int, work: Callable[[range], Tensor]) -> Tensor:
    """`count` rows made by all processes together, in order and on every one of them: work(rows) -> (len(rows), ...) on the CPU.

    Each makes as many, some beyond `count`, which are dropped."""
    size = -(-count // world())
    return gather(work(range(rank() * size, (rank() + 1) * size)))[:count]


def wait() -> None:
    """Until all are here."""
    if joined():
        dist.barrier()


def leave() -> None:
    """Part from the other processes, as the last thing done."""
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()
