"""Saved pipelines of diffusers, both ways: a local folder of a UNet2DModel and a scheduler's configuration as a Denoiser, and back.

A scheduler's betas are a chain, its timestep k is level k + 1 of it, its prediction_type a table. Weights are safetensors, read from the
folder given; nothing is downloaded and no code of the folder runs.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from solvers import check

from . import ddpm
from .checkpoint import CheckpointError, restore, write_json, write_whole
from .config import Clock
from .ddpm import DiscreteVP
from .denoiser import X0, Denoiser, Eps, LearnedRange, Table, V
from .networks import UNet
from .seeding import seeded

_TABLES: dict[str, Table] = {"epsilon": Eps(), "sample": X0(), "v_prediction": V()}
_WEIGHTS = "diffusion_pytorch_model.safetensors"
_MOST_BYTES = 1 << 22


@dataclass(frozen=True)
class Timesteps:
    """c_noise of a network of discrete time: level i of the chain is timestep i - 1; between levels it is a fraction."""

    chain: DiscreteVP

    def __call__(self, lam: Tensor) -> Tensor:
        return self.chain.steps * self.chain.time(lam) - 1


class FromDiffusers(nn.Module):
    """F(x, c_noise, cond=None) of a UNet2DModel; cond are class labels."""

    def __init__(self, body: nn.Module):
        super().__init__()
        self.body = body

    def forward(self, x: Tensor, c_noise: Tensor, cond: Any = None) -> Tensor:
        return self.body(x, c_noise, class_labels=cond).sample


def read_scheduler(config: Mapping[str, Any]) -> tuple[DiscreteVP, Table]:
    """The chain and the table of a scheduler's configuration. Raises CheckpointError naming the entry that says something else."""
    name = config.get("_class_name", "the scheduler")
    if config.get("trained_betas") is None and not {"beta_schedule", "beta_start"} & set(config):
        raise CheckpointError(f"{name} names no betas: only variance-preserving chains are read, not {sorted(config)[:5]}")
    steps, first, last = (config.get(key, value) for key, value in (("num_train_timesteps", 1000), ("beta_start", 1e-4), ("beta_end", 0.02)))
    schedule, kind = config.get("beta_schedule", "linear"), config.get("prediction_type", "epsilon")
    if kind not in _TABLES:
        raise CheckpointError(f"`prediction_type` must be one of {', '.join(_TABLES)}, got {kind!r}")
    try:
        if config.get("trained_betas") is not None:
            chain = ddpm.chain(torch.tensor(config["trained_betas"], dtype=torch.float64), "trained")
        elif schedule == "linear":
            chain = ddpm.chain(torch.linspace(check.number("beta_start", first), last, check.integer("steps", steps), dtype=torch.float64), "linear")
        elif schedule == "scaled_linear":
            chain = ddpm.scaled_linear(steps, first, last)
        elif schedule == "squaredcos_cap_v2":
            chain = ddpm.cosine(steps)
        elif schedule == "sigmoid":
            chain = ddpm.sigmoid(steps, first, last)
        else:
            raise CheckpointError(f"`beta_schedule` must be linear, scaled_linear, squaredcos_cap_v2 or sigmoid, got {schedule!r}")
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"the betas of {name} cannot be used: {error}") from error
    table, variance = _TABLES[kind], config.get("variance_type")
    if variance == "learned":
        raise CheckpointError("`variance_type` must be learned_range or a fixed one, got 'learned': a variance itself, without bounds")
    return (ddpm.zero_terminal_snr(chain) if config.get("rescale_betas_zero_snr") else chain), LearnedRange(table) if variance == "learned_range" else table


def weights(folder: Path) -> Path:
    """The file of a pipeline folder's weights."""
    return (folder / "unet" if (folder / "unet").is_dir() else folder) / _WEIGHTS


def described(folder: Path) -> bool:
    """Whether a folder says that it is a pipeline and not a run."""
    return weights(folder).with_name("config.json").is_file() and not (folder / "run.json").exists()


def takes(denoiser: Denoiser) -> tuple[tuple[int, ...], int | None]:
    """The shape of one sample and the number of labels, None for none, that a loaded network's configuration says.

    Raises CheckpointError where it does not say its sample_size."""
    network: Any = denoiser.network
    config = network.body.config
    if not config.sample_size:
        raise CheckpointError("the pipeline does not say its sample_size; write it into unet/config.json")
    size = config.sample_size
    return (config.in_channels, *((size, size) if isinstance(size, int) else size)), config.num_class_embeds


