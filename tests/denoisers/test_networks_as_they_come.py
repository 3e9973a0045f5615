"""Networks nobody here wrote: packed, complex and frozen weights, required conditions, outputs of other kinds,
threads."""

from __future__ import annotations

import threading

import pytest
import torch
from torch import nn

from scoresde import VPSDE, X0, Denoiser, Eps, V, catalogue, sample
from scoresde.data.samples import Dataset
from scoresde.data.toys import moons
from scoresde.training import Training, fit

HALF = torch.tensor(0.5, dtype=torch.float64)


class Scale(nn.Module):
    """x times one weight, with another one before it."""

    def __init__(self, first: torch.Tensor | None = None, weight: float = 0.5, dtype: torch.dtype = torch.float32):
        super().__init__()
        if first is not None:
            self.first = nn.Parameter(first, requires_grad=False)
        self.weight = nn.Parameter(torch.tensor(weight, dtype=dtype))
        self.seen: list[torch.dtype] = []

    def forward(self, x, c_noise):
        self.seen.append(x.dtype)
        return x * self.weight


PACKED = {
    "int8": torch.zeros(3, dtype=torch.int8),
    "packed uint8": torch.zeros(3, dtype=torch.uint8),
    "bool": torch.zeros(3, dtype=torch.bool),
    "float8": torch.zeros(3).to(torch.float8_e4m3fn),
    "complex": torch.zeros(3, dtype=torch.complex64),
}


@pytest.mark.parametrize("kind", PACKED)
def test_packed_weights_do_not_set_the_states_dtype(kind):
    """x = 0.7 reaches the network as 0.7, though its first weight is of whole or complex numbers."""
    net = Scale(PACKED[kind])
    got = Denoiser(net, VPSDE(), X0())(torch.full((1, 2), 0.7), HALF, HALF)
    assert net.seen == [torch.float32]
    scale = float(VPSDE().alpha(VPSDE().time(0.0)) / HALF)
    assert torch.allclose(got.x0, torch.full((1, 2), 0.35 * scale))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_the_dtype_is_that_of_floating_weights(dtype):
    net = Scale(PACKED["int8"], dtype=dtype)
    Denoiser(net, VPSDE(), X0())(torch.ones(1, 2), HALF, HALF)
    assert net.seen == [dtype]


def test_a_network_of_complex_weights_alone_is_given_real_states():
    """Of complex64 weights the parts are float32, of complex128 float64."""
    for kind, wanted in ((torch.complex64, torch.float32), (torch.complex128, torch.float64)):
        net = Scale(torch.ones(2, dtype=kind))
        del net.weight
        net.weight = 1.0
        Denoiser(net, VPSDE(), X0())(torch.ones(1, 2, dtype=torch.float16), HALF, HALF)
        assert net.seen == [wanted]


class Fourier(nn.Module):
    """A spectral layer: complex weights between two transforms, as in Fourier neural operators."""

    def __init__(self):
        super().__init__()
        self.spectrum = nn.Parameter(torch.ones(5, dtype=torch.complex64))
        self.mix = nn.Linear(1, 1)

    def forward(self, x, c_noise):
        there = torch.fft.irfft(torch.fft.rfft(x, n=8) * self.spectrum, n=8)[:, : x.shape[1]]
        return there * self.mix(c_noise[:, None] / 1000)


@pytest.mark.parametrize(
    "make", [Fourier, lambda: Scale(PACKED["int8"]), lambda: Scale(PACKED["float8"])], ids=["complex", "int8", "float8"]
)
def test_such_networks_train_and_sample(make):
    """The weights move, their average follows, packed ones stay, samples are finite."""
    net = make()
    before = {name: p.detach().clone() for name, p in net.named_parameters()}
    for _ in fit(Denoiser(net, VPSDE()), moons(), Training(steps=5, batch=32, ema=0.5)):
        pass
    moved = {
        name
        for name, p in net.named_parameters()
        if not torch.equal(p.detach().cpu().to(torch.complex64), before[name].to(torch.complex64))
    }
    assert moved == {name for name, p in net.named_parameters() if p.requires_grad}
    assert sample(Denoiser(net, VPSDE()), (4, 2), catalogue.ddim(4)).isfinite().all()


# -- attributes that coefficients follow from
# ------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "value"), [("table", X0()), ("process", VPSDE(0.1, 10.0)), ("time", lambda lam: lam)])
def test_what_coefficients_follow_from_cannot_be_set(name, value):
    """Set anew it would leave old coefficients behind; the message says how to make another denoiser."""
    denoiser = Denoiser(Scale(), VPSDE(), Eps())
    denoiser(torch.ones(1, 2), HALF, HALF)
    with pytest.raises(AttributeError, match=rf"`{name}`.*make another"):
        setattr(denoiser, name, value)
    assert denoiser.table == Eps()


