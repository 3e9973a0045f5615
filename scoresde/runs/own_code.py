"""A network of one's own: a class of the user that a configuration names as package.module:Class.

A configuration or a run folder can so name any code, and code may do anything once it is imported. It is therefore
imported only inside `allow_code`, which `--allow-code` and `runs.load(folder, allow_code=True)` enter.
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
    """Raised if a network of one's own is not allowed to run, or fails. The message names the dotted key."""


@contextmanager
def allow_code(yes: bool = True) -> Generator[None, None, None]:
    """Inside this context, networks that configurations name as package.module:Class may be imported and made.

    Args:
        yes: if false, the context changes nothing: what was allowed outside stays allowed.
    """
    token = _ALLOWED.set(yes or _ALLOWED.get())
    try:
        yield
    finally:
        _ALLOWED.reset(token)


def is_allowed() -> bool:
    """Whether networks of one's own may be imported here."""
    return _ALLOWED.get()


def is_own(kind: Any) -> bool:
    """Whether a kind of network names a class of one's own.

    Args:
        kind: network.kind of a configuration.
    """
    return isinstance(kind, str) and ":" in kind


def check_named(kind: str, options: Any) -> None:
    """Check the name and the options of a network of one's own, without importing it.

    Args:
        kind: network.kind of a configuration.
        options: keyword arguments of the class.

    Raises:
        ValueError: naming `kind` if it is not package.module:Class, or `options` if they are not plain values by name.
    """
    if not _NAME.fullmatch(kind):
        raise ValueError(f"`kind` must be package.module:Class for a network of your own, got {kind!r}")
    if not _plain(options) or not all(str(key).isidentifier() for key in options):
        raise ValueError(f"`options` must be numbers, text, truth values, lists or tables by name, got {options!r}")


def network(kind: str, options: Mapping[str, Any]) -> nn.Module:
    """Import a network of one's own and make it.

    Args:
        kind: package.module:Class; the module is looked for in installed packages, then in the current directory.
        options: keyword arguments of the class.

    Raises:
        OwnCodeError: if code is not allowed to run, there is no such class, or it does not take the options; naming
            `network.kind` or `network.options`.
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
    """Call a network of one's own with two noisy samples, so that errors appear before training.

    Args:
        denoiser: the denoiser that holds the network.
        kind: of the network, for messages.
        shape: of one sample.
        classes: if not None, the network is called with labels.

    Raises:
        OwnCodeError: if the call fails, or the network has no weights to train; naming `network.kind`.
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
    """The entry of run.json for the source code of a network of one's own.

    Args:
        kind: network.kind of a configuration.
        options: network.options, for messages.

    Returns:
        {"network_source": SHA-256 of the file}; {} for any other network, and if the class has no source file.

    Raises:
        OwnCodeError: if the network cannot be imported, or is not allowed to.
    """
    if not is_own(kind):
        return {}
    try:
        file = inspect.getsourcefile(_class(kind, options))
    except TypeError:  # the class has no source file
        file = None
    return {} if file is None else {SOURCE: hashlib.sha256(Path(file).read_bytes()).hexdigest()}


def warn_if_changed(kind: str, options: Mapping[str, Any], about: Mapping[str, Any], path: Path) -> None:
    """Warn if the source code of a network of one's own has changed since the run was trained.

    Args:
        kind: network.kind of a configuration.
        options: network.options, for messages.
        about: the content of run.json.
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
    """Import the class. Raises OwnCodeError naming `network.kind`."""
    module, _, name = kind.partition(":")
    if not is_allowed():
        arguments = ", ".join(f"{key}={value!r}" for key, value in options.items())
        raise OwnCodeError(
            f"`network.kind` must be a network of ours, or be allowed to run code, got {kind}, which would import"
            f" {module} ({_place(module)}) and call {name}({arguments}); if you trust it, add --allow-code, in Python"
            " allow_code"
        )

    with _beside(), seeded(0):  # random numbers drawn during an import are the same whoever imports first
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
    """Inside this context, modules are also looked for in the current directory. It comes last, so that a file there
    never hides an installed module of the same name."""
    here = str(Path.cwd())
    sys.path.append(here)
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.reverse()
        sys.path.remove(here)  # removes the last such entry, which is ours
        sys.path.reverse()


def _place(module: str) -> str:
    """The file of a module, found without running any code of the module or of its packages."""
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
    """Whether a value consists of types that both TOML and JSON can store."""
    if isinstance(value, Mapping):
        return all(isinstance(key, str) and _plain(part) for key, part in value.items())
    if isinstance(value, list):
        return all(map(_plain, value))
    return isinstance(value, (bool, int, str)) or (isinstance(value, float) and math.isfinite(value))


def _said(error: Exception) -> str:
    """An error in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
