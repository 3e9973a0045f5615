"""Joined processes that work on one task. `accelerate launch` starts them, and torch.distributed joins them."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

PATIENCE = 600  # seconds that a process waits for the others, if SCORESDE_TIMEOUT is not set
_LOST = (
    "gloo",
    "nccl",
    "Connection closed by peer",
    "Connection reset by peer",
    "Broken pipe",
    "Timed out waiting",
    "TCPStore",
    "DistStoreError",
)


class PartnerError(RuntimeError):
    """Raised if another process of a launch did not start, has stopped or has ended."""


class WorkerError(RuntimeError):
    """Raised if a process that `together` started has failed. The message is its own; `kind` names its error."""

    def __init__(self, message: str, kind: str = ""):
        super().__init__(message)
        self.kind = kind


def joined() -> bool:
    """Whether this process is one of several joined processes."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def world() -> int:
    """The number of joined processes; 1 if this process is alone."""
    return dist.get_world_size() if joined() else 1


def rank() -> int:
    """The number of this process among the joined ones, from 0. Process 0 writes the files."""
    return dist.get_rank() if joined() else 0


def init(device: str) -> Any:
    """Join the processes that a launcher started, by gloo on the CPU and by NCCL on GPUs.

    Args:
        device: of the computation, "cpu" or a GPU.

    Returns:
        The device of this process; `device` itself if no launcher started several processes.

    Raises:
        ValueError: if a launcher's environment variable has a wrong value; naming the variable.
        PartnerError: if the other processes do not join within `patience()` seconds.
    """

    count = _launched()
    limit = patience()

    if count == 1:
        return device

    from accelerate import PartialState

    options: Any = {"timeout": timedelta(seconds=limit)}

    try:
        return PartialState(cpu=device == "cpu", **options).device
    except (RuntimeError, OSError) as error:
        raise PartnerError(
            f"the other {count - 1} of {count} processes (WORLD_SIZE) did not come within {limit} s (SCORESDE_TIMEOUT)"
        ) from error


def patience() -> int:
    """How long a process waits for the others, in seconds.

    Raises ValueError naming SCORESDE_TIMEOUT if that is not a whole number from 1 to 10^6."""
    return _variable("SCORESDE_TIMEOUT", 1, 10**6, PATIENCE)


def asked() -> int | None:
    """The --num_processes of the `accelerate launch` that started this process, or None if it is not known."""
    try:
        words = Path(f"/proc/{os.getppid()}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return None

    if not any("accelerate" in word for word in words):
        return None

    given = re.search(r"\0--num_processes[=\0](\d{1,9})\0", "\0".join(words))

    return int(given[1]) if given else None


def lost(error: BaseException) -> bool:
    """Whether a collective call raised this error because another process has stopped or ended."""
    if not isinstance(error, RuntimeError):
        return False
    return isinstance(error, dist.DistError) or (joined() and any(said in str(error) for said in _LOST))


def _launched() -> int:
    """The number of processes by the environment (WORLD_SIZE); the variables that belong to it are checked too."""
    count = _variable("WORLD_SIZE", 1, 10**6, 1)
    if count > 1:
        _variable("RANK", 0, count - 1)
        _variable("LOCAL_RANK", 0, count - 1)
        _variable("MASTER_PORT", 1, 65535)

        if not os.environ.get("MASTER_ADDR"):
            raise ValueError(f"`MASTER_ADDR` must be set where WORLD_SIZE is {count}, as a launcher does, got nothing")

    return count


def _variable(
    name: str,
    least: int,
    most: int,
    default: int | None = None,
) -> int:
    """A whole number from the environment, or `default` if the variable is not set."""
    value = os.environ.get(name)
    if value is None and default is not None:
        return default
    if value is None or not re.fullmatch(r"[0-9]{1,9}", value) or not least <= int(value) <= most:
        raise ValueError(
            f"`{name}` in the environment must be a whole number from {least} to {most}, as a launcher sets it,"
            f" got {value!r}"
        )

    return int(value)


@contextmanager
def safe_path() -> Generator[None, None, None]:
    """Python processes that are started inside this context do not look for modules in the current folder first."""
    before = os.environ.get("PYTHONSAFEPATH")
    os.environ["PYTHONSAFEPATH"] = "1"

    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONSAFEPATH"]
        else:
            os.environ["PYTHONSAFEPATH"] = before


def together(count: int, work: Callable[..., None], *args: Any) -> None:
    """Run work(*args) in joined processes on this machine, one thread each, and wait for them.

    Small networks gain little from more threads, but nearly the full speed of a second process.

    Args:
        count: number of processes; 1 runs `work` in this process.
        work: a function at the top level of a module, so that it can be pickled.
        *args: its arguments, which must be picklable too.

    Raises:
        WorkerError: if a process fails; the message is that of the first failure.
    """

    if count == 1:
        work(*args)
        return

    from torch.multiprocessing.spawn import ProcessException, start_processes

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    try:
        with safe_path():
            start_processes(_member, (count, port, work, args), nprocs=count)
    except ProcessException as error:
        said = str(error).strip().splitlines()[-1]
        raise WorkerError(said, said.partition(":")[0].rpartition(".")[2]) from error


def _member(
    index: int,
    count: int,
    port: int,
    work: Callable[..., None],
    args: tuple[Any, ...],
) -> None:
    place = {
        "RANK": index,
        "LOCAL_RANK": index,
        "WORLD_SIZE": count,
        "LOCAL_WORLD_SIZE": count,
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": port,
    }
    place |= {"OMP_NUM_THREADS": 1}
    os.environ.update({name: str(value) for name, value in place.items()})
    torch.set_num_threads(1)
    init("cpu")
    work(*args)
    shutdown()


def gather(x: Tensor) -> Tensor:
    """Concatenate the rows x, (B, ...), of all processes in order of rank. Every process gets the result."""
    if not joined():
        return x
    parts = [torch.empty_like(x) for _ in range(world())]
    dist.all_gather(parts, x.contiguous())
    return torch.cat(parts)


def local_rows(count: int) -> range:
    """The part of `count` rows for this process: contiguous, and as equal in size as possible."""
    n = world()
    i = rank()
    return range(count * i // n, count * (i + 1) // n)


def run_sharded(count: int, work: Callable[[range], Tensor]) -> Tensor:
    """Compute rows in all processes together. Every process gets all rows in order.

    Each process computes equally many rows. Rows beyond `count` are dropped.

    Args:
        count: number of rows.
        work: computes the rows of a range, (len(rows), ...) on the CPU.
    """
    size = -(-count // world())
    return gather(work(range(rank() * size, (rank() + 1) * size)))[:count]


def barrier() -> None:
    """Wait until all processes have reached this point."""
    if joined():
        dist.barrier()


def shutdown() -> None:
    """Leave the joined processes. No collective call may follow."""
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()
