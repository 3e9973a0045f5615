"""Data: samples in the model's scale, files, and small sets that need no file."""

from .checking import KINDS
from .files import SETS, load
from .mapped import Mapped
from .moving import moving_digits as moving_digits
from .samples import Dataset, Samples, unscaled
from .scale import original, scaled
from .shapes import balls, sine_spectrum, sphere_sets, two_sines, wine
from .toys import checkerboard, digits, eight_gaussians, moons, photos, swiss_roll

__all__ = [
    "KINDS",
    "SETS",
    "Dataset",
    "Mapped",
    "Samples",
    "balls",
    "checkerboard",
    "digits",
    "eight_gaussians",
    "load",
    "moons",
    "original",
    "photos",
    "scaled",
    "sine_spectrum",
    "sphere_sets",
    "swiss_roll",
    "two_sines",
    "unscaled",
    "wine",
]
