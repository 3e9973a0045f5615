"""The command that learns a sampler: tune."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import typer

from ..storage.ownership import writing_file
from .common import AllowCode, Device, Folder, Overwrite, UsageError, bar, command, console, positive, reachable, usable
from .failures import fitting, loading
from .guiding import Guidance, Interval, Null, Rescale, Weak, guided
from .sampling import label_class

_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}


def tune(
    context: typer.Context,
    run: Folder,
    calls: Annotated[int, typer.Option(help="network calls of a sample, 2 or more")],
    out: Annotated[Path, typer.Option(help="the .json to write")] = Path("method.json"),
    time: Annotated[
        str | None, typer.Option(help="when learning ends with what it has, as 90s, 5m or 1h; default: by itself")
    ] = None,
    stage: Annotated[
        str, typer.Option(help="the last of: grid (the best untuned method), levels, table, scale")
    ] = "scale",
    pairs: Annotated[int, typer.Option(help="latents that are learned from; 32 more choose, 128 more judge")] = 64,
    seed: Annotated[int, typer.Option(help="of all latents")] = 0,
    soft: Annotated[
        float, typer.Option(help="how far the start of a pair may move, in standard deviations of its noise")
    ] = 0.0,
    plain: Annotated[
        bool, typer.Option("--plain", help="no method with a frame, which the schedulers of diffusers cannot run")
    ] = False,
    noise: Annotated[
        bool, typer.Option("--noise", help="a stochastic method instead: its levels and noise, judged by the law")
    ] = False,
    label: Annotated[
        str | None, typer.Option(help="class of all samples; without it all classes, where the model takes labels")
    ] = None,
    guidance: Guidance = None,
    interval: Interval = None,
    rescale: Rescale = 0.0,
    weak: Weak = None,
    null: Null = None,
    sigmas: Annotated[
        bool, typer.Option("--sigmas", help="print the levels as falling sigma/alpha, for other libraries")
    ] = False,
    batch: Annotated[int, typer.Option(help="samples at once")] = 256,
    device: Device = "cpu",
    overwrite: Overwrite = False,
    allow_code: AllowCode = False,
) -> None:
    """Learn the best sampler of a model for a budget of network calls, and measure its error.

    Example: scoresde tune runs/demo --calls 7 --out method.json, then
    scoresde sample runs/demo --method method.json
    \f
    Args:
        context: of the command, which knows what was given.
        run: folder of a run or of a diffusers pipeline.
        calls: network calls of a sample, 2 or more.
        out: the .json file to write.
        time: duration after which learning ends, as 90s, 5m or 1h; None: no limit.
        stage: the last stage that runs: grid, levels, table or scale.
        pairs: latents that are learned from, 1 or more.
        seed: of all latents.
        soft: how far the start of a pair may move, in standard deviations of its noise.
        plain: whether methods with a frame are left out.
        noise: whether the levels and the noise of a stochastic method are learned instead, and judged by the distance
            of laws; `stage`, `pairs`, `soft` and `plain` are of the other kind then.
        label: class of all samples; None: all classes.
        guidance: scale, or several scales between commas; None: no guidance.
        interval: levels LO,HI of lam in which guidance holds; None: all.
        rescale: 0 to 1, how far guided samples keep the spread of conditional ones.
        weak: folder of a weaker run that guidance leads away from, or None.
        null: the label that a pipeline takes for none; None: a run knows its own.
        sigmas: whether the levels are printed as falling sigma/alpha.
        batch: samples at once, 1 or more.
        device: cpu, cuda or cuda:NUMBER.
        overwrite: whether `out` may exist already.
        allow_code: whether a network of the user's own may be imported and run.
    """

    import torch

    from solvers import check

    from .. import tuning
    from ..interop import models
    from ..samplers.ranges import method_levels

    check.integer("calls", calls, least=2)
    for name, value in (("pairs", pairs), ("batch", batch)):
        positive(name, value)

    stages = ("grid", *tuning.STAGES)
    check.choice("stage", stage, stages)
    if noise:
        _check_noise(context)
    seconds = None if time is None else duration(time)
    _check_out(out, overwrite)
    place = usable(device)

    with loading(run):
        model = models.load(run, place)

    _check_model(model)
    wanted = None if label is None else label_class(label, model)
    denoisers = guided(model, guidance, wanted, interval, rescale, weak, null, None, place)
    if len(denoisers) != 1:
        raise UsageError(f"`--guidance` must be one scale, part of what is tuned, got {guidance}")

    every = wanted is None and model.classes is not None
    cond = torch.arange(model.classes or 0, device="cpu") if every else wanted

    wanted_stages = (tuning.NOISE,) if noise else stages[1 : stages.index(stage) + 1]
    one = denoisers[0]
    common: dict[str, Any] = {"seconds": seconds, "cond": cond, "seed": seed, "batch": batch}

    with (
        writing_file(out, command()),
        bar("tuning", tuning.looks(wanted_stages)) as advance,
        fitting(f"a batch of {batch} samples", f"take a smaller --batch (now {batch})"),
    ):
        _check_out(out, overwrite)  # again: another command may have written it meanwhile
        common["on_look"] = lambda: advance(1)
        if noise:
            found = tuning.tune_noise(one, model.shape, calls, **common)
        else:
            kinds: dict[str, Any] = {"stages": wanted_stages, "pairs": pairs, "soft": soft, "frames": not plain}
            found = tuning.tune(one, model.shape, calls, **kinds, **common)
        found.save(out, run=str(run), label=wanted, guidance=guidance, interval=interval, rescale=rescale)

    tell = _tell_law if noise else _tell
    tell(found, out)
    if sigmas:
        falling = torch.exp(-method_levels(one, found.method))
        console().print(", ".join(f"{value:.6g}" for value in falling.tolist()))


def duration(text: str) -> float:
    """Seconds of a duration such as 90, 90s, 5m or 1h. Raises UsageError naming `--time`."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text.strip())
    if found is None or not float(found[1]) > 0:
        raise UsageError(f"`--time` must be a duration above 0, as 90s, 5m or 1h, got {text}")
    return float(found[1]) * _UNITS[found[2]]


