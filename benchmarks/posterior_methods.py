"""Every posterior sampler at a number of network calls a sample, for `benchmarks.posterior_audit`."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from torch import Tensor

from scoresde import EDM, catalogue, inverse, sample
from scoresde.denoisers.denoiser import BaseDenoiser

LEVELS = 300  # of a particle filter
Draw = Callable[[BaseDenoiser, inverse.Measurement, tuple[int, ...], int], Tensor]


def _led(make: Callable[..., Any]) -> Draw:
    """A led denoiser, sampled by UniPC."""
    return lambda prior, measurement, shape, calls: sample(make(prior, measurement), shape, catalogue.unipc(calls))


def _replaced(wrap: Callable[[inverse.Measurement], Any], share: int) -> Draw:
    """DDIM with a wrapper that asks for `share` calls a step."""

    def draw(prior: BaseDenoiser, measurement: inverse.Measurement, shape: tuple[int, ...], calls: int) -> Tensor:
        method = replace(catalogue.ddim(calls // share), process=EDM(), wrap=(wrap(measurement),))
        return sample(prior, shape, method)

    return draw


def _ddrm(prior: BaseDenoiser, measurement: inverse.Measurement, shape: tuple[int, ...], calls: int) -> Tensor:
    return inverse.ddrm(prior, measurement, shape, catalogue.ddim(calls))


def _daps(prior: BaseDenoiser, measurement: inverse.Measurement, shape: tuple[int, ...], calls: int) -> Tensor:
    return inverse.daps(prior, measurement, shape, catalogue.ddim(calls // 5), catalogue.ddim(5))


def particles(name: str, count: int, levels: int = LEVELS) -> Draw:
    """A particle filter, whose warnings are figures here.

    Args:
        name: "twisted" or "mcgdiff".
        count: particles.
        levels: how many.
    """

    def draw(prior: BaseDenoiser, measurement: inverse.Measurement, shape: tuple[int, ...], calls: int) -> Tensor:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            filtered = getattr(inverse, name)
            return filtered(prior, measurement, shape, catalogue.ddpm(levels), particles=count).x

    return draw


LED: dict[str, Draw] = {
    "dps": _led(inverse.dps),
    "pigdm": _led(inverse.pigdm),
    "tmpd": _led(inverse.tmpd),
    "diffpir": _led(inverse.diffpir),
}
CHAINS: dict[str, Draw] = {
    "replacement": _replaced(inverse.Replacement, 1),
    "repaint": _replaced(lambda m: inverse.RePaint(m, resamplings=5), 5),
    "ddrm": _ddrm,
    "daps": _daps,
}
ANY_OPERATOR = ("dps", "tmpd", "daps")
METHODS: dict[str, Draw] = {
    **LED,
    **CHAINS,
    "twisted": particles("twisted", 4096),
    "mcgdiff": particles("mcgdiff", 16384),
}
