"""MethodScheduler as users of diffusers use theirs: in every kind of pipeline, midway, with callbacks, saved and
loaded."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DDPMPipeline,
    DDPMScheduler,
    FlowMatchEulerDiscreteScheduler,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionInpaintPipeline,
    StableDiffusionPipeline,
)
from torch import Tensor

from scoresde import catalogue, grids
from scoresde.interop import pipelines
from scoresde.interop.scheduler import MethodScheduler
from scoresde.storage.files import CheckpointError
from tests.helpers.tiny_pipelines import KINDS, call, pipeline, scheduler

ROOT = Path(__file__).parents[2]
CONFIG = DDIMScheduler(1000, clip_sample=False, timestep_spacing="trailing").config
START = torch.randn(3, 2, 4, generator=torch.Generator().manual_seed(0))


def network(x: Tensor, t: Any) -> Tensor:
    """A plain function in a network's place."""
    return torch.tanh(x) * (0.5 + float(t) / 2000)


def loop(made: Any, x: Tensor, timesteps: Any = None, **more: Any) -> Tensor:
    """The loop of every pipeline."""
    for t in made.timesteps if timesteps is None else timesteps:
        x = made.step(network(x, t), t, x, **more).prev_sample
    return x


def same(a: Tensor, b: Tensor) -> bool:
    """To the rounding of convolutions on several threads."""
    return bool((a - b).abs().max() < 1e-3)


def trailing() -> MethodScheduler:
    """DDIM at the levels of DDIMScheduler's "trailing"."""
    made = MethodScheduler(lambda n: catalogue.ddim(n, grid=grids.Trailing(made.process)), CONFIG)
    return made


# -- every kind of pipeline
# ------------------------------------------------------------------------------------------------


def measured(kind: Any, folder: Path) -> dict[str, str]:
    """What works, tried: a row of the table in docs/diffusers.md."""
    pipe = pipeline(kind, folder)
    pipe.save_pretrained(folder / "saved")
    try:
        pipelines.load(folder / "saved")
        loads = "yes"
    except CheckpointError as error:
        loads = "refused by name" if kind.__name__ in str(error) or "autoencoder" in str(error) else str(error)
    pipe.scheduler = MethodScheduler("unipc", pipe.scheduler.config)
    made = call(pipe)
    assert bool(made.isfinite().all())
    assert same(made, call(pipe))
    midway = "yes" if kind in (StableDiffusionImg2ImgPipeline, StableDiffusionInpaintPipeline) else "-"
    guidance = "-"
    if "guidance_scale" in inspect.signature(kind.__call__).parameters:
        guidance = "no" if same(made, call(pipe, guidance_scale=3.0)) else "yes"
    return {
        "pipeline": f"`{kind.__name__}`",
        "loads as a denoiser": loads,
        "runs on a method": "yes",
        "begins midway": midway,
        "its guidance": guidance,
    }


def test_the_table_of_the_page_is_what_was_tried(tmp_path: Path) -> None:
    rows: list[dict[str, str]] = []
    for kind in KINDS:
        (tmp_path / kind.__name__).mkdir()
        rows.append(measured(kind, tmp_path / kind.__name__))
    lines = [
        f"| {' | '.join(rows[0])} |",
        "|" + " --- |" * len(rows[0]),
        *[f"| {' | '.join(row.values())} |" for row in rows],
    ]
    page = (ROOT / "docs" / "diffusers.md").read_text(encoding="utf-8")
    assert "\n".join(lines) in page, "\n".join(lines)


def test_flow_matching_is_refused_by_name() -> None:
    """Stable Diffusion 3 and Flux have no chain."""
    with pytest.raises(CheckpointError, match="FlowMatchEulerDiscreteScheduler"):
        MethodScheduler(
            "ddim", dict(FlowMatchEulerDiscreteScheduler().config) | {"_class_name": "FlowMatchEulerDiscreteScheduler"}
        )


