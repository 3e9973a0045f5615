"""Any method in a scheduler's place: a diffusers pipeline, or a hand-written loop over timesteps, runs on our solvers.

Such a loop owns the model and hands its outputs in one by one, so the solve is driven from outside (`solvers.driven`): the timesteps
are the levels at which the method calls its model, each `step` takes the output there and returns the next input, and the last
returns the denoised sample. Methods of several evaluations a step have as many timesteps.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn

from solvers import SeededNoise, Solver, check
from solvers.driven import Answers, driven
from solvers.solve import bind

from ..denoisers.denoiser import Denoiser
from ..denoisers.noise_conditioning import Timesteps
from ..processes.coefficients import like
from ..samplers.method import Method
from ..samplers.sampling import Plan, levels
from .pipelines import read_scheduler


class MethodScheduler:
    """`make(n)` as a diffusers scheduler.

    make    n levels -> Method: catalogue.unipc, or lambda n: catalogue.ddim(n, grid=grids.Trailing(chain)); not an adaptive one, nor one
            that calls its model elsewhere than at its first level first (annealed Langevin, churn there)
    config  the scheduler configuration of the pipeline it is for: its chain and what its network predicts
    seed    of the noise of stochastic methods, where `step` is given no generator

    pipe.scheduler = MethodScheduler(catalogue.unipc, pipe.scheduler.config). States are those of the chain, x = alpha x0 + sigma eps;
    `num_inference_steps` is n, and timesteps hold the method's calls. Raises TypeError or ValueError naming the argument."""

    order = 1  # pipelines that start midway ask: one timestep a call

    def __init__(self, make: Callable[[int], Method], config: Mapping[str, Any], seed: int = 0):
        check.takes("make", make, 1, "n -> Method")
        self.make, self.config, self.seed = make, config, check.seed("seed", seed)
        self.process, table = read_scheduler(config)
        self.answers = Answers()
        self.denoiser = Denoiser(_Asked(self.answers), self.process, table, time=Timesteps(self.process))
        self.method: Method | None = None
        self.timesteps = torch.zeros(0, device="cpu")
        self.init_noise_sigma = 1.0
        self._run: Generator[tuple[Any, ...], Any, Tensor] | None = None
        self._given: Tensor | None = None
        self._at = 0

    def set_timesteps(self, num_inference_steps: int, device: Any = None) -> None:
        """Choose make(num_inference_steps), and find the timesteps it asks for by a run on nothing."""
        method = self.make(check.integer("num_inference_steps", num_inference_steps))
        if not isinstance(method, Method) or method.calls is None:
            raise ValueError(f"`make` must give a method of a known number of calls, got {method!r}; neither an adaptive one nor another library's")
        if method.frame is not None:
            raise ValueError(f"`make` must give a method without a frame, whose first call is not at the loop's own state, got {method!r}; catalogue.best")
        self.method, self._run, self._at = method, None, 0
        first = levels(self.denoiser, method)[:1]
        self.init_noise_sigma = float(self.process.sigma(self.process.time(first)))
        asked: list[float] = []
        with torch.no_grad():
            run = self._questions(torch.zeros(1, 1, device="cpu"), 0)
            question = next(run)
            while True:
                asked.append(float(question[1]))
                try:
                    question = run.send(torch.zeros(1, self.denoiser.table.outputs, device="cpu"))
                except StopIteration:
                    break
        if abs(asked[0] - float(Timesteps(self.process)(first))) > 1e-3:
            raise ValueError(f"`make` must give a method that calls its model at its first level first, as the loop will have done, got {method!r}")
        self.timesteps = torch.tensor(asked, dtype=torch.float32, device=device)

    def scale_model_input(self, sample: Tensor, timestep: Any = None) -> Tensor:
        """The sample: `step` returns what the model is to see."""
        return sample

    @torch.no_grad()
    def step(self, model_output: Tensor, timestep: Any, sample: Tensor, generator: torch.Generator | None = None, return_dict: bool = True) -> Any:
        """The next model input, from the output at this one; the denoised sample after the last. The first call starts a run from `sample`.

        generator  of the run's noise, read at its first step alone. Raises ValueError where timesteps or samples come out of turn."""
        from diffusers.schedulers.scheduling_utils import SchedulerOutput

        if self._at >= len(self.timesteps):
            raise ValueError("`timestep` must be one of a run begun by set_timesteps, got one after its end or before any")
        if abs(float(timestep) - float(self.timesteps[self._at])) > 1e-3:
            raise ValueError(f"`timestep` must be {float(self.timesteps[self._at]):g}, the next in turn, got {float(timestep):g}")
        if self._run is None:
            self._run = self._questions(check.state("sample", sample).to(torch.promote_types(sample.dtype, torch.float32)), self._seed(generator))
            next(self._run)
        elif not (sample is self._given or torch.equal(sample, cast(Tensor, self._given))):
            raise ValueError("`sample` must be what the step before returned: a solver that is within a step cannot take another")
        self._at += 1
        try:
            following = self._run.send(model_output)[0]
        except StopIteration as done:
            following, self._run = done.value, None
        self._given = given = following.to(sample.dtype)
        return SchedulerOutput(prev_sample=given) if return_dict else (given,)

    def _seed(self, generator: torch.Generator | None) -> int:
        if generator is None:
            return self.seed
        if not isinstance(generator, torch.Generator):
            raise TypeError(f"`generator` must be one torch.Generator, got {type(generator).__name__}; sample i of a run has its own noise anyway")
        return int(torch.randint(0, 1 << 62, (1,), generator=generator, device=generator.device))

    def _questions(self, x: Tensor, seed: int) -> Generator[tuple[Any, ...], Any, Tensor]:
        """The whole run from a state of the chain at the first level: yields (model input, c_noise), is sent outputs, returns x0."""
        assert self.method is not None
        plan = Plan(self.denoiser, self.method, None, levels(self.denoiser, self.method), x, SeededNoise(seed))
        along, t = self.method.process, plan.times[0]
        x, solver = x * like((along.alpha(t) ** 2 + along.sigma(t) ** 2).sqrt(), x), cast(Solver, plan.solver)
        for eq, steps in plan.segments:
            times = cast(Tensor, steps)
            path = bind(eq, solver, times, x, None if eq.g is None else plan.noise)
            x = yield from driven(eq, x, solver, times, path, self.answers)
        return (yield from self.answers.during(partial(plan.end, x, True)))


class _Asked(nn.Module):
    """A network whose outputs come from outside."""

    def __init__(self, answers: Answers):
        super().__init__()
        self.answers = answers

    def forward(self, x: Tensor, c_noise: Tensor, cond: Any = None) -> Tensor:
        return self.answers(x, c_noise[0])
