"""Autoencoders of diffusers' latent pipelines, read and written: the part vqvae/ or vae/ of a saved folder.

Only unconditional pipelines are read: a UNet2DModel, a scheduler and a VQModel or an AutoencoderKL, as in LDMPipeline.
Nothing is downloaded, and no code of the folder runs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..latent.autoencoder import Autoencoder
from ..latent.space import LatentSpace
from ..networks.autoencoders import ImageAutoencoder, Variational
from ..runtime.torch_state import seeded
from ..storage.files import CheckpointError, write_json, write_whole
from . import unets
from .reading import WEIGHTS, read_json

PARTS = ("vqvae", "vae")
_KINDS = ("VQModel", "AutoencoderKL")
_EXACT = -30.0  # log variance of a deterministic encoder


class DiffusersAutoencoder(Variational):
    """A VQModel or an AutoencoderKL of diffusers. A VQModel is deterministic; its log variance is set to -30.

    Args:
        body: the model of diffusers.
        shape: of an image.
        latent_shape: of a latent.
    """

    def __init__(self, body: Any, shape: tuple[int, ...], latent_shape: tuple[int, ...]):
        super().__init__(shape, latent_shape)
        self.body = body

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        found = self.body.encode(x)
        if hasattr(found, "latent_dist"):
            return found.latent_dist.mean, found.latent_dist.logvar
        return found.latents, torch.full_like(found.latents, _EXACT)

    def decode(self, z: Tensor) -> Tensor:
        return self.body.decode(z).sample


def part_of(folder: Path) -> Path | None:
    """The folder of a pipeline's autoencoder, or None if it has none.

    Args:
        folder: folder that diffusers saved.
    """
    return next((folder / name for name in PARTS if (folder / name / "config.json").is_file()), None)


def load_space(home: Path, shape: tuple[int, ...], device: Any = "cpu") -> LatentSpace:
    """The latent space of a pipeline: u = scaling_factor (z - shift_factor).

    Args:
        home: the folder of its autoencoder.
        shape: of a latent, the input of the pipeline's network, (C, H, W).
        device: device of the weights.

    Raises:
        CheckpointError: naming the file and what is wrong with it.
    """

    import diffusers

    config = read_json(home / "config.json")
    name = config.get("_class_name")
    if name not in _KINDS:
        raise CheckpointError(f"{home / 'config.json'} must describe a {' or '.join(_KINDS)}, got {name!r:.60}")

    kind: Any = getattr(diffusers, name)
    stored = home / WEIGHTS
    if not stored.is_file():
        raise CheckpointError(f"{stored} is missing; weights are read from safetensors alone")
    unets.check_size(home, config, stored, kind)

    try:
        with seeded(0):
            body: Any = kind.from_pretrained(home, use_safetensors=True, local_files_only=True, low_cpu_mem_usage=False)
    except Exception as error:  # any error that diffusers raises
        raise CheckpointError(f"{home} cannot be loaded as a {name}: {' '.join(str(error).split())[:300]}") from error

    if body.config.latent_channels != shape[0]:
        raise CheckpointError(
            f"{home} has latents of {body.config.latent_channels} channels, the network beside it takes {shape[0]}"
        )

    factor = 2 ** (len(body.config.block_out_channels) - 1)
    image = (body.config.in_channels, *(factor * side for side in shape[1:]))
    scale, shift = (
        _factor(body.config, key, default) for key, default in (("scaling_factor", 1.0), ("shift_factor", 0))
    )
    autoencoder = Autoencoder(DiffusersAutoencoder(body, image, shape)).to(device).eval().requires_grad_(False)
    ones = torch.ones(shape[0], device="cpu")

    return LatentSpace(autoencoder, shift * ones, ones / scale, str(home))


def _factor(config: Mapping[str, Any], key: str, default: float) -> float:
    value = config.get(key)
    return default if value is None else float(value)


def save_autoencoder(space: LatentSpace, home: Path) -> None:
    """Write the latent space of an `ImageAutoencoder` as an AutoencoderKL whose latents have unit variance.

    Centre and scale of the space are merged into the 1 x 1 convolutions next to the latent, which are linear. The
    written model encodes to u and decodes u exactly, with scaling_factor 1.

    Args:
        space: the latent space of a run.
        home: folder to write.

    Raises:
        TypeError: naming `space`.
    """

    from safetensors.torch import save as to_bytes

    network = space.autoencoder.network
    if not isinstance(network, ImageAutoencoder):
        raise TypeError(f"`space` must be of an autoencoder of images, got {type(network).__name__}")

    weights = {name: value.detach().cpu().clone() for name, value in network.body.state_dict().items()}
    scale = space.scale.to(weights["quant_conv.weight"])
    centre = space.centre.to(scale)
    count = len(scale)

    # mean -> (mean - centre)/scale, log variance -> log variance - 2 log scale
    weights["quant_conv.weight"][:count] /= scale.reshape(-1, 1, 1, 1)
    weights["quant_conv.bias"][:count] = (weights["quant_conv.bias"][:count] - centre) / scale
    weights["quant_conv.bias"][count:] -= 2 * scale.log()

    # z = scale u + centre, before the first layer of the decoder
    into = weights["post_quant_conv.weight"]
    weights["post_quant_conv.bias"] += into[:, :, 0, 0] @ centre
    weights["post_quant_conv.weight"] = into * scale.reshape(1, -1, 1, 1)

    write_whole(home / WEIGHTS, to_bytes({k: v.contiguous() for k, v in weights.items()}, {"format": "pt"}))
    write_json(home / "config.json", json.loads(network.body.to_json_string()))
