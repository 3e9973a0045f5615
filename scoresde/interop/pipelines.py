"""Saved pipelines of diffusers, read and written: a local folder with a UNet2DModel and a scheduler <-> a Denoiser.

The betas of a scheduler define a chain. Timestep k is level k + 1 of this chain. prediction_type gives the
parameterisation (`chains`). Weights are read from safetensors in the folder; nothing is downloaded, and no code of the
folder runs.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from solvers import check

from ..denoisers.denoiser import Denoiser, LearnedRange
from ..denoisers.noise_conditioning import NoiseConditioning, Timesteps
from ..latent.space import LatentSpace
from ..networks import UNet
from ..processes.ddpm import DiscreteVP
from ..runtime.torch_state import seeded
from ..storage.files import CheckpointError, write_json, write_whole
from ..storage.weights import restore
from . import latent_pipelines, unets
from .chains import TABLES
from .chains import read as read_scheduler
from .reading import WEIGHTS, read_json

_PARTS = ("unet", "scheduler")


class FromDiffusers(nn.Module):
    """F(x, c_noise, cond=None) with a UNet2DModel; cond holds class labels, (B,) int64."""

    def __init__(self, body: nn.Module):
        super().__init__()
        self.body = body

    def forward(self, x: Tensor, c_noise: Tensor, cond: Any = None) -> Tensor:
        return self.body(x, c_noise, class_labels=cond).sample


def weights_path(folder: Path) -> Path:
    """The file of a pipeline folder's weights."""
    return (folder / "unet" if (folder / "unet").is_dir() else folder) / WEIGHTS


def is_pipeline(folder: Path) -> bool:
    """True if the folder holds files of a pipeline, or of its network alone, and no run."""
    told = (folder / "model_index.json", weights_path(folder).with_name("config.json"))
    return any(file.is_file() for file in told) and not (folder / "run.json").exists()


def input_spec(denoiser: Denoiser) -> tuple[tuple[int, ...], int | None]:
    """Shape of one sample, and number of labels or None, from the configuration of a loaded network.

    Raises CheckpointError if the configuration has no sample_size."""

    network: Any = denoiser.network
    config = network.body.config
    if not config.sample_size:
        raise CheckpointError("the pipeline does not say its sample_size; write it into unet/config.json")

    size = config.sample_size

    return (config.in_channels, *((size, size) if isinstance(size, int) else size)), config.num_class_embeds


def load(folder: Path | str, device: Any = "cpu") -> Denoiser:
    """Load the denoiser of a pipeline folder. The folder holds unet/ and scheduler/, as DDPMPipeline and DDIMPipeline
    save them, or the files of both directly.

    The process is the chain of the scheduler. The network takes class labels as `cond`. The denoiser of a latent
    pipeline makes latents; `models.load` also loads the decoder.

    Args:
        folder: folder that diffusers saved.
        device: device of the weights.

    Raises:
        CheckpointError: naming the file and what is wrong with it.
    """

    from diffusers.models.unets.unet_2d import UNet2DModel

    folder = Path(folder)
    if not folder.is_dir():
        raise CheckpointError(f"{folder} is not a folder; nothing is downloaded: give the folder of a saved pipeline")

    _check_kind(folder)
    stored = weights_path(folder)
    home = stored.parent
    settings = folder / "scheduler" if (folder / "scheduler").is_dir() else folder
    shape = read_json(home / "config.json")
    unets.check_config(home / "config.json", shape)
    process, table = read_scheduler(read_json(settings / "scheduler_config.json"))

    if not stored.is_file():
        others = sorted(p.name for p in home.glob("*.safetensors*"))
        held = (
            f"the folder holds {', '.join(others[:3])}: variants and parts are not read"
            if others
            else "weights are read from safetensors alone"
        )
        raise CheckpointError(
            f"{stored} is missing; {held}; load it with diffusers in float32 and save it as one file of safetensors"
        )

    unets.check_size(home, shape, stored, UNet2DModel)

    try:
        with seeded(0):
            made: Any = UNet2DModel.from_pretrained(
                home, use_safetensors=True, local_files_only=True, low_cpu_mem_usage=False, output_loading_info=True
            )
    except Exception as error:  # any error that diffusers raises
        raise CheckpointError(
            f"{home} cannot be loaded as a UNet2DModel: {' '.join(str(error).split())[:300]}"
        ) from error

    body, told = made
    wrong = {k: v for k, v in told.items() if v}
    if wrong:
        raise CheckpointError(f"{stored} holds another architecture: {str(wrong)[:300]}")

    if body.config.out_channels != table.outputs * body.config.in_channels:
        said = (
            "variance_type learned_range needs twice as many"
            if table.outputs == 2
            else "variances are read with the variance_type learned_range alone"
        )
        raise CheckpointError(
            f"{home} predicts {body.config.out_channels} channels of {body.config.in_channels}: {said}"
        )

    restore(body, body.state_dict(), stored)

    return Denoiser(FromDiffusers(body), process, table, time=Timesteps(process)).to(device).eval()


