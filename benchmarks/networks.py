"""Networks with random weights, at the sizes that people sample: what benchmarks of speed call."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from scoresde import VPSDE, Denoiser


class MLP(nn.Module):
    """Two coordinates and the time to two coordinates."""

    def __init__(self, width: int):
        super().__init__()
        self.body = nn.Sequential(
            nn.Linear(3, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 2)
        )

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return self.body(torch.cat([x, t.reshape(-1, 1).to(x.dtype)], 1))


class UNet(nn.Module):
    """diffusers' U-Net with random weights."""

    def __init__(self, size: int, channels: tuple[int, ...]):
        super().__init__()
        from diffusers import UNet2DModel

        kinds = {"down_block_types": ("DownBlock2D",) * len(channels), "up_block_types": ("UpBlock2D",) * len(channels)}
        made = {
            "sample_size": size,
            "in_channels": 3,
            "out_channels": 3,
            "block_out_channels": channels,
            "norm_num_groups": min(32, channels[0]),
        }
        self.body = UNet2DModel(**made, **kinds)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return self.body(x, t).sample


def cases(device: str, tiny: bool) -> dict[str, tuple[Denoiser, tuple[int, ...], int]]:
    """Denoiser, shape and steps of each."""
    torch.manual_seed(0)
    vp, bf16 = VPSDE(), torch.bfloat16

    def made(network: nn.Module, dtype: torch.dtype) -> Denoiser:
        return Denoiser(
            network.to(device, dtype).eval().requires_grad_(False), vp, time=lambda lam: 1000 * vp.time(lam)
        ).eval()

    if tiny:
        return {
            "MLP 8 x 2": (made(MLP(16), torch.float32), (8, 2), 5),
            "U-Net 2 x 3 x 8 x 8": (made(UNet(8, (8, 16)), bf16), (2, 3, 8, 8), 3),
        }
    wide = (128, 256, 256)
    return {
        "MLP 65536 x 2": (made(MLP(128), torch.float32), (65_536, 2), 50),
        "U-Net 64 x 3 x 32 x 32": (made(UNet(32, wide), bf16), (64, 3, 32, 32), 20),
        "U-Net 256 x 3 x 64 x 64": (made(UNet(64, wide), bf16), (256, 3, 64, 64), 10),
    }
