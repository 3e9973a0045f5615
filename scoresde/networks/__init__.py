"""Networks F(x, c_noise, cond=None): an MLP for points, U-Nets for grids, transformers for grids, tables and sets.

c_noise is the number that gives a network the noise level. The autoencoders map samples to latents and back.
"""

from .autoencoders import ImageAutoencoder as ImageAutoencoder
from .autoencoders import PointAutoencoder as PointAutoencoder
from .dit import DiT as DiT
from .mlp import MLP as MLP
from .patches import PatchTransformer as PatchTransformer
from .patches import patch_for as patch_for
from .transformer import Transformer as Transformer
from .unet import UNet as UNet
from .unet import UNetClassifier as UNetClassifier
from .unet_nd import UNetND as UNetND
from .upsampler import Upsampler as Upsampler
