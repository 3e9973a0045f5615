"""Other libraries of samplers: whether one is installed, and the import of k-diffusion."""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import sys
import types
from collections.abc import Callable
from typing import Any

from torch import Tensor

Model = Callable[[Tensor, Tensor], Tensor]
Run = Callable[[Model, Tensor, Tensor, int], Tensor]


def absent(library: str) -> bool:
    """Whether a Python distribution is not installed."""
    try:
        importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return True
    return False


@functools.cache
def k_diffusion_sampling() -> Any:
    """Import k_diffusion.sampling without the package's `__init__` and `utils`, which import torchvision and more."""
    spec = importlib.util.find_spec("k_diffusion")
    if spec is None or spec.submodule_search_locations is None:
        raise ModuleNotFoundError("k-diffusion is not installed", name="k_diffusion")

    package = types.ModuleType("k_diffusion")
    utils = types.ModuleType("k_diffusion.utils")
    package.__path__ = list(spec.submodule_search_locations)
    package.utils = utils  # pyright: ignore[reportAttributeAccessIssue]
    utils.append_dims = lambda x, n: x.reshape(*x.shape, *[1] * (n - x.ndim))  # pyright: ignore[reportAttributeAccessIssue]
    sys.modules |= {"k_diffusion": package, "k_diffusion.utils": utils}

    return importlib.import_module("k_diffusion.sampling")
