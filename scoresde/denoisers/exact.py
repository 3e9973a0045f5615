"""Denoisers in closed form, used as exact references in tests and benchmarks.

For data N(m, C): D = m + alpha C (alpha^2 C + sigma^2 I)^{-1} (x - alpha m), eps = sigma (alpha^2 C + sigma^2 I)^{-1}
(x - alpha m). For a mixture, the answers of its components are averaged with their posterior probabilities, computed in
log space. Small sums over components and dimensions use broadcasting instead of matrix products: then the answer for a
sample has the same bits in every batch.
"""

from __future__ import annotations

from .gaussian import Gaussian as Gaussian
from .labelled import Labelled as Labelled
from .mixture import Empirical as Empirical
from .mixture import GaussianMixture as GaussianMixture
from .posterior import posterior as posterior
