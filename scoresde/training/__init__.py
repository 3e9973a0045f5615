"""Training a denoiser: losses, noise levels, and the loop over steps."""

from .fit import check_batch, fit
from .objective import SIMPLE, NonFiniteLossError, Objective, Progress, TrainingMemoryError
from .state import PRECISIONS, Training, TrainState, begin

__all__ = [
    "PRECISIONS",
    "SIMPLE",
    "NonFiniteLossError",
    "Objective",
    "Progress",
    "TrainState",
    "Training",
    "TrainingMemoryError",
    "begin",
    "check_batch",
    "fit",
]
