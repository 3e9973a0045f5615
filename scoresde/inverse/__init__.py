"""Inverse problems: samples of the posterior of a measurement, y = A(x0) + std eta."""

from .denoisers import DPS as DPS
from .denoisers import TMPD as TMPD
from .denoisers import PiGDM as PiGDM
from .denoisers import dps as dps
from .denoisers import pigdm as pigdm
from .denoisers import tmpd as tmpd
from .measurement import Measurement as Measurement
from .operators import Blur as Blur
from .operators import Compose as Compose
from .operators import Downsample as Downsample
from .operators import Function as Function
from .operators import Grey as Grey
from .operators import Mask as Mask
from .operators import Matrix as Matrix
from .operators import Operator as Operator
from .particles import Particles as Particles
from .particles import twisted as twisted
