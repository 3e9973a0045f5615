"""Match the tensors of a file to a network by name.

Training programs add their own parts to the names: a group ("model", "state_dict"), a wrapper ("module", "_orig_mod"),
or a group for the averaged weights. A network's weights are found under any prefix of the file under which all names of
its parameters occur.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from .files import CheckpointError

_SHOWN = 3  # number of names that a message lists
_WRAPPERS = {"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}
_AVERAGED = re.compile(r"(^|_)(ema|swa|avg|averaged?|averages|shadow)(_|$)")
_LIVE = re.compile(r"(^|_)(online|live|raw|student)(_|$)")  # raw weights that are stored with an average


def select(tensors: Mapping[str, Tensor], network: nn.Module, path: Path) -> dict[str, Tensor]:
    """Select the state dict of `network` from the tensors of a file: averaged weights if there are any, or else the raw
    weights.

    The names of the network are looked for under every prefix of the file. The parts that parallel and compiled
    training add to names ("module", "_orig_mod") are ignored. Buffers that the average lacks come from the raw weights.

    Args:
        tensors: by dotted name, as `foreign.read` returns them.
        network: the network whose names are looked for; its values do not matter.
        path: of the file, for messages.

    Raises:
        CheckpointError: if no prefix holds all parameters; if two averages, or without an average two sets of raw
            weights, have different values; or if the file holds further weights of a larger network.
    """

    wanted = network.state_dict()
    parameters = {name for name, _ in network.named_parameters()}
    kept = {part for name in wanted for part in name.split(".")}
    clean = {_unwrapped(name, kept): value for name, value in tensors.items()}

    groups = _groups(clean, wanted)
    whole = {prefix: part for prefix, part in groups.items() if parameters <= part.keys()}
    raw = {prefix: part for prefix, part in whole.items() if not _is_average(prefix)}

    for prefix in raw:
        whole |= _squeezed(clean, prefix, parameters)

    if not whole:
        found = list(tensors)
        names = list(wanted)
        said = f"holds another architecture: none of its groups has all {len(wanted)} weights of the network"
        nearest = max(groups, key=lambda prefix: len(groups[prefix]), default=None)
        if nearest is not None:
            missing = next(name for name in names if name not in groups[nearest])
            said += f"; nearest is {nearest or 'the file itself'!r}, which lacks {missing}"

        raise CheckpointError(f"{path} {said}; first names found: {_some(found)}; first wanted: {_some(names)}")

    averaged = {prefix: part for prefix, part in whole.items() if _is_average(prefix)}
    prefix, part = _only(averaged or raw, parameters, path)
    buffers = next(iter(raw.values()), {})
    _check_alone(clean, prefix, wanted, path)
    found = {**buffers, **part}

    return {name: found[name] for name in wanted if name in found}


def _unwrapped(name: str, kept: set[str]) -> str:
    """A name without the parts that wrappers add. Parts that names of the network contain are kept."""
    return ".".join(part for part in name.split(".") if part in kept or part not in _WRAPPERS)


def _groups(tensors: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """{prefix: {name: tensor}} for each tensor named prefix.name, where name is a wanted name."""
    groups: dict[str, dict[str, Tensor]] = {}

    for name, value in tensors.items():
        parts = name.split(".")
        for k in range(len(parts)):
            rest = ".".join(parts[k:])
            if rest in wanted:
                groups.setdefault(".".join(parts[:k]), {})[rest] = value

    return groups


def _squeezed(tensors: Mapping[str, Tensor], prefix: str, parameters: set[str]) -> dict[str, dict[str, Tensor]]:
    """The averaged weights of a latent-diffusion file. For the raw weight a.b.NAME the key is a_ema.bNAME, where bNAME
    has no dots."""

    parts = prefix.split(".") if prefix else []

    for k in range(1, len(parts) + 1):
        group = ".".join(parts[:k]) + "_ema"
        rest = ".".join(parts[k:])
        keys = {name: f"{group}.{f'{rest}.{name}'.replace('.', '')}" for name in parameters}
        if all(key in tensors for key in keys.values()):
            return {group: {name: tensors[key] for name, key in keys.items()}}

    return {}


def _is_average(prefix: str) -> bool:
    """Whether the name of a group is that of averaged weights, and not of the raw weights stored with an average."""
    parts = prefix.lower().split(".")
    return any(_AVERAGED.search(part) for part in parts) and not any(_LIVE.search(part) for part in parts)


def _only(groups: dict[str, dict[str, Tensor]], parameters: set[str], path: Path) -> tuple[str, dict[str, Tensor]]:
    """The only group, or the first of several equal ones. Raises CheckpointError if their values differ."""
    first, *others = groups

    for other in others:
        a = groups[first]
        b = groups[other]
        if any(a[name].shape != b[name].shape or not torch.equal(a[name], b[name]) for name in parameters):
            said = f"{first or 'the file itself'!r} and {other or 'the file itself'!r}"
            raise CheckpointError(
                f"{path} holds the network twice, with different weights: {said}; save the one to sample from in"
                " a file of its own"
            )

    return first, groups[first]


def _check_alone(
    tensors: Mapping[str, Tensor],
    prefix: str,
    wanted: Mapping[str, Tensor],
    path: Path,
) -> None:
    """Raise CheckpointError if the group holds further weights in parts of the network: it belongs to a larger one."""
    start = f"{prefix}." if prefix else ""
    roots = {name.split(".")[0] for name in wanted}
    for name in tensors:
        rest = name.removeprefix(start)
        if name.startswith(start) and rest.split(".")[0] in roots and rest not in wanted:
            raise CheckpointError(f"{path} holds another architecture: {name} has no place in the network")


def _some(names: list[str]) -> str:
    """The first names of a list."""
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")


def restore(module: nn.Module, state: Mapping[str, Tensor], path: Path) -> None:
    """Load weights from a file into a module.

    Args:
        module: to load into.
        state: weights by the module's own names.
        path: of the file they came from, for messages.

    Raises:
        CheckpointError: if a weight is missing, unexpected or not finite, or has another shape or another kind of
            number (`load_weights`); the message names it.
    """

    bad = [k for k, v in state.items() if v.is_floating_point() and not bool(torch.isfinite(v).all())]
    if bad:
        raise CheckpointError(f"{path} holds NaN or Inf in {bad[0]} and {len(bad) - 1} more")

    try:
        load_weights(module, state)
    except RuntimeError as error:
        raise architecture_mismatch(path, error) from error


def load_weights(module: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Load a state dict, and check the kind of its numbers.

    `load_state_dict` alone would convert whole or complex numbers to floating ones without a warning.

    Args:
        module: to load into.
        state: all weights by the module's own names.

    Raises:
        RuntimeError: if a weight is missing or unexpected, or has another shape or another kind of number (floating,
            complex or other) than the module's.
    """
    for name, wanted in module.state_dict().items():
        found = state.get(name, wanted)
        if (found.is_floating_point(), found.is_complex()) != (wanted.is_floating_point(), wanted.is_complex()):
            raise RuntimeError(f"{name} is of {_dtype(found)}, not {_dtype(wanted)}")
    module.load_state_dict(state)


def _dtype(x: Tensor) -> str:
    return str(x.dtype).removeprefix("torch.")


def architecture_mismatch(path: Path, error: Exception | str) -> CheckpointError:
    """The error for weights of another network.

    Args:
        path: of the file they came from.
        error: the reason; the message shows up to 300 characters of it in one line.
    """
    return CheckpointError(f"{path} holds another architecture: {' '.join(str(error).split())[:300]}")