@pytest.mark.parametrize("kind", [StableDiffusionPipeline, DDPMPipeline])
def test_a_whole_pipeline_is_saved_and_loaded_with_it(kind: Any, tmp_path: Path) -> None:
    """The folder names our class, which diffusers finds: the same images."""
    pipe = pipeline(kind, tmp_path)
    pipe.scheduler = MethodScheduler(catalogue.unipc, pipe.scheduler.config, seed=5)
    pipe.save_pretrained(tmp_path / "saved")
    again = kind.from_pretrained(tmp_path / "saved")
    again.set_progress_bar_config(disable=True)
    assert isinstance(again.scheduler, MethodScheduler)
    assert again.scheduler.config["seed"] == 5
    assert same(call(again), call(pipe))


def test_callbacks_may_change_the_latents(tmp_path: Path) -> None:
    """Halved after the second step: as a run begun there from the halved state."""
    pipe = pipeline(StableDiffusionPipeline, tmp_path)
    pipe.scheduler = MethodScheduler(catalogue.unipc, pipe.scheduler.config)

    def halve(_: Any, index: int, t: Any, given: dict[str, Any]) -> dict[str, Any]:
        return {"latents": given["latents"] / 2} if index == 1 else {}

    changed = call(pipe, callback_on_step_end=halve)
    assert not same(changed, call(pipe))
    assert bool(changed.isfinite().all())


# -- beginning midway
# ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("begin", [0, 3, 9])
def test_ddim_midway_is_theirs(begin: int) -> None:
    theirs, ours = DDIMScheduler.from_config(CONFIG), trailing()
    ends: list[Tensor] = []
    for made in (theirs, ours):
        made.set_timesteps(10)
        made.set_begin_index(begin) if hasattr(made, "set_begin_index") else None
        left = made.timesteps[begin:]
        noisy = made.add_noise(START, START.flip(0), left[:1].repeat(len(START)).long())
        ends.append(loop(made, noisy, left))
    assert (ends[0] - ends[1]).abs().max() < 1e-5 * ends[0].abs().max()


