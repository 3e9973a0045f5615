"""Checkpoints of a run in training, one file each.

A checkpoint is a safetensors file. Its header holds a JSON description and a SHA-256 of the whole file, computed with
the 64 characters of the digest itself set to zero. The digest is needed because neither safetensors nor torch notices a
flipped bit. A checkpoint is written atomically, so that a kill leaves the earlier ones intact. The last two and the
best are kept. The latest is found by scanning the folder; a damaged file is skipped with a warning that names it.
"""

from __future__ import annotations

import hashlib
import json
import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .files import CheckpointError, write_whole

FORMAT = 1
_DIGEST = re.compile(rb'"{\\"sha256\\": \\"([0-9a-f]{64})\\"')
_NAME = re.compile(r"step-(\d{8,})\.safetensors")
_MOST_HEADER = 100_000_000  # bytes, the limit of safetensors itself


@dataclass(frozen=True)
class Snapshot:
    """The content of a checkpoint: `about` is its description, `tensors` holds the tensors by name."""

    path: Path
    about: dict[str, Any]
    tensors: dict[str, Tensor]


def seal(tensors: dict[str, Tensor], about: dict[str, Any]) -> bytes:
    """Make the content of a checkpoint file. Equal input gives equal bytes.

    Args:
        tensors: by name.
        about: the description, JSON without NaN.
    """
    from safetensors.torch import save

    text = json.dumps({"sha256": "0" * 64, "format": FORMAT, **about}, allow_nan=False)
    content = bytearray(save(tensors, metadata={"scoresde": text}))
    found = _DIGEST.search(content)
    assert found is not None
    content[found.start(1) : found.end(1)] = hashlib.sha256(content).hexdigest().encode()

    return bytes(content)


def unseal(path: Path) -> Snapshot:
    """Read and verify a checkpoint. Raises CheckpointError that names the file and what is wrong with it."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        content = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from error

    about = _about(path, content)

    try:
        tensors = load(content)
    except SafetensorError as error:
        raise CheckpointError(f"{path} is not a safetensors file: {error}") from error

    return Snapshot(path, about, tensors)


def _about(path: Path, content: bytes) -> dict[str, Any]:
    """Verify the content by its SHA-256, then return the description."""
    size = 8 + int.from_bytes(content[:8], "little")
    found = _DIGEST.search(content, 0, min(size, _MOST_HEADER))
    if found is None:
        raise CheckpointError(
            f"{path} is not a checkpoint of scoresde, or it is damaged or truncated: its header holds no SHA-256"
        )

    whole = hashlib.sha256(memoryview(content)[: found.start(1)])
    whole.update(b"0" * 64)
    whole.update(memoryview(content)[found.end(1) :])

    if whole.hexdigest().encode() != found[1]:
        raise CheckpointError(f"{path} does not match its SHA-256: damaged or truncated")

    about = json.loads(json.loads(content[8:size])["__metadata__"]["scoresde"])
    if about["format"] > FORMAT:
        raise CheckpointError(f"{path} has format {about['format']}, newer than {FORMAT}; upgrade scoresde")
    if path.name != _file(about["step"]):
        raise CheckpointError(f"{path} holds step {about['step']}: renamed, or another checkpoint's content")

    return about


def _file(step: int) -> str:
    return f"step-{step:08d}.safetensors"


def save(folder: Path, tensors: dict[str, Tensor], about: dict[str, Any]) -> Path:
    """Write the checkpoint of about["step"], then delete all but the last two and the best.

    Args:
        folder: of all checkpoints of the run.
        tensors: by name.
        about: the description, JSON without NaN. The best checkpoint has the least about["score"] that is not None.

    Returns:
        The path of the file.

    Raises:
        CheckpointError: if a weight is not finite; nothing is written then.
        OSError: as `files.write_whole`.
    """

    path = write(folder, tensors, about)
    known = steps(folder)
    scores = {step: _score(known[step]) for step in known}
    best = min(
        (step for step in known if scores[step] is not None), key=lambda step: (scores[step], step), default=None
    )

    for step in sorted(known)[:-2]:
        if step != best:
            known[step].unlink(missing_ok=True)

    return path


def write(folder: Path, tensors: dict[str, Tensor], about: dict[str, Any]) -> Path:
    """Write the checkpoint of about["step"].

    Args:
        folder: of all checkpoints of the run.
        tensors: by name.
        about: the description, JSON without NaN.

    Returns:
        The path of the file.

    Raises:
        CheckpointError: if a weight is not finite; nothing is written then.
        OSError: as `files.write_whole`.
    """

    bad = [
        name for name, value in tensors.items() if value.is_floating_point() and not bool(torch.isfinite(value).all())
    ]
    if bad:
        raise CheckpointError(
            f"step {about['step']} was not saved: NaN or Inf in {bad[0]} and {len(bad) - 1} more; the"
            " checkpoints before it are kept"
        )

    path = folder / _file(about["step"])
    write_whole(path, seal(tensors, about))

    return path


def steps(folder: Path) -> dict[int, Path]:
    """The checkpoint files in a folder by step. They are not verified."""
    found = ((_NAME.fullmatch(path.name), path) for path in folder.glob("step-*"))
    return {int(match[1]): path for match, path in found if match}


def latest(folder: Path) -> Snapshot | None:
    """The newest checkpoint that is not damaged, or None if there are no files.

    A damaged file is skipped with a warning that names it. Raises CheckpointError if all files are damaged."""

    known = steps(folder)

    for step in sorted(known, reverse=True):
        try:
            return unseal(known[step])
        except CheckpointError as error:
            warnings.warn(f"passed over a checkpoint: {error}", stacklevel=2)

    if known:
        raise CheckpointError(f"{folder} holds {len(known)} checkpoints and none can be read")

    return None


def best(folder: Path) -> Snapshot | None:
    """The checkpoint with the least score. A damaged one is skipped with a warning. None if no checkpoint is left."""
    scored = sorted((score, step) for step, path in steps(folder).items() if (score := _score(path)) is not None)

    for _, step in scored:
        try:
            return unseal(steps(folder)[step])
        except CheckpointError as error:
            warnings.warn(f"passed over a checkpoint: {error}", stacklevel=2)

    return None


def ours(path: Path) -> bool:
    """Whether a file says in its header that it is a checkpoint of scoresde."""
    return bool(_header(path))


def _score(path: Path) -> float | None:
    """The score in a header, or None if there is none or it cannot be read. The tensors are not read."""
    return _header(path).get("score")


def _header(path: Path) -> dict[str, Any]:
    """The description in a header, not verified. {} if it cannot be read."""
    try:
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            header = file.read(size) if size < _MOST_HEADER else b""
        about = json.loads(json.loads(header)["__metadata__"]["scoresde"])
    except (OSError, ValueError, KeyError, TypeError):
        return {}

    return about if isinstance(about, dict) else {}
