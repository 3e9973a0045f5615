"""The commands likelihood and info, which evaluate and describe a model."""

from __future__ import annotations

import math
from typing import Annotated, Any

import typer

from .common import AllowCode, Data, Device, Folder, UsageError, bar, console, positive, usable
from .failures import fitting, loading


def likelihood(
    run: Folder,
    n: Annotated[int, typer.Option(help="held-out samples")] = 64,
    probes: Annotated[int, typer.Option(help="Hutchinson probes; 0: the exact trace, for small data")] = 4,
    rtol: Annotated[float, typer.Option(help="tolerance of the flow")] = 1e-4,
    seed: Annotated[int, typer.Option(help="of the probes")] = 0,
    batch: Annotated[int, typer.Option(help="samples at once")] = 64,
    data: Data = None,
    device: Device = "cpu",
    allow_code: AllowCode = False,
) -> None:
    """Log-likelihood of held-out data by the probability flow ODE, with standard errors. For a model of latents the
    result is a lower bound.

    Example: scoresde likelihood runs/demo --n 64 --probes 4
    \f
    Args:
        run: folder of a run or of a diffusers pipeline.
        n: number of samples, 1 or more.
        probes: Hutchinson probes per sample; 0: the exact trace.
        rtol: relative and absolute tolerance of the ODE solver.
        seed: seed of the probes.
        batch: samples evaluated at once, 1 or more.
        data: the training data, if the model does not know them.
        device: cpu, cuda or cuda:NUMBER.
        allow_code: whether a network of the user's own may be imported and run.
    """

    import torch

    from ..denoisers import conditions
    from ..evaluation.likelihood import Likelihood, bits_per_dim, log_likelihood
    from ..interop import models
    from ..latent.bound import Bound, log_likelihood_bound

    positive("n", n)
    positive("batch", batch)
    place = usable(device)

    with loading(run):
        model = models.load(run, place)

    if model.space is not None and model.run is None:
        raise UsageError(
            f"`run` must know the observation noise of its autoencoder, which {run} does not say; train one with"
            " network.kind = autoencoder"
        )

    held_out = model.held_out(data)
    known = (held_out if model.space is None else held_out.source).in_memory(n)
    x = known.x
    options: dict[str, Any] = {"probes": probes or None, "rtol": rtol, "atol": rtol, "seed": seed}
    parts: list[Likelihood | Bound] = []
    remedy = f"take a smaller --batch (now {batch})"

    with bar("likelihood", len(x)) as advance, fitting(f"the flow of {min(batch, len(x))} samples", remedy):
        for start in range(0, len(x), batch):
            some = x[start : start + batch].to(place)
            if model.space is None:
                cond = conditions.rows(known.cond, slice(start, start + batch))
                parts.append(log_likelihood(model.denoiser, some, first=start, cond=cond, **options))
            else:
                parts.append(log_likelihood_bound(model.denoiser, model.space, some, first=start, **options))
            advance(len(some))

    log_prob = torch.cat([part.log_prob for part in parts])
    evals = torch.cat([part.evals for part in parts]).double().mean().item()
    errors = [part.standard_error for part in parts if part.standard_error is not None]
    spread = f" +- {(log_prob.std() / len(x) ** 0.5).item():.2f}" if len(x) > 1 else ""
    over = " over samples" if len(x) > 1 else ""
    trace = (
        f"{probes} probes, standard error {torch.cat(errors).mean().item():.2f} nats a sample"
        if errors
        else "no error estimate"
    )
    mean = log_prob.mean()
    d = x[0].numel()
    own = mean.item() - d * math.log(held_out.unit)
    say = console().print
    least = "" if model.space is None else "at least "
    say(
        f"{len(x)} {'held-out' if data is None else 'given'} samples of {held_out.name}: {least}{own:.2f}{spread}"
        f" nats{over}"
    )
    bounds = [part for part in parts if isinstance(part, Bound)]
    if model.space is not None:
        terms = {
            name: torch.cat([getattr(part, name) for part in bounds]).mean().item()
            for name in ("reconstruction", "prior", "entropy")
        }
        said = ", ".join(f"{name} {value:.2f}" for name, value in terms.items())
        say(f"a lower bound, by the autoencoder of {model.space.folder}, in the model's scale: {said}")
    if known.cond is not None:
        say("of each image given its low-resolution copy")

    if held_out.unit != 1.0:
        say(
            f"in the data's units: {mean.item():.2f} in the model's scale, less {d} log {held_out.unit:.4g} ="
            f" {d * math.log(held_out.unit):.2f}"
        )

    say(f"{'exact trace' if not probes else trace}; {evals:.0f} drift evaluations a sample")

    if model.space is None and held_out.whole:
        say(
            f"{bits_per_dim(mean, d, held_out.unit).item():.3f} bits/dim of the integers, dequantised by uniform"
            " noise of one unit"
        )


def info(run: Folder, allow_code: AllowCode = False) -> None:
    """Describe a run or a saved pipeline. For a run, also verify its files and print how to repeat it.

    Example: scoresde info runs/demo
    \f
    Args:
        run: folder of a run or of a diffusers pipeline.
        allow_code: whether a network of the user's own may be imported and run.
    """

    from rich.table import Table

    from .. import runs
    from ..interop import models, pipelines
    from ..runs.summary import summary

    table = Table(show_header=False)

    with loading(run):
        if pipelines.is_pipeline(run):
            told = models.load(run).summary()
        else:
            model, stored = runs.load_any(run)
            told = summary(stored.about, runs.run_config(stored.about, run), model)

    for key, value in told.items():
        table.add_row(key, value)

    console().print(table)