@pytest.mark.parametrize(
    "name", ["ddim", "unipc", "dpm_solver_pp_2m", "edm_heun", "dpm_solver_pp_2s", "ddpm", "restart"]
)
def test_a_run_from_a_changed_sample_is_a_new_run(name: str) -> None:
    """Every step's begin takes another sample; within a step of several calls it is refused."""
    made = MethodScheduler(name, CONFIG)
    made.set_timesteps(8)
    starts = sorted(made._starts)
    at = starts[len(starts) // 2]
    x = START
    for t in made.timesteps[:at]:
        x = made.step(network(x, t), t, x).prev_sample
    changed = loop(made, x / 2, made.timesteps[at:])
    fresh = MethodScheduler(name, CONFIG)
    fresh.set_timesteps(8)
    fresh.set_begin_index(at)
    assert torch.equal(changed, loop(fresh, x / 2, fresh.timesteps[at:]))
    within = next((k for k in range(len(made.timesteps)) if k not in starts), None)
    if within is not None:
        made.set_timesteps(8)
        for t in made.timesteps[:within]:
            x = made.step(
                network(START if t == made.timesteps[0] else x, t), t, START if t == made.timesteps[0] else x
            ).prev_sample
        with pytest.raises(ValueError, match="`sample` must be what the step before returned"):
            made.step(network(x, 0), made.timesteps[within], x / 2)


def test_inpainting_keeps_what_is_kept(tmp_path: Path) -> None:
    """The pipeline blends latents after every step: unipc runs as many new runs as steps, and the picture is finite
    and its own."""
    pipe = pipeline(StableDiffusionInpaintPipeline, tmp_path)
    pipe.scheduler = MethodScheduler(catalogue.unipc, pipe.scheduler.config)
    assert bool(call(pipe, steps=6).isfinite().all())


# -- the interface
# ---------------------------------------------------------------------------------------------------------


def test_noise_and_velocity_are_theirs() -> None:
    theirs, ours = DDPMScheduler(1000), MethodScheduler("ddim", DDPMScheduler(1000).config)
    t, noise = torch.tensor([0, 500, 999]), START.flip(0)
    assert (theirs.add_noise(START, noise, t) - ours.add_noise(START, noise, t)).abs().max() < 1e-5
    assert (theirs.get_velocity(START, noise, t) - ours.get_velocity(START, noise, t)).abs().max() < 1e-5


def test_own_timesteps_and_sigmas() -> None:
    """The levels asked for, and no others; a last sigma of zero is where the last step ends."""
    made = MethodScheduler("ddim", CONFIG)
    made.set_timesteps(timesteps=[999, 500, 20])
    assert made.timesteps.tolist() == pytest.approx([999, 500, 20], abs=1e-2)
    sigmas = [float(made.process.sigma((t + 1) / 1000) / made.process.alpha((t + 1) / 1000)) for t in (999, 500, 20)]
    made.set_timesteps(sigmas=[*sigmas, 0.0])
    assert made.timesteps.tolist() == pytest.approx([999, 500, 20], abs=1e-2)
    assert made.num_inference_steps == 3


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "num_inference_steps"),
        (
            {"num_inference_steps": 3, "timesteps": [9, 3]},
            "num_inference_steps` and `?timesteps|num_inference_steps and timesteps",
        ),
        ({"timesteps": [3, 9]}, "`timesteps` must fall"),
        ({"sigmas": [1.0, 2.0]}, "`sigmas` must fall"),
        ({"timesteps": []}, "`timesteps`"),
    ],
)
def test_bad_timesteps_are_named(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        MethodScheduler("ddim", CONFIG).set_timesteps(**given)
    with pytest.raises(ValueError, match="`timesteps` must be left out"):
        MethodScheduler(lambda n: catalogue.ddim(n), CONFIG).set_timesteps(timesteps=[9, 3])


def test_each_sample_has_its_generators_noise() -> None:
    """A list of generators: sample i is the same whatever the others are; one generator is not a list."""
    ends: list[Tensor] = []
    for seeds in ([1, 2, 3], [1, 5, 3]):
        made = MethodScheduler("ddpm", CONFIG)
        made.set_timesteps(5)
        ends.append(loop(made, START, generator=[torch.Generator().manual_seed(s) for s in seeds]))
    assert [bool((a == b).all()) for a, b in zip(*ends, strict=True)] == [True, False, True]
    made = MethodScheduler("ddpm", CONFIG)
    made.set_timesteps(5)
    with pytest.raises(TypeError, match="`generator`"):
        loop(made, START, generator=[torch.Generator()])


@pytest.mark.parametrize(
    ("more", "said"), [({"eta": 0.5}, "`eta`"), ({"use_clipped_model_output": True}, "`use_clipped_model_output`")]
)
def test_what_a_method_decides_is_refused(more: dict[str, Any], said: str) -> None:
    made = MethodScheduler("ddim", CONFIG)
    made.set_timesteps(3)
    loop(made, START, eta=0.0, use_clipped_model_output=None)
    made.set_timesteps(3)
    with pytest.raises(ValueError, match=said):
        loop(made, START, **more)


def test_saved_by_its_name(tmp_path: Path) -> None:
    """A line of the catalogue is saved by its name; anything else is refused, and nothing is written."""
    made = MethodScheduler(catalogue.unipc, scheduler().config, seed=7)
    made.save_pretrained(tmp_path / "a")
    told = json.loads((tmp_path / "a" / "scheduler_config.json").read_text())
    assert (told["method"], told["seed"], told["beta_schedule"]) == ("unipc", 7, "scaled_linear")
    ends: list[Tensor] = []
    for each in (made, MethodScheduler.from_pretrained(tmp_path / "a"), MethodScheduler.from_config(made.config)):
        each.set_timesteps(6)
        ends.append(loop(each, START))
    assert torch.equal(ends[0], ends[1])
    assert torch.equal(ends[0], ends[2])
    other = MethodScheduler.from_config(scheduler().config, make="ddim")
    assert other.config.num_train_timesteps == 1000
    with pytest.raises(ValueError, match="`make` must be given"):
        MethodScheduler.from_config(scheduler().config)
    with pytest.raises(ValueError, match="`make` must be a line of the catalogue"):
        MethodScheduler(lambda n: catalogue.ddim(n), CONFIG).save_pretrained(tmp_path / "b")
    assert not list((tmp_path / "b").glob("*.json"))
    with pytest.raises(ValueError, match="`make`"):
        MethodScheduler("no such method", CONFIG)


# -- a known fault of theirs
# -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "spacing"), [("epsilon", "leading"), ("epsilon", "trailing"), ("v_prediction", "trailing")]
)
def test_ddim_of_these_spacings_is_theirs(kind: str, spacing: str) -> None:
    theirs, ours, _ = spaced(kind, spacing)
    assert (theirs - ours).abs().max() < 1e-5 * theirs.abs().max()


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
def test_ddim_of_linspace_is_what_the_formula_says(kind: str) -> None:
    """DDIMScheduler goes from t to t - 1000 // n, which is not the next timestep of this spacing. Ours goes to the
    next one."""
    theirs, ours, by_hand = spaced(kind, "linspace")
    assert (ours - by_hand).abs().max() < 1e-5 * by_hand.abs().max()
    assert (theirs - by_hand).abs().max() > 0.02 * by_hand.abs().max()


