"""Networks F(x, c_noise, labels=None): a small MLP for points, diffusers' U-Net and DiT for images."""

from .dit import DiT as DiT
from .mlp import MLP as MLP
from .patches import PatchTransformer as PatchTransformer
from .patches import patch_for as patch_for
from .unet import UNet as UNet
from .unet import UNetClassifier as UNetClassifier
