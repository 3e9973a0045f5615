"""Train a model from a configuration, save it with everything needed to repeat the run, resume it and load it.

A run folder holds:

model.safetensors, run.json    the finished model (`run_folder`)
moments.safetensors            mean and standard deviations of the data, which the recommended sampler uses
averages/                      weight averages, from which averages of other widths can be made later (`posthoc_ema`)
checkpoints/                   the last two and the best (`storage.checkpoints`); a run that is resumed from one ends
                               with the same bits as a run without a break
log.jsonl, samples/            losses, and pictures of samples (`journal`, `gallery`)
"""

from __future__ import annotations

from .dataset import dataset
from .description import MOMENTS, NO_DATA, description, fingerprint, moments
from .load import Trained, load
from .other_models import load_any, load_autoencoder, load_classifier
from .own_code import allow_code
from .stored import CHANGEABLE_ON_RESUME, holds, identity, run_config
from .train import train

__all__ = [
    "CHANGEABLE_ON_RESUME",
    "MOMENTS",
    "NO_DATA",
    "Trained",
    "allow_code",
    "dataset",
    "description",
    "fingerprint",
    "holds",
    "identity",
    "load",
    "load_any",
    "load_autoencoder",
    "load_classifier",
    "moments",
    "run_config",
    "train",
]