def load(folder: Path | str, device: Any = "cpu") -> Denoiser:
    """The denoiser of a pipeline folder: unet/ and scheduler/ as a DDPMPipeline or DDIMPipeline saves them, or their files side by side.

    Its process is the scheduler's chain, its network takes class labels as `cond`. Raises CheckpointError saying which file and what."""
    from diffusers.models.unets.unet_2d import UNet2DModel

    folder = Path(folder)
    if not folder.is_dir():
        raise CheckpointError(f"{folder} is not a folder; nothing is downloaded: give the folder of a saved pipeline")
    stored = weights(folder)
    home, settings = stored.parent, folder / "scheduler" if (folder / "scheduler").is_dir() else folder
    shape = _read_json(home / "config.json")
    if shape.get("_class_name") != "UNet2DModel":
        raise CheckpointError(f"{home / 'config.json'} must describe a UNet2DModel, got {shape.get('_class_name')!r}")
    process, table = read_scheduler(_read_json(settings / "scheduler_config.json"))
    if not stored.is_file():
        raise CheckpointError(f"{stored} is missing; weights are read from safetensors alone, so save the pipeline with safe_serialization=True")
    try:
        with seeded(0):
            made: Any = UNet2DModel.from_pretrained(home, use_safetensors=True, local_files_only=True, low_cpu_mem_usage=False, output_loading_info=True)
    except Exception as error:  # whatever diffusers finds wrong with a file
        raise CheckpointError(f"{home} cannot be loaded as a UNet2DModel: {' '.join(str(error).split())[:300]}") from error
    body, told = made
    wrong = {k: v for k, v in told.items() if v}
    if wrong:
        raise CheckpointError(f"{stored} holds another architecture: {str(wrong)[:300]}")
    if body.config.out_channels != table.outputs * body.config.in_channels:
        said = "variance_type learned_range needs twice as many" if table.outputs == 2 else "variances are read with the variance_type learned_range alone"
        raise CheckpointError(f"{home} predicts {body.config.out_channels} channels of {body.config.in_channels}: {said}")
    restore(body, body.state_dict(), stored)
    return Denoiser(FromDiffusers(body), process, table, time=Timesteps(process)).to(device).eval()


def save(denoiser: Denoiser, folder: Path | str, size: int | tuple[int, int]) -> None:
    """Write a folder that `load` and diffusers' DDPMPipeline.from_pretrained read: model_index.json, unet/, scheduler/.

    denoiser  of a U-Net, predicting Eps, X0 or V, or a LearnedRange of one; trained on a chain with `Timesteps`, or on a variance-preserving process
              with the clock of `scoresde train`: its levels are then those at which the network sees 0, 1, ... (0, below its range, at half of 1)
    size      height and width of its images, or both as one number

    `trained_betas` of the scheduler hold the chain; clipping is off and the spacing "trailing". Raises TypeError or ValueError naming the argument."""
    from diffusers.schedulers.scheduling_ddpm import DDPMScheduler

    network: Any = denoiser.network
    if not isinstance(network, UNet | FromDiffusers):
        raise TypeError(f"`denoiser` must have a UNet to be saved as a pipeline, got {type(network).__name__}")
    sides = [check.integer("size", side) for side in (size if isinstance(size, tuple) else (size,))]
    if isinstance(network, UNet) and any(side % network.multiple for side in sides):
        raise ValueError(f"`size` must be a multiple of {network.multiple} in a pipeline, which pads nothing, got {size!r}")
    table = denoiser.table
    mean, variance = (table.mean, "learned_range") if isinstance(table, LearnedRange) else (table, "fixed_small")
    kind = next((name for name, table in _TABLES.items() if table == mean), None)
    if kind is None:
        raise ValueError(f"`denoiser` must predict Eps, X0 or V to be saved as a pipeline, got {denoiser.table!r}")
    betas = check.values(_chain(denoiser).betas)
    options = {"trained_betas": betas, "prediction_type": kind, "clip_sample": False, "timestep_spacing": "trailing"}
    scheduler: Any = cast(Any, DDPMScheduler)(len(betas), variance_type=variance, **options)
    folder, body = Path(folder), cast(Any, network.body)
    from safetensors.torch import save as to_bytes

    write_whole(folder / "unet" / _WEIGHTS, to_bytes({k: v.detach().cpu().contiguous() for k, v in body.state_dict().items()}, {"format": "pt"}))
    write_json(folder / "unet" / "config.json", json.loads(body.to_json_string()) | {"sample_size": size})
    write_json(folder / "scheduler" / "scheduler_config.json", json.loads(scheduler.to_json_string()))
    parts = {"unet": ["diffusers", "UNet2DModel"], "scheduler": ["diffusers", "DDPMScheduler"]}
    version = json.loads(scheduler.to_json_string())["_diffusers_version"]
    write_json(folder / "model_index.json", {"_class_name": "DDPMPipeline", "_diffusers_version": version, **parts})


def _chain(denoiser: Denoiser) -> DiscreteVP:
    """The chain at whose level i the network sees i - 1."""
    process = denoiser.process
    if isinstance(process, DiscreteVP) and denoiser.time == Timesteps(process):
        return process
    t = torch.arange(math.floor(1000 * min(process.t_max, 2.0) + 1e-9) + 1, dtype=torch.float64) / 1000
    t[0] = t[1] / 2
    if denoiser.time != Clock(process) or process.t_max > 2.0 or not bool((process.alpha(t) ** 2 + process.sigma(t) ** 2 - 1).abs().max() < 1e-9):
        raise ValueError(
            f"`denoiser` must be trained on a ddpm chain with time=pipelines.Timesteps(chain), or on a variance-preserving process with"
            f" time=config.Clock(process), to have whole timesteps, got {process!r} with {denoiser.time!r}"
        )
    return DiscreteVP(tuple(check.values(2 * process.log_alpha(t))), f"of_{type(process).__name__}")


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise CheckpointError(f"{path} is missing; give the folder of a saved pipeline, with unet/ and scheduler/")
    if path.stat().st_size > _MOST_BYTES:
        raise CheckpointError(f"{path} is larger than {_MOST_BYTES} bytes, not a configuration")
    try:
        read = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is not readable JSON: {error}") from error
    if not isinstance(read, dict):
        raise CheckpointError(f"{path} must hold a JSON object, got {type(read).__name__}")
    return cast("dict[str, Any]", read)
