"""Storage of results: the file rows.jsonl of a comparison, and reference solutions in the user's cache.

Every row holds a checksum and the digest of its model; every reference holds a checksum. A damaged row or reference is
reported, left out, and computed again.
"""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from pathlib import Path
from typing import Any, Final, cast

import torch
from torch import Tensor

from ..denoisers.denoiser import Denoiser
from ..storage import files
from .problems import Problem
from .rows import Row as Row

KEY = ("problem", "method", "cost", "seed", "device", "model")
_SUM: Final = "checksum"


def digest(case: Problem) -> str:
    """A hash of everything that the answers to a problem depend on: its ends, its size, and the model with its
    weights."""

    known = hashlib.sha256(repr((case.high, case.low, case.tolerance, case.steps, case.shape, case.n)).encode())

    if isinstance(case.denoiser, Denoiser):  # one network may be saved with several schedulers
        known.update(repr((vars(case.denoiser.process), case.denoiser.table)).encode())

    for name, tensor in sorted(case.denoiser.state_dict().items()):
        known.update(name.encode() + _bytes(tensor))

    return known.hexdigest()[:32]


def _bytes(tensor: Tensor) -> bytes:
    return tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes()


def key(row: Row) -> tuple[Any, ...]:
    """The key by which a row is found."""
    return tuple(row.get(name) for name in KEY)


class Store:
    """The file rows.jsonl of a folder. It is read once; each new row is on the disk before the next one starts."""

    def __init__(self, folder: Path):
        self.path = folder / "rows.jsonl"
        self.rows: list[Row] = []
        if not self.path.exists():
            return

        *lines, torn = self.path.read_bytes().split(b"\n")  # text after the last newline: a write that was interrupted
        wrong: list[str] = []

        for number, line in enumerate(lines, 1):
            row = _row(line)
            if isinstance(row, str):
                wrong.append(f"line {number} {row}")
            else:
                self.rows.append(row)

        if wrong:
            more = f", and {len(wrong) - 1} more" if len(wrong) > 1 else ""
            warnings.warn(f"{self.path}: {wrong[0]}{more}; what is asked for again is measured again", stacklevel=2)

        if wrong or torn:
            files.write_whole(self.path, b"".join(json.dumps(row).encode() + b"\n" for row in self.rows))

    @property
    def done(self) -> set[tuple[Any, ...]]:
        """The keys of all stored rows."""
        return {key(row) for row in self.rows}

    def add(self, row: Row) -> None:
        """Append one row, with its checksum."""
        row[_SUM] = _checksum(row)
        with self.path.open("ab") as file:
            file.write(json.dumps(row, allow_nan=False).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        self.rows.append(row)


def ours(path: Path) -> bool:
    """Whether a file holds at least one row of a comparison. Checksums are not verified."""
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError:
        return False

    for line in lines:
        row = _table(line)
        if row is not None and {"problem", "method", "cost"} <= set(row):
            return True

    return False


def _row(line: bytes) -> Row | str:
    """The row of a line, or the reason why it is rejected."""
    row = _table(line)
    if row is None:
        return "is damaged: not JSON"
    if _SUM not in row:
        return "has no checksum"
    return row if row[_SUM] == _checksum(row) else "is damaged: it does not match its checksum"


def _table(line: bytes) -> Row | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return cast(Row, row) if isinstance(row, dict) else None


def _checksum(row: Row) -> str:
    plain = {name: value for name, value in row.items() if name != _SUM}
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:16]


def reference(case: Problem, seed: int) -> tuple[Tensor, float]:
    """The reference solution of a problem and its error. It is stored in the user's cache under a hash of everything
    that it depends on.

    Args:
        case: the problem.
        seed: of its start states.
    """

    name = hashlib.sha256(repr((digest(case), seed, torch.__version__)).encode()).hexdigest()[:32]
    folder = _cache()
    path = None if folder is None else folder / f"reference-{name}.safetensors"
    if path is not None and path.exists():
        kept = _kept(path, (case.n, *case.shape))
        if kept is not None:
            return kept

        warnings.warn(f"{path} is damaged, or not what this version keeps there; made again", stacklevel=2)

    y, error = case.reference(seed)

    if path is not None:
        _keep(path, y, error)

    return y, error


def _cache() -> Path | None:
    """The folder of the user's cache; None, with a warning, if it cannot be written."""
    try:
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "scoresde"
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or error
        warnings.warn(
            f"references are not kept, since the cache cannot be written: {reason}; XDG_CACHE_HOME may name another",
            stacklevel=3,
        )
        return None

    return folder


def _kept(path: Path, shape: tuple[int, ...]) -> tuple[Tensor, float] | None:
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        kept = load(path.read_bytes())
        y = kept["y"]
        error = kept["error"]
        found = kept["sha256"]
    except (OSError, KeyError, SafetensorError):
        return None

    fits = y.dtype == torch.float64 and tuple(y.shape) == shape and error.dtype == torch.float64 and error.dim() == 0

    return (y, error.item()) if fits and torch.equal(found, _seal(y, error)) else None


def _keep(path: Path, y: Tensor, error: float) -> None:
    from safetensors.torch import save

    tensors = {"y": y.detach().cpu().contiguous(), "error": torch.tensor(error, dtype=torch.float64, device="cpu")}
    tensors["sha256"] = _seal(tensors["y"], tensors["error"])

    try:
        files.write_whole(path, save(tensors))
    except OSError as failure:
        warnings.warn(f"a reference is not kept: {failure}", stacklevel=3)


def _seal(y: Tensor, error: Tensor) -> Tensor:
    return torch.tensor(list(hashlib.sha256(_bytes(y) + _bytes(error)).digest()), dtype=torch.uint8, device="cpu")
