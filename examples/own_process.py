"""A process given by two functions: signal cos^2, noise what is left; sampled along it and along another."""

import math

import torch
from torch import Tensor

from scoresde import CustomProcess, catalogue, exact, sample


def signal(t: Tensor) -> Tensor:
    """alpha(t), from 1 to 0."""
    return torch.cos(0.5 * math.pi * t) ** 2


def noise(t: Tensor) -> Tensor:
    """sigma(t) with alpha^2 + sigma^2 = 1."""
    return (1 - signal(t) ** 2).sqrt()


def main() -> None:
    """Print the spread of samples beside the data's own."""
    process = CustomProcess(signal, noise, t_noise=0.95, t_data=0.02)
    data = exact.GaussianMixture(torch.tensor([[-1.0], [1.0]]), 0.05, process=process)
    print(f"data: standard deviation {math.sqrt(1.05):.3f}")

    for name, method in {
        "its own clock": catalogue.probability_flow(1e-4, process=process),
        "DDIM": catalogue.ddim(30),
    }.items():
        x = sample(data, (4000, 1), method, seed=0)
        print(f"{name}: standard deviation {x.std():.3f}")


if __name__ == "__main__":
    main()
