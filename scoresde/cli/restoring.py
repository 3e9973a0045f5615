"""The command restore: samples of the posterior, given a measurement of a clean sample."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ..storage.ownership import writing_file
from . import clips
from .common import AllowCode, Data, Device, Folder, Overwrite, UsageError, command, console, positive, usable
from .failures import fitting, loading
from .targets import check_kind, check_target, save_arrays

LED = ("pigdm", "dps", "tmpd", "diffpir")
REPLACED = ("replacement", "repaint")
PARTICLES = ("twisted", "mcgdiff")
METHODS = (*LED, *REPLACED, "ddrm", "daps", *PARTICLES)
DECODED = ("dps", "tmpd", "daps")  # methods that accept a nonlinear operator
NOISY = ("dps", "twisted")  # methods that divide by the noise of the measurement, so that std must be above 0
VIDEO = 4  # dimensions of a clip, and of a volume, whose slices are its frames


def restore(
    run: Folder,
    operator: Annotated[
        str,
        typer.Option(
            help="what is measured: box:TOP,LEFT,HEIGHT,WIDTH (hidden), mask:FILE.npy, blur:SIGMA, downsample:N, grey;"
            " of clips box, mask, or frames:0-2,7 (seen)"
        ),
    ],
    out: Annotated[Path, typer.Option(help="a .png picture, a .gif of clips, or a .npz in the data's own scale")],
    std: Annotated[
        float, typer.Option(help="standard deviation of the measured noise, in the model's scale; 0: exact data")
    ] = 0.05,
    method: Annotated[str, typer.Option(help=f"one of {', '.join(METHODS)}; docs/inverse.md")] = "pigdm",
    steps: Annotated[int, typer.Option(help="noise levels")] = 50,
    n: Annotated[int, typer.Option(help="samples of the posterior")] = 8,
    index: Annotated[int, typer.Option(help="which of the held-out samples is measured")] = 0,
    particles: Annotated[int, typer.Option(help="of twisted and mcgdiff")] = 1024,
    seed: Annotated[int, typer.Option(help="of the measurement's noise and of the samples")] = 0,
    data: Data = None,
    device: Device = "cpu",
    overwrite: Overwrite = False,
    allow_code: AllowCode = False,
) -> None:
    """Measure a held-out sample, and draw samples of the posterior given the measurement. A picture shows truth,
    measurement, samples, their mean and their standard deviation.

    Example: scoresde restore runs/demo --operator box:0,4,8,4 --std 0.05 --method pigdm --n 8 --out restored.png

    Video: scoresde restore runs/video --operator frames:0 --std 0 --method pigdm --n 4 --out animated.gif
    \f
    Args:
        run: folder of a run or of a diffusers pipeline.
        operator: what is measured, as NAME:ARGUMENTS.
        out: a .png, .gif or .npz file to write.
        std: standard deviation of the measured noise, in the model's scale; 0: exact data.
        method: one of `METHODS`.
        steps: noise levels, 1 or more.
        n: samples of the posterior, 1 or more.
        index: which held-out sample is measured, from 0.
        particles: number of particles of the methods twisted and mcgdiff.
        seed: seed of the measurement noise and of the samples.
        data: the training data, if the model does not know them.
        device: cpu, cuda or cuda:NUMBER.
        overwrite: whether `out` may exist already.
        allow_code: whether a network of the user's own may be imported and run.
    """

    import torch

    from solvers import SeededNoise, check
    from solvers.noise import PRIOR

    from .. import inverse
    from ..interop import models
    from ..reports import images

    positive("n", n)
    positive("steps", steps)
    check.choice("method", method, METHODS)
    check.number("std", std, least=0.0)
    if std == 0.0 and method in NOISY:
        raise UsageError(f"`--std` must be above 0 for {method}, which divides by it, got 0; take pigdm or repaint")
    check_target(out, overwrite)
    place = usable(device)

    with loading(run):
        model = models.load(run, place)

    wanted = model.sample_shape
    if model.run is not None and model.run.config.cascade.low is not None:
        raise UsageError(f"`run` must make samples alone, got {run}, which enlarges the images of another run")

    video = len(wanted) == VIDEO
    if len(wanted) != 3 and not video:
        raise UsageError(
            f"`run` must be a model of images or of video, got samples of shape {wanted}; see scoresde.inverse"
        )
    if model.space is not None and method not in DECODED:
        raise UsageError(
            f"`--method` must be one of {', '.join(DECODED)} for a model of latents, whose decoder is not linear, got"
            f" {method}"
        )

    if not video or out.suffix.lower() != ".png":
        check_kind(out, wanted)

    held_out = model.held_out(data).source
    if not 0 <= index < len(held_out):
        raise UsageError(f"`--index` must lie in [0, {len(held_out)}), got {index}")

    truth = held_out.in_memory(index + 1).x[index:].to(place)
    measuring = parsed(operator, wanted)
    if std == 0.0 and (isinstance(measuring, inverse.Blur) or model.space is not None):
        why = "blur, which loses what exact data would have to hold" if model.space is None else "a model of latents"
        raise UsageError(f"`--std` must be above 0 for {why}, got 0")

    clean = measuring.forward(truth)
    noise = SeededNoise(seed).normal(PRIOR, range(3, 4), tuple(clean.shape), clean.dtype, clean.device)[0]
    y = clean + std * noise
    space = model.space
    through = measuring if space is None else inverse.Function(lambda u: measuring.forward(space.decode(u)))
    measurement = inverse.Measurement(through, y[0], std, model.shape)
    shape = (n, *model.shape)

    with writing_file(out, command()), fitting(f"{n} samples", "take a smaller --n"):
        drawn = model.decoded(drawn_by(method, model.denoiser, measurement, shape, steps, seed, particles))
        if std == 0.0:
            drawn = measurement.imposed(drawn)

        if out.suffix.lower() in (".png", ".gif"):
            seen = _seen(measuring, y, truth)
            spread = drawn.std(0, correction=0, keepdim=True) * 2 - 1
            rows = torch.cat((truth, seen, drawn, drawn.mean(0, keepdim=True), spread)).cpu()

            if out.suffix.lower() == ".gif":
                images.save_clips(rows, len(rows), out)
            else:
                images.save_image(clips.sheet(rows) if video else images.tiled(rows, columns=len(rows)), out)
        else:
            save_arrays(model.original(drawn.cpu()), out, model.scale)

    left = (measuring.forward(drawn) - y).square().mean().sqrt().item()
    console().print(f"{n} samples by {method}, RMS residual {left:.3g} at std {std:g}: {out}")


def drawn_by(
    method: str,
    denoiser: Any,
    measurement: Any,
    shape: tuple[int, ...],
    steps: int,
    seed: int,
    particles: int,
) -> Any:
    """Samples of the posterior, (B, ...).

    Args:
        method: one of `METHODS`.
        denoiser: the model of the prior.
        measurement: an `inverse.Measurement`.
        shape: shape of the samples, (B, ...).
        steps: noise levels, 1 or more.
        seed: seed of the samples.
        particles: number of particles, for twisted and mcgdiff.
    """

    from dataclasses import replace

    from .. import inverse
    from ..samplers import catalogue
    from ..samplers.sampling import sample

    if method in LED:
        return sample(getattr(inverse, method)(denoiser, measurement), shape, catalogue.unipc(steps), seed)

    if method in REPLACED:
        wrap = inverse.Replacement(measurement) if method == "replacement" else inverse.RePaint(measurement)
        return sample(denoiser, shape, replace(catalogue.ddim(steps), wrap=(wrap,)), seed)

    if method in PARTICLES:
        filtered = getattr(inverse, method)
        return filtered(denoiser, measurement, shape, catalogue.ddpm(steps), particles=particles, seed=seed).x

    if method == "ddrm":
        return inverse.ddrm(denoiser, measurement, shape, catalogue.ddim(steps), seed=seed)

    return inverse.daps(denoiser, measurement, shape, catalogue.ddim(steps), catalogue.ddim(5), seed=seed)


def parsed(text: str, shape: tuple[int, ...]) -> Any:
    """The measurement operator that the option --operator describes.

    Args:
        text: KIND or KIND:ARGUMENTS.
        shape: shape of one sample, (C, H, W) or (C, frames, H, W).

    Raises:
        UsageError: naming `--operator`.
    """

    import torch

    from .. import inverse

    kind, _, rest = text.partition(":")
    channels, *frames, height, width = shape

    if kind == "frames":
        if not frames:
            raise UsageError(f"`--operator` frames wants a model of video, got {text} for samples of shape {shape}")
        return inverse.seen_frames(clips.places(rest, frames[0]), shape)

    if frames and kind in ("grey", "downsample", "blur"):
        raise UsageError(f"`--operator` must be frames, box or mask for video and volumes, got {text}")

    if kind == "grey" and not rest:
        return inverse.Grey(channels)

    if kind == "downsample" and rest.isdigit() and int(rest) > 0 and height % int(rest) == width % int(rest) == 0:
        return inverse.Downsample(int(rest))

    if kind == "blur" and _number(rest) > 0:
        return inverse.Blur(_gaussian(_number(rest), min(height, width)))

    if kind == "box":
        parts = [int(part) for part in rest.split(",") if part.isdigit()]
        if len(parts) == 4 and parts[0] + parts[2] <= height and parts[1] + parts[3] <= width and parts[2] * parts[3]:
            mask = torch.ones(shape, dtype=torch.bool, device="cpu")
            mask[..., parts[0] : parts[0] + parts[2], parts[1] : parts[1] + parts[3]] = False
            if bool(mask.any()):
                return inverse.Mask(mask)

    if kind == "mask" and rest:
        return inverse.Mask(_mask(Path(rest), shape))

    raise UsageError(
        f"`--operator` must be box:TOP,LEFT,HEIGHT,WIDTH within {height} x {width}, mask:FILE.npy, blur:SIGMA above"
        f" 0, downsample:N with N a divisor of both sides, grey, or frames:0-2,7 of video, got {text}"
    )


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return -1.0


def _gaussian(sigma: float, limit: int) -> Any:
    """A normalised Gaussian kernel of odd size, up to three standard deviations to each side."""
    import torch

    reach = min(max(1, round(3 * sigma)), (limit - 1) // 2)
    x = torch.arange(-reach, reach + 1, dtype=torch.float64, device="cpu")
    row = torch.exp(-0.5 * (x / sigma) ** 2)
    kernel = torch.outer(row, row)
    return kernel / kernel.sum()


def _mask(path: Path, shape: tuple[int, ...]) -> Any:
    """A mask from a .npy of 0 and 1, with the shape of a sample, or with that shape without channels."""
    import numpy as np
    import torch

    try:
        found = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise UsageError(f"`--operator` must name a .npy that can be read, got {path}: {error}") from None

    if found.shape not in (shape, shape[1:]) or not np.isin(found, (0, 1)).all() or not found.any():
        raise UsageError(
            f"`--operator` must name a mask of shape {shape} or {shape[1:]}, of 0 and 1, 1 where something is seen, got"
            f" {found.dtype} of shape {found.shape} in {path}"
        )

    return torch.from_numpy(found.astype(bool)).expand(shape).clone()


def _seen(operator: Any, y: Any, truth: Any) -> Any:
    """The measurement as an image of the truth's size. If its shape differs, it is mapped back by the adjoint."""
    import torch

    ones = operator.forward(torch.ones_like(truth))
    gain = operator.adjoint(ones).clamp(min=1e-3)
    return y if y.shape == truth.shape else (operator.adjoint(y) / gain).clamp(-1, 1)
