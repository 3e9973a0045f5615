"""Error against calls for three methods, on data whose flow is known to any accuracy."""

import torch

from scoresde import VPSDE, catalogue, exact, recommended, sample

COUNT = 1000
BUDGETS = (5, 10, 20)


def main() -> None:
    """Print a table of RMS distances from the converged flow, all methods from the same noise."""
    angle = torch.arange(8) * torch.pi / 4
    means = 1.4 * torch.stack([angle.cos(), angle.sin()], 1)
    data = exact.GaussianMixture(means, 0.01, process=VPSDE())
    truth = sample(data, (COUNT, 2), catalogue.probability_flow(1e-7), seed=0)

    methods = {
        "ddim": catalogue.ddim,
        "unipc": catalogue.unipc,
        "recommended": lambda n: recommended(data, n, shape=(2,)),
    }
    print("calls      " + "".join(f"{n:>10}" for n in BUDGETS))
    for name, make in methods.items():
        errors = [(sample(data, (COUNT, 2), make(n), seed=0) - truth).square().mean().sqrt() for n in BUDGETS]
        print(f"{name:11}" + "".join(f"{error:10.3f}" for error in errors))


if __name__ == "__main__":
    main()
