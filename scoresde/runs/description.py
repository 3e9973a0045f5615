"""What run.json says of the data a run was trained on."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import torch

from ..data.samples import Samples
from ..denoisers.moments import SAMPLES, Moments

MOMENTS = "moments.safetensors"
NO_DATA = {
    "count": 0,
    "centre": 0.0,
    "half_range": 1.0,
    "classes": None,
    "fingerprint": "",
    "moments": None,
}  # of a run that knows none


def description(data: Samples, moments: Moments | None) -> dict[str, Any]:
    """What run.json says of the data."""
    return {
        "name": data.name,
        "count": len(data),
        "shape": list(data.shape),
        "centre": data.centre,
        "half_range": data.half_range,
        "classes": data.classes,
        "class_names": data.class_names,
        "columns": data.columns,
        "kind": data.kind,
        "fingerprint": fingerprint(data),
        "moments": None if moments is None else moments.digest,
    }


def fingerprint(data: Samples) -> str:
    """Of up to 1000 samples, evenly spread: enough to tell one data set from another."""
    index = torch.linspace(0, len(data) - 1, min(1000, len(data)), dtype=torch.float64, device="cpu").long()
    return hashlib.sha256(data.samples(index).contiguous().numpy().tobytes()).hexdigest()[:16]


def moments(data: Samples) -> Moments | None:
    """Of up to 4096 samples, evenly spread; None where they do not differ."""
    x = data.samples(
        torch.linspace(0, len(data) - 1, min(SAMPLES, len(data)), dtype=torch.float64, device="cpu").long()
    )
    return Moments.of(x) if len(x) > 1 and bool((x != x[:1]).any()) else None


def data_identity(data: Mapping[str, Any]) -> dict[str, Any]:
    """What tells one data set from another."""
    return {key: data.get(key) for key in ("count", "shape", "fingerprint")}
