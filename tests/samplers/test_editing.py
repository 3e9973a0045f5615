"""Samples drawn anew from a level on: laws on Gaussian data, where the law of the answer is known."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from scoresde import VPSDE, catalogue, exact, sample, sampling
from tests.helpers.problems import F64

VARIANCES = torch.tensor([1.0, 0.1, 0.5], dtype=F64)
MODEL = exact.Gaussian(torch.zeros(3, dtype=F64), VARIANCES, VPSDE())
COUNT = 20_000


@pytest.mark.parametrize("t", [0.05, 0.3, 0.7])
@pytest.mark.parametrize("method", [catalogue.unipc(20), catalogue.best(10)], ids=repr)
def test_the_law_is_kept(t: float, method: Any) -> None:
    """Noising and flowing back leave the data's law, even where x came from `sample` with the same seed: variances
    within 6 standard errors, sqrt(2/n) each, and the solver's 0.01; chance of failure below 1e-7."""
    x = sample(MODEL, (COUNT, 3), catalogue.unipc(20))
    edited = sampling.edit(MODEL, x, t, method)
    assert bool(((edited.var(0) / VARIANCES - 1).abs() < 6 * (2 / COUNT) ** 0.5 + 0.01).all())


def test_less_noise_stays_nearer() -> None:
    x = MODEL.sample(500, seed=3)
    apart = [float((sampling.edit(MODEL, x, t, catalogue.unipc(10)) - x).norm()) for t in (0.01, 0.1, 0.3, 1.0)]
    assert apart == sorted(apart)
    assert apart[0] < 0.15 * apart[-1]


def test_parts_of_a_batch_are_the_batch() -> None:
    x = MODEL.sample(6, seed=3)
    whole = sampling.edit(MODEL, x, 0.4, catalogue.ddpm(5), seed=1)
    part = sampling.edit(MODEL, x[4:], 0.4, catalogue.ddpm(5), seed=1, first=4)
    torch.testing.assert_close(whole[4:], part)


def test_calls_are_those_of_the_method() -> None:
    calls: list[int] = []
    handle = MODEL.register_forward_pre_hook(lambda _, inputs: calls.append(len(inputs[0])))
    sampling.edit(MODEL, torch.zeros(2, 3, dtype=F64), 0.5, catalogue.unipc(7))
    handle.remove()
    assert len(calls) == 7


def test_bad_input_is_named() -> None:
    x = torch.zeros(2, 3, dtype=F64)
    homeless = exact.Gaussian(torch.zeros(3, dtype=F64), 1.0)

    for call, said in (
        (lambda: sampling.edit(homeless, x, 0.5, catalogue.ddim(3)), "`denoiser` must know"),
        (lambda: sampling.edit(MODEL, x, 1e-3, catalogue.ddim(3)), "`t` must be noisier"),
        (lambda: sampling.edit(MODEL, x, 2.0, catalogue.ddim(3)), "`t`"),
        (lambda: sampling.edit(MODEL, x * torch.nan, 0.5, catalogue.ddim(3)), "`x` must be finite"),
    ):
        with pytest.raises(ValueError, match=said):
            call()
