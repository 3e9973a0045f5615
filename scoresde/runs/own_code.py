"""A network of one's own, named in a configuration as package.module:Class: imported only where the user allowed it.

What a configuration or a run folder names is code, which may do anything once it is imported. So nothing is imported
outside `allow_code`, which `--allow-code` and `runs.load(folder, allow_code=True)` enter.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import math
import re
import sys
import warnings
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

import torch
from torch import nn

from solvers import SeededNoise
from solvers.noise import PRIOR

from ..denoisers.denoiser import Denoiser
from ..runtime.torch_state import evaluating, seeded

SOURCE = "network_source"  # key of run.json
_NAME = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", re.ASCII)
_ALLOWED: ContextVar[bool] = ContextVar("allow_code", default=False)


class OwnCodeError(ValueError):
    """A network of one's own that may not run, or cannot; the message names the dotted key."""


@contextmanager
def allow_code(yes: bool = True) -> Generator[None, None, None]:
    """Inside, networks that configurations name as package.module:Class are imported and made.

    Args:
        yes: False changes nothing.
    """
    token = _ALLOWED.set(yes or _ALLOWED.get())
    try:
        yield
    finally:
        _ALLOWED.reset(token)


def is_allowed() -> bool:
    """Whether code of a user's own may run here."""
    return _ALLOWED.get()


def is_own(kind: Any) -> bool:
    """Whether a kind of network is the name of a class of one's own.

    Args:
        kind: network.kind of a configuration.
    """
    return isinstance(kind, str) and ":" in kind


def check_named(kind: str, options: Any) -> None:
    """Raises ValueError naming `kind` where it is no package.module:Class, `options` where they are no plain values.

    Args:
        kind: of the network.
        options: keyword arguments of the class.
    """
    if not _NAME.fullmatch(kind):
        raise ValueError(f"`kind` must be package.module:Class for a network of your own, got {kind!r}")
    if not _plain(options) or not all(str(key).isidentifier() for key in options):
        raise ValueError(f"`options` must be numbers, text, truth values, lists or tables by name, got {options!r}")


def network(kind: str, options: Mapping[str, Any]) -> nn.Module:
    """A network of one's own.

    Args:
        kind: package.module:Class, found among installed packages, then in the current directory.
        options: keyword arguments of the class.

    Raises:
        OwnCodeError: naming `network.kind` or `network.options`, where code is not allowed, or there is no such
        network.
    """
    own = _class(kind, options)

    try:
        inspect.signature(own).bind(**options)
    except TypeError as error:
        raise OwnCodeError(
            f"`network.options` must be what {kind} takes, {inspect.signature(own)}, got {dict(options)}: {error}"
        ) from error

    try:
        made = own(**options)
    except Exception as error:
        raise OwnCodeError(
            f"`network.options` must be what {kind} takes, got {dict(options)}: {_said(error)}"
        ) from error

    return made


def check_answer(denoiser: Denoiser, kind: str, shape: tuple[int, ...], classes: int | None) -> None:
    """Ask a network of one's own for two noisy samples, so that what does not fit is told before training.

    Args:
        denoiser: made of the network.
        kind: of the network, for messages.
        shape: of one sample.
        classes: labels it is told of; None: of none.

    Raises:
        OwnCodeError: naming `network.kind`.
    """
    process = denoiser.process
    t = torch.full((2,), 0.5 * (process.t_min + process.t_max), dtype=torch.float64, device="cpu")
    labels = None if classes is None else torch.zeros(2, dtype=torch.int64, device="cpu")
    x = SeededNoise(0).normal(PRIOR, range(1), (2, *shape), torch.float32, "cpu")[0]

    try:
        with evaluating(denoiser), torch.no_grad():
            denoiser(x, process.alpha(t), process.sigma(t), labels)
    except Exception as error:
        called = "(x, c_noise)" if classes is None else "(x, c_noise, labels)"
        raise OwnCodeError(
            f"`network.kind` must name a network that is called with {called} and answers for x of shape"
            f" {tuple(x.shape)}, got {kind}: {_said(error)}"
        ) from error

    if not any(p.requires_grad for p in denoiser.network.parameters()):
        raise OwnCodeError(f"`network.kind` must name a network with weights to train, got {kind}, which has none")


