"""Any module is a score network: here one that is told a point on a circle, and draws around it."""

import math

import torch
from torch import Tensor, nn

from scoresde import VPSDE, Denoiser, V, catalogue, sample
from scoresde.data import Dataset
from scoresde.training import Training, fit


class Mine(nn.Module):
    """(x, c_noise, condition) to a tensor like x."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(5, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, 2))

    def forward(self, x: Tensor, c_noise: Tensor, cond: Tensor) -> Tensor:
        return self.body(torch.cat([x, c_noise.unsqueeze(1), cond], 1))


def main() -> None:
    """Train on points around their own condition, and print where samples for one condition lie."""
    angle = torch.rand(4000, generator=torch.Generator().manual_seed(0)) * 2 * math.pi
    centre = torch.stack([angle.cos(), angle.sin()], 1)
    noise = torch.randn(4000, 2, generator=torch.Generator().manual_seed(1))
    data = Dataset(centre + 0.1 * noise, cond=centre)

    denoiser = Denoiser(Mine(), VPSDE(), V())
    for _ in fit(denoiser, data, Training(steps=400, batch=256)):
        pass

    wanted = torch.tensor([[0.0, 1.0]]).expand(200, 2)
    x = sample(denoiser, (200, 2), catalogue.ddim(20), cond=wanted)
    print("asked for (0, 1); samples have mean", [round(value, 2) for value in x.mean(0).tolist()])


if __name__ == "__main__":
    main()
