"""Moments of data, the coordinates made of them, and the files that keep them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from scoresde import EDM, Angle, Frame, Method, Moments, Split, catalogue, exact, inverse, sampling
from scoresde.denoisers.moments import Axes, Basis, Cosines, Directions
from scoresde.samplers.frame import LEAST, Whitened
from scoresde.samplers.grids import Tolerance, uniform_lambda
from solvers import DormandPrince54, ExpAdamsPC, WhiteNoise

F64 = torch.float64


def normals(*shape: int, seed: int = 0) -> Tensor:
    return WhiteNoise(torch.Generator().manual_seed(seed)).normal(shape, F64, "cpu")


TURNED = torch.linalg.qr(normals(5, 5))[0]
BASES: list[tuple[Basis, tuple[int, ...]]] = [
    (Axes(), (3, 4)),
    (Cosines(), (7,)),
    (Cosines(), (3, 5, 6)),
    (Cosines(), (2, 3, 4, 5)),
    (Directions(TURNED[:2]), (5,)),
    (Directions(TURNED), (5,)),
]


@pytest.mark.parametrize(("basis", "shape"), BASES, ids=lambda v: repr(v) if isinstance(v, Basis) else str(v))
@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_a_basis_gives_back_what_it_takes(basis: Basis, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    """back(to(x)) = x to rounding, and the coordinates have the length of x where there are as many as dimensions."""
    x = normals(4, *shape).to(dtype)
    ready = basis.on(x)
    u = ready.to(x)
    assert u.dtype == dtype
    assert torch.allclose(ready.back(u), x, atol=1e-6 if dtype == torch.float32 else 1e-13)
    if u.shape == x.shape:
        assert torch.allclose(u.square().flatten(1).sum(1), x.square().flatten(1).sum(1))


def test_cosines_are_those_of_scipy() -> None:
    """The orthonormal DCT-II of scipy.fft, over every axis."""
    from scipy.fft import dctn

    x = normals(3, 2, 5, 6)
    assert torch.allclose(Cosines().to(x), torch.from_numpy(dctn(x.numpy(), axes=(1, 2, 3), norm="ortho")), atol=1e-13)


def test_moments_of_points_are_their_mean_and_covariance() -> None:
    """B diag(l) B' is the covariance where all directions are kept; the scale is its root mean trace."""
    x = normals(500, 5, seed=3) * torch.tensor([3.0, 1.0, 0.5, 0.1, 0.0], dtype=F64) @ TURNED.T + 2
    m = Moments.of(x)
    ready = m.basis.on(x)
    covariance = ready.back(ready.to(torch.eye(5, dtype=F64)) * m.std**2)
    assert torch.allclose(covariance, x.T.cov(correction=0), atol=1e-12)
    assert torch.allclose(m.mean, x.mean(0))
    assert m.scale == pytest.approx(x.T.cov(correction=0).trace().div(5).sqrt().item())


def test_moments_of_images_are_taken_along_cosines() -> None:
    """White noise of standard deviation 2 has it along every cosine, within five standard errors of a standard
    deviation, 2/sqrt(2N)."""
    m = Moments.of(2 * normals(4000, 1, 4, 4))
    assert isinstance(m.basis, Cosines)
    assert m.std.shape == (1, 4, 4)
    assert ((m.std - 2).abs() < 5.5 * 2 / 8000**0.5).all()  # sixteen numbers: below 1e-6 by chance


def test_many_dimensions_share_what_is_left() -> None:
    """Beyond 64 directions one standard deviation stands for the rest, and the trace is kept."""
    x = normals(300, 100, seed=4) * torch.linspace(2, 0.1, 100, dtype=F64)
    m = Moments.of(x)
    assert m.std.shape == (164,)
    rest = m.std[64:]
    assert bool((rest == rest[0]).all())
    assert (m.std[:64].square().sum() + 36 * rest[0] ** 2).item() == pytest.approx(100 * m.scale**2)


@pytest.mark.parametrize("x", [normals(50, 3), normals(50, 100), normals(50, 2, 6)], ids=["points", "many", "series"])
def test_a_file_gives_back_what_was_kept(x: Tensor, tmp_path: Path) -> None:
    """Equal after a save and a load; another file is refused by its name."""
    m = Moments.of(x)
    m.save(tmp_path / "m.safetensors")
    assert Moments.load(tmp_path / "m.safetensors") == m
    assert hash(Moments.load(tmp_path / "m.safetensors")) == hash(m)
    assert Moments.of(2 * x) != m
    (tmp_path / "n.safetensors").write_bytes(b"no moments")
    with pytest.raises(ValueError, match=r"n.safetensors does not hold moments"):
        Moments.load(tmp_path / "n.safetensors")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Moments(0.0, -1.0), "`std`"),
        (lambda: Moments(0.0, 0.0), "`std`"),
        (lambda: Moments(float("nan"), 1.0), "`mean`"),
        (lambda: Moments(0.0, [1.0, 2.0], TURNED[:2]), "`std` must hold one number for each of the 7"),
        (lambda: Moments(0.0, [1.0, 2.0, 1.0, 1.0, 1.0], 2 * TURNED), "`rows` must be orthonormal"),
        (lambda: Moments.of(normals(1, 3)), "`x` must hold two samples"),
        (lambda: Moments.of(torch.ones(5, 3)), "`x` must hold samples that differ"),
        (lambda: Frame(3.0), "`moments`"),  # pyright: ignore[reportArgumentType]
        (lambda: Frame(Moments(), 0.0), "`start`"),
        (
            lambda: Method(Angle(), Split.X0, ExpAdamsPC(2), uniform_lambda, 5, 1.0, frame=Frame(Moments())),
            "`frame` must be None for a method with noise",
        ),
        (
            lambda: sampling.sample(MIXTURE, (2, 3), framed(Moments(torch.zeros(4), 1.0))),
            "`moments` must be of samples like the state",
        ),
    ],
)
def test_what_cannot_be_used_is_named(make: object, said: str) -> None:
    """Errors at the edge, by the name of the argument."""
    with pytest.raises((ValueError, TypeError), match=said):
        make()  # pyright: ignore


