"""A tuned method in the place of a scheduler of diffusers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from diffusers import DDIMScheduler
from torch import Tensor

from scoresde import Denoiser, Eps, Method, Moments, catalogue, recommended, sample
from scoresde.denoisers.noise_conditioning import Timesteps
from scoresde.interop.scheduler import MethodScheduler
from scoresde.samplers.method import with_last_step
from scoresde.samplers.ranges import method_levels
from scoresde.samplers.sampling import decode
from scoresde.tuning.noise_student import NoiseStudent
from scoresde.tuning.student import Student
from solvers import SeededNoise
from solvers.noise import PRIOR

pytestmark = pytest.mark.peers

CONFIG = DDIMScheduler(1000, beta_schedule="linear", clip_sample=False).config


def network(x: Tensor, t: Any, cond: Any = None) -> Tensor:
    """Of data about 0.3 in single precision, off by what varies with the level."""
    t = torch.as_tensor(t, dtype=torch.float32).reshape(-1, *[1] * (x.dim() - 1))
    return (x - 0.3) * (0.3 + 0.0006 * t) + 0.1 * torch.sin(3 * x)


def model_of(scheduler: MethodScheduler) -> Denoiser:
    """The function as a model of the scheduler's chain."""
    model = Denoiser(network, scheduler.process, Eps(), time=Timesteps(scheduler.process))
    model.moments = Moments(0.3, 0.5)
    return model


@pytest.mark.parametrize("ending", [with_last_step, lambda method: method])
def test_a_loop_makes_what_sample_makes(ending: Callable[[Method], Method]) -> None:
    """All numbers of a student without a frame moved: driven by outputs it makes the samples of `decode`, in as many
    timesteps as calls. The network is told shifted levels from the second call on."""
    made = MethodScheduler(lambda n: method, CONFIG)
    model = model_of(made)
    z = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    student = Student(model, ending(catalogue.best(8, 0.5)), z, 0.5)
    with torch.no_grad():
        for number in student.numbers():
            number += 0.03
    method = student.method()
    assert method.transforms

    made.set_timesteps(8)
    assert len(made.timesteps) == 8
    x = z * made.init_noise_sigma
    for t in made.timesteps:
        x = made.step(network(x, t), t, x).prev_sample
    assert (x - decode(model, z, method)).abs().max() < 2e-4


def test_a_frame_is_refused_by_name() -> None:
    made = MethodScheduler(lambda n: recommended(model_of(made), n), CONFIG)
    with pytest.raises(ValueError, match="`make` must give a method without a frame"):
        made.set_timesteps(3)


@pytest.mark.parametrize("order", [1, 2])
def test_noise_of_a_table_is_drawn_in_a_loop(order: int) -> None:
    """Driven by outputs, a tuned stochastic method makes the samples of `sample`, of the same seed and start."""
    made = MethodScheduler(lambda n: method, CONFIG, seed=5)
    model = model_of(made)
    lams = method_levels(model, catalogue.ddpm(6))
    method = NoiseStudent(model, lams, 0.7, order).method()
    made.set_timesteps(6)
    assert len(made.timesteps) == method.calls == 6

    start = SeededNoise(5).normal(PRIOR, range(1), (4, 3), torch.float32, "cpu")[0]
    x = start * made.init_noise_sigma
    for t in made.timesteps:
        x = made.step(network(x, t), t, x).prev_sample
    whole = sample(model, (4, 3), method, 5)
    assert (x - whole).abs().max() < 2e-4
    assert (x - sample(model, (4, 3), method, 6)).abs().max() > 0.1
