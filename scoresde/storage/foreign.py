"""Read files of weights from elsewhere without running any code in them."""

from __future__ import annotations

import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .files import CheckpointError

_STORED = {"F64", "F32", "F16", "BF16", "C64", "BOOL", "U8", "I8", "I16", "I32", "I64"}  # as safetensors names dtypes

_TORCH = {".pt", ".pth", ".ckpt", ".bin", ".tar"}
_PICKLE = {".pkl", ".pickle"}
_NAME = re.compile(r"[A-Za-z0-9._-]+")
_MOST_TENSORS = 50_000
_MOST_HEADER = 16_000_000  # bytes
_DEEP = 8  # levels of nested containers
_SPARE = 1_000_000  # bytes that a file may unpack to beyond twice its own size
_EDM = (
    "is a pickle: reading it runs the code inside, so it is not read. Where you trust it, convert it with the"
    " code it came from:"
    " safetensors.torch.save_file(network.state_dict(), 'weights.safetensors'), then import that"
)
_DTYPES = {
    *(torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.complex64, torch.complex128),
    *(torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64),
}


def read(path: Path | str) -> dict[str, Tensor]:
    """Read the tensors of a file by dotted name, on the CPU.

    Args:
        path: a .safetensors file, or a torch file (.pt, .pth, .ckpt, .bin, .tar).

    Returns:
        Every tensor, except the states of optimisers and schedulers in a torch file. The averaged weights of a
        score_sde file are named ema.NAME.

    Raises:
        CheckpointError: if the file cannot be read; the message says what is wrong with it. No code in the file runs. A
            file is refused if it would unpack to more than twice its size plus 1 MB.
    """

    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"{path} is not a file" if path.exists() else f"{path} does not exist")
    if path.suffix in _PICKLE:
        raise CheckpointError(f"{path} {_EDM}")
    if path.suffix not in _TORCH | {".safetensors"}:
        raise CheckpointError(
            f"{path} must be .safetensors, {', '.join(sorted(_TORCH))}, or the folder of a diffusers pipeline"
        )

    tensors = _safetensors(path) if path.suffix == ".safetensors" else _torch(path)
    if not tensors:
        raise CheckpointError(f"{path} holds no tensors")

    for name, value in tensors.items():
        if not _NAME.fullmatch(name):
            raise CheckpointError(
                f"{path} holds a tensor named {name[:80]!r}; names are letters, digits, dots, dashes and underscores"
            )
        if (value.is_floating_point() or value.is_complex()) and not bool(torch.isfinite(value).all()):
            raise CheckpointError(f"{path} holds NaN or Inf in {name}")

    return tensors


def _safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError, safe_open
    from safetensors.torch import load_file

    with path.open("rb") as file:
        header = int.from_bytes(file.read(8), "little")

    if header > min(_MOST_HEADER, path.stat().st_size):
        raise CheckpointError(
            f"{path} is not a safetensors file: a header of {header} bytes in a file of {path.stat().st_size}"
        )

    try:
        with safe_open(path, "pt") as opened:
            names = list(opened.keys())
            if len(names) > _MOST_TENSORS:
                raise CheckpointError(f"{path} holds {len(names)} tensors; at most {_MOST_TENSORS} are read")
            for name in names:
                kind = str(opened.get_slice(name).get_dtype())
                if kind not in _STORED:
                    raise CheckpointError(f"{path} holds {name[:80]!r} of dtype {kind}; convert it to float32 first")
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is not a safetensors file: {error}") from error


def _torch(path: Path) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    size = 0

    for name, value in _flat(path, _loaded(path), "", 0):
        if len(tensors) >= _MOST_TENSORS:
            raise CheckpointError(f"{path} holds more than {_MOST_TENSORS} tensors")
        if name in tensors:
            raise CheckpointError(f"{path} holds two tensors that are both named {name[:80]!r}; rename one")

        _check_plain(path, name, value)
        size += value.numel() * value.element_size()

        if size > 2 * path.stat().st_size + _SPARE:
            said = f"{path} would unpack to more than {size:,} bytes from {path.stat().st_size:,}"
            raise CheckpointError(
                f"{said}: {name[:80]!r} is a view that is larger than what is stored, or shared too often"
            )

        tensors[name] = value.detach().contiguous().clone()

    return _with_average(tensors)


def _loaded(path: Path) -> Any:
    """The content of a torch file, read without running code in it."""
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                size = sum(entry.file_size for entry in archive.infolist())
            if size > 2 * path.stat().st_size + _SPARE:
                raise CheckpointError(
                    f"{path} would unpack to {size:,} bytes from {path.stat().st_size:,}: torch compresses nothing"
                )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the file's age or format
            return torch.load(path, map_location="cpu", weights_only=True)
    except CheckpointError:
        raise
    except Exception as error:  # whatever torch finds wrong with a file
        said = " ".join(str(error).split())
        if "weights_only" in said or "Unsupported" in said or "GLOBAL" in said:
            needs = re.search(r"(?:GLOBAL|class|type) '?([\w.]+\.\w+)", said)
            raise CheckpointError(f"{path} {_EDM}{f' (it asks for {needs[1]})' if needs else ''}") from error
        raise CheckpointError(f"{path} is not a torch file: {said[:200]}") from error


def _check_plain(path: Path, name: str, value: Tensor) -> None:
    """Raise CheckpointError if a tensor is not a dense one of a known dtype, or has no values."""
    kinds = {
        "nested": value.is_nested,
        "quantised": value.is_quantized,
        "sparse": value.layout != torch.strided,
        "without values (on the meta device)": value.is_meta,
        f"of dtype {str(value.dtype).removeprefix('torch.')}": value.dtype not in _DTYPES,
    }
    found = next((kind for kind, holds in kinds.items() if holds), None)
    if found is not None:
        raise CheckpointError(
            f"{path} holds {name[:80]!r}, which is {found}; convert it to a dense float32 tensor first"
        )


def _flat(
    path: Path,
    value: Any,
    name: str,
    depth: int,
) -> Iterator[tuple[str, Tensor]]:
    """The tensors in nested containers by dotted name. The states of optimisers and schedulers are left out."""
    if depth > _DEEP:
        raise CheckpointError(f"{path} is nested deeper than {_DEEP}")

    if isinstance(value, Tensor):
        yield name or "weights", value
        return

    items = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list | tuple) else ()

    for key, inner in items:
        if not str(key).startswith(("optim", "lr_sched", "scheduler")):
            yield from _flat(path, inner, f"{name}.{key}".removeprefix("."), depth + 1)


def _with_average(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Give names to the average of a score_sde file, which stores it as a list in the order of the parameters."""
    listed = sorted((k for k in tensors if k.startswith("ema.shadow_params.")), key=lambda k: int(k.rpartition(".")[2]))
    shadow = [tensors[k] for k in listed]
    rest = {k: v for k, v in tensors.items() if k not in listed}
    named: dict[str, Tensor] = {}

    for name, value in rest.items():
        if name.startswith("model.") and len(named) < len(shadow) and shadow[len(named)].shape == value.shape:
            named[f"ema.{name.removeprefix('model.')}"] = shadow[len(named)]

    buffers = {f"ema.{k.removeprefix('model.')}": v for k, v in rest.items() if k.startswith("model.")}

    return rest | buffers | named if shadow and len(named) == len(shadow) else tensors
