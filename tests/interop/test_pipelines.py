"""Pipelines of diffusers: folders both ways, and our methods in their schedulers' place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import (
    DDIMPipeline,
    DDIMScheduler,
    DDPMPipeline,
    DDPMScheduler,
    FlowMatchEulerDiscreteScheduler,
)
from diffusers.utils import logging

from scoresde import (
    VPSDE,
    X0,
    Denoiser,
    Eps,
    Method,
    RectifiedFlow,
    Score,
    Split,
    V,
    catalogue,
    ddpm,
    grids,
    sample,
    sampling,
)
from scoresde.denoisers.noise_conditioning import NoiseConditioning
from scoresde.interop import pipelines
from scoresde.interop.scheduler import MethodScheduler
from scoresde.networks import MLP, UNet
from scoresde.runtime.torch_state import seeded
from scoresde.storage.files import CheckpointError
from solvers import Euler, SeededNoise
from tests.helpers.methods import FIXED
from tests.helpers.pipelines import normals, unet, written

pytestmark = pytest.mark.peers

F64 = torch.float64
logging.disable_progress_bar()
TABLES = {"epsilon": Eps(), "sample": X0(), "v_prediction": V()}


def pipeline(folder: Path, kind: Any = DDPMPipeline) -> Any:
    pipe = kind.from_pretrained(folder)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def test_a_folder_is_a_denoiser_of_its_chain(tmp_path: Path) -> None:
    """At level i the network sees exactly timestep i - 1 and the state as it is; the files may lie side by side too."""
    body = written(tmp_path)
    state = torch.get_rng_state()
    model = pipelines.load(tmp_path)
    assert torch.equal(torch.get_rng_state(), state)
    assert (model.process, model.table, model.training) == (ddpm.linear(1000), Eps(), False)
    x = normals(3)
    for k in (0, 1, 499, 998, 999):
        t = (k + 1) / 1000
        with torch.no_grad():
            assert torch.equal(
                model(x, model.process.alpha(t), model.process.sigma(t)).eps, body(x, torch.tensor(k)).sample
            )
    flat = tmp_path / "flat"
    flat.mkdir()
    for part, name in (
        ("unet", "config.json"),
        ("unet", "diffusion_pytorch_model.safetensors"),
        ("scheduler", "scheduler_config.json"),
    ):
        (flat / name).write_bytes((tmp_path / part / name).read_bytes())
    assert pipelines.load(flat).process == model.process


@pytest.mark.parametrize("schedule", ["linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid"])
@pytest.mark.parametrize("zero", [False, True])
@pytest.mark.parametrize("steps", [1000, 60])
def test_chains_are_those_of_the_scheduler(schedule: str, zero: bool, steps: int) -> None:
    """Their float32 products to 1e-6, all schedules, zero terminal SNR, and betas given one by one."""
    theirs = DDPMScheduler(steps, beta_schedule=schedule, rescale_betas_zero_snr=zero)
    t = torch.arange(1, steps + 1, dtype=F64) / steps
    chain, _ = pipelines.read_scheduler(theirs.config)
    assert (chain.alpha(t) ** 2 - theirs.alphas_cumprod).abs().max() < 1e-6
    if not zero:
        listed, _ = pipelines.read_scheduler({"trained_betas": theirs.betas.tolist()})
        assert (listed.alpha(t) ** 2 - theirs.alphas_cumprod).abs().max() < 1e-6


@pytest.mark.parametrize("kind", TABLES)
def test_ddim_through_their_pipeline_is_ours(tmp_path: Path, kind: str) -> None:
    """DDIMPipeline with its own scheduler, and ours on the same noise and levels, from all three predictions: float32
    accuracy."""
    written(tmp_path, DDIMScheduler(1000, clip_sample=False, timestep_spacing="trailing", prediction_type=kind))
    pipe = pipeline(tmp_path, DDIMPipeline)
    theirs = pipe(3, torch.Generator().manual_seed(0), num_inference_steps=10, output_type="pt").images
    model = pipelines.load(tmp_path)
    assert model.table == TABLES[kind]
    method = catalogue.ddim(10, grid=grids.Trailing(model.process))
    z = torch.empty(3, 1, 8, 8).normal_(generator=torch.Generator().manual_seed(0))
    ours = sampling.decode(model, z / float(model.process.sigma(1.0)), method)
    assert ((ours / 2 + 0.5).clamp(0, 1) - theirs).abs().max() < 2e-5
    assert theirs.std() > 0.01


def test_ddim_without_terminal_signal_is_theirs() -> None:
    """rescale_betas_zero_snr with v_prediction: DDIM from alpha = 0 is Euler along RectifiedFlow in the flow split."""
    theirs = DDIMScheduler(
        1000,
        clip_sample=False,
        timestep_spacing="trailing",
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
    )
    ours = MethodScheduler(
        lambda n: Method(RectifiedFlow(), Split.FLOW, Euler(), grids.Trailing(ours.process), n), theirs.config
    )
    body, ends = unet(), []
    for scheduler in (theirs, ours):
        scheduler.set_timesteps(8)
        x = normals(2)
        for t in scheduler.timesteps:
            with torch.no_grad():
                x = scheduler.step(body(x, t).sample, t, x).prev_sample
        ends.append(x)
    assert ours.timesteps.tolist() == theirs.timesteps.tolist()
    assert (ends[0] - ends[1]).abs().max() < 2e-5 * ends[0].abs().max()


@pytest.mark.parametrize("kind", TABLES)
def test_a_chain_model_goes_there_and_back_exactly(tmp_path: Path, kind: str) -> None:
    """Weights bit-equal, levels to rounding, the network's inputs and outputs bit-equal at every level; diffusers
    reads the folder."""
    chain = ddpm.cosine(200) if kind == "epsilon" else ddpm.zero_terminal_snr(ddpm.cosine(200))
    with seeded(0):
        network = UNet(1, (8, 16), 1).eval()
    model = Denoiser(network, chain, TABLES[kind], time=pipelines.Timesteps(chain))
    pipelines.save(model, tmp_path, 8)
    back = pipelines.load(tmp_path)
    assert back.table == model.table
    assert all(
        torch.equal(a, b)
        for a, b in zip(network.body.state_dict().values(), back.network.body.state_dict().values(), strict=True)
    )
    t = torch.arange(1, 201, dtype=F64) / 200
    assert (back.process.alpha(t) - chain.alpha(t)).abs().max() < 1e-12
    x, pipe = normals(2), pipeline(tmp_path)
    for i in (1, 2, 100, 199, 200):
        with torch.no_grad():
            one, other = (m(x, m.process.alpha(i / 200), m.process.sigma(i / 200)).out for m in (model, back))
            assert torch.equal(one, other)
            assert torch.equal(one, pipe.unet(x, torch.tensor(i - 1)).sample)
    assert (pipe.scheduler.alphas_cumprod - chain.alpha(t) ** 2).abs().max() < 1e-6
    assert pipe.scheduler.config.prediction_type == kind
    assert pipe(2, torch.Generator().manual_seed(0), num_inference_steps=2, output_type="pt").images.isfinite().all()


def test_a_continuous_model_is_saved_at_its_whole_timesteps(tmp_path: Path) -> None:
    """As `scoresde train` makes it: at every timestep k >= 1 diffusers' network sees c_noise k, where ours does, bit
    for bit."""
    sde = VPSDE()
    with seeded(0):
        model = Denoiser(UNet(1, (8, 16), 1).eval(), sde, time=NoiseConditioning(sde))
    pipelines.save(model, tmp_path, (8, 8))
    back, pipe, x = pipelines.load(tmp_path), pipeline(tmp_path), normals(2)
    assert back.process.steps == 1001
    for k in (1, 7, 500, 1000):
        alpha, sigma = sde.alpha(k / 1000), sde.sigma(k / 1000)
        assert float(back.process.alpha((k + 1) / 1001) - alpha) == pytest.approx(0.0, abs=1e-12)
        with torch.no_grad():
            want = model(x, alpha, sigma).eps
            assert torch.equal(back(x, alpha, sigma).eps, want)
            assert torch.equal(pipe.unet(x, torch.tensor(k)).sample, want)


@pytest.mark.parametrize("name", sorted(set(FIXED) - {"annealed_langevin"}))
def test_every_method_is_a_scheduler(name: str) -> None:
    """A loop over timesteps driven by the method gives what our own solve gives on the same noise, asking as often, at
    the same levels."""

    def network(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        c = t.float().reshape(-1, *[1] * (x.dim() - 1)).double()  # timesteps are float32
        asked.append(float(c.flatten()[0]))
        return torch.tanh(x) * (0.5 + c / 2000)

    asked: list[float] = []
    scheduler, x = MethodScheduler(FIXED[name], DDPMScheduler(1000).config, seed=3), normals(2).double()
    scheduler.set_timesteps(6)
    z = x
    for t in scheduler.timesteps:
        x = scheduler.step(network(x, t), t, x).prev_sample
    looped, asked = asked, []
    chain, method = scheduler.process, FIXED[name](6)
    model = Denoiser(network, chain, time=pipelines.Timesteps(chain))
    plan = sampling.Plan(model, method, None, sampling.method_levels(model, method), z, SeededNoise(3))
    start = z * (method.process.alpha(plan.times[0]) ** 2 + method.process.sigma(plan.times[0]) ** 2).sqrt()
    ours = plan.end(plan.run(start)[-1].y, True)
    assert asked == pytest.approx(looped, abs=1e-3)
    assert len(asked) == len(scheduler.timesteps) == method.calls
    assert (ours - x).abs().max() < 1e-9 * (1 + x.abs().max())


@pytest.mark.parametrize("make", [catalogue.unipc, catalogue.edm_heun, catalogue.ddpm], ids=lambda f: f.__name__)
def test_a_pipeline_runs_on_a_method(tmp_path: Path, make: Any) -> None:
    """DDPMPipeline with our scheduler: the same images from the same generator, those of our own solve; global random
    state untouched."""
    written(tmp_path)
    model, pipe = pipelines.load(tmp_path), pipeline(tmp_path)
    pipe.scheduler = scheduler = MethodScheduler(make, pipe.scheduler.config)
    state = torch.get_rng_state()
    images = [
        pipe(2, torch.Generator().manual_seed(0), num_inference_steps=6, output_type="pt").images for _ in range(2)
    ]
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(*images)
    g, method = torch.Generator().manual_seed(0), make(6)
    z = torch.empty(2, 1, 8, 8).normal_(generator=g)
    plan = sampling.Plan(
        model,
        method,
        None,
        sampling.method_levels(model, method),
        z,
        SeededNoise(int(torch.randint(0, 1 << 62, (1,), generator=g))),
    )
    ours = plan.end(plan.run(z * float(method.process.sigma(plan.times[0])) / scheduler.init_noise_sigma)[-1].y, True)
    assert ((ours / 2 + 0.5).clamp(0, 1) - images[0]).abs().max() < 1e-4


def test_a_scheduler_says_what_is_out_of_turn() -> None:
    config = DDPMScheduler(1000).config
    scheduler, x = MethodScheduler(catalogue.edm_heun, config), normals(2)
    with pytest.raises(ValueError, match="set_timesteps"):
        scheduler.step(x, 999, x)
    scheduler.set_timesteps(3)
    first, second = scheduler.timesteps[:2]
    assert scheduler.scale_model_input(x, first) is x
    with pytest.raises(ValueError, match="`timestep` must be one that begins a step"):
        scheduler.step(x, 3.5, x)
    (moved,) = scheduler.step(x, first, x, return_dict=False)
    with pytest.raises(ValueError, match="`sample`"):
        scheduler.step(x, second, x)
    scheduler.step(x, second, moved.clone())
    scheduler.set_timesteps(3)
    with pytest.raises(TypeError, match="`generator`"):
        scheduler.step(x, first, x, generator=[torch.Generator()])
    for unknown in (catalogue.probability_flow(), catalogue.scipy()):
        with pytest.raises(ValueError, match="adaptive"):
            MethodScheduler(lambda n, method=unknown: method, config).set_timesteps(3)
    with pytest.raises(ValueError, match="first level first"):
        MethodScheduler(catalogue.annealed_langevin, config).set_timesteps(3)
    with pytest.raises(TypeError, match="`make`"):
        MethodScheduler(lambda: catalogue.ddim(3), config)
    with pytest.raises(ValueError, match="`model_output`"):
        scheduler.step(x[:1], first, x)


def test_bad_folders_say_which_file(tmp_path: Path) -> None:
    """No download, no pickle, no silent gaps: each fault is a CheckpointError that names the file."""
    written(tmp_path)
    weights, config = tmp_path / "unet" / "diffusion_pytorch_model.safetensors", tmp_path / "unet" / "config.json"
    settings = tmp_path / "scheduler" / "scheduler_config.json"
    kept = {path: path.read_bytes() for path in (weights, config, settings)}
    shape, betas = json.loads(kept[config]), json.loads(kept[settings])
    flow = FlowMatchEulerDiscreteScheduler()
    faults: list[tuple[Path, bytes | None, str]] = [
        (weights, None, "safetensors"),
        (weights, kept[weights][:1000], "cannot be loaded"),
        (weights, b"\0" * 100, "cannot be loaded"),
        (config, None, "config.json"),
        (config, b"{", "JSON"),
        (config, b"[1]", "JSON object"),
        (config, json.dumps({**shape, "_class_name": "UNet2DConditionModel"}).encode(), "UNet2DModel"),
        (config, json.dumps({**shape, "num_class_embeds": 3}).encode(), "architecture"),
        (config, json.dumps({**shape, "block_out_channels": [8, 32]}).encode(), "cannot be loaded"),
        (settings, None, "scheduler_config.json"),
        (settings, flow.to_json_string().encode(), "betas"),
        (settings, json.dumps({**betas, "prediction_type": "flow"}).encode(), "`prediction_type`"),
        (settings, json.dumps({**betas, "beta_schedule": "laplace"}).encode(), "`beta_schedule`"),
        (settings, json.dumps({**betas, "beta_end": 2.0}).encode(), "betas"),
        (settings, json.dumps({**betas, "num_train_timesteps": "many"}).encode(), "num_train_timesteps|steps"),
    ]
    for path, content, said in faults:
        path.unlink()
        if content is not None:
            path.write_bytes(content)
        if path == weights:
            torch.save({}, tmp_path / "unet" / "diffusion_pytorch_model.bin")  # never opened
        with pytest.raises(CheckpointError, match=said):
            pipelines.load(tmp_path)
        path.write_bytes(kept[path])
    body = unet()
    with torch.no_grad():
        next(body.parameters())[0] = torch.nan
    body.save_pretrained(tmp_path / "unet")
    with pytest.raises(CheckpointError, match="NaN"):
        pipelines.load(tmp_path)
    unet(out_channels=2).save_pretrained(tmp_path / "unet")
    with pytest.raises(CheckpointError, match="variances"):
        pipelines.load(tmp_path)
    with pytest.raises(CheckpointError, match="nothing is downloaded"):
        pipelines.load("google/ddpm-cat-256")


def test_what_no_pipeline_can_hold_is_refused(tmp_path: Path) -> None:
    sde, network = VPSDE(), UNet(1, (8, 16), 1)
    for model, size, said, kind in (
        (Denoiser(MLP(2), sde), 8, "`denoiser` must have a UNet", TypeError),
        (Denoiser(network, sde, time=NoiseConditioning(sde)), 9, "`size`", ValueError),
        (Denoiser(network, sde, Score(), time=NoiseConditioning(sde)), 8, "Eps, X0 or V", ValueError),
        (Denoiser(network, sde), 8, "whole timesteps", ValueError),
        (Denoiser(network, RectifiedFlow(), time=NoiseConditioning(RectifiedFlow())), 8, "whole timesteps", ValueError),
    ):
        with pytest.raises(kind, match=said):
            pipelines.save(model, tmp_path, size)
    assert list(tmp_path.iterdir()) == []


def test_a_loaded_model_samples_with_class_labels(tmp_path: Path) -> None:
    written(tmp_path, num_class_embeds=3)
    x = sample(pipelines.load(tmp_path), (4, 1, 8, 8), catalogue.unipc(4), cond=torch.tensor([0, 1, 2, 0]))
    assert x.isfinite().all()
