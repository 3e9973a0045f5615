"""Training a denoiser: losses, noise levels, and the loop over steps."""

from .fit import SIMPLE, NonFiniteLossError, Objective, Progress, TrainingMemoryError, check_batch, fit
from .state import PRECISIONS, State, Training, begin

__all__ = [
    "PRECISIONS",
    "SIMPLE",
    "NonFiniteLossError",
    "Objective",
    "Progress",
    "State",
    "Training",
    "TrainingMemoryError",
    "begin",
    "check_batch",
    "fit",
]
