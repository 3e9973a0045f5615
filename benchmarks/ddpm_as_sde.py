"""DDPM as a discretised SDE: the chain, its samplers in exact law, its bound and its likelihood, against the truth.

    python -m benchmarks.ddpm_as_sde

1  marginals of the T-step chain against VPSDE(0.1, 20), T = 10..10000, with signal and noise rates, the kernel
   q(z_t|x) and paths drawn;
2  samplers on Gaussian data N(m, diag(1/4, 1, 4)) in exact law (no Monte Carlo: an affine sampler is fed with unit
   impulses, one row a
   step): W2 to the data's marginal at t_min and slope, from the prior and from the exact marginal, so that the prior
   mismatch shows;
3  the bound of the chain (L_T, sum of L_t, L_0) and the probability-flow likelihood on the same data, in bits per
   dimension.

Writes benchmarks/results/ddpm_as_sde.json and docs/img/ddpm_*.png; under three minutes on two cores.
"""

from __future__ import annotations

import argparse
import io
import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.common import save, show
from scoresde import VPSDE, LogSNR, Split, ddpm, exact
from scoresde.evaluation.elbo import gaussian_bound
from scoresde.evaluation.judge import frechet_gaussian
from scoresde.evaluation.likelihood import log_likelihood
from scoresde.samplers.reverse import reverse
from scoresde.storage.files import write_whole
from solvers import Equation, EulerMaruyama, ExpEuler, SeededNoise, Solver, solve

F64 = torch.float64
SDE = VPSDE()
MEAN, VAR = torch.tensor([1.0, -0.5, 2.0], dtype=F64), torch.tensor([0.25, 1.0, 4.0], dtype=F64)
DATA = exact.Gaussian(MEAN, VAR)
IMAGES = Path(__file__).parent.parent / "docs" / "img"


def marginals(counts: list[int]) -> list[dict[str, Any]]:
    """How far the chain is from the SDE at its own levels."""
    rows: list[dict[str, Any]] = []
    for count in counts:
        betas = (SDE.beta_min + (torch.arange(1, count + 1, dtype=F64) / count) * (SDE.beta_max - SDE.beta_min)) / count
        if float(betas.max()) >= 1:
            continue  # a beta above one is no chain
        chain = ddpm.chain(betas)
        t = torch.arange(1, count + 1, dtype=F64) / count
        gap = (chain.alpha(t) - SDE.alpha(t)).abs().max().item()
        rows.append(
            {
                "T": count,
                "max |alpha - alpha_sde|": gap,
                "max |sigma - sigma_sde|": (chain.sigma(t) - SDE.sigma(t)).abs().max().item(),
            }
        )
    for before, row in pairwise(rows):
        row["slope"] = math.log(row["max |alpha - alpha_sde|"] / before["max |alpha - alpha_sde|"]) / math.log(
            row["T"] / before["T"]
        )
    rows[0]["slope"] = float("nan")
    return rows


def law(eq: Equation, solver: Solver, times: Tensor, mean: Tensor, var: Tensor) -> tuple[Tensor, Tensor]:
    """Exact mean and variance after an affine solve of independent dimensions: rows zero, one, and an impulse a
    step."""
    n = len(times) - 1
    start = torch.zeros(n + 2, len(mean), dtype=F64)
    start[1] = 1.0
    index = {t: k for k, t in enumerate(times.tolist())}

    def impulse(t0: Tensor, t1: Tensor) -> Tensor:
        out = torch.zeros_like(start)
        out[index[t0.item()] + 2] = (t1 - t0).abs().sqrt()
        return out

    y = solve(eq, start, solver, times, noise=None if eq.g is None else impulse).y
    factor, added = y[1] - y[0], (y[2:] - y[0]).square().sum(0)
    return factor * mean + y[0], factor**2 * var + (added if eq.g is not None else 0.0)


