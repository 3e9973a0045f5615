"""Operators by their dot test and spectra; posterior samplers against the posterior in closed form."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from torch import Tensor

from scoresde import VPSDE, Denoiser, RectifiedFlow, V, catalogue, exact, inverse, sample
from scoresde.inverse.denoisers import conjugate_gradients
from tests.helpers.inverse_problems import LINEAR_FUNCTION, MEASURED, PRIOR, A, Y, measured, normals
from tests.helpers.problems import F64

GENERATOR = torch.Generator().manual_seed(0)
KERNEL = torch.rand(3, 3, generator=GENERATOR, dtype=F64)
MASK = torch.rand(3, 8, 8, generator=GENERATOR) > 0.4
OPERATORS: dict[str, inverse.Operator] = {
    "mask": inverse.Mask(MASK),
    "matrix": inverse.Matrix(torch.randn(5, 192, generator=GENERATOR, dtype=F64), (3, 8, 8)),
    "blur": inverse.Blur(KERNEL),
    "downsample": inverse.Downsample(4),
    "grey": inverse.Grey(3),
    "composed": inverse.Compose(inverse.Blur(KERNEL), inverse.Downsample(2), inverse.Grey(3)),
}
SHAPE = (3, 8, 8)


@pytest.mark.parametrize("name", OPERATORS)
def test_an_adjoint_passes_the_dot_test(name: str) -> None:
    operator = OPERATORS[name]
    x = normals(4, *SHAPE)
    made = operator(x)
    y = normals(*made.shape, seed=1)
    left = (made * y).flatten(1).sum(1)
    torch.testing.assert_close(left, (x * operator.adjoint(y)).flatten(1).sum(1))


@pytest.mark.parametrize("name", OPERATORS)
def test_solve_undoes_the_gram(name: str) -> None:
    """With one factor for all samples, or one each."""
    operator = OPERATORS[name]
    y = normals(*operator(normals(4, *SHAPE)).shape, seed=2)

    for r in (torch.tensor(0.7, dtype=F64), torch.tensor([0.1, 1.0, 2.0, 5.0], dtype=F64)):
        u = operator.solve(y, r, 0.2)
        wide = r.reshape(-1, *[1] * (y.dim() - 1)) if r.dim() else r
        torch.testing.assert_close(wide * operator(operator.adjoint(u)) + 0.2 * u, y)


@pytest.mark.parametrize("name", OPERATORS)
def test_a_function_of_the_spectrum_is_that_of_the_matrix(name: str) -> None:
    """One that is not zero at zero, against eigenvectors of A'A."""
    operator = OPERATORS[name]
    x = normals(4, *SHAPE)
    matrix = inverse.Measurement(operator, operator(x)[0], 0.1, SHAPE).matrix(192)
    values, basis = torch.linalg.eigh(matrix.T @ matrix)
    wanted = (x.flatten(1) @ basis * torch.cos(values)) @ basis.T
    torch.testing.assert_close(operator.spectral(x, torch.cos).flatten(1), wanted)


