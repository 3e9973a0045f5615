"""The description of the training data in run.json."""

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
}  # for a run whose data are not known


def description(data: Samples, moments: Moments | None) -> dict[str, Any]:
    """Describe the data for run.json, and the run that the model depends on (its autoencoder or low-resolution run).

    Args:
        data: samples that the run trains on.
        moments: moments of the samples; None: not known.
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
    """A short hash of up to 1000 samples, evenly spread over the set. It distinguishes one data set from another."""
    index = torch.linspace(0, len(data) - 1, min(1000, len(data)), dtype=torch.float64, device="cpu").long()
    digest = hashlib.sha256(data.samples(index).contiguous().numpy().tobytes())
    if is_mask(data.cond):
        digest.update(data.cond[MASK][index].numpy().tobytes())
    return digest.hexdigest()[:16]


def moments(data: Samples) -> Moments | None:
    """The moments of up to 4096 samples, evenly spread over the set.

    None if all these samples are equal, or if they are sets of different sizes."""
    if is_mask(data.cond):
        return None  # the moments would include the padding

    x = data.samples(
        torch.linspace(0, len(data) - 1, min(SAMPLES, len(data)), dtype=torch.float64, device="cpu").long()
    )
    return Moments.of(x) if len(x) > 1 and bool((x != x[:1]).any()) else None


def data_identity(data: Mapping[str, Any]) -> dict[str, Any]:
    """The entries of a data description that distinguish one data set from another."""
    known = {key: data.get(key) for key in ("count", "shape", "fingerprint")}
    return known | {key: data[key]["sha256"] for key in _STANDS_ON.values() if key in data}
