"""Train a model from a configuration, save it with everything needed to repeat it, take it up again, load it back.

model.safetensors, run.json    the finished model, by `run_folder`
moments.safetensors            mean and standard deviations of the data, which the recommended sampler uses
averages/                      stored for widths chosen afterwards, by `posthoc_ema`
checkpoints/                   the last two and the best, by `storage.checkpoints`: from any of them a run is taken up
                               to the same bits
log.jsonl, samples/            by `journal` and `gallery`
"""

from __future__ import annotations

from .description import MOMENTS, NO_DATA, description, fingerprint, moments
from .load import CHANGEABLE_ON_RESUME, Trained, identity, load, load_classifier
from .own_code import allow_code
from .train import train

__all__ = [
    "CHANGEABLE_ON_RESUME",
    "MOMENTS",
    "NO_DATA",
    "Trained",
    "allow_code",
    "description",
    "fingerprint",
    "identity",
    "load",
    "load_classifier",
    "moments",
    "train",
]
