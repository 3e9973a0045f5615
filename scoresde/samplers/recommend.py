"""The recommended sampler, chosen from the moments of the data and from what the network predicts.

`catalogue.best` uses no property of the model. Here the data's moments give the coordinates (`frame`), and the
parameterisation gives the levels. An exact denoiser and a trained one need different levels: at high noise the
structure of the data vanishes, but the error of a network does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from solvers import ExpAdams, ExpAdamsPC, check

from ..denoisers.denoiser import BaseDenoiser, Denoiser, Eps, LearnedRange, Score
from ..denoisers.moments import Moments
from ..processes.coordinates import Angle
from . import catalogue
from .adams_rules import CORRECTED, GridClock, useful_order
from .frame import Frame
from .grids import UniformTime
from .method import Method, with_last_step
from .peaked import Peaked
from .reverse import Split
from .sampling import sample


@dataclass(frozen=True)
class Rule:
    """Solver and grid for one kind of model.

    order          largest order of the predictor; the corrector has one more
    levels         centre, fall and rise of the `Peaked` grid for many calls; for few calls they are those of `FEW`
    factor, power  steps begin at the noise level factor n^power, in units of the data's standard deviation; at least at
                   `LEAST`"""

    order: int
    levels: tuple[float, float, float]
    factor: float
    power: float

    def peaked(self, n: int, unit: float) -> Peaked:
        """The grid for n calls.

        Args:
            n: network calls.
            unit: standard deviation of the data.
        """
        return Peaked.blended(FEW, self.levels, n, unit)

    def start(self, n: int) -> float:
        """The noise level at which the steps of n calls begin."""
        return max(LEAST, self.factor * n**self.power)


FEW = (-0.2, 0.42, 0.72)  # centre, fall and rise of the grid for few calls, for every model
LEAST = 6.0
DENOISED = 10  # from this number of calls on, the last call is a denoise instead of a step
EXACT = Rule(4, (0.0, 0.52, 0.7), 1 / 6, 2.0)
TRAINED = Rule(3, (0.8, 0.5, 0.45), 0.45, 2.0)
SINGULAR = Rule(2, (1.5, 0.55, 0.2), 0.025, 4.0)


def recommended(
    denoiser: BaseDenoiser,
    n: int,
    *,
    moments: Moments | None = None,
    shape: Sequence[int] | None = None,
) -> Method:
    """The recommended method of n network calls for a model.

    It is an Adams method on the velocity of the probability flow, in the coordinates in which the flow of the data's
    Gaussian is constant (`Frame`). With 2 to 9 calls every call makes a step; from 10 on the last call denoises.

    Args:
        denoiser: the model; the grid depends on what it predicts (`table`).
        n: number of network calls of `sample`.
        moments: mean and standard deviations of the data; None: `denoiser.moments`, which trained runs and denoisers in
            closed form have. If a condition determines most of a sample, as a small image does, pass
            `moments.isotropic`, because the directions in which the data vary are then of no use.
        shape: shape of one sample. If no moments are known, they are estimated from 64 rough samples of this shape, at
            8 calls a sample (`estimated`). If there is no shape either, the method is `catalogue.best(n)`.

    Returns:
        A deterministic method of n calls.

    Raises:
        TypeError, ValueError: naming the argument.
    """

    if not isinstance(denoiser, BaseDenoiser):
        raise TypeError(
            f"`denoiser` must be a Denoiser, got {type(denoiser).__name__}; wrap a plain score with"
            " Denoiser.from_score(score, process)"
        )

    check.integer("n", n)
    known = denoiser.moments if moments is None else moments
    if known is None and shape is not None:
        known = estimated(denoiser, shape)

    if known is None:
        return catalogue.best(n)

    rule = _rule(denoiser)
    unit = known.scale
    along = Angle(unit)
    clock = GridClock(along, UniformTime(unit=unit))
    solver = ExpAdams(4, clock=clock) if n < CORRECTED else ExpAdamsPC(min(rule.order, useful_order(n)), clock=clock)

    method = Method(
        along,
        Split.FLOW,
        solver,
        rule.peaked(n, unit),
        n,
        frame=Frame(known, rule.start(n)),
    )

    return with_last_step(method) if 1 < n < DENOISED else method


def _rule(denoiser: BaseDenoiser) -> Rule:
    """The rule for the parameterisation. The error of eps and score networks stays large at high noise; that of the
    others falls."""
    if not isinstance(denoiser, Denoiser):
        return EXACT
    table = denoiser.table.mean if isinstance(denoiser.table, LearnedRange) else denoiser.table
    return SINGULAR if isinstance(table, Eps | Score) else TRAINED


def estimated(
    denoiser: BaseDenoiser,
    shape: Sequence[int],
    count: int = 64,
    calls: int = 8,
    seed: int = 0,
) -> Moments:
    """Estimate the moments of the data from samples of the model, if the data are not known.

    It draws `count` samples by `catalogue.best(calls)`.

    Args:
        denoiser: the model.
        shape: shape of one sample.
        count: number of samples, at least 2.
        calls: network calls per sample.
        seed: seed of their noise.
    """

    shape = check.shape("shape", (check.integer("count", count, least=2), *shape))
    return Moments.of(sample(denoiser, shape, catalogue.best(calls), seed))
