"""Checks the configuration of a UNet2DModel: every entry must lie within bounds, and the network must have the size of
its stored weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import torch

from ..storage.files import CheckpointError
from ..storage.weights import architecture_mismatch

_Fits = Callable[[Any], bool]
_MOST_CHANNELS = 1 << 14
_FLOATS = {"F16", "BF16", "F32", "F64"}


def _whole(least: int, most: int) -> _Fits:
    return lambda value: type(value) is int and least <= value <= most


def _real(least: float, most: float) -> _Fits:
    return lambda value: type(value) in (int, float) and math.isfinite(value) and least <= value <= most


def _maybe(fits: _Fits) -> _Fits:
    return lambda value: value is None or fits(value)


def _several(fits: _Fits, least: int, most: int) -> _Fits:
    return lambda value: (
        isinstance(value, list)
        and least <= len(cast("list[Any]", value)) <= most
        and all(map(fits, cast("list[Any]", value)))
    )


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _flag(value: Any) -> bool:
    return isinstance(value, bool)


def _side(value: Any) -> bool:
    return _whole(1, 1 << 16)(value) or _several(_whole(1, 1 << 16), 2, 2)(value)


_CHANNELS = _whole(1, _MOST_CHANNELS)
# For each entry: the check, and its wording in error messages.
_ENTRIES: dict[str, tuple[_Fits, str]] = {
    "sample_size": (_maybe(_side), "a number of pixels or [height, width]"),
    **dict.fromkeys(
        ("in_channels", "out_channels", "norm_num_groups"), (_CHANNELS, f"an integer from 1 to {_MOST_CHANNELS}")
    ),
    **dict.fromkeys(
        ("attention_head_dim", "attn_norm_num_groups", "time_embedding_dim"),
        (_maybe(_CHANNELS), f"an integer from 1 to {_MOST_CHANNELS}, or null"),
    ),
    **dict.fromkeys(
        ("num_class_embeds", "num_train_timesteps"), (_maybe(_whole(1, 10**6)), "an integer from 1 to 1000000, or null")
    ),
    "block_out_channels": (_several(_CHANNELS, 1, 16), f"a list of 1 to 16 integers from 1 to {_MOST_CHANNELS}"),
    **dict.fromkeys(
        ("down_block_types", "up_block_types"), (_several(_text, 1, 16), "a list of 1 to 16 names of blocks")
    ),
    "layers_per_block": (_whole(1, 64), "an integer from 1 to 64"),
    "downsample_padding": (_whole(0, 16), "an integer from 0 to 16"),
    "freq_shift": (_real(0.0, 16.0), "a number from 0 to 16"),
    "dropout": (_real(0.0, 1.0), "a number from 0 to 1"),
    "norm_eps": (_real(0.0, 1.0), "a number from 0 to 1"),
    "mid_block_scale_factor": (_real(1e-6, 1e6), "a number from 1e-6 to 1e6"),
    **dict.fromkeys(("center_input_sample", "flip_sin_to_cos", "add_attention"), (_flag, "true or false")),
    **dict.fromkeys(("mid_block_type", "class_embed_type"), (_maybe(_text), "a name, or null")),
    **dict.fromkeys(
        ("time_embedding_type", "downsample_type", "upsample_type", "act_fn", "resnet_time_scale_shift"),
        (_text, "a name"),
    ),
}


def check_config(path: Path, config: Mapping[str, Any]) -> None:
    """Check the entries of a configuration.

    Args:
        path: the file, for messages.
        config: its entries.

    Raises:
        CheckpointError: naming the file, and the entry that is unknown or out of bounds.
    """
    name = config.get("_class_name")
    if name != "UNet2DModel":
        told = config.get("architectures", name)
        raise CheckpointError(f"{path} must describe a UNet2DModel, got {told!r:.60}")

    for key, value in config.items():
        if key.startswith("_"):
            continue
        if key not in _ENTRIES:
            raise CheckpointError(
                f"{path}: `{key}` is not an entry of a UNet2DModel, got {value!r:.60}; remove it if the network"
                " does without"
            )

        fits, wanted = _ENTRIES[key]
        if not fits(value):
            raise CheckpointError(f"{path}: `{key}` must be {wanted}, got {value!r:.60}")


def check_size(home: Path, config: Mapping[str, Any], stored: Path, kind: Any) -> None:
    """Check that weights and configuration have the same size, and that the weights are floating-point numbers.

    No memory is allocated for weights: the network is made on the meta device, and only the header of the file is read.

    Args:
        home: folder of config.json, for messages.
        config: its entries.
        stored: the safetensors file of the weights.
        kind: class of the network.

    Raises:
        CheckpointError: naming the file.
    """

    from safetensors import safe_open

    held = 0

    try:
        with safe_open(stored, framework="pt") as file:
            for key in file.keys():  # noqa: SIM118 - it is no mapping
                part = file.get_slice(key)
                if part.get_dtype() not in _FLOATS:
                    raise CheckpointError(
                        f"{stored} holds {part.get_dtype()} numbers in {key!r:.80}; weights must be"
                        " floating-point numbers"
                    )
                held += math.prod(part.get_shape())
    except CheckpointError:
        raise
    except Exception as error:  # any error that safetensors raises
        raise CheckpointError(f"{stored} cannot be loaded: {' '.join(str(error).split())[:300]}") from error

    try:
        with torch.device("meta"):
            body = kind(**{key: value for key, value in config.items() if not key.startswith("_")})
    except Exception as error:  # any error that diffusers raises
        raise CheckpointError(
            f"{home / 'config.json'} cannot be loaded as a {kind.__name__}: {_blamed(config, error)}"
        ) from error

    wanted = sum(value.numel() for value in body.state_dict().values())
    if wanted != held:
        raise architecture_mismatch(
            stored,
            f"{home / 'config.json'} cannot be loaded with it: it describes {wanted:,} numbers, the file"
            f" holds {held:,}",
        )


def _blamed(config: Mapping[str, Any], error: Exception) -> str:
    """The error message of diffusers about a configuration, with the first entry whose name or value it mentions."""
    said = " ".join(str(error).split())[:300]

    def named(value: Any) -> bool:
        parts = cast("list[Any]", value) if isinstance(value, list) else [value]
        return any(isinstance(part, str) and part in said for part in parts)

    found = [key for key, value in config.items() if not key.startswith("_") and (key in said or named(value))]

    return f"{said}{f' (see `{found[0]}`)' if found else ''}"
