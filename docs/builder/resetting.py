"""The state that each script of the gallery starts from."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import torch

STYLE = {
    "figure.dpi": 110,
    "savefig.dpi": 110,
    "figure.constrained_layout.use": True,
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "image.cmap": "magma",
}


def start(gallery: dict[str, Any], script: str) -> None:
    """Called by sphinx-gallery before each script.

    Args:
        gallery: its settings.
        script: the name of the script.
    """
    del gallery, script
    torch.set_num_threads(1)
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float32)
    plt.rcParams.update(STYLE)