def spaced(kind: str, spacing: str, n: int = 10) -> tuple[Tensor, Tensor, Tensor]:
    """Samples by DDIMScheduler, by ours on the same timesteps, and by the formula from each timestep to the next."""
    theirs = DDIMScheduler(
        1000, clip_sample=False, timestep_spacing=spacing, prediction_type=kind, set_alpha_to_one=True
    )
    theirs.set_timesteps(n)
    ours = MethodScheduler("ddim", theirs.config)
    ours.set_timesteps(timesteps=theirs.timesteps.tolist())
    abar, x = theirs.alphas_cumprod.double(), START.double()
    for t, after in zip(theirs.timesteps, [*theirs.timesteps[1:], None], strict=True):
        a, s = abar[t].sqrt(), (1 - abar[t]).sqrt()
        out = network(x, t)
        x0 = (x - s * out) / a if kind == "epsilon" else a * x - s * out
        eps = out if kind == "epsilon" else s * x + a * out
        x = x0 if after is None else abar[after].sqrt() * x0 + (1 - abar[after]).sqrt() * eps
    return loop(theirs, START.double()), loop(ours, START.double()), x


@pytest.mark.parametrize(
    "output", [None, START[:2], START[:, :1], START.long()], ids=["none", "rows", "channels", "int"]
)
def test_a_wrong_output_is_named_and_spoils_nothing(output: Any) -> None:
    """The run goes on where it was, as if the wrong output had not been handed in."""
    whole, made = MethodScheduler("unipc", CONFIG), MethodScheduler("unipc", CONFIG)
    whole.set_timesteps(4)
    made.set_timesteps(4)
    first, second = made.timesteps[:2]
    x = made.step(network(START, first), first, START).prev_sample

    with pytest.raises((TypeError, ValueError), match=r"`model_output` must"):
        made.step(output, second, x)

    assert torch.equal(loop(made, x, made.timesteps[1:]), loop(whole, START))


@pytest.mark.parametrize("before", [True, False])
def test_a_run_that_fails_within_may_be_begun_again(before: bool) -> None:
    """An error before or after the network's output ends the run; another begins, as after `set_timesteps`."""
    made = MethodScheduler("dpm_solver_pp_2m", CONFIG)
    made.set_timesteps(4)
    whole = loop(made, START)
    made.set_timesteps(4)

    def broken(*_: Any) -> None:
        raise RuntimeError("lost")

    hook = made.denoiser.register_forward_pre_hook if before else made.denoiser.register_forward_hook
    handle = hook(broken)
    with pytest.raises(RuntimeError, match="lost"):
        loop(made, START)
    handle.remove()

    assert made.step_index is None
    assert torch.equal(loop(made, START), whole)


@pytest.mark.parametrize("config", [None, "unipc"])
def test_what_is_no_configuration_is_named(config: Any) -> None:
    with pytest.raises(TypeError, match=r"`config` must be a scheduler's configuration"):
        MethodScheduler.from_config(config, make="unipc")
