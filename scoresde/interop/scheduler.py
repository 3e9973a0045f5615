"""Any method as a scheduler: a diffusers pipeline, or a hand-written loop over timesteps, runs with our solvers.

In such a loop the caller runs the model and passes in its outputs one by one. So the solve is driven from outside
(`solvers.reverse_communication`). The timesteps are the noise levels at which the method calls its model. Each `step`
takes the output at a timestep and returns the next model input; the last one returns the denoised sample. A method with
several evaluations per step has as many timesteps per step.

A run begins at the first timestep, or at a later one that begins a step, as image-to-image pipelines do. If the sample
is not the one that `step` returned last, for example because a callback or an inpainting pipeline changed it, a new run
begins there: a multistep method then restarts without its history.
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

_OWN = {"method": None, "seed": 0, "chain_class": None}  # entries of our own, which do not describe the chain
Make = Callable[..., Method]


class MethodScheduler(ChainNoise, SchedulerMixin, ConfigMixin):
    """`make(n)` as a diffusers scheduler: pipe.scheduler = MethodScheduler(catalogue.unipc, pipe.scheduler.config).

    The states are those of the chain, x = alpha x0 + sigma eps. They start with standard deviation `init_noise_sigma` =
    sigma of the first level. Schedulers of diffusers start at 1; on Stable Diffusion the difference is 5e-4.

    Args:
        make: n levels -> Method, such as catalogue.unipc, or its name "unipc", or lambda n: catalogue.ddim(n,
            grid=grids.Trailing(chain)). The method must not be adaptive. Its first model call must be at its first
            noise level (not annealed Langevin, nor churn at that level). Only a method with a name in the catalogue can
            be saved.
        config: the scheduler configuration of the pipeline. It describes the chain and what the network predicts.
        seed: of the noise of stochastic methods, used if `step` gets no generator.

    Raises:
        TypeError, ValueError: naming the argument.
        CheckpointError: naming an entry of `config` that is unknown or unsupported.
    """

    config_name = "scheduler_config.json"
    order = 1  # read by pipelines that start midway: one timestep per call of `step`
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

        if "chain_class" in config:  # config of a MethodScheduler: it stores the class that wrote the other entries
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
        self._starts: dict[int, int] = {}  # index of a timestep that begins a step -> the step
        self._run: Generator[tuple[Any, ...], Any, Tensor] | None = None
        self._given: Tensor | None = None
        self._at = 0

    @classmethod
    def from_config(cls, config: Any = None, return_unused_kwargs: bool = False, **kwargs: Any) -> Any:
        """A scheduler from its own configuration or, if `make` is given, from that of another scheduler.

        Args:
            config: configuration of a MethodScheduler, or of the scheduler of a pipeline.
            return_unused_kwargs: True: return (scheduler, unused keyword arguments).
            kwargs: `make` and `seed`; they override the configuration.

        Raises:
            TypeError: naming `config` if it is no mapping.
            ValueError: naming `make` if neither the arguments nor the configuration give a method.
            CheckpointError: naming an entry of `config` that is unknown or unsupported.
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
        """Write scheduler_config.json.

        Args:
            save_directory: folder to write.
            push_to_hub: passed on to diffusers, which uploads the folder if it is True.
            kwargs: passed on to diffusers.

        Raises:
            ValueError: naming `make` if the method has no name in the catalogue.
        """
        if self.config["method"] is None:
            raise ValueError(f"`make` must be a line of the catalogue, such as 'unipc', to be saved, got {self.make!r}")
        super().save_config(save_directory, push_to_hub, **kwargs)

    def __len__(self) -> int:
        return self.process.steps

    @property
    def step_index(self) -> int | None:
        """Index of the next timestep; None before the first step and after the last."""
        return self._at if self._run is not None else None

    def set_begin_index(self, begin_index: int = 0) -> None:
        """Set the index of the timestep at which the loop begins; it is used only if several timesteps are equal."""
        self.begin_index = check.integer("begin_index", begin_index, least=0)

    def set_timesteps(
        self,
        num_inference_steps: int | None = None,
        device: Any = None,
        timesteps: Sequence[float] | Tensor | None = None,
        sigmas: Sequence[float] | Tensor | None = None,
    ) -> None:
        """Make the method, and find its timesteps by a run on a dummy state. Give exactly one of num_inference_steps,
        timesteps and sigmas.

        Args:
            num_inference_steps: n of make(n).
            device: device of `self.timesteps`.
            timesteps: the noise levels, as falling timesteps of the chain; `make` must take a grid.
            sigmas: the noise levels, as falling sigma/alpha; a zero at the end is dropped, since the last step ends
                there.

        Raises:
            TypeError, ValueError: naming the argument.
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
        begun = range(len(self._lams) - 1 + method.final_denoise)  # levels where a step or the last denoise begins
        self._starts = {solver.evaluations(step) if step else 0: step for step in begun}
        self.timesteps = torch.tensor(asked, dtype=torch.float32, device=device or "cpu")

    def scale_model_input(self, sample: Tensor, timestep: Any = None) -> Tensor:
        """The sample, unchanged: `step` already returns the model's input.

        Args:
            sample: the state, (B, ...).
            timestep: not used; diffusers passes it.
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
        """The next model input, from the model's output for this one; after the last timestep the denoised sample.

        Args:
            model_output: output of the network for `sample` at `timestep`.
            timestep: the next timestep; at the beginning of a run, any timestep that begins a step.
            sample: the sample that the last call returned. A different one starts a new run from it, which is possible
                only at the beginning of a step of the method.
            eta: 0 or None, since the method has its own eta.
            generator: of the noise: one, or a list with one per sample; read only at the beginning of a run.
            return_dict: False: return a tuple.
            use_clipped_model_output: False or None.

        Raises:
            TypeError, ValueError: naming the argument that is invalid or out of order.
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
        except Exception:  # the run is over; the next call may begin a new one
            self._run = None
            self._at = 0
            raise

        self._given = given = following.to(sample.dtype)

        return SchedulerOutput(prev_sample=given) if return_dict else (given,)

    def _begin(self, timestep: Any, sample: Tensor, generator: Any) -> None:
        """Begin a run from `sample`, at the step that begins at `timestep`."""
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
