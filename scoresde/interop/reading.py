"""Reads the JSON files of a saved pipeline."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

from ..storage.files import CheckpointError

WEIGHTS = "diffusion_pytorch_model.safetensors"
_MOST_BYTES = 1 << 22


def read_json(path: Path) -> dict[str, Any]:
    """The object of a small JSON file.

    Args:
        path: of the file.

    Raises:
        CheckpointError: naming the file, if it is missing, too large, or holds no JSON object.
    """

    if not path.is_file():
        raise CheckpointError(f"{path} is missing; give the folder of a saved pipeline, with unet/ and scheduler/")
    if path.stat().st_size > _MOST_BYTES:
        raise CheckpointError(f"{path} is larger than {_MOST_BYTES} bytes, not a configuration")

    try:
        read = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is not readable JSON: {error}") from error

    if not isinstance(read, dict):
        raise CheckpointError(f"{path} must hold a JSON object, got {type(read).__name__}")

    return cast("dict[str, Any]", read)
