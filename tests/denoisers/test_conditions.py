"""Conditions of every form: chosen leaf by leaf in chunks, under adaptive steps, in training and in files; refused at
the edge by name."""

from __future__ import annotations

import warnings
from collections import namedtuple
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from scoresde import VPSDE, Denoiser, catalogue, data, ddpm, sample
from scoresde.data.samples import Dataset
from scoresde.denoisers import conditions
from scoresde.evaluation.doctor import doctor
from scoresde.evaluation.elbo import elbo
from scoresde.evaluation.likelihood import log_likelihood
from scoresde.runs.config import Config, ConfigError, DataConfig
from scoresde.training import Objective, fit
from scoresde.training.state import Training

VP = VPSDE()
Pair = namedtuple("Pair", "a b")
VALUES = torch.linspace(-1, 1, 6)


class Shifted(nn.Module):
    """eps of a standard normal around a mean that is read from any form of condition."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor, t: Tensor, cond: Any) -> Tensor:
        found: list[Tensor] = []
        conditions.each(lambda leaf, _: found.append(leaf), cond)
        mean = sum(leaf.reshape(len(x), -1).to(x).mean(1, keepdim=True) for leaf in found)
        s = VP.sigma(t.to(x)).reshape(-1, 1)
        a = VP.alpha(t.to(x)).reshape(-1, 1)
        return self.weight * s * (x - a * mean)


FORMS = {
    "tensor": VALUES,
    "vector": VALUES.unsqueeze(1).expand(6, 3),
    "dict": {"a": VALUES, "b": torch.zeros(6, 2)},
    "tuple": (VALUES, VALUES * 0),
    "named": Pair(VALUES, VALUES * 0),
    "nested": {"a": [VALUES, (VALUES * 0,)]},
}


def drawn(cond: Any, method: Any = None, **options: Any) -> Tensor:
    return sample(Denoiser(Shifted(), VP), (6, 2), method or catalogue.ddim(5), cond=cond, **options)


@pytest.mark.parametrize("name", FORMS)
def test_every_form_is_the_same_condition(name: str) -> None:
    """In one batch, in chunks, and under adaptive steps, where samples finish one by one."""
    for method in (catalogue.ddim(5), catalogue.probability_flow(1e-3)):
        want = drawn(VALUES, method)
        torch.testing.assert_close(drawn(FORMS[name], method), want, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(drawn(FORMS[name], method, batch=4), want, rtol=1e-5, atol=1e-5)


def test_likelihood_bound_and_doctor_take_them() -> None:
    model, x = Denoiser(Shifted(), VP), torch.randn(12, 2, generator=torch.Generator().manual_seed(0))
    cond = torch.linspace(-1, 1, 12)
    nested = {"a": cond, "b": (cond * 0,)}
    torch.testing.assert_close(
        log_likelihood(model, x, cond=nested).log_prob, log_likelihood(model, x, cond=cond).log_prob
    )
    chain = ddpm.of(VP, 10)
    torch.testing.assert_close(elbo(model, chain, x, cond=nested).total, elbo(model, chain, x, cond=cond).total)
    said = [[f.what for f in doctor(model, VP, x, c)] for c in (nested, cond)]
    assert said[0] == said[1]


def test_a_number_holds_for_all() -> None:
    torch.testing.assert_close(drawn(0.5), drawn(torch.full((6,), 0.5)))
    torch.testing.assert_close(drawn({"a": 1}), drawn(torch.ones(6)))


@pytest.mark.parametrize(
    ("cond", "said"),
    [
        (VALUES[:5], r"`cond` .*6 .*\(5,\)"),
        ({"a": VALUES, "b": torch.zeros(7, 2)}, r"`cond\['b'\]` .*6 .*\(7, 2\)"),
        ((VALUES, [VALUES[:1]]), r"`cond\[1\]\[0\]` .*6"),
        ("three", "`cond` .*str"),
        ({"a": True}, r"`cond\['a'\]` .*bool"),
    ],
)
def test_bad_ones_are_refused_at_the_edge(cond: Any, said: str) -> None:
    for call in (
        lambda: drawn(cond),
        lambda: drawn(cond, batch=2),
        lambda: log_likelihood(Denoiser(Shifted(), VP), torch.zeros(6, 2), cond=cond),
    ):
        with pytest.raises((TypeError, ValueError), match=said):
            call()


class Seen(nn.Module):
    """Keeps what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.seen: list[tuple[Tensor, Any]] = []

    def forward(self, x: Tensor, t: Tensor, cond: Any) -> Tensor:
        self.seen.append((x.detach(), cond))
        return self.weight * x