def _check_out(out: Path, overwrite: bool) -> None:
    """Raise UsageError where the file cannot be written, or holds what we did not write."""
    from ..tuning import artefact

    if out.suffix.lower() != ".json":
        raise UsageError(f"`--out` must end in .json, got {out}")
    if not reachable(out).exists():
        return

    try:
        artefact.read(out)
    except (OSError, ValueError):
        raise UsageError(
            f"`--out` must be new or hold a tuned method, got {out}, which does not; use another name"
        ) from None

    if not overwrite:
        raise UsageError(f"`--out` must not exist, got {out}; use --overwrite")


def _check_noise(context: typer.Context) -> None:
    """Raise UsageError where an option of the deterministic tuner was given beside `--noise`."""
    for name in ("stage", "pairs", "soft", "plain"):
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            raise UsageError(f"`--{name}` must not be given with --noise: it belongs to the deterministic tuner")


def _check_model(model: Any) -> None:
    """Raise UsageError for models whose samples depend on more than a latent and a label."""
    if model.run is not None and model.run.config.cascade.low is not None:
        raise UsageError(f"`run` must be sampled alone, got {model.folder}, a stage of a cascade; tune its first stage")
    if model.set_sizes is not None:
        raise UsageError(f"`run` must make samples of one size, got {model.folder}, of sets of several")


def _tell(found: Any, out: Path) -> None:
    from rich.table import Table

    table = Table("method", "error (RMS)", "95 %", "median", "Frechet")
    rows = {"tuned": found.error, **dict(sorted(found.baselines.items(), key=lambda item: item[1].rms))}
    for name, errors in rows.items():
        distance = found.about["frechet"][name]
        table.add_row(
            name,
            f"{errors.rms:.3g}",
            f"{errors.low:.2g} to {errors.high:.2g}",
            f"{errors.median:.2g}",
            f"{distance:.3g}",
        )

    say = console().print
    say(table)
    about = found.about
    say(
        f"{about['calls']} calls, on {about['tested']} latents that nothing was chosen on, against the converged flow,"
        f" which moves by {about['reference_error']:.2g} at 30 times its tolerance. On the {about['pairs']} learned"
        f" from {about['training'].rms:.3g}, on the {about['held_out']} that chose {about['validation'].rms:.3g}"
    )
    if about["c2st"]:
        told = (
            f"{name} {law['value']:.2f} ({law['low']:.2f} to {law['high']:.2f})" for name, law in about["c2st"].items()
        )
        say(
            "right answers of a classifier that tells samples from converged ones, 0.5 where it cannot: "
            + ", ".join(told)
        )
    say(f"began with {about['started_from']}; {about['seconds']:.0f} s; {out}")


def _tell_law(found: Any, out: Path) -> None:
    from rich.table import Table

    about = found.about
    learned = bool(about["etas"])
    rows = {"tuned": found.law, **found.baselines} if learned else dict(found.baselines)
    table = Table("method", "energy distance", "95 %")
    for name, law in sorted(rows.items(), key=lambda item: item[1].value):
        label = "recommended (deterministic)" if name == "recommended" else name
        table.add_row(label, f"{law.value:.3g}", f"{law.low:.2g} to {law.high:.2g}")

    say = console().print
    say(table)
    say(
        f"{about['calls']} calls, {about['tested']} samples against as many of the {about['target']}. If both have one"
        " law, the distance is 0 on average: an interval that holds 0 shows no difference"
    )
    if learned:
        steps = (f"{eta:.3g} ({factor:.3g})" for eta, factor in zip(about["etas"], about["factors"], strict=True))
        say("eta of each step, and the factor of its noise: " + ", ".join(steps) + "; the last call denoises")
        say(f"began with {about['started_from']}; {about['seconds']:.0f} s; {out}")
    else:
        say(f"nothing learned was nearer: {out} holds the untuned {about['started_from']}; {about['seconds']:.0f} s")
