"""How good a model or its samples are: distances, likelihoods, bounds, and the doctor."""

from .two_sample import c2st as c2st
from .two_sample import max_sliced_w2 as max_sliced_w2
