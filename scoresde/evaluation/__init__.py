"""Measures of how good a model or its samples are: distances, likelihoods, bounds, calibration, and the doctor."""

from .calibration import Calibration as Calibration
from .calibration import sbc as sbc
from .calibration import tarp as tarp
from .sample_sets import Fidelity as Fidelity
from .sample_sets import fidelity as fidelity
from .sample_sets import inception_score as inception_score
from .two_sample import c2st as c2st
from .two_sample import max_sliced_w2 as max_sliced_w2
