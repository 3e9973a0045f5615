"""Reads the configuration of a diffusers scheduler: the chain of the model, and what its network predicts.

    abar_i = prod_{j <= i} (1 - beta_j),   abar' = abar/(s + (1 - s) abar) if the signal-to-noise ratio is divided by
        s = snr_shift_scale.

A configuration holds entries of three kinds. Entries that describe the model are read here. Entries that describe the
scheduler's own solver and sampling grid are ignored: a method has its own, and x0 is not clamped (`clip_sample`). Any
other entry is an error that names it.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor

from solvers import check

from ..denoisers.denoiser import X0, Eps, LearnedRange, Parameterisation, V
from ..processes import ddpm
from ..processes.ddpm import DiscreteVP
from ..storage.files import CheckpointError

TABLES: dict[str, Parameterisation] = {"epsilon": Eps(), "sample": X0(), "v_prediction": V()}
_MOST_STEPS = 100_000
_LEAST_BETA = 1e-10
_LEAST_LOG_ABAR = math.log(1e-60)

# Schedulers whose network takes x = sqrt(abar) x0 + sqrt(1 - abar) eps and a timestep of the chain.
_CLASSES = {
    *(
        "DDIMScheduler",
        "DDIMParallelScheduler",
        "DDPMScheduler",
        "DDPMParallelScheduler",
        "CogVideoXDDIMScheduler",
        "CogVideoXDPMScheduler",
    ),
    *("DEISMultistepScheduler", "DPMSolverMultistepScheduler", "DPMSolverSDEScheduler", "DPMSolverSinglestepScheduler"),
    *(
        "EulerAncestralDiscreteScheduler",
        "EulerDiscreteScheduler",
        "HeunDiscreteScheduler",
        "KDPM2AncestralDiscreteScheduler",
    ),
    *("KDPM2DiscreteScheduler", "LMSDiscreteScheduler", "PNDMScheduler", "RePaintScheduler", "SASolverScheduler"),
    *("UnCLIPScheduler", "UniPCMultistepScheduler"),
}
_OTHERS = {
    "DDIMInverseScheduler": "runs from data to noise; give the scheduler that samples, and use sampling.encode"
    " to go back",
    "DPMSolverMultistepInverseScheduler": "runs from data to noise; give the scheduler that samples, and use"
    " sampling.encode to go back",
    "LCMScheduler": "belongs to a network distilled into a consistency function, which is no denoiser",
    "TCDScheduler": "belongs to a network distilled into a consistency function, which is no denoiser",
}
_READ = {
    *(
        "num_train_timesteps",
        "beta_start",
        "beta_end",
        "beta_schedule",
        "trained_betas",
        "prediction_type",
        "variance_type",
    ),
    *("rescale_betas_zero_snr", "snr_shift_scale"),
}
# Entries of the scheduler's own solver and of its grid of noise levels.
_OWN = {
    *(
        "timestep_spacing",
        "steps_offset",
        "interpolation_type",
        "use_karras_sigmas",
        "use_exponential_sigmas",
        "use_beta_sigmas",
    ),
    *(
        "use_lu_lambdas",
        "sigma_min",
        "sigma_max",
        "final_sigmas_type",
        "set_alpha_to_one",
        "lambda_min_clipped",
        "noise_sampler_seed",
    ),
    *(
        "solver_order",
        "solver_type",
        "solver_p",
        "algorithm_type",
        "lower_order_final",
        "euler_at_final",
        "predict_x0",
        "disable_corrector",
    ),
    *(
        "predictor_order",
        "corrector_order",
        "tau_func",
        "skip_prk_steps",
        "eta",
        "flow_shift",
        "time_shift_type",
        "shift_terminal",
    ),
    *("clip_sample", "clip_sample_range", "dynamic_thresholding_ratio", "sample_max_value"),
}
# Entries that would change the model. Only the value that leaves it unchanged is accepted.
_NEUTRAL: dict[str, tuple[Any, str]] = {
    "thresholding": (False, "x0 would be rescaled in every sample, by its own quantile"),
    "timestep_type": ("discrete", "the network would be given log(sigma)/4 in a timestep's place"),
    "use_flow_sigmas": (False, "the model would be one of flow matching, without a chain"),
    "use_dynamic_shifting": (False, "it shifts the levels of flow matching, which has no chain"),
}


def read(config: Mapping[str, Any]) -> tuple[DiscreteVP, Parameterisation]:
    """The chain of a scheduler's configuration, and its parameterisation, which is what the network predicts.

    Raises CheckpointError naming an entry that is unknown or unsupported."""

    name = _known_class(config)
    entries = _defaults(name) | dict(config)
    if entries.get("trained_betas") is None and not {"beta_schedule", "beta_start"} & set(entries):
        raise CheckpointError(
            f"{name} names no betas: only variance-preserving chains are read, not {sorted(config)[:5]}"
        )

    _check_known(name, entries)
    table = _table(entries)

    return _chain(name, entries), table


def _known_class(config: Mapping[str, Any]) -> str:
    """The scheduler class that wrote the configuration. The configuration of a scheduler in memory does not name it."""
    name = config.get("_class_name", "the scheduler")
    if not isinstance(name, str):
        raise CheckpointError(f"`_class_name` must be the name of a scheduler, got {name!r:.60}")
    if name in _OTHERS:
        raise CheckpointError(
            f"`_class_name` must be that of a scheduler that samples from a chain, got {name!r}, which {_OTHERS[name]}"
        )

    if name not in _CLASSES and name != "the scheduler":
        betas = "" if {"beta_schedule", "beta_start", "trained_betas"} & set(config) else ", which names no betas"
        raise CheckpointError(
            f"`_class_name` must be one of {', '.join(sorted(_CLASSES))}, got {name!r:.60}{betas}: only"
            " variance-preserving chains are read"
        )

    return name


def _defaults(name: str) -> dict[str, Any]:
    """The default values of the scheduler class, for entries that the configuration leaves out."""
    import diffusers

    kind: Any = getattr(diffusers, name, None)
    if kind is None:
        return {}

    arguments = inspect.signature(kind.__init__).parameters

    return {key: argument.default for key, argument in arguments.items() if argument.default is not argument.empty}


def _check_known(name: str, entries: Mapping[str, Any]) -> None:
    """Raise CheckpointError naming an entry that is unknown, and so might change the model."""
    for key, value in entries.items():
        if key in _NEUTRAL:
            wanted, why = _NEUTRAL[key]
            if value is not None and value != wanted:
                raise CheckpointError(f"`{key}` of {name} must be {wanted!r}, got {value!r:.60}: {why}")
        elif not isinstance(key, str) or (key not in _READ | _OWN and not key.startswith("_")):
            raise CheckpointError(
                f"`{key}` of {name} is not a known entry, so that it might change the chain; got {value!r:.60};"
                " remove it if it does not"
            )


def _table(entries: Mapping[str, Any]) -> Parameterisation:
    kind = entries.get("prediction_type", "epsilon")
    variance = entries.get("variance_type")

    if not isinstance(kind, str) or kind not in TABLES:
        raise CheckpointError(f"`prediction_type` must be one of {', '.join(TABLES)}, got {kind!r:.60}")
    if variance == "learned":
        raise CheckpointError(
            "`variance_type` must be learned_range or a fixed one, got 'learned': a variance itself, without bounds"
        )

    fixed = (None, "fixed_small", "fixed_small_log", "fixed_large", "fixed_large_log")
    if variance != "learned_range" and variance not in fixed:
        raise CheckpointError(
            f"`variance_type` must be learned_range or one of {', '.join(map(str, fixed))}, got {variance!r:.60}"
        )

    return LearnedRange(TABLES[kind]) if variance == "learned_range" else TABLES[kind]


def _chain(name: str, entries: Mapping[str, Any]) -> DiscreteVP:
    try:
        chain = _of_betas(entries)
        shift = check.number("snr_shift_scale", entries.get("snr_shift_scale", 1.0), least=1e-3, most=1e3)
        if shift != 1.0:
            chain = _shifted(chain, shift)

        if _flag(entries, "rescale_betas_zero_snr"):
            chain = ddpm.zero_terminal_snr(chain)
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"the betas of {name} cannot be used: {error}") from error

    levels = [log for log in chain.log_abar if log != -math.inf]
    if levels[-1] < _LEAST_LOG_ABAR:
        raise CheckpointError(
            f"the betas of {name} must leave a signal of 1e-60 at least, or none at the last level alone, got"
            f" one of e^{levels[-1]:.4g}"
        )

    return chain


def _of_betas(entries: Mapping[str, Any]) -> DiscreteVP:
    given = entries.get("trained_betas")
    if given is not None:
        return ddpm.chain(_listed(given), "trained")

    steps = check.integer("num_train_timesteps", entries.get("num_train_timesteps", 1000), least=2, most=_MOST_STEPS)
    schedule = entries.get("beta_schedule", "linear")
    if schedule == "squaredcos_cap_v2":
        return ddpm.cosine(steps)
    if schedule not in ("linear", "scaled_linear", "sigmoid"):
        raise ValueError(
            f"`beta_schedule` must be linear, scaled_linear, squaredcos_cap_v2 or sigmoid, got {schedule!r:.60}"
        )

    first = check.number("beta_start", entries.get("beta_start", 1e-4), least=_LEAST_BETA, below=1.0)
    last = check.number("beta_end", entries.get("beta_end", 0.02), least=_LEAST_BETA, below=1.0)

    if schedule == "linear":
        return ddpm.chain(torch.linspace(first, last, steps, dtype=torch.float64, device="cpu"), "linear")

    return ddpm.scaled_linear(steps, first, last) if schedule == "scaled_linear" else ddpm.sigmoid(steps, first, last)


def _listed(given: Any) -> Tensor:
    """trained_betas as a float64 tensor, from a list of numbers, as in JSON, or from an array."""
    betas: Any = given.tolist() if hasattr(given, "tolist") else given
    if not isinstance(betas, list | tuple):
        raise TypeError(f"`trained_betas` must be a list of numbers, got {type(given).__name__}")

    listed = cast("list[Any]", betas)
    if not 2 <= len(listed) <= _MOST_STEPS:
        raise ValueError(f"`trained_betas` must hold 2 to {_MOST_STEPS} numbers, got {len(listed)}")

    numbers = [check.number("trained_betas", beta, least=_LEAST_BETA, most=1.0) for beta in listed]

    return torch.tensor(numbers, dtype=torch.float64, device="cpu")


def _shifted(chain: DiscreteVP, shift: float) -> DiscreteVP:
    """The chain with its signal-to-noise ratios divided by `shift`: log abar' = log abar - log(shift + (1 - shift)
    abar).

    Esser et al. 2024, arXiv:2403.03206, in the form of CogVideoX."""
    log = torch.tensor(chain.log_abar, dtype=torch.float64, device="cpu")
    moved = log - torch.log(shift + (1 - shift) * log.exp())
    return DiscreteVP(tuple(check.values(moved)), f"{chain.name}_shifted")


def _flag(entries: Mapping[str, Any], key: str) -> bool:
    value = entries.get(key)
    if value is not None and not isinstance(value, bool):
        raise TypeError(f"`{key}` must be true or false, got {value!r:.60}")
    return bool(value)
