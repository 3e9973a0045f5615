"""The lines of the catalogue that every denoiser can serve."""

from __future__ import annotations

from scoresde import (
    catalogue,
)

FIXED = {
    name: make for name, make in catalogue.fixed_step_methods().items() if name != "improved_ddpm"
}  # for networks that say variances: test_variance