def test_fit_hands_out_the_rows_of_its_samples() -> None:
    """x holds its row's number, whose conditions are 10 and 100 times that; a dropped floating condition is 0, a whole
    one NO_LABEL."""
    rows = torch.arange(1.0, 33.0)
    cond = {"vector": torch.stack((10 * rows, rows), 1), "number": (100 * rows).long()}
    samples = Dataset(rows.reshape(32, 1) / 64, cond=cond)
    for dropout, parts in ((None, 1), (None, 2), (0.5, 1)):
        network, training = Seen(), Training(steps=2, batch=16, accumulate=parts, label_dropout=dropout)
        denoiser = Denoiser(network, VP)
        list(fit(denoiser, samples.split(0.25)[0], training, objective=Objective()))
        given = [c for _, c in network.seen]
        vector, number = torch.cat([c["vector"] for c in given]), torch.cat([c["number"] for c in given])
        kept = number != -1
        assert len(vector) == 32
        torch.testing.assert_close(vector[kept, 0] * 10, number[kept].float())
        assert bool((vector[~kept] == 0).all())
        assert bool(kept.all()) == (dropout is None)


def test_files_hold_conditions(tmp_path: Path) -> None:
    """`cond`, or `cond.NAME`; beside a .npy in NAME.cond.npy; a configuration's networks refuse them by name."""
    x, c = np.random.default_rng(0).normal(size=(40, 2)).astype(np.float32), np.arange(40.0, dtype=np.float32)
    np.savez(tmp_path / "one.npz", x=x, cond=c)
    np.savez(tmp_path / "two.npz", x=x, **{"cond.a": c, "cond.b": np.stack((c, c), 1)})
    np.save(tmp_path / "three.npy", x)
    np.save(tmp_path / "three.cond.npy", c)
    assert torch.equal(data.load(tmp_path / "one.npz").cond, torch.from_numpy(c))
    assert data.load(tmp_path / "two.npz").cond["b"].shape == (40, 2)
    kept, out = data.load(tmp_path / "three.npy").split(0.25)
    assert sorted(torch.cat((kept.cond, out.cond)).tolist()) == c.tolist()
    np.savez(tmp_path / "short.npz", x=x, cond=c[:3])
    with pytest.raises(ValueError, match=r"`cond` .*40"):
        data.load(tmp_path / "short.npz")
    with pytest.raises(ConfigError, match=r"`data\.path` .*cond in"):
        Config(data=DataConfig(str(tmp_path / "one.npz"))).dataset()


def test_conditions_are_not_touched() -> None:
    """What the caller hands in stays as it was."""
    cond = {"a": VALUES.clone()}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        drawn(cond)
    assert torch.equal(cond["a"], VALUES)


def test_left_out_conditions_say_so_in_their_dtype() -> None:
    """Every dtype has its word for "no label"; unsigned numbers have none, and are refused by the leaf's name."""
    where = torch.tensor([True, False])
    cond = {"label": torch.tensor([3, 4]), "vector": torch.ones(2, 3), "flag": torch.ones(2, dtype=torch.bool)}
    left = conditions.hidden(cond, where)
    assert left["label"].tolist() == [-1, 4]
    assert left["vector"].tolist() == [[0, 0, 0], [1, 1, 1]]
    assert left["flag"].tolist() == [False, True]

    with pytest.raises(TypeError, match=r"`cond\['pixels'\]` must be signed .* got torch.uint8"):
        conditions.hidden({"pixels": torch.ones(2, dtype=torch.uint8)}, where)
