"""Samplers that are measured or learned on a model."""

from .artefact import load as load
from .measured_grid import error_balanced_grid as error_balanced_grid
from .stretching import stretched as stretched
from .student import STAGES as STAGES
from .tune import looks as looks
from .tune import tune as tune
from .tuned import Errors as Errors
from .tuned import Tuned as Tuned
