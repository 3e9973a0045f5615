"""What run.json says of the data a run was trained on."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import torch

from ..data.derived import Derived
from ..data.low_resolution import Upsampling
from ..data.masked import MASK, is_mask, size_counts
from ..data.samples import Samples
from ..denoisers.moments import SAMPLES, Moments
from ..latent.space import Latents

MOMENTS = "moments.safetensors"
_STANDS_ON: dict[type[Derived], str] = {Latents: "latent", Upsampling: "cascade"}
NO_DATA = {
    "count": 0,
    "centre": 0.0,
    "half_range": 1.0,
    "classes": None,
    "fingerprint": "",
    "moments": None,
}  # of a run that knows none


def description(data: Samples, moments: Moments | None) -> dict[str, Any]:
    """What run.json says of the data, and of what the model stands on.

    Args:
        data: samples that the run trains on.
        moments: of them; None: not known.
    """
    source = data.source
    sizes = size_counts(source.cond)
    stands_on = {} if not isinstance(data, Derived) else {_STANDS_ON[type(data)]: data.about()}
    told = {
        **stands_on,
        "name": data.name,
        "count": len(data),
        "shape": list(source.shape),
        "centre": data.centre,
        "half_range": data.half_range,
        "classes": data.classes,
        "class_names": data.class_names,
        "columns": data.columns,
        "kind": data.kind,
        "fingerprint": fingerprint(source),
        "moments": None if moments is None else moments.digest,
    }
    return told if sizes is None else told | {"set_sizes": sizes}


def fingerprint(data: Samples) -> str:
    """Of up to 1000 samples, evenly spread: enough to tell one data set from another."""
    index = torch.linspace(0, len(data) - 1, min(1000, len(data)), dtype=torch.float64, device="cpu").long()
    digest = hashlib.sha256(data.samples(index).contiguous().numpy().tobytes())
    if is_mask(data.cond):
        digest.update(data.cond[MASK][index].numpy().tobytes())
    return digest.hexdigest()[:16]


def moments(data: Samples) -> Moments | None:
    """Of up to 4096 samples, evenly spread; None where they do not differ, or are sets of several sizes."""
    if is_mask(data.cond):
        return None  # they would be those of the padding too

    x = data.samples(
        torch.linspace(0, len(data) - 1, min(SAMPLES, len(data)), dtype=torch.float64, device="cpu").long()
    )
    return Moments.of(x) if len(x) > 1 and bool((x != x[:1]).any()) else None


def data_identity(data: Mapping[str, Any]) -> dict[str, Any]:
    """What tells one data set from another."""
    known = {key: data.get(key) for key in ("count", "shape", "fingerprint")}
    return known | {key: data[key]["sha256"] for key in _STANDS_ON.values() if key in data}
