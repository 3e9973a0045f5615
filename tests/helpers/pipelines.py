"""Small pipeline folders of diffusers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    DDPMScheduler,
    UNet2DModel,
)

from scoresde.runtime.torch_state import seeded
from solvers import SeededNoise

BLOCKS = {"down_block_types": ("DownBlock2D", "AttnDownBlock2D"), "up_block_types": ("AttnUpBlock2D", "UpBlock2D")}


def unet(**more: Any) -> UNet2DModel:
    with seeded(1):
        made = UNet2DModel(
            8,
            1,
            more.pop("out_channels", 1),
            block_out_channels=(8, 16),
            layers_per_block=1,
            norm_num_groups=4,
            **BLOCKS,
            **more,
        )
        for p in made.parameters():  # an untrained output layer answers zero
            torch.nn.init.normal_(p, std=0.1)
    return made.eval()


def written(folder: Path, scheduler: Any = None, **more: Any) -> UNet2DModel:
    """A pipeline folder, and the network in it."""
    body = unet(**more)
    body.save_pretrained(folder / "unet")
    (scheduler or DDPMScheduler(1000)).save_pretrained(folder / "scheduler")
    index = {
        "_class_name": "DDPMPipeline",
        "unet": ["diffusers", "UNet2DModel"],
        "scheduler": ["diffusers", "DDPMScheduler"],
    }
    (folder / "model_index.json").write_text(json.dumps(index))
    return body


def normals(count: int, seed: int = 0) -> torch.Tensor:
    return SeededNoise(seed).normal(0, range(1), (count, 1, 8, 8), torch.float32)[0]
