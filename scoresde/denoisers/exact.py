"""Closed-form denoisers: the truth for tests and benchmarks.

For data N(m, C): D = m + alpha C (alpha^2 C + sigma^2 I)^{-1} (x - alpha m), eps = sigma (alpha^2 C + sigma^2 I)^{-1}
(x - alpha m). A mixture weighs its components' answers by posterior responsibilities, in log space. Sums over
components and dimensions go by broadcasting, not by matrix products, while they are small: each sample's answer is
then bit-equal in any batch.
"""

from __future__ import annotations

from .gaussian import Gaussian as Gaussian
from .labelled import Labelled as Labelled
from .mixture import Empirical as Empirical
from .mixture import GaussianMixture as GaussianMixture
from .posterior import posterior as posterior
