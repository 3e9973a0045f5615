"""A model and pairs of latents and answers, on which methods are judged during tuning."""

from __future__ import annotations

import contextlib
import math
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from solvers import SolveError, Solver

from ..denoisers.denoiser import BaseDenoiser
from ..evaluation.judge import frechet
from ..evaluation.two_sample import FEWEST, c2st
from ..processes.coordinates import Angle
from ..samplers.method import Method, with_last_step
from ..samplers.ranges import method_levels
from ..samplers.sampling import decode
from .coordinates import rows_along
from .descent import Criterion
from .pairs import Features, Pairs, distances
from .tuned import Errors

SHOWN = 5  # untuned methods that are measured beside the tuned one
ALWAYS = ("best", "recommended")  # untuned methods that are always measured


@dataclass(frozen=True, eq=False)
class Setting:
    """A model and the pairs on which methods are judged.

    Args:
        denoiser: the model.
        training: pairs that are learned from.
        validation: pairs by which the best learned numbers are selected.
        test: pairs for the reported errors, not used for any choice.
        features: distances are taken between the features of samples; None: between the samples themselves.
        batch: latents solved at once.
    """

    denoiser: BaseDenoiser
    training: Pairs
    validation: Pairs
    test: Pairs
    features: Features | None
    batch: int

    @property
    def criterion(self) -> Criterion:
        """The criterion that is minimised, with distances in units of the answers' standard deviation."""
        answers = self.training.answers if self.features is None else self.features(self.training.answers)
        return Criterion(float(answers.double().std(0).square().mean().sqrt()), self.features)

    def made(self, method: Method, pairs: Pairs) -> Tensor:
        """The samples that a method makes from latents.

        Args:
            method: the method to run.
            pairs: pairs with these latents and their conditions.

        Returns:
            Samples, shaped like the latents.
        """
        parts = pairs.parts(self.batch)
        return torch.cat([decode(self.denoiser, part.latents, method, cond=part.cond) for part in parts])

    def value(self, method: Method) -> float:
        """The criterion of a method on the training pairs. It is infinite if the method fails."""
        try:
            return float(self.criterion(self.made(method, self.training), self.training.answers))
        except (SolveError, ValueError):
            return math.inf

    def starts(self, methods: dict[str, Method], count: int) -> dict[str, Method]:
        """The best untuned methods that can be written as tables, with their last denoise or with a step in its place.

        Args:
            methods: untuned methods by name.
            count: number of methods to return.

        Returns:
            The methods by name: the best one, then the best one with a frame, then the others from best to worst.
        """
        ended = {name: with_last_step(m) for name, m in methods.items()}
        found = {f"{name}, a last step": m for name, m in ended.items() if m.calls == methods[name].calls}
        tables = {name: m for name, m in {**methods, **found}.items() if self._is_table(m)}
        ranked = sorted(tables, key=lambda each: self.value(tables[each]))
        framed = [name for name in ranked if tables[name].frame is not None]  # tables of another kind
        chosen = dict.fromkeys([ranked[0], *framed[:1], *ranked[1:]])
        return {name: tables[name] for name in list(chosen)[:count]}

    def report(self, method: Method, methods: dict[str, Method]) -> tuple[Errors, dict[str, Errors], dict[str, Any]]:
        """The errors of a tuned method and of the untuned ones.

        Args:
            method: the tuned method.
            methods: untuned methods by name.

        Returns:
            The errors of the tuned method on the test pairs; the errors of the best untuned methods and of `ALWAYS`; a
            dictionary with the errors of the tuned method on the other pairs (`training`, `validation`), the Frechet
            distances of all these methods to the converged samples (`frechet`), and the classifier test of the tuned
            and the best untuned method against converged samples (`c2st`).
        """
        ranked = sorted(methods, key=lambda name: self.value(methods[name]))
        shown = dict.fromkeys([*ranked[:SHOWN], *(name for name in ALWAYS if name in methods)])
        made: dict[str, Tensor] = {}
        for name in shown:
            with contextlib.suppress(SolveError):  # a method that fails on these latents is left out
                made[name] = self.made(methods[name], self.test)

        own = self.made(method, self.test)
        answers = self.test.answers.flatten(1)
        baselines = {name: self.errors(x, self.test) for name, x in made.items()}
        about = {
            "training": self.errors(self.made(method, self.training), self.training),
            "validation": self.errors(self.made(method, self.validation), self.validation),
            "frechet": {name: frechet(x.flatten(1), answers) for name, x in {"tuned": own, **made}.items()},
            "c2st": self._told_apart({"tuned": own, **{name: made[name] for name in list(made)[:1]}}),
        }
        return self.errors(own, self.test), baselines, about

    def _told_apart(self, made: dict[str, Tensor]) -> dict[str, dict[str, Any]]:
        """The classifier test `c2st` of each set against converged samples of other latents. It is empty if half of the
        test pairs are too few."""
        half = len(self.test) // 2
        if half < FEWEST:
            return {}
        return {name: asdict(c2st(x[:half], self.test.answers[half:])) for name, x in made.items()}

    def errors(self, made: Tensor, pairs: Pairs) -> Errors:
        """The errors of samples that were made from the latents of given pairs.

        Args:
            made: samples, one for each pair.
            pairs: pairs with the right answers.
        """
        return Errors.of(distances(made, pairs.answers, self.features))

    def _is_table(self, method: Method) -> bool:
        """Whether a method can be written as a table: it calls the model once per step, at its beginning."""
        lams = method_levels(self.denoiser, method)
        if len(lams) < 2 or not isinstance(method.solver, Solver):
            return False

        try:
            rows_along(method, lams, Angle())
        except ValueError:
            return False
        return True
