"""DiffPIR: the predicted x0 is fitted to the measurement by a proximal step, without a derivative of the network."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from solvers import check

from ..denoisers.denoiser import BaseDenoiser
from ..denoisers.prediction import Prediction
from ..guidance.base import gradient_weight
from ..processes.coefficients import as_time
from .denoisers import Measured
from .measurement import Measurement, check_linear
from .operators import wide


class DiffPIR(Measured):
    """A denoiser whose x0 is a compromise between the model's prediction and the measurement.

        x0 <- argmin |y - A x|^2/(2 std^2) + lam (alpha/sigma)^2 |x - x0|^2/2
            = x0 + r A'(r A A' + std^2 I)^-1 (y - A x0),    r = (sigma/alpha)^2/lam.

    It takes one network call and no vector-Jacobian product. Zhu et al. 2023, arXiv:2305.08995; the paper's zeta is the
    noise of the sampling method, 0 for catalogue.ddim(n). `diffpir` makes this denoiser and documents the arguments.
    """

    def __init__(self, denoiser: BaseDenoiser, measurement: Measurement, lam: float = 1.0):
        super().__init__(denoiser, check_linear(measurement))
        self.lam = check.number("lam", lam, above=0.0)

    def forward(
        self,
        x: Tensor,
        alpha: Tensor,
        sigma: Tensor,
        cond: Any = None,
    ) -> Prediction:
        alpha = as_time(alpha, "alpha")
        sigma = as_time(sigma, "sigma")

        self._check_once(x)

        plain = self.denoiser(x, alpha, sigma, cond)
        r = gradient_weight(alpha, sigma) / alpha / self.lam
        r = r.reshape(-1) if r.dim() else r
        operator = self.measurement.operator
        u = operator.solve(self.measurement.residual(plain.x0), r, self.measurement.std**2)

        return plain.shifted(operator.adjoint(u) * wide(r, x))


def diffpir(denoiser: BaseDenoiser, measurement: Measurement, lam: float = 1.0) -> DiffPIR:
    """A denoiser whose x0 is fitted to a measurement by a proximal step; see `DiffPIR`.

    Args:
        denoiser: the prior.
        measurement: with a linear operator.
        lam: weight of the prior, above 0.
    """
    return DiffPIR(denoiser, measurement, lam)
