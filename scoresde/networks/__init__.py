"""Networks F(x, c_noise, cond=None): a small MLP for points, diffusers' U-Net for images."""

from .mlp import MLP as MLP
from .unet import UNet as UNet
