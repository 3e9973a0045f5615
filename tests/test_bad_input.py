"""Inputs that must be refused: the type of the error, and the argument it names, before anything is computed. Rows of BEHAVIOUR 3
that processes, denoisers and solvers can meet; those of seeds, paths, adapters and exact denoisers stand with them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from scoresde import EDM, VESDE, VPSDE, Angle, LogSNR, Split, SubVPSDE, exact
from scoresde.reverse import reverse
from solvers import (
    RK4,
    SRA1,
    Adaptive,
    DormandPrince54,
    Equation,
    Euler,
    EulerMaruyama,
    Heun,
    Milstein,
    Noise,
    NonFiniteError,
    SeededNoise,
    Sense,
    WhiteNoise,
    iterate,
    solve,
)

from .problems import F64

VP, NAN, INF = VPSDE(), math.nan, math.inf
X, T = torch.ones(4, 3), torch.linspace(0, 1, 5)
GAUSS = exact.Gaussian(torch.zeros(3), 1.0)
DECAY = Equation(lambda t, y: -y)
ADDITIVE = Equation(lambda t, y: -y, lambda t, y: torch.ones_like(y), noise=Noise.ADDITIVE)
DIAGONAL = Equation(lambda t, y: -y, lambda t, y: y)


def answer(f, y0=X, solver=None, steps=T, **more):
    """Solve with a right-hand side f(t, y)."""
    return solve(Equation(f, **more), y0, Euler() if solver is None else solver, steps)


CASES = [
    # 1 to 7: processes
    ("1", lambda: VPSDE(beta_min=-0.1), ValueError, "`beta_min`"),
    ("2", lambda: VPSDE(beta_min=20, beta_max=0.1), ValueError, "`beta_max`"),
    ("3 nan", lambda: VPSDE(beta_max=NAN), ValueError, "`beta_max`"),
    ("3 inf", lambda: SubVPSDE(beta_max=INF), ValueError, "`beta_max`"),
    ("4 zero", lambda: VPSDE(t_max=0.0), ValueError, "`t_max`"),
    ("4 negative", lambda: VPSDE(t_max=-1.0), ValueError, "`t_max`"),
    ("4 nan", lambda: VPSDE(t_max=NAN), ValueError, "`t_max`"),
    ("4 order", lambda: VPSDE(t_min=1.0, t_max=0.5), ValueError, "`t_max`"),
    ("5 zero", lambda: VESDE(sigma_min=0.0), ValueError, "`sigma_min`"),
    ("5 negative", lambda: VESDE(sigma_min=-1.0), ValueError, "`sigma_min`"),
    ("6", lambda: VESDE(sigma_min=50.0, sigma_max=0.01), ValueError, "`sigma_max`"),
    ("7 str", lambda: VPSDE(beta_min="0.1"), TypeError, "`beta_min`"),
    ("7 bool", lambda: VPSDE(beta_max=True), TypeError, "`beta_max`"),
    ("7 None", lambda: VESDE(sigma_min=None), TypeError, "`sigma_min`"),
    ("7 tensor", lambda: EDM(t_min=torch.tensor(0.1)), TypeError, "`t_min`"),
    ("EDM", lambda: EDM(t_min=0.0), ValueError, "`t_min`"),
    ("LogSNR", lambda: LogSNR(2.0, 1.0), ValueError, "`t_data`"),
    ("Angle", lambda: Angle(t_max=2.0), ValueError, "`t_max`"),
    ("Angle data", lambda: Angle(sigma_data=0.0), ValueError, "`sigma_data`"),
    # 8 to 15: perturb
    ("8 below", lambda: VP.perturb(X, -0.1, X), ValueError, "`t` must lie in"),
    ("8 above", lambda: VP.perturb(X, 1.1, X), ValueError, "`t` must lie in"),
    ("8 one of many", lambda: VP.perturb(X, torch.tensor([0.1, 0.2, 3.0, 0.4]), X), ValueError, "`t` must lie in .* got 3"),
    ("9", lambda: VP.perturb(X, torch.tensor(NAN), X), ValueError, "`t` must lie in"),
    ("9 float", lambda: VP.perturb(X, NAN, X), ValueError, "`t`"),
    ("10", lambda: VP.perturb(X, torch.full((3,), 0.5), X), ValueError, r"`t` .*\(3,\).*\(4, 3\)"),
    ("11", lambda: VP.perturb(X, torch.tensor(1), X), TypeError, "`t`"),
    ("11 str", lambda: VP.perturb(X, "0.5", X), TypeError, "`t`"),
    ("12 integer", lambda: VP.perturb(X.long(), 0.5, X), TypeError, "`x0`"),
    ("12 bool", lambda: VP.perturb(X.bool(), 0.5, X), TypeError, "`x0`"),
    ("12 complex", lambda: VP.perturb(X.to(torch.complex64), 0.5, X), TypeError, "`x0`"),
    ("13 list", lambda: VP.perturb([[1.0]], 0.5, X), TypeError, "`x0`"),
    ("13 numpy", lambda: VP.perturb(np.ones((4, 3)), 0.5, X), TypeError, "`x0`"),
    ("14", lambda: VP.perturb(torch.tensor([[0.0, NAN], [INF, 1.0]]), 0.5, torch.zeros(2, 2)), ValueError, r"`x0` .* 2 .*first at index \(0, 1\)"),
    ("15 scalar", lambda: VP.perturb(torch.tensor(1.0), 0.5, torch.tensor(1.0)), ValueError, "`x0`"),
    ("15 empty", lambda: VP.perturb(X[:0], 0.5, X[:0]), ValueError, "`x0`"),
    ("eps shape", lambda: VP.perturb(X, 0.5, X[:1]), ValueError, "`eps`"),
    # 16: shapes
    ("16 zero", lambda: VP.prior((0, 3)), ValueError, "`shape`"),
    ("16 negative", lambda: VP.prior((4, -3)), ValueError, "`shape`"),
    ("16 float", lambda: VP.prior((4, 3.0)), (TypeError, ValueError), "`shape`"),
    ("16 empty", lambda: VP.prior(()), ValueError, "`shape`"),
    ("16 int", lambda: VP.prior(4), (TypeError, ValueError), "`shape`"),
    ("51 prior", lambda: VP.prior((4, 3), seed=-1), ValueError, "`seed`"),
    # 24 to 29: grids
    ("25 repeated", lambda: solve(DECAY, X, Euler(), torch.tensor([0.0, 0.5, 0.5, 1.0])), ValueError, "`steps` .* at index 1"),
    ("25 turning", lambda: solve(DECAY, X, Euler(), torch.tensor([0.0, 0.5, 0.4, 1.0])), ValueError, "`steps` .* at index 1"),
    ("25 nan", lambda: solve(DECAY, X, Euler(), torch.tensor([0.0, NAN, 1.0])), ValueError, "`steps`"),
    ("27", lambda: solve(DECAY, X, Euler(), torch.tensor([0.0])), ValueError, "`steps`"),
    ("27 two-dimensional", lambda: solve(DECAY, X, Euler(), T[None]), ValueError, "`steps`"),
    ("integer grid", lambda: solve(DECAY, X, Euler(), torch.arange(5)), TypeError, "`steps`"),
    ("list grid", lambda: solve(DECAY, X, Euler(), [0.0, 1.0]), TypeError, "`steps`"),
    ("a count", lambda: solve(DECAY, X, Euler(), 10), TypeError, "`steps`"),
    ("24", lambda: solve(VP.reverse(GAUSS), X, EulerMaruyama(), torch.linspace(0.1, 1, 5), SeededNoise(0)), ValueError, "`steps` must be decreasing"),
    ("24 chart", lambda: solve(reverse(LogSNR(), GAUSS, 1.0, Split.X0), X, SRA1(), T.flip(0), SeededNoise(0)), ValueError, "`steps` must be increasing"),
    ("28", lambda: Adaptive(1.0, 1.0), ValueError, "`t1`"),
    ("65 grid", lambda: solve(DECAY, X, Euler(), T.clone().requires_grad_()), ValueError, "`steps` must not require a gradient"),
    ("65 rtol", lambda: Adaptive(0.0, 1.0, rtol=torch.tensor(1e-3, requires_grad=True)), ValueError, "`rtol`"),
    # 30 to 33: control
    ("30 rtol", lambda: Adaptive(0.0, 1.0, rtol=-1e-3), ValueError, "`rtol`"),
    ("30 atol", lambda: Adaptive(0.0, 1.0, atol=NAN), ValueError, "`atol`"),
    ("31", lambda: Adaptive(0.0, 1.0, rtol=0.0, atol=0.0), ValueError, "`atol`"),
    ("32 float32", lambda: solve(DECAY, X, DormandPrince54(), Adaptive(0.0, 1.0, rtol=1e-8)), ValueError, "`rtol` .*1e-6"),
    ("32 float64", lambda: solve(DECAY, X.double(), DormandPrince54(), Adaptive(0.0, 1.0, rtol=1e-16)), ValueError, "`rtol`"),
    ("33 first long", lambda: Adaptive(0.0, 1.0, h_init=2.0), ValueError, "`h_init`"),
    ("33 first zero", lambda: Adaptive(0.0, 1.0, h_init=0.0), ValueError, "`h_init`"),
    ("33 max", lambda: Adaptive(0.0, 1.0, h_max=-1.0), ValueError, "`h_max`"),
    ("33 min over max", lambda: Adaptive(0.0, 1.0, h_min=0.5, h_max=0.1), ValueError, "`h_min`"),
    ("evals zero", lambda: Adaptive(0.0, 1.0, max_evals=0), ValueError, "`max_evals`"),
    ("evals float", lambda: Adaptive(0.0, 1.0, max_evals=1e4), TypeError, "`max_evals`"),
    ("45", lambda: Adaptive(0.0, 1.0, rtoll=1e-3), TypeError, "rtoll"),
    ("46", lambda: solve(ADDITIVE, X, EulerMaruyama(), T, SeededNoise(0), rtol=1e-3), TypeError, "rtol"),
    # 36 to 43: what f and the score return
    ("36", lambda: answer(lambda t, y: y * (NAN if t > 0.4 else 1.0)), NonFiniteError, "step 3 of 4"),
    ("37", lambda: answer(lambda t, y: y[:, :2]), ValueError, r"`f` .*\(4, 3\), got \(4, 2\)"),
    ("38", lambda: answer(lambda t, y: y[:1]), ValueError, "`f` .*nothing is broadcast"),
    ("38 score", lambda: solve(VP.probability_flow(lambda x, t: x[:1]), X, Euler(), T.flip(0)[:4]), ValueError, "`score` .*nothing is broadcast"),
    ("39", lambda: answer(lambda t, y: y.double()), TypeError, "`f` .*float32.*float64"),
    ("39 score", lambda: solve(VP.probability_flow(lambda x, t: x.double()), X, Euler(), T.flip(0)[:4]), TypeError, "`score`"),
    ("40", lambda: answer(lambda t, y: y.to("meta")), ValueError, "`f` .*device cpu.*meta"),
    ("none returned", lambda: answer(lambda t, y: None), TypeError, "`f` must return a tensor"),
    ("41", lambda: VP.reverse(3), TypeError, "`score`"),
    ("41 f", lambda: Equation(3), TypeError, "`f`"),
    ("41 g", lambda: Equation(lambda t, y: y, 3), TypeError, "`g`"),
    ("g dtype", lambda: solve(Equation(lambda t, y: y, lambda t, y: y.double()), X, EulerMaruyama(), T, SeededNoise(0)), TypeError, "`g`"),
    # 44 to 50: solvers
    ("44 name", lambda: solve(DECAY, X, "rk9", T), TypeError, "`solver`"),
    ("44 class", lambda: solve(DECAY, X, Heun, T), TypeError, r"`solver` .*call the class: Heun\(\)"),
    ("48", lambda: VP.reverse(GAUSS, -0.5), ValueError, "`eta`"),
    ("48 nan", lambda: VP.noising(GAUSS, NAN), ValueError, "`eta`"),
    ("48 str", lambda: reverse(VP, GAUSS, "1"), TypeError, "`eta`"),
    ("split", lambda: reverse(VP, GAUSS, 0.0, "x0"), TypeError, "`split`"),
    ("split flow", lambda: reverse(VP, GAUSS, 1.0), ValueError, "`split`"),
    ("49 ODE solver", lambda: solve(ADDITIVE, X, Heun(), T, SeededNoise(0)), ValueError, "`solver` must take ADDITIVE noise"),
    ("49 SRA", lambda: solve(DIAGONAL, X, SRA1(), T, SeededNoise(0)), ValueError, "`solver` must take DIAGONAL noise"),
    (
        "49 sense",
        lambda: solve(Equation(lambda t, y: y, lambda t, y: y, sense=Sense.STRATONOVICH), X, Milstein(), T, SeededNoise(0)),
        ValueError,
        "`solver` .*Stratonovich",
    ),
    ("50", lambda: solve(DIAGONAL, X, EulerMaruyama(), Adaptive(0.0, 1.0), SeededNoise(0)), (TypeError, ValueError), "`(noise|solver|steps)`"),
    ("adaptive without estimate", lambda: solve(DECAY, X, RK4(), Adaptive(0.0, 1.0)), ValueError, "`solver` must have an embedded"),
    ("no equation", lambda: solve(lambda t, y: y, X, Euler(), T), TypeError, "`eq`"),
    ("no iteration", lambda: iterate(DECAY, X, Euler(), torch.tensor([0.0])), ValueError, "`steps`"),
    # noise
    ("52 none", lambda: solve(ADDITIVE, X, EulerMaruyama(), T), ValueError, "`noise` must be given"),
    ("52 a number", lambda: solve(ADDITIVE, X, EulerMaruyama(), T, 0), TypeError, "`noise`"),
    ("53 shape", lambda: solve(ADDITIVE, X, EulerMaruyama(), T, lambda t0, t1: X[:1]), ValueError, r"`noise` .*\(4, 3\).*\(1, 3\)"),
    ("53 dtype", lambda: solve(ADDITIVE, X, EulerMaruyama(), T, lambda t0, t1: X.double()), ValueError, "`noise` .*float32.*float64"),
    ("53 no tensor", lambda: solve(ADDITIVE, X, EulerMaruyama(), T, lambda t0, t1: 0.0), ValueError, "`noise` .*float"),
    ("53 no area", lambda: solve(ADDITIVE, X, SRA1(), T, lambda t0, t1: X), ValueError, r"`noise` must offer levy"),
    ("ODE with noise", lambda: solve(DECAY, X, DormandPrince54(), Adaptive(0.0, 1.0), SeededNoise(0)), (TypeError, ValueError), "`noise`"),
    ("kind", lambda: Equation(lambda t, y: y, lambda t, y: y, noise="additive"), TypeError, "`noise`"),
    ("kind without g", lambda: Equation(lambda t, y: y, noise=Noise.ADDITIVE), ValueError, "`noise`"),
    ("none with g", lambda: Equation(lambda t, y: y, lambda t, y: y, noise=Noise.NONE), ValueError, "`noise`"),
    ("toward", lambda: Equation(lambda t, y: y, toward=0), ValueError, "`toward`"),
    ("a nan", lambda: Equation(lambda t, y: y, a=NAN), ValueError, "`a`"),
    ("a str", lambda: Equation(lambda t, y: y, a="1"), TypeError, "`a`"),
    ("a integer tensor", lambda: Equation(lambda t, y: y, a=torch.tensor(1)), TypeError, "`a`"),
    # states
    ("y0 list", lambda: solve(DECAY, [1.0], Euler(), T), TypeError, "`y0`"),
    ("y0 integer", lambda: solve(DECAY, X.long(), Euler(), T), TypeError, "`y0`"),
    ("y0 scalar", lambda: solve(DECAY, torch.tensor(1.0), Euler(), T), ValueError, "`y0`"),
    ("y0 empty", lambda: solve(DECAY, X[:0], Euler(), T), ValueError, "`y0`"),
    ("y0 nan", lambda: solve(DECAY, X * NAN, Euler(), T), ValueError, "`y0` must be finite, got 12"),
    ("save off grid", lambda: solve(DECAY, X, Euler(), T, save=torch.tensor([0.3])), ValueError, "`save` must hold points of the grid"),
    ("save outside", lambda: solve(DECAY, X, DormandPrince54(), Adaptive(0.0, 1.0), save=torch.tensor([1.3])), ValueError, "`save` must lie between"),
    ("white", lambda: WhiteNoise(None), TypeError, "`generator`"),
]


@pytest.mark.parametrize(("call", "kind", "message"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_refused(call, kind, message):
    """The error is of this type and names the argument."""
    with pytest.raises(kind, match=message):
        call()


def test_nothing_is_evaluated_before_the_checks():
    """The bar: an error about arguments comes before the first call of f."""
    calls = []

    def f(t, y):
        calls.append(t)
        return y

    for attempt in (
        lambda: solve(Equation(f), X * NAN, Euler(), T),
        lambda: solve(Equation(f), X, Euler(), T[:1]),
        lambda: solve(Equation(f, lambda t, y: y), X, EulerMaruyama(), T),
        lambda: solve(Equation(f), X, DormandPrince54(), Adaptive(0.0, 1.0, rtol=1e-9)),
        lambda: solve(Equation(f), X, Euler(), T, save=torch.tensor([0.3])),
        lambda: iterate(Equation(f), X, Euler(), T[:1]),
    ):
        with pytest.raises(ValueError, match="`"):
            attempt()
    assert not calls


def test_a_solution_that_broke_is_at_hand():
    """Row 36 on a fixed grid: the error holds what was reached, strict=False returns it, and says which samples are good."""
    y0 = torch.tensor([[1.0], [-1.0], [2.0]], dtype=F64)
    eq = Equation(lambda t, y: torch.where((y < 0) & (t > 0.4), NAN, y))
    with pytest.raises(NonFiniteError, match=r"step 3 of 4, t = 0.75, in 1 of 3 samples \(first: 1\)") as caught:
        solve(eq, y0, Euler(), T)
    assert caught.value.solution.ok.tolist() == [True, False, True]
    assert solve(eq, y0, Euler(), T, strict=False).ok.tolist() == [True, False, True]


def test_views_are_accepted():
    """Row 66: expanded, transposed and strided states give what contiguous ones give, and are left as they are."""
    base = torch.arange(12.0, dtype=F64).reshape(3, 4) / 12 + 0.1
    for view in (base.T, base[::2, 1::2], base[:1].expand(5, 4), base.flip(0)):
        kept = view.clone()
        for solver, steps in ((RK4(), T), (DormandPrince54(), Adaptive(0.0, 1.0))):
            assert torch.equal(solve(DECAY, view, solver, steps).y, solve(DECAY, kept.contiguous(), solver, steps).y)
        assert torch.equal(view, kept)
        torch.testing.assert_close(VP.perturb(view, 0.5, view), VP.perturb(kept, 0.5, kept), rtol=0, atol=0)