def source(kind: str, options: Mapping[str, Any]) -> dict[str, str]:
    """What run.json says of the source of a network of one's own: the SHA-256 of its file. Nothing of any other.

    Args:
        kind: network.kind of a configuration.
        options: network.options, for messages.
    """
    if not is_own(kind):
        return {}
    try:
        file = inspect.getsourcefile(_class(kind, options))
    except TypeError:  # it has none
        file = None
    return {} if file is None else {SOURCE: hashlib.sha256(Path(file).read_bytes()).hexdigest()}


def warn_if_changed(kind: str, options: Mapping[str, Any], about: Mapping[str, Any], path: Path) -> None:
    """Warn where the source of a network of one's own is not that which the run was trained with.

    Args:
        kind: network.kind of a configuration.
        options: network.options, for messages.
        about: what run.json says.
        path: of the run, for the message.
    """
    then = about.get(SOURCE)
    now = source(kind, options).get(SOURCE)
    if then is not None and now is not None and then != now:
        warnings.warn(
            f"the source of {kind} has changed since {path} was trained: SHA-256 {now} now, {then} then; the weights"
            " may mean something else",
            stacklevel=3,
        )


def _class(kind: str, options: Mapping[str, Any]) -> type[nn.Module]:
    """The class, imported. Raises OwnCodeError naming `network.kind`."""
    module, _, name = kind.partition(":")
    if not is_allowed():
        arguments = ", ".join(f"{key}={value!r}" for key, value in options.items())
        raise OwnCodeError(
            f"`network.kind` must be a network of ours, or be allowed to run code, got {kind}, which would import"
            f" {module} ({_place(module)}) and call {name}({arguments}); if you trust it, add --allow-code, in Python"
            " allow_code"
        )

    with _beside(), seeded(0):  # what a module draws when it is imported must not depend on who imports it first
        try:
            found = getattr(importlib.import_module(module), name, None)
        except ModuleNotFoundError as error:
            missing = error.name is not None and f"{module}.".startswith(f"{error.name}.")
            said = f"there is no module {error.name}" if missing else _said(error)
            raise OwnCodeError(
                f"`network.kind` must name a module that is installed or lies in {Path.cwd()}, got {kind}: {said}"
            ) from error
        except Exception as error:
            raise OwnCodeError(
                f"`network.kind` must name a module that can be imported, got {kind}: {_said(error)}"
            ) from error

    if found is None:
        raise OwnCodeError(f"`network.kind` must name a class of {module} ({_place(module)}), got {kind}: it has none")
    if not (isinstance(found, type) and issubclass(found, nn.Module)):
        raise OwnCodeError(f"`network.kind` must name a subclass of torch.nn.Module, got {kind}, which is none")
    return found


@contextmanager
def _beside() -> Generator[None, None, None]:
    """Inside, modules are looked for in the current directory too, after all other places: nothing installed is
    hidden by a file of its name."""
    here = str(Path.cwd())
    sys.path.append(here)
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.reverse()
        sys.path.remove(here)  # the last of that name, which is ours
        sys.path.reverse()


def _place(module: str) -> str:
    """Where a module lies, found without running any of it or of its packages."""
    within: Sequence[str] | None = [*sys.path, str(Path.cwd())]
    parts = module.split(".")
    place = "not found"

    for count in range(1, len(parts) + 1):
        spec = None if within is None else PathFinder.find_spec(".".join(parts[:count]), within)
        if spec is None:
            return "not found"
        within = spec.submodule_search_locations
        place = spec.origin or str(next(iter(within or ()), "of no file"))

    return place


def _plain(value: Any) -> bool:
    """Whether a value is made of what TOML and JSON both hold."""
    if isinstance(value, Mapping):
        return all(isinstance(key, str) and _plain(part) for key, part in value.items())
    if isinstance(value, list):
        return all(map(_plain, value))
    return isinstance(value, (bool, int, str)) or (isinstance(value, float) and math.isfinite(value))


def _said(error: Exception) -> str:
    """An error in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