@pytest.mark.parametrize("name", OPERATORS)
def test_the_pseudo_inverse_is_that_of_the_matrix(name: str) -> None:
    operator = OPERATORS[name]
    y = operator(normals(1, *SHAPE))[0]
    measurement = inverse.Measurement(operator, y, 0.1, SHAPE)
    wanted = torch.linalg.pinv(measurement.matrix(192)) @ y.flatten()
    torch.testing.assert_close(measurement.pseudo_inverse().flatten(), wanted, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", OPERATORS)
def test_a_matrix_is_the_operator(name: str) -> None:
    operator = OPERATORS[name]
    x = normals(2, *SHAPE)
    made = operator(x)
    matrix = inverse.Measurement(operator, made[0], 0.1, SHAPE).matrix(192)
    torch.testing.assert_close(x.flatten(1) @ matrix.T, made.flatten(1))


def test_a_blur_is_the_circular_convolution() -> None:
    """Of a delta it is the kernel around it, the middle at its place."""
    delta = torch.zeros(1, 1, 8, 8, dtype=F64)
    delta[0, 0, 0, 5] = 1
    made = inverse.Blur(KERNEL)(delta)[0, 0].roll((1, -4), (0, 1))
    torch.testing.assert_close(made[:3, :3], KERNEL)
    assert float(made.sum() - KERNEL.sum()) == pytest.approx(0, abs=1e-12)


def test_conjugate_gradients_solve() -> None:
    root = normals(6, 6)
    matrix = root @ root.T + 0.1 * torch.eye(6, dtype=F64)
    b = normals(3, 6, seed=1)
    b[1] = 0
    torch.testing.assert_close(conjugate_gradients(lambda u: u @ matrix, b, 12), torch.linalg.solve(matrix, b.T).T)


@pytest.mark.parametrize("measurement", [MEASURED, LINEAR_FUNCTION], ids=["matrix", "function"])
def test_moment_matching_is_exact_for_gaussians(measurement: Any) -> None:
    """The posterior's own denoiser at any level, and its samples, to rounding."""
    posterior = exact.posterior(PRIOR, MEASURED)
    led = inverse.tmpd(PRIOR, measurement)

    for alpha, sigma in ((0.6, 0.8), (1.0, 0.05), (1.0, 10.0)):
        x = normals(7, 3) * (alpha + sigma)
        a, s = torch.tensor(alpha, dtype=F64), torch.tensor(sigma, dtype=F64)
        torch.testing.assert_close(led(x, a, s).x0, posterior(x, a, s).x0, rtol=1e-8, atol=1e-8)

    a = sample(led, (5, 3), catalogue.unipc(12))
    torch.testing.assert_close(a, sample(inverse.tmpd(PRIOR, MEASURED), (5, 3), catalogue.unipc(12)))


def test_pseudo_inverse_guidance_is_exact_for_white_data() -> None:
    """Data N(0, c^2 I): r^2 is the variance of x0 given x, so A A' r^2 + s^2 is exact."""
    white = exact.Gaussian(torch.zeros(3, dtype=F64), 4.0)
    posterior = exact.posterior(white, MEASURED)
    led = inverse.pigdm(white, MEASURED, data_std=2.0)
    x, a, s = normals(5, 3), torch.tensor(0.6, dtype=F64), torch.tensor(0.8, dtype=F64)
    torch.testing.assert_close(led(x, a, s).x0, posterior(x, a, s).x0)


def test_dps_is_its_formula() -> None:
    """Written out by automatic differentiation of the norm."""
    x, a, s = normals(5, 3), torch.tensor(0.6, dtype=F64), torch.tensor(0.8, dtype=F64)
    leaf = x.clone().requires_grad_()
    norm = (Y - PRIOR(leaf, a, s).x0 @ A.T).norm(dim=1)
    (gradient,) = torch.autograd.grad(norm.sum(), leaf)
    wanted = PRIOR(x, a, s).x0 - 0.7 * 2**0.5 / 0.3 * gradient * 0.64 / 0.6
    torch.testing.assert_close(inverse.dps(PRIOR, MEASURED, 0.7)(x, a, s).x0, wanted)


def test_products_are_counted() -> None:
    assert inverse.dps(PRIOR, MEASURED).products == inverse.pigdm(PRIOR, MEASURED).products == 1
    assert inverse.tmpd(PRIOR, MEASURED, 3).products == 4


def test_twisted_particles_sample_the_posterior_of_a_gaussian() -> None:
    """Mean within 6 standard errors of an effective 1000 draws and the chain's error of 400 levels, 0.01."""
    posterior = exact.posterior(PRIOR, MEASURED)
    found = inverse.twisted(PRIOR, MEASURED, (4000, 3), catalogue.ddpm(400), particles=4000)
    mean = posterior.means[0]
    cov = posterior.covariances()[0]
    allowed = 6 * (cov.diag() / 1000).sqrt() + 0.01
    assert float(found.ess.min()) > 1000
    assert bool(((found.x.mean(0) - mean).abs() < allowed).all())
    assert bool(((found.x.T.cov() - cov).abs() < 0.15 * cov.diag().max()).all())
    assert float(found.log_weights.exp().sum()) == pytest.approx(1)


def test_particles_are_a_function_of_the_seed() -> None:
    def drawn(seed: int, batch: int = 4096) -> Tensor:
        return inverse.twisted(PRIOR, MEASURED, (10, 3), catalogue.ddpm(20), particles=64, seed=seed, batch=batch).x

    assert torch.equal(drawn(1), drawn(1))
    torch.testing.assert_close(drawn(1), drawn(1, 10))
    assert not torch.equal(drawn(1), drawn(2))


@pytest.mark.slow
def test_the_error_falls_with_the_root_of_the_particles() -> None:
    """Slope -1/2 of the error of the mean in particles, +- 0.15, over 24 seeds: on a mixture, where weights matter."""
    means = torch.tensor([[-3.0, 0.0], [3.0, 1.0]], dtype=F64)
    prior = exact.GaussianMixture(means, 0.5)
    measurement = inverse.Measurement(
        inverse.Matrix(torch.tensor([[0.2, 1.0]], dtype=F64)), torch.zeros(1).double(), 0.8
    )
    posterior = exact.posterior(prior, measurement)
    mean = posterior.log_weights.exp() @ posterior.means
    counts = torch.tensor([32.0, 128.0, 512.0, 2048.0], dtype=F64)
    errors: list[float] = []

    for count in counts.int().tolist():
        found: list[Tensor] = []
        for seed in range(24):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                one = inverse.twisted(prior, measurement, (count, 2), catalogue.ddpm(200), particles=count, seed=seed)
            found.append(one.x.mean(0) - mean)
        errors.append(float(torch.stack(found).square().sum(1).mean().sqrt()))

    x = counts.log() - counts.log().mean()
    slope = float((x * torch.tensor(errors, dtype=F64).log()).sum() / x.square().sum())
    assert slope == pytest.approx(-0.5, abs=0.15)


class Wrong(inverse.DenseOperator):
    """Its adjoint is not its transpose."""

    def forward(self, x: Tensor) -> Tensor:
        return 2 * x

    def adjoint(self, y: Tensor) -> Tensor:
        return y


def drawn(make: Any, measurement: inverse.Measurement) -> Tensor:
    return sample(make(PRIOR, measurement), (2, 3), catalogue.ddim(2))


FILTER: dict[str, Any] = {"shape": (2, 3), "method": catalogue.ddpm(3), "particles": 4}
BAD: dict[str, tuple[Any, str]] = {
    "mask values": (lambda: inverse.Mask(torch.tensor([0.5, 1.0])), "`mask` must hold 0 and 1"),
    "mask empty": (lambda: inverse.Mask(torch.zeros(3)), "`mask` must keep"),
    "mask type": (lambda: inverse.Mask([1, 0]), "`mask` must be a tensor"),  # type: ignore[arg-type]
    "mask shape": (
        lambda: drawn(inverse.pigdm, measured(operator=inverse.Mask(torch.ones(4)), y=torch.zeros(4))),
        "`mask` must have the shape of one sample",
    ),
    "std": (lambda: measured(std=-0.1), "`std` must"),
    "std nan": (lambda: measured(std=float("nan")), "`std` must"),
    "y": (lambda: measured(y=torch.tensor([0.0, float("nan")])), "`y` must be finite"),
    "y shape": (lambda: drawn(inverse.pigdm, measured(y=Y[None])), "`y` must have the shape"),
    "operator": (lambda: measured(operator=A), "`operator` must be"),
    "dot test": (
        lambda: drawn(inverse.pigdm, measured(operator=Wrong(), y=torch.zeros(3))),
        "`operator` must have an adjoint",
    ),
    "dps without noise": (lambda: inverse.dps(PRIOR, measured(std=0.0)), "`measurement` must have a std above 0"),
    "pigdm of a function": (lambda: drawn(inverse.pigdm, LINEAR_FUNCTION), "`operator` must be linear"),
    "measurement": (lambda: inverse.pigdm(PRIOR, Y), "`measurement` must be"),
    "factor": (lambda: inverse.Downsample(3)(torch.zeros(1, 1, 8, 8)), "`factor` must divide"),
    "channels": (lambda: inverse.Grey(3)(torch.zeros(1, 1, 8, 8)), "`channels` must"),
    "kernel": (lambda: inverse.Blur(torch.ones(9, 9))(torch.zeros(1, 1, 8, 8)), "`kernel` must fit"),
    "composed": (lambda: inverse.Compose(inverse.Function(lambda x: x)), "`operators` must be linear"),
    "particles": (lambda: inverse.twisted(PRIOR, MEASURED, **{**FILTER, "particles": 1}), "`particles` must"),
    "filter of a function": (
        lambda: inverse.twisted(PRIOR, LINEAR_FUNCTION, **FILTER),
        "`measurement` must have a linear",
    ),
    "filter without noise": (
        lambda: inverse.twisted(PRIOR, measured(std=0.0), **FILTER),
        "`measurement` must have a std",
    ),
    "matrix": (lambda: inverse.Matrix(A * torch.nan), "`a` must be finite"),
    "matrix shape": (lambda: inverse.Matrix(A, (2, 2)), "`shape` must hold 3 numbers"),
    "blur": (lambda: inverse.Blur(KERNEL * torch.nan), "`kernel` must be finite"),
    "posterior": (lambda: exact.posterior(PRIOR, Y), "`measurement` must be an inverse.Measurement"),  # type: ignore
    "filter's method": (lambda: inverse.twisted(PRIOR, MEASURED, **{**FILTER, "method": "ddpm"}), "`method` must be"),
    "adaptive filter": (
        lambda: inverse.twisted(PRIOR, MEASURED, **{**FILTER, "method": catalogue.probability_flow()}),
        "`method` must have a fixed grid",
    ),
    "filter of NaN": (
        lambda: inverse.twisted(Denoiser(lambda x, t: x * torch.nan, VPSDE()), MEASURED, **FILTER),
        "`denoiser` must answer finite",
    ),
    "gradient at pure noise": (
        lambda: sample(
            inverse.pigdm(Denoiser(lambda x, t: x, RectifiedFlow(), V()), MEASURED), (2, 3), catalogue.euler(3)
        ),
        "`alpha` must be above 0",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_named(name: str) -> None:
    call, said = BAD[name]
    with pytest.raises((TypeError, ValueError), match=said):
        call()


def test_a_collapse_is_told() -> None:
    sharp = inverse.Measurement(inverse.Matrix(A), Y + 5, 1e-4)
    with pytest.warns(UserWarning, match="few particles carry the answer"):
        found = inverse.twisted(PRIOR, sharp, (5, 3), catalogue.ddpm(3), particles=200)
    assert float(found.ess[-1]) < 4
