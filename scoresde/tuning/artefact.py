"""Reading and writing of tuned methods as JSON files, which hold numbers and names but no code."""

from __future__ import annotations

import hashlib
import json
import math
import re
import warnings
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from solvers import Table, check

from ..denoisers.denoiser import BaseDenoiser, Parameterisation
from ..denoisers.moments import Axes, Cosines, Directions, Moments
from ..processes.base import Process
from ..processes.coordinates import Angle, UnitNoise
from ..samplers.frame import Frame
from ..samplers.grids import ExplicitGrid
from ..samplers.method import Method
from ..samplers.reverse import Split
from ..samplers.transforms import ToldLevels
from .candidates import noisy

KIND = "scoresde tuned method"
FORMAT = 1
ALONG = {each.__name__: each for each in (Angle, UnitNoise)}
_MOST_BYTES = 1 << 28
_MOST_CALLS = 1000


def plain(method: Method) -> dict[str, Any]:
    """A tuned method, or a stochastic method of the catalogue, as plain values for JSON, with their checksum;
    `rebuilt` is the inverse."""
    entries = {"kind": KIND, "format": FORMAT, "calls": method.calls, **_entries(method)}
    return {**entries, "digest": hashlib.sha256(json.dumps(entries, sort_keys=True).encode()).hexdigest()}


def _entries(method: Method) -> dict[str, Any]:
    named = next((name for name, line in noisy(method.calls or 0).items() if line == method), None)
    if named is not None:
        return {"untuned": named}

    assert isinstance(method.grid, ExplicitGrid)
    assert isinstance(method.solver, Table)
    assert isinstance(method.process, Angle | UnitNoise)
    assert method.split is Split.FLOW
    told = next((t for t in method.transforms if isinstance(t, ToldLevels)), None)

    return {
        "along": {"name": type(method.process).__name__, **asdict(method.process)},
        "levels": [None if lam == -math.inf else lam for lam in method.grid.lams],
        "final_denoise": method.final_denoise,
        "rows": [list(row) for row in method.solver.rows],
        "stds": list(method.solver.stds),
        "told": None if told is None else {"levels": list(told.lams), "shifts": list(told.shifts)},
        "frame": None if method.frame is None else {"start": method.frame.start, **_moments(method.frame.moments)},
    }


