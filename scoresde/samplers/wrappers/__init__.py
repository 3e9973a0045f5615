"""Step wrappers: churn, Restart, Langevin moves, noise of a larger variance, learned variances."""

from .base import StepContext, StepHooks, Wrapped, Wrapper
from .churn import Churn, Restart
from .langevin import Langevin
from .large_variance import LargeVariance
from .variance import LearnedVariance

__all__ = [
    "Churn",
    "Langevin",
    "LargeVariance",
    "LearnedVariance",
    "Restart",
    "StepContext",
    "StepHooks",
    "Wrapped",
    "Wrapper",
]
