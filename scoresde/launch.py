"""Several processes as one: who am I, what do the others say. `accelerate launch` starts them, torch.distributed joins them."""

from __future__ import annotations

import os
import socket
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


class WorkerError(RuntimeError):
    """A process that `together` started failed; the message is its own."""


def together(count: int, work: Callable[..., None], *args: Any) -> None:
    """Run work(*args) in `count` joined processes of one thread each on this machine's cores, and wait for them; 1: here and now.

    Small networks gain little from threads, and nearly all of a second process. `work` is a function of a module, its arguments plain.
    Raises WorkerError with what the first failure said."""
    if count == 1:
        work(*args)
        return
    from torch.multiprocessing.spawn import ProcessException, start_processes

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    try:
        start_processes(_member, (count, port, work, args), nprocs=count)
    except ProcessException as error:
        raise WorkerError(str(error).strip().splitlines()[-1]) from error


def _member(index: int, count: int, port: int, work: Callable[..., None], args: tuple[Any, ...]) -> None:
    place = {"RANK": index, "LOCAL_RANK": index, "WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    place |= {"OMP_NUM_THREADS": 1}
    os.environ.update({name: str(value) for name, value in place.items()})
    torch.set_num_threads(1)
    join("cpu")
    work(*args)
    leave()


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