def _check_kind(folder: Path) -> None:
    """Raise CheckpointError if a part is missing, or is neither network nor scheduler nor autoencoder."""

    index = folder / "model_index.json"
    if not index.is_file():
        return

    told = read_json(index)
    name = told.get("_class_name")
    parts = [
        key
        for key, value in told.items()
        if isinstance(value, list) and value and any(cast("list[Any]", value)) and not key.startswith("_")
    ]
    latent = latent_pipelines.part_of(folder)
    foreign = sorted(set(parts) - set(_PARTS))
    if foreign and foreign != [None if latent is None else latent.name]:
        why = (
            "its network works on latents, which are no samples"
            if {"vae", "vqvae", "movq"} & set(foreign)
            else "these parts are not read"
        )
        hint = "run the pipeline itself with scoresde.interop.scheduler.MethodScheduler in its scheduler's place"
        raise CheckpointError(
            f"{folder} is a {name!r:.60}, with {', '.join(foreign):.200} beside its scheduler: {why}; {hint}"
        )

    for part in _PARTS:
        if part in parts and not (folder / part).is_dir():
            raise CheckpointError(f"{folder} is a {name!r:.60}, and its {folder / part} is missing")


def save(
    denoiser: Denoiser,
    folder: Path | str,
    size: int | tuple[int, int],
    space: LatentSpace | None = None,
) -> None:
    """Write a pipeline folder that `load` and diffusers read: a DDPMPipeline, with model_index.json, unet/ and
    scheduler/. With a latent space it is an LDMPipeline, which also has vqvae/.

    `trained_betas` of the scheduler hold the chain; its timestep spacing is "trailing".

    Args:
        denoiser: a model whose network is a `UNet` or comes from a pipeline (`FromDiffusers`).
        folder: folder to write.
        size: pixels per side, or (height, width); of a latent if a latent space is given.
        space: latent space of a model of latents; None: the model makes images.

    Raises:
        TypeError, ValueError: naming the argument.
    """

    from diffusers.schedulers.scheduling_ddpm import DDPMScheduler

    network: Any = denoiser.network
    if not isinstance(network, UNet | FromDiffusers):
        raise TypeError(f"`denoiser` must have a UNet to be saved as a pipeline, got {type(network).__name__}")

    sides = [check.integer("size", side) for side in (size if isinstance(size, tuple) else (size,))]
    if isinstance(network, UNet) and any(side % network.multiple for side in sides):
        raise ValueError(
            f"`size` must be a multiple of {network.multiple} in a pipeline, which pads nothing, got {size!r}"
        )

    table = denoiser.table
    mean, variance = (table.mean, "learned_range") if isinstance(table, LearnedRange) else (table, "fixed_small")
    kind = next((name for name, table in TABLES.items() if table == mean), None)
    if kind is None:
        raise ValueError(f"`denoiser` must predict Eps, X0 or V to be saved as a pipeline, got {denoiser.table!r}")

    betas = check.values(_chain(denoiser).betas)
    options = {"trained_betas": betas, "prediction_type": kind, "timestep_spacing": "trailing", "clip_sample": False}
    scheduler: Any = cast(Any, DDPMScheduler)(len(betas), variance_type=variance, **options)
    folder = Path(folder)
    body = cast(Any, network.body)
    from safetensors.torch import save as to_bytes

    write_whole(
        folder / "unet" / WEIGHTS,
        to_bytes({k: v.detach().cpu().contiguous() for k, v in body.state_dict().items()}, {"format": "pt"}),
    )
    write_json(folder / "unet" / "config.json", json.loads(body.to_json_string()) | {"sample_size": size})
    write_json(folder / "scheduler" / "scheduler_config.json", json.loads(scheduler.to_json_string()))
    parts = {"unet": ["diffusers", "UNet2DModel"], "scheduler": ["diffusers", "DDPMScheduler"]}
    whole = "DDPMPipeline"
    if space is not None:
        latent_pipelines.save_autoencoder(space, folder / latent_pipelines.PARTS[0])
        parts[latent_pipelines.PARTS[0]] = ["diffusers", "AutoencoderKL"]
        whole = "LDMPipeline"

    version = json.loads(scheduler.to_json_string())["_diffusers_version"]
    write_json(folder / "model_index.json", {"_class_name": whole, "_diffusers_version": version, **parts})


def _chain(denoiser: Denoiser) -> DiscreteVP:
    """The chain for which the network takes i - 1 as c_noise at level i."""
    process = denoiser.process
    if isinstance(process, DiscreteVP) and denoiser.time == Timesteps(process):
        return process

    t = torch.arange(math.floor(1000 * min(process.t_max, 2.0) + 1e-9) + 1, dtype=torch.float64, device="cpu") / 1000
    t[0] = t[1] / 2
    if (
        denoiser.time != NoiseConditioning(process)
        or process.t_max > 2.0
        or not bool((process.alpha(t) ** 2 + process.sigma(t) ** 2 - 1).abs().max() < 1e-9)
    ):
        raise ValueError(
            "`denoiser` must be trained on a ddpm chain with time=pipelines.Timesteps(chain), or on a"
            " variance-preserving process with"
            " time=noise_conditioning.NoiseConditioning(process) of scoresde.denoisers, to have whole timesteps, got"
            f" {process!r} with {denoiser.time!r}"
        )

    return DiscreteVP(tuple(check.values(2 * process.log_alpha(t))), f"of_{type(process).__name__}")
