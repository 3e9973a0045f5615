"""Weights from elsewhere, where none of their code has to run: torch files, safetensors, and pipeline folders of diffusers.

A torch file is read by torch.load with weights_only=True, here and nowhere else: it may hold tensors and plain containers of them.
Whatever needs a class of its own, as the pickles of EDM do, runs code when it is read, and is refused.
"""

from __future__ import annotations

import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from . import pipelines
from .checkpoint import CheckpointError, restore, save_run, versions, write_whole
from .config import Config

_TORCH = {".pt", ".pth", ".ckpt", ".bin", ".tar"}
_PICKLE = {".pkl", ".pickle"}
_NAME = re.compile(r"[A-Za-z0-9._-]+")
_MOST_TENSORS, _MOST_HEADER, _DEEP = 50_000, 16_000_000, 8
_GROUPS = ("ema", "model_ema", "params_ema", "state_dict", "model", "net", "params")  # where files keep what should be sampled, best first
_EDM = (
    "is a pickle: reading it runs the code inside, so it is not read. Where you trust it, convert it with the code it came from:"
    " safetensors.torch.save_file(network.state_dict(), 'weights.safetensors'), then import that"
)


def read(path: Path) -> dict[str, Tensor]:
    """The tensors of a file, by dotted name, on the CPU; of a score_sde file also the averaged weights, as ema.NAME.

    Raises CheckpointError saying what is wrong with the file; no code in it runs."""
    if not path.is_file():
        raise CheckpointError(f"{path} is not a file" if path.exists() else f"{path} does not exist")
    if path.suffix in _PICKLE:
        raise CheckpointError(f"{path} {_EDM}")
    if path.suffix not in _TORCH | {".safetensors"}:
        raise CheckpointError(f"{path} must be .safetensors, {', '.join(sorted(_TORCH))}, or the folder of a diffusers pipeline")
    tensors = _safetensors(path) if path.suffix == ".safetensors" else _torch(path)
    if not tensors:
        raise CheckpointError(f"{path} holds no tensors")
    for name, value in tensors.items():
        if not _NAME.fullmatch(name):
            raise CheckpointError(f"{path} holds a tensor named {name[:80]!r}; names are letters, digits, dots, dashes and underscores")
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise CheckpointError(f"{path} holds NaN or Inf in {name}")
    return tensors


def _safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError, safe_open
    from safetensors.torch import load_file

    with path.open("rb") as file:
        header = int.from_bytes(file.read(8), "little")
    if header > min(_MOST_HEADER, path.stat().st_size):
        raise CheckpointError(f"{path} is not a safetensors file: a header of {header} bytes in a file of {path.stat().st_size}")
    try:
        with safe_open(path, "pt") as opened:
            count = len(opened.keys())
        if count > _MOST_TENSORS:
            raise CheckpointError(f"{path} holds {count} tensors; at most {_MOST_TENSORS} are read")
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is not a safetensors file: {error}") from error


def _torch(path: Path) -> dict[str, Tensor]:
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                size = sum(entry.file_size for entry in archive.infolist())
            if size > 2 * path.stat().st_size + 1_000_000:
                raise CheckpointError(f"{path} would unpack to {size:,} bytes from {path.stat().st_size:,}: torch compresses nothing")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the file's age or format
            stored: Any = torch.load(path, map_location="cpu", weights_only=True)
    except CheckpointError:
        raise
    except Exception as error:  # whatever torch finds wrong with a file
        said = " ".join(str(error).split())
        if "weights_only" in said or "Unsupported" in said or "GLOBAL" in said:
            needs = re.search(r"(?:GLOBAL|class|type) '?([\w.]+\.\w+)", said)
            raise CheckpointError(f"{path} {_EDM}{f' (it asks for {needs[1]})' if needs else ''}") from error
        raise CheckpointError(f"{path} is not a torch file: {said[:200]}") from error
    tensors: dict[str, Tensor] = {}
    for name, value in _flat(path, stored, "", 0):
        if len(tensors) >= _MOST_TENSORS:
            raise CheckpointError(f"{path} holds more than {_MOST_TENSORS} tensors")
        tensors[name] = value.detach().contiguous().clone()
    return _averaged(tensors)


def _flat(path: Path, value: Any, name: str, depth: int) -> Iterator[tuple[str, Tensor]]:
    """Tensors in nested containers by dotted name; optimiser state is left out."""
    if depth > _DEEP:
        raise CheckpointError(f"{path} is nested deeper than {_DEEP}")
    items = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list | tuple) else ()
    if isinstance(value, Tensor):
        yield name or "weights", value
    for key, inner in items:
        if not str(key).startswith(("optim", "lr_sched", "scheduler")):
            yield from _flat(path, inner, f"{name}.{key}".removeprefix("."), depth + 1)


def _averaged(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """score_sde keeps its average as a list in the order of the parameters: give it their names."""
    shadow = [tensors[k] for k in sorted((k for k in tensors if k.startswith("ema.shadow_params.")), key=lambda k: int(k.rpartition(".")[2]))]
    rest = {k: v for k, v in tensors.items() if not k.startswith("ema.shadow_params.")}
    named: dict[str, Tensor] = {}
    for name, value in rest.items():
        if name.startswith("model."):
            fits = len(named) < len(shadow) and shadow[len(named)].shape == value.shape
            named |= {f"ema.{name.removeprefix('model.')}": shadow[len(named)]} if fits else {}
    buffers = {f"ema.{k.removeprefix('model.')}": v for k, v in rest.items() if k.startswith("model.")}
    return rest | buffers | named if shadow and len(named) == len(shadow) else tensors


def weights(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state dict to sample from: the average where there is one, without the prefix that parallel training leaves."""
    group = next((g for g in _GROUPS if any(k.startswith(f"{g}.") for k in tensors)), None)
    picked = tensors if group is None else {k[len(group) + 1 :]: v for k, v in tensors.items() if k.startswith(f"{group}.")}
    return {k.removeprefix("module."): v for k, v in picked.items()}


def convert(source: Path, out: Path, config: Config | None = None, shape: tuple[int, ...] = (), command: str = "") -> str:
    """Import `source` into the folder `out`, and say what came of it.

    A pipeline folder becomes one that every command but train takes. A file becomes out/weights.safetensors, every tensor by name; with a `config`
    whose network the weights fit, and the `shape` of a sample, a run that every command takes. Raises CheckpointError."""
    from safetensors.torch import save

    if source.is_dir():
        denoiser = pipelines.load(source)
        (_, height, width), _ = pipelines.takes(denoiser)
        pipelines.save(denoiser, out, height if height == width else (height, width))
        return f"a pipeline of {sum(p.numel() for p in denoiser.parameters()):,} weights, on {denoiser.process!r}: scoresde sample {out}"
    tensors = read(source)
    if config is None:
        write_whole(out / "weights.safetensors", save({k: v.contiguous().clone() for k, v in tensors.items()}))
        return f"{len(tensors)} tensors in {out / 'weights.safetensors'}; with a --config that describes their network they become a run"
    denoiser = config.denoiser(shape)
    restore(denoiser.network, weights(tensors), source)
    data = {"name": source.name, "count": 0, "shape": list(shape), "centre": 0.0, "half_range": 1.0, "classes": None, "fingerprint": ""}
    training = {"steps_done": 0, "seconds": 0.0, "loss": None}
    save_run(out, denoiser.network, denoiser.network, {"command": command, "config": config.as_dict(), "data": data, "training": training})
    return f"a run of {len(tensors)} tensors, by {versions()['scoresde']}: scoresde sample {out}"
