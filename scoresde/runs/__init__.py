"""Train a model from a configuration, save it with everything needed to repeat it, take it up again, load it back.

model.safetensors, run.json    the finished model, by `run_folder`
moments.safetensors            mean and standard deviations of the data, which the recommended sampler uses
averages/                      stored for widths chosen afterwards, by `posthoc_ema`
checkpoints/                   the last two and the best, by `storage.checkpoints`: from any of them a run is taken up
                               to the same bits
log.jsonl, samples/            by `journal` and `gallery`
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
