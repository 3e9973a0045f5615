"""Any method in a scheduler's place: a diffusers pipeline, or a hand-written loop over timesteps, runs on our solvers.

Such a loop owns the model and hands its outputs in one by one, so the solve is driven from outside
(`solvers.reverse_communication`): the timesteps are the levels at which the method calls its model, each `step` takes
the output there and returns the next input, and the last returns the denoised sample. Methods of several evaluations a
step have as many timesteps.

A run begins at the first timestep, or at another that begins a step: image-to-image pipelines start there. A sample
that is not the one returned last, as a callback or an inpainting pipeline hands in, begins a new run from there on:
what a multistep method remembers is forgotten.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, cast

import torch
from diffusers.configuration_utils import ConfigMixin
from diffusers.schedulers.scheduling_utils import SchedulerMixin, SchedulerOutput
from torch import Tensor

from solvers import SeededNoise, Solver, check
from solvers.reverse_communication import Oracle

from ..data.batches import mixed
from ..denoisers.denoiser import Denoiser
from ..denoisers.noise_conditioning import Timesteps
from ..samplers import catalogue
from ..samplers.method import Method
from ..samplers.ranges import method_levels
from . import chains
from .chain_noise import ChainNoise
from .driven_run import NEAR, ExternalNetwork, beginning, check_output, method_of, questions, timesteps_asked
from .noise import source

_OWN = {"method": None, "seed": 0, "chain_class": None}  # entries of the configuration that are no chain's
Make = Callable[..., Method]


class MethodScheduler(ChainNoise, SchedulerMixin, ConfigMixin):
    """`make(n)` as a diffusers scheduler: pipe.scheduler = MethodScheduler(catalogue.unipc, pipe.scheduler.config).

    States are those of the chain, x = alpha x0 + sigma eps, and start at `init_noise_sigma` = sigma of the first
    level, where schedulers of diffusers start at 1: a difference of 5e-4 on Stable Diffusion.

    Args:
        make: n levels -> Method, such as catalogue.unipc, "unipc" by its name, or lambda n: catalogue.ddim(n,
            grid=grids.Trailing(chain)). The method must not be adaptive. Its first model call must be at its first
            noise level (not annealed Langevin, nor churn at that level). Only a method with a name in the catalogue can
            be saved.
        config: the scheduler configuration of the pipeline it is for: its chain and what its network predicts.
        seed: of the noise of stochastic methods, where `step` is given no generator.

    Raises:
        TypeError, ValueError: naming the argument.
        CheckpointError: naming an entry of `config` that cannot be honoured.
    """

    config_name = "scheduler_config.json"
    order = 1  # pipelines that start midway ask: one timestep a call
    _compatibles: list[Any] = []  # noqa: RUF012 - as in diffusers

    def __init__(self, make: Make | str, config: Mapping[str, Any], seed: int = 0):
        named = {name: line for name, line in catalogue.fixed_step_methods().items() if make in (name, line)}

        if isinstance(make, str):
            check.choice("make", make, tuple(catalogue.fixed_step_methods()))
            make = named[make]

        check.takes("make", make, 1, "n -> Method")
        self.make = make
        self.seed = check.seed("seed", seed)
        entries = {key: value for key, value in dict(config).items() if key not in _OWN}

        if "chain_class" in config:  # of a MethodScheduler: what matters is whose entries they are
            entries["_class_name"] = config["chain_class"]
            entries = {key: value for key, value in entries.items() if value is not None or key != "_class_name"}

        self.process, table = chains.read(entries)
        kept = {key: value for key, value in entries.items() if not key.startswith("_")}
        kept.setdefault("num_train_timesteps", self.process.steps)
        own = {"method": next(iter(named), None), "seed": seed, "chain_class": entries.get("_class_name")}
        self.register_to_config(**kept, **own)
        self.answers = Oracle()
        self.denoiser = Denoiser(ExternalNetwork(self.answers), self.process, table, time=Timesteps(self.process))
        self.method: Method | None = None
        self.timesteps = torch.zeros(0, device="cpu")
        self.num_inference_steps: int | None = None
        self.init_noise_sigma = 1.0
        self.begin_index: int | None = None
        self._lams = torch.zeros(0, device="cpu")
        self._starts: dict[int, int] = {}  # timestep that begins a step -> the step
        self._run: Generator[tuple[Any, ...], Any, Tensor] | None = None
        self._given: Tensor | None = None
        self._at = 0

    @classmethod
    def from_config(cls, config: Any = None, return_unused_kwargs: bool = False, **kwargs: Any) -> Any:
        """A scheduler from its own configuration, or, with `make`, from another scheduler's.

        Args:
            config: of a MethodScheduler, or of the scheduler of a pipeline.
            return_unused_kwargs: whether the arguments that are not used are returned beside it.
            kwargs: `make` and `seed`, instead of what the configuration says.

        Raises:
            TypeError: naming `config` where it is none.
            ValueError: naming `make` where neither says which method.
        """

        if not isinstance(config, Mapping):
            raise TypeError(
                f"`config` must be a scheduler's configuration, such as pipe.scheduler.config, got {config!r}"
            )

        make = kwargs.pop("make", None) or config.get("method")
        if make is None:
            raise ValueError(
                "`make` must be given, a line of the catalogue such as make='unipc': the configuration is"
                " another scheduler's"
            )

        scheduler = cls(make, config, kwargs.pop("seed", config.get("seed", 0)))

        return (scheduler, kwargs) if return_unused_kwargs else scheduler

    def save_config(self, save_directory: Any, push_to_hub: bool = False, **kwargs: Any) -> None:
        """Write scheduler_config.json. Raises ValueError naming `make` where the catalogue does not name the method.

        Args:
            save_directory: folder that is written to.
            push_to_hub: handed to diffusers, which uploads the folder where this is True.
            kwargs: handed to diffusers.
        """
        if self.config["method"] is None:
            raise ValueError(f"`make` must be a line of the catalogue, such as 'unipc', to be saved, got {self.make!r}")
        super().save_config(save_directory, push_to_hub, **kwargs)

    def __len__(self) -> int:
        return self.process.steps

    @property
    def step_index(self) -> int | None:
        """The timestep that comes next, or None before the first."""
        return self._at if self._run is not None else None

    def set_begin_index(self, begin_index: int = 0) -> None:
        """Say at which of the timesteps the loop will begin, where two are equal."""
        self.begin_index = check.integer("begin_index", begin_index, least=0)

    def set_timesteps(
        self,
        num_inference_steps: int | None = None,
        device: Any = None,
        timesteps: Sequence[float] | Tensor | None = None,
        sigmas: Sequence[float] | Tensor | None = None,
    ) -> None:
        """Choose the method, and find the timesteps it asks for by a run on nothing.

        Args:
            num_inference_steps: n of make(n).
            device: of `timesteps`.
            timesteps: levels of one's own instead, as falling timesteps of the chain; `make` must take a grid.
            sigmas: the same as falling sigma/alpha; a last zero is left out, since the last step ends there.

        Raises:
            ValueError: naming the argument.
        """

        given = {"num_inference_steps": num_inference_steps, "timesteps": timesteps, "sigmas": sigmas}
        names = [name for name, value in given.items() if value is not None]
        if len(names) != 1:
            raise ValueError(
                "one of `num_inference_steps`, `timesteps` and `sigmas` must be given, got"
                f" {' and '.join(names) or 'none'}"
            )

        method = method_of(self.make, names[0], given[names[0]], self.process)
        self.method = method
        self._run = None
        self._at = 0
        self.begin_index = None
        self.num_inference_steps = method.n
        self._lams = method_levels(self.denoiser, method)
        self.init_noise_sigma = float(self.process.sigma(self.process.time(self._lams[0])))
        asked = timesteps_asked(self.denoiser, method, self._lams, self.answers)
        if abs(asked[0] - float(Timesteps(self.process)(self._lams[0]))) > NEAR:
            raise ValueError(
                "`make` must give a method that calls its model at its first level first, as the loop will have"
                f" done, got {method!r}"
            )

        solver = cast(Solver, method.around(None, None))
        begun = range(len(self._lams) - 1 + method.final_denoise)  # levels at which a step or the last denoise begins
        self._starts = {solver.evaluations(step) if step else 0: step for step in begun}
        self.timesteps = torch.tensor(asked, dtype=torch.float32, device=device or "cpu")

    def scale_model_input(self, sample: Tensor, timestep: Any = None) -> Tensor:
        """The sample: `step` returns what the model is to see.

        Args:
            sample: the state, (B, ...).
            timestep: not used; diffusers hands it in.
        """
        return sample

    @torch.no_grad()
    def step(
        self,
        model_output: Tensor,
        timestep: Any,
        sample: Tensor,
        eta: float | None = None,
        generator: torch.Generator | list[torch.Generator] | None = None,
        return_dict: bool = True,
        use_clipped_model_output: bool | None = None,
    ) -> Any:
        """The next model input, from the output at this one; the denoised sample after the last.

        Args:
            model_output: of the network, for `sample` at `timestep`.
            timestep: the next in turn; or one that begins a step, where a run begins.
            sample: what the step before returned. Another one, where a step begins, starts a new run from it.
            eta: 0 or None: the method has its own.
            generator: of the noise, one, or one a sample; read where a run begins.
            return_dict: False returns a tuple.
            use_clipped_model_output: False or None.

        Raises:
            TypeError, ValueError: naming the argument, where it cannot be, or comes out of turn.
        """

        if eta:
            raise ValueError(
                f"`eta` must be 0 or None, got {eta!r}: the method has its own; take catalogue.ddpm, or lambda"
                " n: catalogue.ddim(n, eta)"
            )
        if use_clipped_model_output:
            raise ValueError("`use_clipped_model_output` must be False or None: x0 is not clipped here")

        check.state("sample", sample)
        check_output(model_output, sample, self.denoiser.table.outputs)

        if self._run is None or not (sample is self._given or torch.equal(sample, cast(Tensor, self._given))):
            self._begin(timestep, sample, generator)
        elif abs(float(timestep) - float(self.timesteps[self._at])) > NEAR:
            raise ValueError(
                f"`timestep` must be {float(self.timesteps[self._at]):g}, the next in turn, got {float(timestep):g}"
            )

        self._at += 1

        try:
            following = cast(Any, self._run).send(model_output)[0]
        except StopIteration as done:
            following = done.value
            self._run = None
        except Exception:  # the run is over: the next step may begin another anywhere
            self._run = None
            self._at = 0
            raise

        self._given = given = following.to(sample.dtype)

        return SchedulerOutput(prev_sample=given) if return_dict else (given,)

    def _begin(self, timestep: Any, sample: Tensor, generator: Any) -> None:
        """A run from `sample` on, at the step that begins at `timestep`."""
        if self._run is None and self._at >= len(self.timesteps):
            raise ValueError(
                "`timestep` must be one of a run begun by set_timesteps, got one after its end or before any"
            )

        running = self._run is not None or self._at > 0
        allowed = [self._at] if running else list(self._starts)
        at = beginning(timestep, self.timesteps, [k for k in allowed if k in self._starts], self.begin_index)

        x = sample.to(torch.promote_types(sample.dtype, torch.float32))
        noise = (
            source(generator, len(x))
            if generator is not None
            else SeededNoise(mixed(self.seed, at) if at else self.seed)
        )
        assert self.method is not None
        lams = self._lams[self._starts[at] :]
        run = questions(self.denoiser, self.method, lams, x, noise, self.answers)
        next(run)
        self._run = run
        self._at = at