# -- conditions
# ------------------------------------------------------------------------------------------------------------


class Required(nn.Module):
    def forward(self, x, c_noise, y):
        return x * y[:, None]


def test_a_network_whose_condition_is_required_is_taken():
    denoiser = Denoiser(Required(), VPSDE(), V())
    x = sample(denoiser, (3, 2), catalogue.ddim(3), cond=torch.tensor([0.0, 0.1, 0.2]))
    assert x.isfinite().all()
    with pytest.raises(TypeError, match="`cond` must be given"):
        sample(denoiser, (3, 2), catalogue.ddim(3))


def test_a_condition_for_a_network_without_one_is_refused():
    with pytest.raises(TypeError, match="`cond` must be left out"):
        sample(Denoiser(Scale(), VPSDE()), (3, 2), catalogue.ddim(3), cond=torch.zeros(3))


def test_a_network_of_four_arguments_is_refused():
    def network(x, c_noise, y, z):
        return x

    with pytest.raises(TypeError, match="`network` must be a callable"):
        Denoiser(network, VPSDE())


# -- outputs
# ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.complex64, torch.bool, torch.int64])
def test_an_output_that_is_not_real_is_refused(dtype):
    denoiser = Denoiser(lambda x, c_noise: x.to(dtype), VPSDE())
    with pytest.raises(TypeError, match=f"`network` must return real floating numbers, got {dtype}"):
        sample(denoiser, (2, 2), catalogue.ddim(3))


@pytest.mark.parametrize("dtype", [int, float, torch.int64, torch.complex64, torch.bool, "float32"])
def test_a_state_that_is_not_real_is_refused(dtype):
    with pytest.raises(TypeError, match="`dtype` must be"):
        sample(Denoiser(Scale(), VPSDE()), (2, 2), catalogue.ddim(3), dtype=dtype)


# -- where and how it is trained
# -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_training_takes_gradients_in_any_mode(mode):
    """The same weights as without it, and the mode of the caller is left as it was."""
    weights = []
    for context in (mode, torch.enable_grad):
        net = Scale()
        with context():
            was = torch.is_grad_enabled()
            for _ in fit(Denoiser(net, VPSDE()), moons(), Training(steps=3, batch=16)):
                assert torch.is_grad_enabled() == was
        weights.append(net.weight.item())
    assert weights[0] == weights[1] != 0.5


def test_a_frozen_network_is_refused():
    net = Scale()
    net.requires_grad_(False)
    with pytest.raises(ValueError, match="`network` must have weights to train"):
        next(fit(Denoiser(net, VPSDE()), moons(), Training(steps=3, batch=16)))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16])
def test_data_of_another_dtype_train_a_float32_network(dtype):
    """As their float32 values do, to the rounding of the data."""
    x = moons().x.to(dtype)
    losses = [
        [p.loss for p in fit(Denoiser(Scale(), VPSDE()), Dataset(data), Training(steps=3, batch=16))]
        for data in (x, x.float())
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


# -- threads
# ---------------------------------------------------------------------------------------------------------------


class Modes(nn.Module):
    """Notes the mode it is called in. The thread "first" waits inside until another is inside too, which waits until
    the first has finished."""

    def __init__(self):
        super().__init__()
        self.drop = nn.Dropout()
        self.seen: list[bool] = []
        self.first_in, self.other_in, self.first_done = threading.Event(), threading.Event(), threading.Event()

    def forward(self, x, c_noise):
        if threading.current_thread().name == "first":
            self.first_in.set()
            assert self.other_in.wait(30)
        else:
            self.other_in.set()
            assert self.first_done.wait(30)
        self.seen.append(self.drop.training)
        return self.drop(x)


def test_eval_mode_holds_until_the_last_thread_has_finished():
    """Two threads sample one denoiser in train mode: neither sees dropout, and train mode is back at the end."""
    net = Modes()
    denoiser = Denoiser(net, VPSDE()).train()

    def first():
        sample(denoiser, (2, 2), catalogue.ddim(2))
        net.first_done.set()

    thread = threading.Thread(name="first", target=first)
    thread.start()
    assert net.first_in.wait(30)
    sample(denoiser, (2, 2), catalogue.ddim(2))
    thread.join(30)
    assert net.seen == [False] * 4
    assert net.training
    assert net.drop.training


def test_a_mode_of_its_own_is_restored():
    """A part that was in eval mode stays there when the whole was in train mode."""
    net = Modes()
    net.first_done.set()
    denoiser = Denoiser(net, VPSDE()).train()
    net.drop.eval()
    sample(denoiser, (2, 2), catalogue.ddim(2))
    assert (denoiser.training, net.training, net.drop.training) == (True, True, False)
