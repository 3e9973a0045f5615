"""Inverse problems: samples of the posterior of a measurement, y = A(x0) + std eta."""

from .chains import daps as daps
from .chains import ddrm as ddrm
from .denoisers import DPS as DPS
from .denoisers import TMPD as TMPD
from .denoisers import PiGDM as PiGDM
from .denoisers import dps as dps
from .denoisers import pigdm as pigdm
from .denoisers import tmpd as tmpd
from .filters import Particles as Particles
from .image_operators import Blur as Blur
from .image_operators import Downsample as Downsample
from .image_operators import Grey as Grey
from .image_operators import Mask as Mask
from .measurement import Measurement as Measurement
from .operators import Compose as Compose
from .operators import DenseOperator as DenseOperator
from .operators import Function as Function
from .operators import Matrix as Matrix
from .operators import Operator as Operator
from .particles import mcgdiff as mcgdiff
from .particles import twisted as twisted
from .proximal import DiffPIR as DiffPIR
from .proximal import diffpir as diffpir
from .replacement import RePaint as RePaint
from .replacement import Replacement as Replacement
