"""Pipelines of diffusers of every kind that installs here, tiny and untrained, made without a network."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    DDIMPipeline,
    DDIMScheduler,
    DDPMPipeline,
    DiTPipeline,
    DiTTransformer2DModel,
    LDMPipeline,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionInpaintPipeline,
    StableDiffusionPipeline,
    UNet2DConditionModel,
    UNet2DModel,
    VQModel,
)
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from scoresde.runtime.torch_state import seeded

SIZE = 16
DOWN, UP = ("DownEncoderBlock2D",) * 2, ("UpDecoderBlock2D",) * 2
WORDS = ["<|startoftext|>", "<|endoftext|>", "a</w>", "b</w>", "a", "b", "ab</w>"]


def scheduler() -> DDIMScheduler:
    """As Stable Diffusion has it."""
    return DDIMScheduler(
        1000, 0.00085, 0.012, "scaled_linear", clip_sample=False, set_alpha_to_one=False, steps_offset=1
    )


def _vae() -> AutoencoderKL:
    return AutoencoderKL(3, 3, DOWN, UP, (8, 8), 1, norm_num_groups=4, latent_channels=4, sample_size=SIZE)


def _unet(channels: int, size: int) -> UNet2DModel:
    blocks = {"down_block_types": ("DownBlock2D", "AttnDownBlock2D"), "up_block_types": ("AttnUpBlock2D", "UpBlock2D")}
    return UNet2DModel(
        size, channels, channels, block_out_channels=(8, 16), layers_per_block=1, norm_num_groups=4, **blocks
    )


def _of_text(folder: Path) -> dict[str, Any]:
    """What a text-to-image pipeline is made of."""
    vocabulary, merges = folder / "vocab.json", folder / "merges.txt"
    vocabulary.write_text(json.dumps({word: i for i, word in enumerate(WORDS)}))
    merges.write_text("#version: 0.2\na b</w>\n")
    blocks = {
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
    }
    widths = {
        "block_out_channels": (8, 16),
        "layers_per_block": 1,
        "cross_attention_dim": 16,
        "attention_head_dim": 4,
        "norm_num_groups": 4,
    }
    text = CLIPTextConfig(
        vocab_size=len(WORDS),
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=8,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
    )
    made = {
        "vae": _vae(),
        "text_encoder": CLIPTextModel(text).eval(),
        "tokenizer": CLIPTokenizer(str(vocabulary), str(merges), model_max_length=8),
        "unet": UNet2DConditionModel(8, 4, 4, **blocks, **widths),
        "scheduler": scheduler(),
    }
    return made | {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}


def _dit(_: Path) -> dict[str, Any]:
    body = DiTTransformer2DModel(
        2, 4, 4, 8, 1, norm_num_groups=4, sample_size=8, patch_size=2, num_embeds_ada_norm=1000
    )
    return {"transformer": body, "vae": _vae(), "scheduler": scheduler(), "id2label": {0: "cat", 1: "dog"}}


def _ldm(_: Path) -> dict[str, Any]:
    vq = VQModel(3, 3, DOWN, UP, (8, 8), 1, latent_channels=4, norm_num_groups=4, num_vq_embeddings=8)
    return {"vqvae": vq, "unet": _unet(4, 8), "scheduler": scheduler()}


KINDS: dict[Any, Callable[[Path], dict[str, Any]]] = {
    DDPMPipeline: lambda _: {"unet": _unet(3, SIZE), "scheduler": scheduler()},
    DDIMPipeline: lambda _: {"unet": _unet(3, SIZE), "scheduler": scheduler()},
    LDMPipeline: _ldm,
    DiTPipeline: _dit,
    StableDiffusionPipeline: _of_text,
    StableDiffusionImg2ImgPipeline: _of_text,
    StableDiffusionInpaintPipeline: _of_text,
}


def pipeline(kind: Any, folder: Path) -> Any:
    """A pipeline of a kind with the same weights each time."""
    with seeded(0):
        made = kind(**KINDS[kind](folder))
    for part in made.components.values():
        if isinstance(part, torch.nn.Module):
            part.eval()
    made.set_progress_bar_config(disable=True)
    return made


def image() -> torch.Tensor:
    """A picture in [0, 1]."""
    return torch.linspace(0, 1, 3 * SIZE * SIZE).reshape(1, 3, SIZE, SIZE)


def call(pipe: Any, steps: int = 4, seed: int = 0, **more: Any) -> torch.Tensor:
    """One image of a pipeline, whatever it asks for."""
    given: dict[str, Any] = {
        "num_inference_steps": steps,
        "output_type": "pt",
        "generator": torch.Generator().manual_seed(seed),
    } | more
    mask = torch.zeros(1, 1, SIZE, SIZE)
    mask[..., SIZE // 2 :] = 1
    square = {"height": SIZE, "width": SIZE}
    asked: dict[Any, dict[str, Any]] = {
        DiTPipeline: {"class_labels": [1]},
        StableDiffusionPipeline: {"prompt": "a b", **square},
        StableDiffusionImg2ImgPipeline: {"prompt": "a b", "image": image(), "strength": 0.5},
        StableDiffusionInpaintPipeline: {"prompt": "a b", "image": image(), "mask_image": mask, **square},
    }
    if type(pipe) is DiTPipeline or type(pipe) is LDMPipeline:
        given["output_type"] = "np"
    out = pipe(**asked.get(type(pipe), {}), **given).images
    return torch.as_tensor(out)