def samplers(counts: list[int]) -> list[dict[str, Any]]:
    """W2 to the exact marginal at t_min, on the grid uniform in t."""
    rows: list[dict[str, Any]] = []
    score = DATA.score(SDE)
    noise = SDE.sigma(1.0).expand(3) ** 2
    ends = {
        "prior": (torch.zeros(3, dtype=F64), noise),
        "marginal": (SDE.alpha(1.0) * MEAN, SDE.alpha(1.0) ** 2 * VAR + noise),
    }
    target = SDE.alpha(1e-3) * MEAN, SDE.alpha(1e-3) ** 2 * VAR + SDE.sigma(1e-3) ** 2
    entries: dict[str, tuple[Equation, Solver, bool]] = {
        "ancestral, exact transition (eta 1)": (reverse(LogSNR(), DATA, 1.0, Split.X0), ExpEuler(), True),
        "DDIM (eta 0)": (reverse(LogSNR(), DATA, 0.0, Split.X0), ExpEuler(), True),
        "Euler-Maruyama": (SDE.reverse(score), EulerMaruyama(), False),
    }
    for name, (eq, solver, scaled) in entries.items():
        for start, (mean, var) in ends.items():
            before: tuple[int, float] | None = None
            for n in counts:
                t = torch.linspace(1.0, 1e-3, n + 1, dtype=F64)
                times, a0, a1 = (
                    (SDE.lam(t), SDE.alpha(1.0), SDE.alpha(1e-3)) if scaled else (t, torch.ones(()), torch.ones(()))
                )
                m, v = law(eq, solver, times, mean / a0, var / a0**2)
                w2 = math.sqrt(max(0.0, frechet_gaussian(m * a1, (v * a1**2).diag(), target[0], target[1].diag())))
                slope = float("nan") if before is None else math.log(w2 / before[1]) / math.log(n / before[0])
                rows.append({"sampler": name, "start": start, "N": n, "W2": w2, "slope": slope})
                before = n, w2
    return rows


def large_variance(counts: list[int]) -> list[dict[str, Any]]:
    """The ancestral sampler with beta_i in the posterior variance's place, on the same grids: the recursion of MATH
    5."""
    rows: list[dict[str, Any]] = []
    for n in counts:
        t = torch.linspace(1.0, 1e-3, n + 1, dtype=F64)
        abar = SDE.alpha(t) ** 2
        m, v = SDE.alpha(1.0) * MEAN, abar[0] * VAR + 1 - abar[0]
        for now, then in pairwise(abar):
            beta = 1 - now / then
            c_0, c_x = then.sqrt() * beta / (1 - now), (1 - beta).sqrt() * (1 - then) / (1 - now)
            gain = now.sqrt() * VAR / (now * VAR + 1 - now)  # D = m + gain (x - sqrt(abar) m)
            m, v = c_0 * (MEAN + gain * (m - now.sqrt() * MEAN)) + c_x * m, (c_0 * gain + c_x) ** 2 * v + beta
        w2 = math.sqrt(
            max(0.0, frechet_gaussian(m, v.diag(), abar[-1].sqrt() * MEAN, (abar[-1] * VAR + 1 - abar[-1]).diag()))
        )
        slope = math.log(w2 / rows[-1]["W2"]) / math.log(n / rows[-1]["N"]) if rows else float("nan")
        rows.append({"sampler": "ancestral, large variance", "start": "marginal", "N": n, "W2": w2, "slope": slope})
    return rows


def bounds(counts: list[int]) -> list[dict[str, Any]]:
    """Bits per dimension of the chain's bound, of the flow, and of the data itself (its entropy)."""
    bits = 1 / (3 * math.log(2))
    entropy = 0.5 * (torch.log(2 * math.pi * VAR) + 1).sum().item()
    rows: list[dict[str, Any]] = [
        {"": "entropy of the data", "bits/dim": entropy * bits, "L_T": "", "sum L_t": "", "L_0": ""}
    ]
    x = DATA.sample(2000, seed=0)
    flow = -log_likelihood(DATA, x, process=SDE, rtol=1e-7, atol=1e-7).log_prob.mean().item()
    rows.append(
        {"": "probability flow, 2000 samples at t_min", "bits/dim": flow * bits, "L_T": "", "sum L_t": "", "L_0": ""}
    )
    rows.append(
        {
            "": "true density of the same samples",
            "bits/dim": -DATA.log_prob(x).mean().item() * bits,
            "L_T": "",
            "sum L_t": "",
            "L_0": "",
        }
    )
    for learned, said in ((False, "bound of the chain"), (True, "with the best variances")):
        for count in counts:
            parts = gaussian_bound(ddpm.linear(count), MEAN, VAR, learned)
            rows.append(
                {"": f"{said}, T = {count}", "bits/dim": sum(parts) * bits}
                | dict(zip(("L_T", "sum L_t", "L_0"), parts, strict=True))
            )
    return rows


