"""Imports models from elsewhere without running code from them: files of weights, and pipeline folders of diffusers.

A torch file is read with torch.load(weights_only=True): it may hold tensors and plain containers of them. A file that
needs classes of its own, such as the pickles of EDM, would run code when it is read, and is refused.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from .. import runs
from ..data.samples import Samples
from ..runs import own_code
from ..runs.config import Config, ConfigError
from ..runs.run_folder import save_run
from ..storage import weights
from ..storage.files import CheckpointError, versions, write_whole
from ..storage.foreign import read
from ..storage.ownership import clear
from ..storage.weights import restore
from . import latent_pipelines, pipelines


def convert(
    source: Path | str,
    out: Path | str,
    config: Config | None = None,
    shape: tuple[int, ...] = (),
    command: str = "",
    data: Samples | None = None,
) -> str:
    """Import `source` into the folder `out`.

    A diffusers pipeline is copied into a folder that all commands except `train` accept. A file of weights becomes
    out/weights.safetensors, with the same names of tensors. If a configuration describes a network that the weights
    fit, the file becomes a run folder instead. Without `data` the run does not know its data set: `doctor` and
    `likelihood` then need the option --data.

    Args:
        source: a file of weights (`read`) or the folder of a diffusers pipeline.
        out: folder to write.
        config: describes the network and its process; None: only the tensors are stored.
        shape: of one sample, needed with `config`: (C, H, W) or (d,).
        command: the command line, stored in the run.
        data: the data on which the network was trained, if known.

    Returns:
        A line for the user: what was imported, and the next command.

    Raises:
        CheckpointError: if the source cannot be read, if its weights do not fit the network, or if the data have
            another shape.
        ConfigError: if the configuration describes a network that is no denoiser of the data, or if its network
            cannot be built.
        ValueError: if `out` holds files with names of a run that no run of ours wrote.
    """

    from safetensors.torch import save

    source = Path(source)
    out = Path(out)

    if source.is_dir():
        if latent_pipelines.part_of(source) is not None:
            raise CheckpointError(
                f"{source} is a latent pipeline, which is taken as it is: scoresde sample {source}; its autoencoder is"
                " not copied"
            )
        denoiser = pipelines.load(source)
        (_, height, width), _ = pipelines.input_spec(denoiser)
        clear(out)
        pipelines.save(denoiser, out, height if height == width else (height, width))
        return (
            f"a pipeline of {sum(p.numel() for p in denoiser.parameters()):,} weights, on"
            f" {denoiser.process!r}: scoresde sample {out}"
        )

    tensors = read(source)

    if config is None:
        clear(out)
        write_whole(out / "weights.safetensors", save(tensors))
        return (
            f"{len(tensors)} tensors in {out / 'weights.safetensors'}; with a --config that describes their"
            " network they become a run"
        )

    if not config.denoises or config.latent.autoencoder is not None or config.cascade.low is not None:
        raise ConfigError(
            "`network.kind` must be that of a denoiser of the data themselves for weights from elsewhere: classifiers,"
            " autoencoders, models of latents and stages of cascades are trained here"
        )

    if data is not None and data.shape != shape:
        raise CheckpointError(f"`--shape` must be that of the samples of {data.name}, {data.shape}, got {shape}")

    denoiser = config.denoiser(shape, None if data is None else data.classes)
    restore(denoiser.network, weights.select(tensors, denoiser.network, source), source)

    moments = None if data is None else runs.moments(data)
    known = (
        runs.NO_DATA | {"name": source.name, "shape": list(shape)} if data is None else runs.description(data, moments)
    )
    about = {
        "command": command,
        "config": config.as_dict(),
        "data": known,
        "training": {"steps_done": 0, "seconds": 0.0, "loss": None},
        **own_code.source(config.network.kind, config.network.options),
        "imported": {"file": source.name, "sha256": hashlib.sha256(source.read_bytes()).hexdigest()},
    }
    clear(out)

    if moments is not None:
        moments.save(out / runs.MOMENTS)

    save_run(out, denoiser.network, denoiser.network, about)

    return f"a run of {len(tensors)} tensors, by {versions()['scoresde']}: scoresde sample {out}"