def read(path: Path | str) -> tuple[Method, dict[str, Any]]:
    """Read a file of a tuned method: the method, and the whole content of the file.

    Raises:
        OSError: if the file cannot be read.
        ValueError: naming the file, if it is damaged or not the file of a tuned method.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    if path.stat().st_size > _MOST_BYTES:
        raise ValueError(f"{path}: larger than {_MOST_BYTES} bytes, not a tuned method")

    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not JSON, or cut short: {error}") from error

    if not isinstance(told, dict) or told.get("kind") != KIND:
        raise ValueError(f"{path}: not a tuned method; `scoresde tune` writes one")
    if told.get("format") != FORMAT:
        raise ValueError(f"{path}: of format {told.get('format')!r:.40}, and this version reads {FORMAT}")

    try:
        method = rebuilt(told)
        check_whole(told, method)
        return method, told
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        said = f"`{error.args[0]}` is missing" if isinstance(error, KeyError) else error
        raise ValueError(f"{path}: damaged: {said}") from error


def load(path: Path | str, denoiser: BaseDenoiser | None = None) -> Method:
    """Load the method of a file that `Tuned.save` wrote.

    Args:
        path: path of the file.
        denoiser: the model to be sampled; if the method was tuned on another model, a warning is given. None: the model
            is not compared.

    Raises:
        OSError: if the file cannot be read.
        ValueError: naming the file, if it is damaged or not the file of a tuned method.

    Warns:
        UserWarning: if the method was tuned on another model.
    """
    method, told = read(path)
    if denoiser is not None:
        own = fingerprint(denoiser)
        if told.get("model") != own:
            warnings.warn(
                f"{path} was tuned on the model {str(told.get('model'))[:16]}, and this one is {own[:16]}: its error"
                " is not known here",
                stacklevel=2,
            )
    return method


def fingerprint(denoiser: BaseDenoiser) -> str:
    """SHA-256 of a model: of its weights and buffers by name, and of the settings of its modules, such as the scale of
    guidance or the process."""
    found = hashlib.sha256()
    for name, part in denoiser.named_modules():
        settings = {key: value for key, value in vars(part).items() if _is_setting(key, value)}
        told = re.sub(r" at 0x[0-9a-f]+", "", repr(sorted(settings.items())))  # an address in memory is no setting
        found.update(f"{name} {type(part).__name__} {told}".encode())

    for name, value in sorted(denoiser.state_dict().items()):
        found.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        found.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


def _is_setting(name: str, value: Any) -> bool:
    """Whether an attribute of a module is part of what the model is: plain values, processes, parameterisations."""
    if name.startswith("_") or name == "training":
        return False
    parts = value if isinstance(value, tuple) else (value,)
    return all(isinstance(each, bool | int | float | str | None | Process | Parameterisation) for each in parts)


def rebuilt(told: Mapping[str, Any]) -> Method:
    """The method of the values that `plain` made. Raises KeyError, TypeError or ValueError for other values."""
    if "untuned" in told:
        lines = noisy(check.integer("calls", told["calls"], most=_MOST_CALLS))
        return lines[check.choice("untuned", told["untuned"], lines)]

    along = dict(told["along"])
    name = check.choice("along.name", along.pop("name"), tuple(ALONG))
    lams = tuple(-math.inf if lam is None else check.number("levels", lam) for lam in told["levels"])
    rows = tuple(tuple(row) for row in told["rows"])
    if len(rows) != len(lams) - 1:
        raise ValueError(f"`rows` must be {len(lams) - 1} for {len(lams)} levels, got {len(rows)}")

    shifts = told["told"]
    frame = told["frame"]

    return Method(
        ALONG[name](**along),
        Split.FLOW,
        Table(rows, tuple(told.get("stds", ()))),
        ExplicitGrid(lams),
        len(lams),
        frame=None if frame is None else Frame(_rebuilt_moments(frame), frame["start"]),
        transforms=() if shifts is None else (ToldLevels(tuple(shifts["levels"]), tuple(shifts["shifts"])),),
        final_denoise=bool(told["final_denoise"]),
    )


def check_whole(told: Mapping[str, Any], method: Method) -> None:
    """Check that a file says of its method what was written.

    Args:
        told: what stands in the file.
        method: the method that was made of it.

    Raises:
        ValueError: naming the first entry that is missing or was changed.
    """
    for name, value in plain(method).items():
        if name not in told:
            raise ValueError(f"`{name}` is missing")
        if told[name] != value:
            said = "the numbers are not those that were written" if name == "digest" else f"`{name}` was changed"
            raise ValueError(f"{said}; tune again")


def _moments(moments: Moments) -> dict[str, Any]:
    basis = moments.basis
    return {
        "mean": moments.mean.tolist(),
        "std": moments.std.tolist(),
        "scale": moments.scale,
        "basis": type(basis).__name__,
        "directions": basis.rows.tolist() if isinstance(basis, Directions) else None,
    }


def _rebuilt_moments(told: Mapping[str, Any]) -> Moments:
    def numbers(name: str) -> Tensor:
        return torch.tensor(told[name], dtype=torch.float64, device="cpu")

    check.choice("frame.basis", told["basis"], ("Axes", "Cosines", "Directions"))
    basis = {"Axes": Axes, "Cosines": Cosines}.get(told["basis"])
    made = Directions(numbers("directions")) if basis is None else basis()
    return Moments(numbers("mean"), numbers("std"), made, told["scale"])
