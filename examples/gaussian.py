"""A Gaussian in the plane: sampled by the reverse SDE and by the probability flow, against its exact law."""

import torch

from scoresde import VPSDE, catalogue, exact, sample

MEAN = torch.tensor([1.0, -0.5], dtype=torch.float64)
COVARIANCE = torch.tensor([[0.5, 0.3], [0.3, 0.4]], dtype=torch.float64)
COUNT = 20_000


def main() -> None:
    """Print mean and covariance of samples beside the exact ones."""
    denoiser = exact.Gaussian(MEAN, COVARIANCE, process=VPSDE())
    methods = {
        "reverse SDE, 200 steps": catalogue.euler_maruyama(201),
        "probability flow, adaptive": catalogue.probability_flow(1e-4),
        "DDIM, 20 calls": catalogue.ddim(20),
    }

    print(f"{'exact':28}", MEAN.tolist(), COVARIANCE.tolist())
    for name, method in methods.items():
        x = sample(denoiser, (COUNT, 2), method, seed=0, dtype=torch.float64)
        mean = [round(value, 3) for value in x.mean(0).tolist()]
        covariance = [[round(value, 3) for value in row] for row in x.T.cov().tolist()]
        print(f"{name:28}", mean, covariance)


if __name__ == "__main__":
    main()