def draw_rates() -> None:
    """Signal and noise rates of chain and SDE, the kernel q(z_t|x), and paths, as the lectures draw them."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 3.4), dpi=120, layout="constrained")
    rates, kernel, paths = figure.subplots(1, 3)
    t = torch.linspace(1e-3, 1, 400, dtype=F64)
    rates.plot(t, SDE.alpha(t), color="tab:blue")
    rates.plot(t, SDE.sigma(t), color="tab:red")
    rates.text(0.4, 0.5, r"signal $\alpha$", color="tab:blue")
    rates.text(0.05, 0.42, r"noise $\sigma$", color="tab:red", rotation=50)
    chain = ddpm.linear(30)
    levels = torch.arange(1, 31, dtype=F64) / 30
    rates.plot(levels, chain.alpha(levels), ".", color="tab:blue", ms=4)
    rates.plot(levels, chain.sigma(levels), ".", color="tab:red", ms=4)
    rates.set_title("VPSDE (lines) and a chain of 30 (dots)", fontsize=10)
    grid = torch.linspace(-3, 3.5, 400, dtype=F64)
    for k, time in enumerate((0.02, 0.1, 0.2, 0.35, 0.6, 1.0)):
        sigma = SDE.sigma(time)
        density = torch.exp(-0.5 * ((grid - 2 * SDE.alpha(time)) / sigma) ** 2) / sigma / math.sqrt(2 * math.pi)
        kernel.fill_between(grid, -k + 0 * grid, -k + density * 0.13, alpha=0.75, color="tab:blue", lw=0)
        kernel.text(-3, -k + 0.08, f"t = {time:g}", fontsize=8)
    kernel.set_title(r"the kernel $q(z_t\,|\,x)$ at $x = 2$", fontsize=10)
    kernel.set_yticks([])
    steps = torch.linspace(0, 1, 501, dtype=F64)
    start = torch.tensor([-1.5, 0.5, 2.0], dtype=F64).repeat_interleave(4).unsqueeze(1)
    walk = solve(SDE.forward(), start, EulerMaruyama(), steps, noise=SeededNoise(3), save=steps)
    assert walk.ys is not None
    for i in range(12):
        paths.plot(steps, walk.ys[:, i, 0], lw=0.8, color=("tab:blue", "tab:orange", "tab:green")[i // 4])
    paths.set_title("forward paths from three points", fontsize=10)
    for axis in (rates, paths):
        axis.set_xlabel("t")
    _store(figure, "ddpm_rates.png")


def draw_laws(rows: list[dict[str, Any]]) -> None:
    """W2 against steps, labels on the curves."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 4.4), dpi=120, layout="constrained")
    axis = figure.subplots()
    for sampler, start in dict.fromkeys((r["sampler"], r["start"]) for r in rows):
        mine = [r for r in rows if (r["sampler"], r["start"]) == (sampler, start)]
        colour = {
            "ancestral, exact transition (eta 1)": "tab:blue",
            "DDIM (eta 0)": "tab:orange",
            "Euler-Maruyama": "tab:green",
        }.get(sampler, "tab:purple")
        axis.loglog([r["N"] for r in mine], [r["W2"] for r in mine], "-" if start == "marginal" else ":", color=colour)
        shown = sampler if start == "marginal" else "DDIM, from the prior" if sampler.startswith("DDIM") else ""
        axis.annotate(
            shown,
            (mine[-1]["N"], mine[-1]["W2"]),
            xytext=(6, 0),
            textcoords="offset points",
            fontsize=8,
            color=colour,
            va="center",
        )
    axis.set_xlim(8, 60_000)
    axis.set_title("from the exact marginal (lines) and from the prior (dotted)", fontsize=10)
    axis.set_xlabel("steps N")
    axis.set_ylabel(r"$W_2$ to the exact marginal")
    axis.grid(alpha=0.3)
    _store(figure, "ddpm_laws.png")


def _store(figure: Any, name: str) -> None:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    write_whole(IMAGES / name, buffer.getvalue())


def main() -> None:
    """Measure, print, draw, store."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--most", type=int, default=4000, help="largest number of steps of part 2")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    counts = [n for n in (10, 20, 50, 100, 200, 500, 1000, 2000, 4000) if n <= arguments.most]
    with torch.no_grad():
        levels = marginals([10, 30, 100, 300, 1000, 3000, 10_000])
        laws = [*samplers(counts), *large_variance(counts)]
    likelihoods = bounds([50, 200, 1000, 4000])
    show("1. The chain against the SDE", levels)
    show("2. Exact laws on Gaussian data", laws)
    show("3. Bound and likelihood", likelihoods)
    draw_rates()
    draw_laws(laws)
    finite = [
        {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}
        for row in (*levels, *laws, *likelihoods)
    ]
    save("ddpm_as_sde", finite, F64)


if __name__ == "__main__":
    main()
