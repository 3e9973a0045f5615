"""The command sample, which draws samples."""

from __future__ import annotations

import math
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from ..storage.ownership import writing_file
from .common import (
    AllowCode,
    Device,
    Folder,
    Overwrite,
    UsageError,
    bar,
    command,
    console,
    positive,
    processes,
    usable,
)
from .failures import fitting, loading
from .guiding import Classifier, Guidance, Interval, Null, Rescale, Weak, guided, labelling
from .stages import Augment, LowMethod, LowSteps, enlarged, low_model
from .targets import check_kind, check_target, default_target, save_samples


def sample(
    run: Folder,
    method: Annotated[
        str,
        typer.Option(
            help="a line of docs/catalogue.md, such as ddim or unipc; best: what is recommended for the model;"
            " FILE.json: what tune wrote"
        ),
    ] = "ddim",
    steps: Annotated[int | None, typer.Option(help="noise levels, n of the catalogue; default 20")] = None,
    rtol: Annotated[float | None, typer.Option(help="tolerance of probability_flow; default 1e-4")] = None,
    n: Annotated[int, typer.Option(help="number of samples")] = 64,
    seed: Annotated[int, typer.Option(help="sample i is a function of (seed, i)")] = 0,
    batch: Annotated[int, typer.Option(help="samples at once")] = 256,
    out: Annotated[
        Path | None,
        typer.Option(
            help="a .png picture, a .gif of video, a .npz or .csv in the data's own scale; default RUN/samples.png for"
            " images, .npz for others"
        ),
    ] = None,
    label: Annotated[
        str | None,
        typer.Option(help="class of all samples, its number or its name, where the model is class-conditional"),
    ] = None,
    guidance: Guidance = None,
    interval: Interval = None,
    rescale: Rescale = 0.0,
    weak: Weak = None,
    classifier: Classifier = None,
    null: Null = None,
    low_method: LowMethod = None,
    low_steps: LowSteps = None,
    augment: Augment = None,
    best: Annotated[
        bool, typer.Option("--best", help="the checkpoint with the least held-out loss instead of the last")
    ] = False,
    ema_width: Annotated[
        float | None, typer.Option(help="average the weights afterwards, with this width; needs training.posthoc")
    ] = None,
    compile: Annotated[
        bool, typer.Option("--compile", help="each step one compiled graph: seconds at first, faster from then on")
    ] = False,
    device: Device = "cpu",
    overwrite: Overwrite = False,
    allow_code: AllowCode = False,
) -> None:
    """Draw samples from a trained run or a saved pipeline. Several processes can share the work under
    `accelerate launch -m scoresde sample ...`; the samples are the same.

    Examples: scoresde sample runs/demo --method ddim --steps 20 --n 64 --seed 0 --out digits.png;
    scoresde sample runs/classes --label 3 --guidance 0,1,2,4,8 --n 8 --out strip.png
    \f
    Args:
        run: folder of a run or of a diffusers pipeline.
        method: name of the catalogue, or a .json file that `tune` wrote.
        steps: noise levels; None: 20. Not for probability_flow.
        rtol: tolerance of probability_flow; None: 1e-4. Not for other methods.
        n: number of samples, 1 or more.
        seed: sample i is a function of (seed, i).
        batch: samples drawn at once, 1 or more.
        out: file to write; None: samples.png or samples.npz in `run`.
        label: class of all samples, its number or its name; None: unconditional samples.
        guidance: guidance scale, or several scales separated by commas; None: no guidance.
        interval: LO,HI: guidance acts only at levels lam between them; None: at all levels.
        rescale: 0 to 1, how far guided samples keep the standard deviation of conditional ones.
        weak: folder of a weaker run, which guidance moves away from, or None.
        classifier: folder of a classifier whose gradient guides the samples, or None.
        null: the label that stands for "no label" in a pipeline; None for a run, which knows its own.
        low_method: method of a cascade's first stage; None: ddim.
        low_steps: noise levels of a cascade's first stage; None: 20.
        augment: noise added to the low-resolution images that a cascade enlarges; None: 0.1, or less if the model was
            trained with less.
        best: whether the checkpoint with the least held-out loss is used instead of the last one.
        ema_width: width of a weight average made after training; None: the average made in training.
        compile: whether each step runs as one compiled graph.
        device: cpu, cuda or cuda:NUMBER.
        overwrite: whether `out` may exist already.
        allow_code: whether a network of the user's own may be imported and run.
    """

    import torch

    from ..data.masked import MASK, drawn_masks
    from ..interop import models
    from ..runtime import distributed
    from ..samplers.sampling import sample as draw

    positive("n", n)
    positive("batch", batch)

    if best and ema_width is not None:
        raise UsageError(
            f"`--ema-width` must be left out with --best, whose checkpoint has its own average, got {ema_width:g}"
        )

    if out is not None:
        check_target(out, overwrite)

    place = processes(usable(device))

    with loading(run):
        model = models.load(run, place, best, ema_width)

    target = default_target(run, model.sample_shape, overwrite) if out is None else out
    check_kind(target, model.sample_shape, model.kind)
    judge = labelling(classifier, model, place)
    low = low_model(model, {"low-method": low_method, "low-steps": low_steps, "augment": augment}, place)
    if low is not None and judge is not None:
        raise UsageError("`--classifier` must be left out for a cascade, whose last stage is given an image, no label")

    labelled = low or judge or model
    wanted = None if label is None else label_class(label, labelled)
    denoisers = guided(model, guidance, wanted, interval, rescale, weak, null, judge, place)
    chosen = _method(method, steps, rtol, model, denoisers[0])
    before = None
    if low is not None:
        first = _method(low_method or "ddim", low_steps, None, low, low.denoiser, "low-")
        before = enlarged(low, first, model, wanted, augment, seed, batch)

    sizes = model.set_sizes

    def masks(rows: range) -> Any:
        return None if sizes is None else drawn_masks(sizes, model.shape[0], rows, seed)

    def given(rows: range) -> Any:
        if before is not None:
            return before(rows)
        return wanted if sizes is None else {MASK: masks(rows)}

    def part(denoiser: Any, rows: range) -> torch.Tensor:
        shape = (len(rows), *model.shape)
        x = draw(
            denoiser,
            shape,
            chosen,
            seed,
            cond=given(rows),
            first=rows.start,
            batch=batch,
            compile=compile,
        )
        return torch.cat([model.decoded(some) for some in x.split(batch)]).cpu()

    def parts(denoiser: Any, rows: range) -> torch.Tensor:
        drawn: list[torch.Tensor] = []
        with bar("sampling", len(rows), shown=distributed.rank() == 0) as advance:
            for start in range(rows.start, rows.stop, batch):
                some = range(start, min(start + batch, rows.stop))
                drawn.append(part(denoiser, some))
                advance(len(some))
        return torch.cat(drawn)

    writes = distributed.rank() == 0
    remedy = f"take a smaller --batch (now {batch}) or a smaller --n"

    with (
        writing_file(target, command()) if writes else nullcontext(),
        fitting(f"a batch of {min(n, batch)} samples, or all {n} of them,", remedy),
    ):
        if out is not None and writes:
            check_target(out, overwrite)  # again: another command may have written to it meanwhile

        share = part if compile else parts
        x = torch.cat([distributed.run_sharded(n, partial(share, denoiser)) for denoiser in denoisers])
        distributed.shutdown()

        if not writes:
            return

        every = None if sizes is None else torch.cat([masks(range(n))] * len(denoisers))
        save_samples(x, target, model, len(denoisers), every)

    each = "" if len(denoisers) == 1 else f" at each of {len(denoisers)} scales, from the same noise"
    console().print(f"{n} samples by {method}{each}: {target}")