MIXTURE = exact.GaussianMixture(torch.tensor([[2.0, 0.0, 1.0], [-1.0, 0.5, 1.0], [0.0, -1.0, 1.0]], dtype=F64), 0.04)


def framed(moments: Moments, n: int = 40, start: float = float("inf")) -> Method:
    return Method(Angle(moments.scale), Split.FLOW, ExpAdamsPC(3), uniform_lambda, n, frame=Frame(moments, start))


@pytest.mark.parametrize("n", [1, 2, 5])
def test_a_gaussian_stands_still_in_its_own_frame(n: int) -> None:
    """Its flow is exact in any number of steps, and from any start: the closed form (x - m) sqrt((l + low^2)/(l +
    high^2)) along its axes."""
    spread = torch.tensor([3.0, 1.0, 0.3, 0.2, 0.1], dtype=F64)
    data = exact.Gaussian(torch.arange(5, dtype=F64), TURNED * spread**2 @ TURNED.T)
    moments = data.moments
    x = 80 * normals(16, 5, seed=9)
    shrink = ((spread**2 + 0.002**2) / (spread**2 + 80.0**2)).sqrt()
    truth = data.mean + (x - data.mean) @ TURNED * shrink @ TURNED.T
    assert float(spread.min()) > LEAST * moments.scale
    for start in (float("inf"), 5.0):
        y = sampling.transport(data, x, framed(moments, n, start), EDM(), 80.0, 0.002).y
        assert torch.allclose(y, truth, atol=1e-11)


@pytest.mark.parametrize(
    "moments",
    [
        MIXTURE.moments,
        Moments(1.0, 0.5),
        Moments(torch.tensor([3.0, -1.0, 0.0]), [2.0, 0.0, 0.1]),
        Moments(0.0, torch.tensor([1.0, 2.0, 3.0]), Cosines()),
    ],
    ids=["its own", "one number", "wrong", "cosines"],
)
def test_the_flow_is_the_model_s_in_any_frame(moments: Moments) -> None:
    """Right or wrong moments change the coordinates, not where the flow arrives: against Dormand-Prince without a
    frame, and back again."""
    x = 80 * normals(32, 3, seed=5)
    truth = sampling.transport(MIXTURE, x, catalogue.probability_flow(1e-10), EDM(), 80.0, 0.002).y
    y = sampling.transport(MIXTURE, x, framed(moments, 400), EDM(), 80.0, 0.002).y
    assert (y - truth).square().mean().sqrt() < 1e-5
    adaptive = Method(Angle(moments.scale), Split.FLOW, DormandPrince54(), Tolerance(1e-9, 1e-9), frame=Frame(moments))
    assert (sampling.transport(MIXTURE, x, adaptive, EDM(), 80.0, 0.002).y - truth).square().mean().sqrt() < 1e-6
    back = sampling.transport(MIXTURE, y, framed(moments, 400), EDM(), 0.002, 80.0).y
    assert (back - x).square().mean().sqrt() < 80 * 1e-4


def test_a_whole_path_agrees_with_the_frame_s_ends() -> None:
    """`save` keeps states of the process asked for; encode and decode are inverse; a path is seen in the frame of unit
    radius."""
    method = framed(MIXTURE.moments, 400, start=20.0)
    x = 80 * normals(8, 3, seed=6)
    whole = sampling.transport(MIXTURE, x, method, EDM(), 80.0, 0.002, save=True)
    assert whole.ys is not None
    assert torch.equal(whole.ys[-1], whole.y)
    assert whole.ts[0].item() == pytest.approx(20 * MIXTURE.moments.scale)
    y = sampling.sample(MIXTURE, (8, 3), method, seed=1, denoise=False)
    z = sampling.encode(MIXTURE, y, method)
    assert torch.allclose(sampling.decode(MIXTURE, z, method, denoise=False), y, atol=1e-5)
    path = list(sampling.trajectory(MIXTURE, (8, 3), method, seed=1))
    assert len(path) == 400
    assert torch.allclose(path[-1][1], y, atol=1e-5)


def test_whitened_needs_no_end() -> None:
    """At pure noise and without any the answer is finite, and one per-sample level gives what a common one gives."""
    x = normals(4, 3, seed=7)
    model = Whitened(MIXTURE, MIXTURE.moments, x)
    one, none = torch.tensor(1.0, dtype=F64), torch.tensor(0.0, dtype=F64)
    for alpha, sigma in ((none, one), (one, torch.tensor(1e-9, dtype=F64))):
        assert bool(model(x, alpha, sigma).out.isfinite().all())
    common = model(x, one, 0.3 * one).out
    assert torch.allclose(model(x, one.expand(4), (0.3 * one).expand(4)).out, common, atol=1e-13)
    assert torch.allclose(model(3 * x, 3 * one, 0.9 * one).out, common, atol=1e-13)


def test_a_measurement_leaves_the_scale_alone() -> None:
    """A led denoiser has its prior's mean and scale, and no directions: the measurement has decided some of them."""
    seen = inverse.Measurement(inverse.Mask(torch.tensor([True, False])), torch.zeros(1), 0.1)
    moments = inverse.pigdm(MIXTURE, seen).moments
    assert moments == MIXTURE.moments.isotropic
    assert moments.std.dim() == 0
    assert moments.scale == pytest.approx(MIXTURE.moments.scale)
