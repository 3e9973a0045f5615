"""The inputs that must be refused or accepted, by the number of their row; 0 where the list has none.

A case is (row, note, call, error, what its message must match). `ARGUMENTS` are refused before a network or a
right-hand side is called; `ANSWERS` concern what one returns; `ACCEPTED` give pairs that are equal. `bad_files` has
the rows of files and commands.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from scoresde import (
    EDM,
    VESDE,
    VPSDE,
    Angle,
    Denoiser,
    LogSNR,
    Split,
    SubVPSDE,
    catalogue,
    exact,
    grids,
    sample,
    sampling,
)
from scoresde.compare.competitors import entry
from scoresde.data.samples import Dataset
from scoresde.evaluation.distances import mmd
from scoresde.evaluation.likelihood import log_likelihood
from scoresde.networks import MLP
from scoresde.samplers.reverse import reverse
from scoresde.samplers.wrappers.langevin import Langevin
from scoresde.training import Training, fit
from solvers import (
    RK4,
    SRA1,
    Adaptive,
    BrownianTree,
    DormandPrince54,
    Equation,
    Euler,
    EulerMaruyama,
    GridPath,
    Heun,
    MaxStepsError,
    Milstein,
    Noise,
    NonFiniteError,
    SeededNoise,
    Sense,
    StepSizeUnderflow,
    WhiteNoise,
    iterate,
    solve,
)
from solvers.adapters import SciPy, TorchDiffEq, TorchSDE

F64 = torch.float64
VP, NAN, INF = VPSDE(), math.nan, math.inf
X, T = torch.ones(4, 3), torch.linspace(0, 1, 5)
DOWN = torch.linspace(1, 0.1, 4)
GAUSS = exact.Gaussian(torch.zeros(3), 1.0)
SEEDED = SeededNoise(0)
CALLS: list[str] = []


class Case(NamedTuple):
    """One line of the table."""

    row: int
    note: str
    call: Callable[..., Any]
    kind: Any
    says: str

    @property
    def name(self) -> str:
        """For the report."""
        return f"{self.row or 'beyond'} {self.note}".strip()


def fall(t: Tensor, y: Tensor) -> Tensor:
    """A right-hand side that notes its calls."""
    CALLS.append("f")
    return -y


DECAY = Equation(fall)
ADDITIVE = Equation(fall, lambda t, y: torch.ones_like(y), noise=Noise.ADDITIVE)
DIAGONAL = Equation(fall, lambda t, y: y)


def answer(f: Any, **more: Any) -> Any:
    """Solve with a right-hand side f(t, y)."""
    return solve(Equation(f, **more), X, Euler(), T)


def flow(score: Any, x: Tensor = X) -> Any:
    """The probability flow of a plain score."""
    return solve(VP.probability_flow(score), x, Euler(), DOWN)


class Linear(nn.Module):
    """A float32 network and score; its layer may be hidden from autograd, or drop half of what it sees."""

    def __init__(self, hidden: bool = False, drop: float = 0.0):
        super().__init__()
        self.layer, self.drop, self.hidden = nn.Linear(3, 3), nn.Dropout(drop), hidden
        nn.init.eye_(self.layer.weight)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return self.layer(self.drop(x.detach() if self.hidden else x))


def likelihood(**change: Any) -> Any:
    """log_likelihood with something changed."""
    return log_likelihood(**{"denoiser": GAUSS, "x": X, "process": VP, **change})


def drawn(**change: Any) -> Any:
    """sample with something changed."""
    return sample(**{"denoiser": GAUSS, "shape": (2, 3), "method": catalogue.ddim(3), **change})


def stepped(eq: Equation, solver: Any, noise: Any = SEEDED, steps: Any = T, **more: Any) -> Any:
    """Solve from ones."""
    return solve(eq, X, solver, steps, noise, **more)


def adaptive(eq: Equation, **control: Any) -> Any:
    """Solve from ones by adaptive steps."""
    return solve(eq, X, DormandPrince54(), Adaptive(0.0, 1.0, **control))


def trained(**change: Any) -> Any:
    """One step of training on 20 points."""
    return next(
        fit(Denoiser(MLP(3, 4, 1), VP), Dataset(torch.zeros(20, 3)), Training(**{"batch": 8, "steps": 1, **change}))
    )


ARGUMENTS = [
    Case(*case)
    for case in (
        (1, "", lambda: VPSDE(beta_min=-0.1), ValueError, "`beta_min`"),
        (2, "", lambda: VPSDE(beta_min=20, beta_max=0.1), ValueError, "`beta_max`"),
        (3, "nan", lambda: VPSDE(beta_max=NAN), ValueError, "`beta_max`"),
        (3, "inf", lambda: SubVPSDE(beta_max=INF), ValueError, "`beta_max`"),
        (4, "zero", lambda: VPSDE(t_max=0.0), ValueError, "`t_max`"),
        (4, "negative", lambda: VPSDE(t_max=-1.0), ValueError, "`t_max`"),
        (4, "nan", lambda: VPSDE(t_max=NAN), ValueError, "`t_max`"),
        (5, "zero", lambda: VESDE(sigma_min=0.0), ValueError, "`sigma_min`"),
        (5, "negative", lambda: VESDE(sigma_min=-1.0), ValueError, "`sigma_min`"),
        (6, "", lambda: VESDE(sigma_min=50.0, sigma_max=0.01), ValueError, "`sigma_max`"),
        (7, "str", lambda: VPSDE(beta_min="0.1"), TypeError, "`beta_min`"),
        (7, "bool", lambda: VPSDE(beta_max=True), TypeError, "`beta_max`"),
        (7, "None", lambda: VESDE(sigma_min=None), TypeError, "`sigma_min`"),
        (7, "tensor", lambda: EDM(t_min=torch.tensor(0.1)), TypeError, "`t_min`"),
        (0, "LogSNR", lambda: LogSNR(2.0, 1.0), ValueError, "`t_data`"),
        (0, "Angle", lambda: Angle(t_max=2.0), ValueError, "`t_max`"),
        (0, "Angle's data", lambda: Angle(sigma_data=0.0), ValueError, "`sigma_data`"),
        (8, "below", lambda: VP.perturb(X, -0.1, X), ValueError, "`t` must lie in"),
        (8, "above", lambda: VP.perturb(X, 1.1, X), ValueError, "`t` must lie in"),
        (
            8,
            "one of many",
            lambda: VP.perturb(X, torch.tensor([0.1, 0.2, 3.0, 0.4]), X),
            ValueError,
            "`t` must lie in .* got 3",
        ),
        (9, "tensor", lambda: VP.perturb(X, torch.tensor(NAN), X), ValueError, "`t` must lie in"),
        (9, "number", lambda: VP.perturb(X, NAN, X), ValueError, "`t`"),
        (10, "", lambda: VP.perturb(X, torch.full((3,), 0.5), X), ValueError, r"`t` .*\(3,\).*\(4, 3\)"),
        (11, "integer", lambda: VP.perturb(X, torch.tensor(1), X), TypeError, "`t`"),
        (11, "str", lambda: VP.perturb(X, "0.5", X), TypeError, "`t`"),
        (12, "integer", lambda: VP.perturb(X.long(), 0.5, X), TypeError, "`x0`"),
        (12, "bool", lambda: VP.perturb(X.bool(), 0.5, X), TypeError, "`x0`"),
        (12, "complex", lambda: VP.perturb(X.to(torch.complex64), 0.5, X), TypeError, "`x0`"),
        (12, "state", lambda: solve(DECAY, X.long(), Euler(), T), TypeError, "`y0`"),
        (12, "likelihood", lambda: likelihood(x=X.long()), TypeError, "`x`"),
        (13, "list", lambda: VP.perturb([[1.0]], 0.5, X), TypeError, "`x0`"),
        (13, "numpy", lambda: VP.perturb(np.ones((4, 3)), 0.5, X), TypeError, "`x0`"),
        (13, "state", lambda: solve(DECAY, [1.0], Euler(), T), TypeError, "`y0`"),
        (13, "eps", lambda: VP.perturb(X, 0.5, [[1.0]]), TypeError, "`eps`"),
        (
            14,
            "",
            lambda: VP.perturb(torch.tensor([[0.0, NAN], [INF, 1.0]]), 0.5, X),
            ValueError,
            r"`x0` .* 2 .*first at index \(0, 1\)",
        ),
        (14, "state", lambda: solve(DECAY, X * NAN, Euler(), T), ValueError, "`y0` must be finite, got 12"),
        (
            14,
            "transport",
            lambda: sampling.transport(GAUSS, X * NAN, catalogue.ddim(3), EDM(), 80.0, 0.002),
            ValueError,
            "`x`",
        ),
        (15, "scalar", lambda: VP.perturb(torch.tensor(1.0), 0.5, torch.tensor(1.0)), ValueError, "`x0`"),
        (15, "empty", lambda: VP.perturb(X[:0], 0.5, X[:0]), ValueError, "`x0`"),
        (15, "scalar state", lambda: solve(DECAY, torch.tensor(1.0), Euler(), T), ValueError, "`y0`"),
        (15, "empty state", lambda: solve(DECAY, X[:0], Euler(), T), ValueError, "`y0`"),
        (15, "likelihood", lambda: likelihood(x=X[:0]), ValueError, "`x`"),
        (0, "shape of eps", lambda: VP.perturb(X, 0.5, X[:1]), ValueError, "`eps`"),
        (0, "dtype of eps", lambda: VP.perturb(X, 0.5, X.double()), ValueError, "`eps` .*float32.*float64"),
        (16, "zero", lambda: drawn(shape=(0, 3)), ValueError, "`shape`"),
        (16, "negative", lambda: drawn(shape=(4, -3)), ValueError, "`shape`"),
        (16, "float", lambda: drawn(shape=(4, 3.0)), ValueError, "`shape`"),
        (16, "empty", lambda: drawn(shape=()), ValueError, "`shape`"),
        (16, "int", lambda: VP.prior(4), ValueError, "`shape`"),
        (16, "prior", lambda: VP.prior((0, 3)), ValueError, "`shape`"),
        (17, "", lambda: catalogue.ddim(0), ValueError, "`n`"),
        (18, "", lambda: catalogue.ddim(-5), ValueError, "`n`"),
        (19, "float", lambda: catalogue.ddim(2.5), TypeError, "`n`"),
        (19, "bool", lambda: catalogue.ddim(True), TypeError, "`n`"),
        (19, "str", lambda: catalogue.ddim("10"), TypeError, "`n`"),
        (20, "", lambda: catalogue.ddim(10**8), ValueError, "`n`"),
        (21, "", lambda: TorchSDE("euler", 0.0), ValueError, "`dt`"),
        (21, "method", lambda: catalogue.torchsde(dt=0.0), ValueError, "`dt`"),
        (22, "", lambda: TorchSDE("euler", -0.1), ValueError, "`dt`.*direction is that of the times"),
        (23, "", lambda: TorchSDE("euler", NAN), ValueError, "`dt`"),
        (
            24,
            "",
            lambda: stepped(VP.reverse(GAUSS), EulerMaruyama(), steps=DOWN.flip(0)),
            ValueError,
            "`steps` must be decreasing",
        ),
        (
            24,
            "chart",
            lambda: stepped(reverse(LogSNR(), GAUSS, 1.0, Split.X0), SRA1(), steps=T.flip(0)),
            ValueError,
            "`steps` must be increasing",
        ),
        (
            24,
            "library",
            lambda: stepped(VP.reverse(GAUSS), TorchSDE(), 0, DOWN.flip(0)),
            ValueError,
            "`steps` must be decreasing",
        ),
        (
            25,
            "repeated",
            lambda: solve(DECAY, X, Euler(), torch.tensor([0.0, 0.5, 0.5, 1.0])),
            ValueError,
            "`steps` .* at index 1",
        ),
        (
            25,
            "turning",
            lambda: solve(DECAY, X, Euler(), torch.tensor([0.0, 0.5, 0.4, 1.0])),
            ValueError,
            "`steps` .* at index 1",
        ),
        (25, "nan", lambda: solve(DECAY, X, Euler(), torch.tensor([0.0, NAN, 1.0])), ValueError, "`steps`"),
        (25, "list of levels", lambda: grids.from_list([1.0, 0.5, 0.7]), ValueError, "`values` .* at index 1"),
        (
            26,
            "below",
            lambda: stepped(VP.probability_flow(GAUSS), Euler(), None, torch.tensor([1.0, 0.0])),
            ValueError,
            r"`steps` must lie in \[0.001, 1\]",
        ),
        (
            26,
            "above",
            lambda: stepped(VP.reverse(GAUSS), EulerMaruyama(), steps=torch.tensor([1.5, 0.5])),
            ValueError,
            "`steps` must lie .* got 1.5",
        ),
        (
            26,
            "adaptive",
            lambda: stepped(VP.probability_flow(GAUSS), DormandPrince54(), None, Adaptive(1.0, -0.1)),
            ValueError,
            "`steps` must lie",
        ),
        (
            26,
            "list of times",
            lambda: grids.from_list([1.5, 0.5], VP),
            ValueError,
            r"`values` must lie in \[0.001, 1\], .* got 1.5",
        ),
        (26, "negative", lambda: grids.from_list([1.0, -0.1], VP), ValueError, "`values` must lie"),
        (27, "", lambda: solve(DECAY, X, Euler(), torch.tensor([0.0])), ValueError, "`steps`"),
        (27, "iterate", lambda: iterate(DECAY, X, Euler(), torch.tensor([0.0])), ValueError, "`steps`"),
        (27, "two-dimensional", lambda: solve(DECAY, X, Euler(), T[None]), ValueError, "`steps`"),
        (0, "integer grid", lambda: solve(DECAY, X, Euler(), torch.arange(5)), TypeError, "`steps`"),
        (0, "list grid", lambda: solve(DECAY, X, Euler(), [0.0, 1.0]), TypeError, "`steps`"),
        (0, "a count", lambda: solve(DECAY, X, Euler(), 10), TypeError, "`steps`"),
        (28, "no span", lambda: Adaptive(1.0, 1.0), ValueError, "`t1`"),
        (28, "eps over T", lambda: VPSDE(t_min=1.0, t_max=0.5), ValueError, "`t_max`"),
        (28, "eps at T", lambda: VPSDE(t_min=1.0), ValueError, "`t_max`"),
        (28, "eps negative", lambda: VPSDE(t_min=-0.1), ValueError, "`t_min`"),
        (28, "no levels between", lambda: grids.karras(5, 1.0, 1.0), ValueError, "`lam_last`"),
        (
            28,
            "transport",
            lambda: sampling.transport(GAUSS, X, catalogue.ddim(3), EDM(), 1.0, 1.0),
            ValueError,
            "`lam_last`",
        ),
        (29, "process", lambda: VPSDE(t_min=0.0), ValueError, "`t_min`"),
        (29, "chart", lambda: EDM(t_min=0.0), ValueError, "`t_min`"),
        (29, "grid", lambda: grids.uniform_lambda(5, -4.0, INF), ValueError, "`lam_last`"),
        (
            29,
            "transport",
            lambda: sampling.transport(GAUSS, X, catalogue.unipc(3), VP, 1.0, 0.0),
            ValueError,
            "`t1` must be .* noise",
        ),
        (30, "rtol", lambda: Adaptive(0.0, 1.0, rtol=-1e-3), ValueError, "`rtol`"),
        (30, "atol", lambda: Adaptive(0.0, 1.0, atol=NAN), ValueError, "`atol`"),
        (30, "method", lambda: catalogue.probability_flow(rtol=-1.0), ValueError, "`rtol`"),
        (30, "library", lambda: SciPy(rtol=-1.0), ValueError, "`rtol`"),
        (31, "", lambda: Adaptive(0.0, 1.0, rtol=0.0, atol=0.0), ValueError, "`atol`"),
        (31, "method", lambda: catalogue.probability_flow(atol=0.0), ValueError, "`atol`"),
        (
            32,
            "float32",
            lambda: stepped(DECAY, DormandPrince54(), None, Adaptive(0.0, 1.0, rtol=1e-8)),
            ValueError,
            "`rtol` .*1e-6",
        ),
        (
            32,
            "float64",
            lambda: solve(DECAY, X.double(), DormandPrince54(), Adaptive(0.0, 1.0, rtol=1e-16)),
            ValueError,
            "`rtol`",
        ),
        (33, "first long", lambda: Adaptive(0.0, 1.0, h_init=2.0), ValueError, "`h_init`"),
        (33, "first zero", lambda: Adaptive(0.0, 1.0, h_init=0.0), ValueError, "`h_init`"),
        (33, "max", lambda: Adaptive(0.0, 1.0, h_max=-1.0), ValueError, "`h_max`"),
        (33, "min over max", lambda: Adaptive(0.0, 1.0, h_min=0.5, h_max=0.1), ValueError, "`h_min`"),
        (34, "limit of zero", lambda: Adaptive(0.0, 1.0, max_evals=0), ValueError, "`max_evals`"),
        (34, "limit not whole", lambda: Adaptive(0.0, 1.0, max_evals=1e4), TypeError, "`max_evals`"),
        (41, "number", lambda: VP.reverse(3), TypeError, "`score`"),
        (41, "three arguments", lambda: VP.reverse(lambda x, t, c: x), TypeError, r"`score` .*\(x, t, c\)"),
        (41, "sample", lambda: drawn(denoiser=lambda x, t: x), TypeError, "`denoiser` .*from_score"),
        (41, "from_score", lambda: Denoiser.from_score(None, VP), TypeError, "`score`"),
        (41, "f", lambda: Equation(3), TypeError, "`f`"),
        (41, "g", lambda: Equation(fall, 3), TypeError, "`g`"),
        (44, "of torchsde", lambda: TorchSDE("eulr"), ValueError, "`method` must be one of .*did you mean 'euler'"),
        (44, "of scipy", lambda: SciPy("rk9"), ValueError, "`method` must be one of .*RK45"),
        (
            44,
            "of torchdiffeq",
            lambda: stepped(DECAY, TorchDiffEq("dopri55"), None),
            ValueError,
            "`method` must be one of .*did you mean 'dopri5'",
        ),
        (44, "to compare", lambda: entry("ddimm"), ValueError, "`methods` must be one of .*did you mean 'ddim'"),
        (44, "name for a solver", lambda: stepped(DECAY, "rk9", None), TypeError, "`solver`"),
        (44, "name for a method", lambda: drawn(method="ddim"), TypeError, "`method`"),
        (44, "class", lambda: stepped(DECAY, Heun, None), TypeError, r"`solver` .*call the class: Heun\(\)"),
        (45, "control", lambda: Adaptive(0.0, 1.0, rtoll=1e-3), TypeError, "rtoll"),
        (45, "method", lambda: catalogue.ddim(5, stepsize=0.1), TypeError, "stepsize"),
        (46, "solve", lambda: stepped(ADDITIVE, EulerMaruyama(), rtol=1e-3), TypeError, "rtol"),
        (46, "method", lambda: catalogue.euler_maruyama(5, rtol=1e-3), TypeError, "rtol"),
        (47, "zero", lambda: catalogue.unipc(5, order=0), ValueError, "`order`"),
        (47, "too high", lambda: catalogue.exp_adams(5, order=5), ValueError, "`order`"),
        (47, "float", lambda: catalogue.unipc(5, order=2.0), TypeError, "`order`"),
        (47, "deis", lambda: catalogue.deis(5, order=-1), ValueError, "`order` must lie in .* got -1"),
        (47, "bool", lambda: catalogue.deis(5, order=True), TypeError, "`order`"),
        (48, "below", lambda: catalogue.ddim(5, eta=-0.1), ValueError, "`eta`"),
        (48, "above", lambda: catalogue.ddim(5, eta=1.1), ValueError, "`eta`"),
        (48, "equation", lambda: VP.reverse(GAUSS, -0.5), ValueError, "`eta`"),
        (48, "nan", lambda: VP.noising(GAUSS, NAN), ValueError, "`eta`"),
        (48, "str", lambda: reverse(VP, GAUSS, "1"), TypeError, "`eta`"),
        (0, "split", lambda: reverse(VP, GAUSS, 0.0, "x0"), TypeError, "`split`"),
        (0, "split of an SDE", lambda: reverse(VP, GAUSS, 1.0), ValueError, "`split`"),
        (49, "ODE solver", lambda: stepped(ADDITIVE, Heun()), ValueError, "`solver` must take ADDITIVE noise"),
        (49, "library", lambda: stepped(ADDITIVE, SciPy(), 0), ValueError, "`solver` must take ADDITIVE noise"),
        (49, "SRA", lambda: stepped(DIAGONAL, SRA1()), ValueError, "`solver` must take DIAGONAL noise"),
        (
            49,
            "sense",
            lambda: stepped(replace(DIAGONAL, sense=Sense.STRATONOVICH), Milstein()),
            ValueError,
            "`solver` .*Stratonovich",
        ),
        (
            50,
            "",
            lambda: stepped(DIAGONAL, EulerMaruyama(), BrownianTree(X, 0.0, 1.0, 0), Adaptive(0.0, 1.0)),
            ValueError,
            "`solver` must have an embedded",
        ),
        (
            50,
            "noise that is not a tree",
            lambda: stepped(DIAGONAL, EulerMaruyama(), SEEDED, Adaptive(0.0, 1.0)),
            ValueError,
            "`noise` must be a BrownianTree",
        ),
        (
            0,
            "no estimate",
            lambda: stepped(DECAY, RK4(), None, Adaptive(0.0, 1.0)),
            ValueError,
            "`solver` must have an embedded",
        ),
        (0, "no equation", lambda: solve(fall, X, Euler(), T), TypeError, "`eq`"),
        *(
            (51, f"{kind.__name__} {seed!r}", lambda make=make, seed=seed: make(seed), kind, "`seed`")
            for make in (
                SeededNoise,
                lambda s: drawn(seed=s),
                lambda s: VP.prior((4, 3), seed=s),
                lambda s: BrownianTree(X, 0.0, 1.0, s),
            )
            for seed, kind in (
                (-1, ValueError),
                (2**63, ValueError),
                (1.0, TypeError),
                (True, TypeError),
                ("0", TypeError),
            )
        ),
        (51, "first", lambda: SeededNoise(0, -1), ValueError, "`first`"),
        (51, "torchsde", lambda: stepped(DIAGONAL, TorchSDE(), -1), ValueError, "`noise`"),
        (52, "both", lambda: drawn(generator=torch.Generator()), ValueError, "`seed`"),
        (52, "neither", lambda: drawn(seed=None), ValueError, "`seed`"),
        (0, "no noise", lambda: stepped(ADDITIVE, EulerMaruyama(), None), ValueError, "`noise` must be given"),
        (
            0,
            "noise for an ODE",
            lambda: stepped(DECAY, DormandPrince54(), SEEDED, Adaptive(0.0, 1.0)),
            ValueError,
            "`noise`",
        ),
        (0, "kind of noise", lambda: Equation(fall, fall, noise="additive"), TypeError, "`noise`"),
        (0, "kind without g", lambda: Equation(fall, noise=Noise.ADDITIVE), ValueError, "`noise`"),
        (0, "none with g", lambda: Equation(fall, fall, noise=Noise.NONE), ValueError, "`noise`"),
        (0, "direction", lambda: Equation(fall, fall, direction=0), ValueError, "`direction`"),
        (0, "a nan", lambda: Equation(fall, a=NAN), ValueError, "`a`"),
        (0, "a str", lambda: Equation(fall, a="1"), TypeError, "`a`"),
        (0, "a integer tensor", lambda: Equation(fall, a=torch.tensor(1)), TypeError, "`a`"),
        (
            0,
            "save off grid",
            lambda: stepped(DECAY, Euler(), None, save=torch.tensor([0.3])),
            ValueError,
            "`save` must hold points of the grid",
        ),
        (
            0,
            "save outside",
            lambda: stepped(DECAY, DormandPrince54(), None, Adaptive(0.0, 1.0), save=torch.tensor([1.3])),
            ValueError,
            "`save` must lie between",
        ),
        (0, "white", lambda: WhiteNoise(0), TypeError, "`generator` must be a torch"),
        (0, "batch", lambda: drawn(batch=0), ValueError, "`batch`"),
        (53, "number", lambda: stepped(ADDITIVE, EulerMaruyama(), 0), TypeError, "`noise`"),
        (53, "tensor", lambda: stepped(ADDITIVE, EulerMaruyama(), torch.zeros(4, 4, 3)), TypeError, "`noise`"),
        (
            53,
            "tree of another shape",
            lambda: stepped(ADDITIVE, EulerMaruyama(), BrownianTree(X[:2], 0.0, 1.0, 0)),
            ValueError,
            "`noise` must be made for",
        ),
        (
            53,
            "path of other steps",
            lambda: stepped(ADDITIVE, EulerMaruyama(), GridPath(X, T[::2], torch.Generator())),
            ValueError,
            "among the GridPath's 3 times",
        ),
        (53, "no area", lambda: stepped(ADDITIVE, SRA1(), lambda t0, t1: X), ValueError, "`noise` must offer levy"),
        (
            54,
            "below",
            lambda: BrownianTree(X, 0.0, 1.0, 0)(torch.tensor(-0.1), torch.tensor(0.5)),
            ValueError,
            "`t0, t1` must lie in the range",
        ),
        (
            54,
            "above",
            lambda: BrownianTree(X, 0.0, 1.0, 0)(torch.tensor(0.5), torch.tensor(1.1)),
            ValueError,
            "`t0, t1` must lie in the range",
        ),
        (
            54,
            "solve",
            lambda: stepped(ADDITIVE, EulerMaruyama(), BrownianTree(X, 0.0, 0.5, 0)),
            ValueError,
            "`t0, t1` must lie in the range",
        ),
        (55, "snr", lambda: catalogue.predictor_corrector(5, snr=0.0), ValueError, "`snr`"),
        (55, "steps", lambda: catalogue.predictor_corrector(5, steps=-1), ValueError, "`steps`"),
        (55, "size", lambda: Langevin(1, 0.16), TypeError, "`size`"),
        (56, "none", lambda: likelihood(probes=0), ValueError, "`probes`"),
        (56, "not whole", lambda: likelihood(probes=2.5), TypeError, "`probes`"),
        (
            56,
            "exact in many dimensions",
            lambda: likelihood(x=torch.zeros(1, 300)),
            ValueError,
            "`probes` must be given for more than 256",
        ),
        (58, "labels hidden for guidance", lambda: Training(label_dropout=NAN), ValueError, "`label_dropout`"),
        (58, "kernel", lambda: mmd(X, X, scale=NAN), ValueError, "`scale`"),
        *(
            (60, f"{name} {value!r}", lambda name=name, value=value: Training(**{name: value}), kind, f"`{name}`")
            for name, value, kind in (
                ("lr", 0.0, ValueError),
                ("lr", -1e-3, ValueError),
                ("lr", NAN, ValueError),
                ("lr", "1e-3", TypeError),
                ("batch", 0, ValueError),
                ("steps", 0, ValueError),
                ("steps", 2.5, TypeError),
                ("ema", 1.0, ValueError),
                ("ema", -0.1, ValueError),
                ("ema_width", 0.3, ValueError),
                ("grad_clip", 0.0, ValueError),
                ("accumulate", 0, ValueError),
                ("precision", "half", ValueError),
                ("skip_nonfinite", 1, TypeError),
                ("seed", -1, ValueError),
                ("label_dropout", 1.0, ValueError),
            )
        ),
        (60, "batch over data", lambda: trained(batch=21), ValueError, "`batch` must be at most the 20"),
        (60, "parts", lambda: trained(accumulate=3), ValueError, "`batch` must divide"),
        (61, "empty", lambda: Dataset(torch.zeros(0, 3)), ValueError, "`data`"),
        (61, "nan", lambda: Dataset(torch.full((3, 2), NAN)), ValueError, "`data` must be finite, got 6"),
        (61, "ndim", lambda: Dataset(torch.zeros(3)), ValueError, "`data`"),
        (61, "integers", lambda: Dataset(torch.zeros(3, 2, dtype=torch.long)), TypeError, "`data`"),
        (
            65,
            "dt",
            lambda: TorchSDE("euler", torch.tensor(0.1, requires_grad=True)),
            ValueError,
            "`dt` must not require a gradient",
        ),
        (
            65,
            "rtol",
            lambda: Adaptive(0.0, 1.0, rtol=torch.tensor(1e-3, requires_grad=True)),
            ValueError,
            "`rtol` must not require a gradient",
        ),
        (
            65,
            "grid",
            lambda: solve(DECAY, X, Euler(), T.clone().requires_grad_()),
            ValueError,
            "`steps` must not require a gradient",
        ),
        (
            65,
            "levels",
            lambda: grids.from_list(torch.tensor([1.0, 0.5], requires_grad=True)),
            ValueError,
            "`values` must not require a gradient",
        ),
    )
]


ANSWERS = [
    Case(*case)
    for case in (
        (
            29,
            "score without noise",
            lambda: GAUSS.score(VP)(X, 0.0),
            ValueError,
            "`score` cannot be computed",
        ),
        (34, "", lambda: adaptive(DECAY, max_evals=10), MaxStepsError, "max_evals = 10 .* at t = "),
        (
            35,
            "",
            lambda: adaptive(Equation(lambda t, y: -1e4 * y), h_min=0.1),
            StepSizeUnderflow,
            "h_min .* at t = .*first: 0.*stiff.* not finite",
        ),
        (
            36,
            "f",
            lambda: answer(lambda t, y: y * (NAN if t > 0.4 else 1.0)),
            NonFiniteError,
            "step 3 of 4, t = .* in 4 of 4 samples",
        ),
        (36, "score", lambda: flow(lambda x, t: x / 0), NonFiniteError, "step 1 of 3"),
        (
            36,
            "library",
            lambda: stepped(Equation(lambda t, y: y * NAN), SciPy(), None),
            FloatingPointError,
            "f is NaN or infinite at t = 0",
        ),
        (37, "f", lambda: answer(lambda t, y: y[:, :2]), ValueError, r"`f` .*\(4, 3\), got \(4, 2\)"),
        (37, "score", lambda: flow(lambda x, t: x[:, :2]), ValueError, r"`score` .*\(4, 3\), got \(4, 2\)"),
        (38, "f", lambda: answer(lambda t, y: y[:1]), ValueError, "`f` .*nothing is broadcast"),
        (38, "score", lambda: flow(lambda x, t: x[:1]), ValueError, "`score` .*nothing is broadcast"),
        (39, "f", lambda: answer(lambda t, y: y.double()), TypeError, "`f` .*float32.*float64"),
        (39, "score", lambda: flow(lambda x, t: x.double()), TypeError, "`score`"),
        (39, "g", lambda: stepped(Equation(fall, lambda t, y: y.double()), EulerMaruyama()), TypeError, "`g`"),
        (40, "f", lambda: answer(lambda t, y: y.to("meta")), ValueError, "`f` .*device cpu.*meta"),
        (40, "score", lambda: flow(lambda x, t: x.to("meta")), ValueError, "`score` .*device cpu.*meta"),
        (0, "nothing returned", lambda: answer(lambda t, y: None), TypeError, "`f` must return a tensor"),
        (
            42,
            "",
            lambda: GAUSS(X, torch.full((4,), 0.5, device="meta"), torch.full((4,), 0.5)),
            ValueError,
            "`t` .*cpu.*meta",
        ),
        (43, "", lambda: flow(Linear(), X.double()), TypeError, "`x` .*float32.*float64"),
        (
            49,
            "noise of a matrix",
            lambda: stepped(Equation(fall, lambda t, y: torch.ones(4, 3, 3)), Milstein()),
            ValueError,
            r"`g` .*\(4, 3, 3\).*diagonal",
        ),
        (
            53,
            "shape",
            lambda: stepped(ADDITIVE, EulerMaruyama(), lambda t0, t1: X[:1]),
            ValueError,
            r"`noise` .*\(4, 3\).*\(1, 3\)",
        ),
        (
            53,
            "dtype",
            lambda: stepped(ADDITIVE, EulerMaruyama(), lambda t0, t1: X.double()),
            ValueError,
            "`noise` .*float32.*float64",
        ),
        (
            53,
            "no tensor",
            lambda: stepped(ADDITIVE, EulerMaruyama(), lambda t0, t1: 0.0),
            ValueError,
            "`noise` .*float",
        ),
        (
            57,
            "no gradient",
            lambda: likelihood(denoiser=Denoiser(Linear(hidden=True), VP)),
            ValueError,
            "`denoiser` must be differentiable",
        ),
        *(
            (
                59,
                note,
                lambda labels=labels: drawn(denoiser=Denoiser(MLP(3, 4, 1, classes=3), VP), cond=labels),
                ValueError,
                "`labels`",
            )
            for note, labels in (
                ("above", torch.tensor([0, 3])),
                ("below", torch.tensor([0, -2])),
                ("float", torch.tensor([0.0, 1.0])),
                ("list", [0, 1]),
                ("count", torch.tensor([0])),
            )
        ),
    )
]


def same(view: Tensor, solver: Any, steps: Any) -> tuple[Tensor, Tensor]:
    """A solve from a view, and from the same numbers in a row."""
    return solve(DECAY, view, solver, steps).y, solve(
        DECAY, view.clone(memory_format=torch.contiguous_format), solver, steps
    ).y


def cast(denoiser: Denoiser) -> tuple[Tensor, Tensor]:
    """What a float32 network says of a float64 state, and of its float32 cast."""
    alpha, sigma = VP.alpha(0.5), VP.sigma(0.5)
    return denoiser(X.double() / 3, alpha, sigma).out, denoiser(X / 3, alpha, sigma).out.double()


def twice(network: Linear, **change: Any) -> tuple[Tensor, Tensor]:
    """log densities by a network as it comes, and by it in eval mode with gradients on."""
    with torch.set_grad_enabled(not change.pop("no_grad", False)):
        first = likelihood(denoiser=Denoiser(network, VP)).log_prob
    return first, likelihood(denoiser=Denoiser(network.eval(), VP)).log_prob


BASE = torch.arange(12.0, dtype=F64).reshape(3, 4) / 12 + 0.1
VIEWS = {"transposed": BASE.T, "strided": BASE[::2, 1::2], "expanded": BASE[:1].expand(5, 4), "flipped": BASE.flip(0)}
ACCEPTED: list[tuple[int, str, Callable[[], tuple[Tensor, Tensor]]]] = [
    (42, "times on the CPU for any state", lambda: (VP.perturb(X, torch.full((4,), 0.5), X), VP.perturb(X, 0.5, X))),
    (43, "a denoiser casts", lambda: cast(Denoiser(Linear(), VP))),
    (43, "a denoiser of a score casts", lambda: cast(Denoiser.from_score(Linear(), VP))),
    (57, "dropout in train mode", lambda: twice(Linear(drop=0.5).train())),
    (57, "without gradients", lambda: twice(Linear(), no_grad=True)),
    *((66, name, lambda view=view: same(view, RK4(), T)) for name, view in VIEWS.items()),
    *(
        (66, f"{name}, adaptive", lambda view=view: same(view, DormandPrince54(), Adaptive(0.0, 1.0)))
        for name, view in VIEWS.items()
    ),
    *(
        (
            66,
            f"{name}, perturbed",
            lambda v=view: (VP.perturb(v, 0.5, v), VP.perturb(v.contiguous(), 0.5, v.contiguous())),
        )
        for name, view in VIEWS.items()
    ),
]