def label_class(label: str, model: Any) -> int:
    """The class that a number or a name means.

    Args:
        label: a number, or the name of a class of the model.
        model: a model from `interop.models.load`.

    Raises:
        UsageError: naming `--label`.
    """
    if model.classes is None:
        raise UsageError(
            f"`--label` must be left out, got {label}: {model.folder} is not class-conditional; train it with"
            " training.label_dropout"
        )

    names = model.class_names or []
    if label in names:
        return names.index(label)

    if not (label.isascii() and label.isdigit() and int(label) < model.classes):
        told = f", or be one of {', '.join(names)}" if names else ""
        raise UsageError(f"`--label` must lie in [0, {model.classes}){told}, got {label}")

    return int(label)


def _method(
    name: str,
    steps: int | None,
    rtol: float | None,
    model: Any,
    denoiser: Any,
    stage: str = "",
) -> Any:
    """The method that a name of the command line selects: from the catalogue; for `best` the recommended method of the
    model; for FILE.json a tuned method, loaded for `denoiser`. `stage` is the prefix of the option names."""

    from solvers import check

    from .. import tuning
    from ..samplers import catalogue
    from ..samplers.recommend import recommended

    if name.endswith(".json"):
        if steps is not None or rtol is not None:
            option = "rtol" if steps is None else "steps"
            raise UsageError(
                f"`--{stage}{option}` must not be given for a tuned method, which has its own levels; leave it out, or"
                " tune another by `scoresde tune --calls`"
            )
        return tuning.load(name, denoiser)

    check.choice(f"{stage}method", name, [*catalogue.fixed_step_methods(), "probability_flow"])
    adaptive = name == "probability_flow"
    if (steps if adaptive else rtol) is not None:
        raise UsageError(
            f"`--{stage}{'steps' if adaptive else 'rtol'}` must not be given for {name}, which is"
            f" {'adaptive' if adaptive else 'on a fixed grid'}"
        )
    if adaptive:
        return catalogue.probability_flow(1e-4 if rtol is None else rtol)

    n = check.integer(f"{stage}steps", 20 if steps is None else steps)

    if name == "best":
        return recommended(model.denoiser, n, shape=model.shape if model.classes is None else None)

    process = model.denoiser.process
    if name == "euler_maruyama" and process.lam(process.t_noise) > -math.inf:
        return catalogue.euler_maruyama(n, process)

    return catalogue.fixed_step_methods()[name](n)
