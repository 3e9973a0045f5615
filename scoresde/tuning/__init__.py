"""Tuning: samplers whose numbers are measured or learned on a given model."""

from .artefact import load as load
from .measured_grid import error_balanced_grid as error_balanced_grid
from .noise import tune_noise as tune_noise
from .noise_student import NOISE as NOISE
from .stretching import stretched as stretched
from .student import STAGES as STAGES
from .tune import looks as looks
from .tune import tune as tune
from .tuned import Errors as Errors
from .tuned import Tuned as Tuned
from .tuned import TunedNoise as TunedNoise
