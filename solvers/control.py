"""The tolerances and limits of adaptive steps."""

from __future__ import annotations

from dataclasses import dataclass

from . import check


@dataclass(frozen=True)
class Adaptive:
    """Tolerances and limits for integrating from t0 to t1 (either direction) with adaptive steps.

    rtol, atol    a step is accepted if the RMS of error / (atol + rtol |y|) over the elements of a sample is at most 1.
                  For a stochastic equation the error is that of the embedded Euler-Maruyama method; the order of the
                  solution is higher by one half. There h |f'| must also be at most 1/4, because the error estimate is
                  not reliable beyond that
    h_init        first step (positive); None: chosen from the equation by one more evaluation (Hairer's rule)
    h_min, h_max  limits of |h|; defaults: 16 eps max(|t0|, |t1|) with eps = 2^-52, and |t1 - t0|. A step evaluates f at
                  its stages only, so a short pulse of f between two stages may be missed. To resolve a pulse, set h_max
                  to at most about three times its width, or put a save time inside it
    max_evals     largest number of evaluations of f per sample; a sample that needs more fails

    Raises TypeError or ValueError naming the argument.
    """

    t0: float
    t1: float
    rtol: float = 1e-5
    atol: float = 1e-5
    h_init: float | None = None
    h_min: float | None = None
    h_max: float | None = None
    max_evals: int = 100_000

    def __post_init__(self) -> None:
        check.number("t0", self.t0)
        check.number("t1", self.t1)

        if self.t0 == self.t1:
            raise ValueError(f"`t1` must differ from t0, got both {self.t0!r}")

        check.number("rtol", self.rtol, least=0.0)
        check.number("atol", self.atol, least=0.0)

        if self.rtol == self.atol == 0:
            raise ValueError("`atol` must be positive where rtol is 0, got both 0")

        for name in ("h_init", "h_min", "h_max"):
            if getattr(self, name) is not None:
                check.number(name, getattr(self, name), above=0.0)

        if self.h_init is not None and self.h_init > self.span:
            raise ValueError(f"`h_init` must be at most the span {self.span:g}, got {self.h_init!r}")
        if self.h_min is not None and self.h_min > self.largest:
            raise ValueError(f"`h_min` must be at most h_max = {self.largest:g}, got {self.h_min!r}")

        check.integer("max_evals", self.max_evals, most=10**9)

    @property
    def span(self) -> float:
        """Length of the interval, |t1 - t0|."""
        return abs(self.t1 - self.t0)

    @property
    def largest(self) -> float:
        """Upper limit of |h|."""
        return self.span if self.h_max is None else min(self.h_max, self.span)

    @property
    def smallest(self) -> float:
        """Lower limit of |h|."""
        return 16 * 2.0**-52 * max(abs(self.t0), abs(self.t1)) if self.h_min is None else self.h_min
