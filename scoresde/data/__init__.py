"""Data: samples in the model's scale, files, and small sets that need no file."""

from .files import SETS, load
from .layout import KINDS
from .moving import moving_digits as moving_digits
from .samples import Dataset, Mapped, Samples, unscaled
from .scale import original, scaled
from .toys import checkerboard, digits, eight_gaussians, moons, photos, swiss_roll

__all__ = [
    "KINDS",
    "SETS",
    "Dataset",
    "Mapped",
    "Samples",
    "checkerboard",
    "digits",
    "eight_gaussians",
    "load",
    "moons",
    "original",
    "photos",
    "scaled",
    "swiss_roll",
    "unscaled",
]
