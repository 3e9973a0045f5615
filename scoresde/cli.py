"""The command line: scoresde demo | train | sample | likelihood | info.

Exit codes: 0; 2 usage (one line, no traceback); 3 numerical failure; 130 interrupted.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.callback()
def about() -> None:
    """Score-based generative modelling as numerics: train a score network, sample it by any solver."""

Out = Annotated[Path, typer.Option(help="folder to write")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="write into an existing folder")]
Device = Annotated[str, typer.Option(help="cpu or cuda")]


class UsageError(ValueError):
    """A flag or argument that cannot be used."""


@app.command()
def demo(
    out: Out = Path("runs/demo"),
    steps: Annotated[int, typer.Option(help="training steps")] = 700,
    n: Annotated[int, typer.Option(help="samples per method")] = 256,
    device: Device = "cpu",
    seed: Annotated[int, typer.Option(help="of everything random")] = 0,
    data: Annotated[str, typer.Option(help="digits, a .npz file or a folder of images")] = "digits",
    overwrite: Overwrite = False,
) -> None:
    """Train on digits, sample by seven solvers, judge, draw and report.

    Example: scoresde demo --out runs/demo --steps 700"""
    from . import demo as demo_module
    from .config import Config, DataConfig
    from .training import Training

    config = Config(data=DataConfig(path=data), training=Training(steps=steps, seed=seed))
    _positive("n", n)
    demo_module.run(config, _folder(out, overwrite), _command(), n, _device(device), _console())


@app.command()
def train(config: Annotated[Path, typer.Argument(help="a TOML file")], out: Out, device: Device = "cpu", overwrite: Overwrite = False) -> None:
    """Train the model a TOML file describes.

    Example: scoresde train docs/digits.toml --out runs/digits"""
    from . import config as config_module
    from . import demo as demo_module

    chosen = config_module.read(config)
    data = chosen.dataset().split(chosen.data.held_out)[0]
    folder = _folder(out, overwrite)
    demo_module.train_with_bar(chosen, data, folder, _command(), _device(device), _console())
    _console().print(f"saved {folder}; next: scoresde sample {folder}")


@app.command()
def sample(
    run: Annotated[Path, typer.Argument(help="a folder written by train or demo")],
    method: Annotated[str, typer.Option(help="ddim, ddpm, euler_maruyama, sra1, edm_heun or probability_flow")] = "ddim",
    steps: Annotated[int | None, typer.Option(help="noise levels, n of the catalogue; default 20")] = None,
    rtol: Annotated[float | None, typer.Option(help="tolerance of probability_flow; default 1e-4")] = None,
    n: Annotated[int, typer.Option(help="number of samples")] = 64,
    seed: Annotated[int, typer.Option(help="sample i is a function of (seed, i)")] = 0,
    batch: Annotated[int, typer.Option(help="samples at once")] = 256,
    out: Annotated[Path | None, typer.Option(help="a .png grid or a .npz of arrays in the data's own scale; default RUN/samples.png")] = None,
    device: Device = "cpu",
    overwrite: Overwrite = False,
) -> None:
    """Draw samples from a trained run.

    Example: scoresde sample runs/demo --method ddim --steps 20 --n 64 --seed 0 --out digits.png"""
    from . import report, runs
    from .sampling import sample as draw

    target = run / "samples.png" if out is None else out
    if target.suffix not in (".png", ".npz"):
        raise UsageError(f"`--out` must end in .png or .npz, got {target}")
    if target.exists() and out is not None and not overwrite:
        raise UsageError(f"`--out` must not exist, got {target}; use --overwrite")
    _positive("n", n)
    trained = runs.load(run, _device(device))
    chosen = _method(method, steps, rtol, trained.config.process)
    x = draw(trained.denoiser, (n, *trained.shape), chosen, seed, batch=batch).cpu()
    if target.suffix == ".png":
        if x.dim() != 4:
            raise UsageError(f"`--out` must be a .npz for points, got {target}")
        report.save_image(report.tiled(x, columns=max(1, round(n**0.5))), target)
    else:
        _save_arrays(x, trained.scaling, target)
    _console().print(f"{n} samples by {method}: {target}")


@app.command()
def likelihood(
    run: Annotated[Path, typer.Argument(help="a folder written by train or demo")],
    n: Annotated[int, typer.Option(help="held-out samples")] = 64,
    probes: Annotated[int, typer.Option(help="Hutchinson probes; 0: the exact trace, for small data")] = 4,
    rtol: Annotated[float, typer.Option(help="tolerance of the flow")] = 1e-4,
    seed: Annotated[int, typer.Option(help="of the probes")] = 0,
    device: Device = "cpu",
) -> None:
    """Log-likelihood of held-out data by the probability flow, with its standard errors.

    Example: scoresde likelihood runs/demo --n 64 --probes 4"""
    from . import runs
    from .likelihood import bits_per_dim, log_likelihood

    _positive("n", n)
    trained = runs.load(run, _device(device))
    data = trained.config.dataset().split(trained.config.data.held_out)[1]
    x = data.x[:n].to(device)
    dim = x[0].numel()
    answer = log_likelihood(trained.denoiser, x, probes=probes or None, rtol=rtol, atol=rtol, seed=seed)
    mean, spread = answer.log_prob.mean().item(), (answer.log_prob.std() / len(x) ** 0.5).item()
    error = answer.standard_error
    trace = "no error estimate" if error is None else f"{probes} probes, standard error {error.mean().item():.2f} nats a sample"
    bits = bits_per_dim(answer.log_prob.mean(), dim, trained.scaling[1]).item()
    console = _console()
    console.print(f"{len(x)} held-out samples of {data.name}: {mean:.2f} +- {spread:.2f} nats over samples")
    console.print(f"{'exact trace' if not probes else trace}; {answer.evals.double().mean().item():.0f} drift evaluations a sample")
    console.print(f"{bits:.3f} bits/dim, if the data were integers dequantised by uniform noise of one unit")


@app.command()
def info(run: Annotated[Path, typer.Argument(help="a run folder")]) -> None:
    """Say what a run is, verify its files, and how to repeat it.

    Example: scoresde info runs/demo"""
    from rich.table import Table

    from . import runs

    trained = runs.load(run)
    about = trained.about
    table = Table(show_header=False)
    rows = {
        "data": f"{about['data']['name']}: {about['data']['count']} samples of shape {tuple(about['data']['shape'])}",
        "process": repr(trained.config.process),
        "network": f"{trained.config.network}, {sum(p.numel() for p in trained.denoiser.parameters()):,} parameters",
        "training": f"{trained.config.training}",
        "done": f"{about['training']['steps_done']} steps, {about['training']['seconds']} s, loss {about['training']['loss']:.4f}",
        "versions": ", ".join(f"{k} {v}" for k, v in about["versions"].items()),
        "weights": f"SHA-256 {about['sha256'][:16]}..., verified",
        "repeat": about["command"],
    }
    for key, value in rows.items():
        table.add_row(key, value)
    _console().print(table)


def _method(name: str, steps: int | None, rtol: float | None, process: Any) -> Any:
    """A catalogue entry by its name: the one place where a string selects code."""
    from solvers import check

    from . import catalogue

    options = {
        "ddim": catalogue.ddim,
        "ddpm": catalogue.ddpm,
        "euler_maruyama": lambda n: catalogue.euler_maruyama(n, process),
        "sra1": catalogue.sra1,
        "edm_heun": catalogue.edm_heun,
        "probability_flow": catalogue.probability_flow,
    }
    check.choice("method", name, options)
    adaptive = name == "probability_flow"
    if (steps if adaptive else rtol) is not None:
        raise UsageError(f"`--{'steps' if adaptive else 'rtol'}` must not be given for {name}, which is {'adaptive' if adaptive else 'on a fixed grid'}")
    if adaptive:
        return catalogue.probability_flow(1e-4 if rtol is None else rtol)
    return options[name](check.integer("steps", 20 if steps is None else steps))


def _save_arrays(x: Any, scaling: tuple[float, float], path: Path) -> None:
    import io

    import numpy as np

    from .checkpoint import write_whole

    buffer = io.BytesIO()
    np.savez_compressed(buffer, x=(x * scaling[1] + scaling[0]).numpy())
    write_whole(path, buffer.getvalue())


def _folder(out: Path, overwrite: bool) -> Path:
    """A folder to write to: new, empty, or allowed to be overwritten."""
    if out.is_file() or (out.is_dir() and any(out.iterdir()) and not overwrite):
        raise UsageError(f"`--out` must be a new folder, got {out}, which exists; use --overwrite or another name")
    out.mkdir(parents=True, exist_ok=True)
    return out


def _device(name: str) -> str:
    import torch

    kind = name.split(":")[0]
    if kind not in ("cpu", "cuda"):
        raise UsageError(f"`--device` must be cpu or cuda, got {name!r}")
    if kind == "cuda" and not torch.cuda.is_available():
        raise UsageError("`--device` must be cpu here, got cuda: torch sees no CUDA device")
    return name


def _positive(name: str, value: int) -> None:
    from solvers import check

    check.integer(name, value)


def _console() -> Any:
    from rich.console import Console

    return Console(highlight=False, width=None if sys.stdout.isatty() else 120)


def _command() -> str:
    return "scoresde " + " ".join(shlex.quote(a) for a in sys.argv[1:])


def main() -> None:
    """Run the command line; errors become one line and an exit code."""
    try:
        sys.exit(app(sys.argv[1:] or ["--help"], standalone_mode=False) or 0)
    except typer.Exit as done:
        sys.exit(done.exit_code)
    except typer.TyperException as error:
        _stop(2, error.format_message())
    except (KeyboardInterrupt, typer.Abort):
        _stop(130, "interrupted")
    except (ValueError, TypeError, OSError) as error:
        _stop(2, str(error))
    except RuntimeError as error:
        _stop(*_runtime(error))


def _runtime(error: RuntimeError) -> tuple[int, str]:
    from solvers import SolveError

    from .checkpoint import CheckpointError
    from .training import NonFiniteLossError

    if isinstance(error, CheckpointError):
        return 2, str(error)
    if isinstance(error, (SolveError, NonFiniteLossError)):
        return 3, str(error)
    raise error


def _stop(code: int, message: str) -> None:
    print("scoresde: " + " ".join(message.split()), file=sys.stderr)
    sys.exit(code)
