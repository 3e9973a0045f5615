"""A summary of a run in text, by heading."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from .config import Config
from .own_code import SOURCE


def summary(about: Mapping[str, Any], config: Config, model: nn.Module) -> dict[str, str]:
    """Summarise the data, network, training and weights of a run, and the command that repeats it.

    Args:
        about: the content of run.json.
        config: configuration of the run.
        model: the model; its parameters are counted.

    Returns:
        One line of text for each heading.
    """

    data = about["data"]
    loss = about["training"]["loss"]
    seen = f"{data['name']}: {data['count']} samples" if data["count"] else "not said: samples"
    checkpoint = f", of the checkpoint at step {about['step']}" if "step" in about else ""
    process = {"process": repr(config.process)} if config.denoises or config.is_classifier else {}

    return {
        "data": f"{seen} of shape {tuple(data['shape'])}",
        **_names("columns", data.get("columns")),
        **_names("classes", data.get("class_names")),
        **_stage(data),
        **process,
        "network": f"{config.network}, {sum(p.numel() for p in model.parameters()):,} parameters",
        **({"source": f"SHA-256 {about[SOURCE][:16]}... of its file"} if SOURCE in about else {}),
        "training": f"{config.training}",
        "done": f"{about['training']['steps_done']} steps, {about['training']['seconds']} s, loss"
        f" {'not known' if loss is None else f'{loss:.4f}'}",
        "versions": ", ".join(f"{k} {v}" for k, v in about["versions"].items()),
        "weights": f"SHA-256 {about['sha256'][:16]}..., verified{checkpoint}",
        "repeat": about["command"],
    }


def _stage(data: Mapping[str, Any]) -> dict[str, str]:
    """The run that the model depends on: its autoencoder or low-resolution run."""
    if "latent" in data:
        told = data["latent"]
        return {
            "latents": f"of shape {tuple(told['shape'])} by {told['autoencoder']}, SHA-256 {told['sha256'][:16]}..."
        }

    if "cascade" in data:
        told = data["cascade"]
        return {
            "cascade": f"enlarges by {told['factor']} the images of {told['low']}, SHA-256 {told['sha256'][:16]}..."
        }

    return {}


def _names(what: str, names: list[str] | None) -> dict[str, str]:
    return {} if names is None else {what: ", ".join(names)}
