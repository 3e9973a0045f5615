"""Measurement operators of images and series with known singular values: mask, downsampling, grey, blur."""

from __future__ import annotations

from abc import ABC
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from solvers import check

from .operators import Operator, finite, wide


class TightOperator(Operator, ABC):
    """Abstract: an operator with A A' = c I, so all its nonzero singular values are sqrt(c).

    gram  c
    """

    gram: float

    def solve(self, y: Tensor, r: Tensor, s: float) -> Tensor:
        return y / (wide(r, y) * self.gram + s)

    def spectral(self, x: Tensor, f: Callable[[Tensor], Tensor]) -> Tensor:
        values = torch.tensor([0.0, self.gram], dtype=torch.float64, device="cpu")
        at_zero, at_gram = (f(value).item() for value in values)
        return x * at_zero + self.adjoint(self.forward(x)) * ((at_gram - at_zero) / self.gram)


class Mask(TightOperator):
    """Selects the entries of a sample where the mask is True, as a vector (B, m): A A' = I.

    Args:
        mask: bool, or 0 and 1, with the shape of one sample.

    Raises:
        TypeError, ValueError: naming `mask`.
    """

    gram = 1.0

    def __init__(self, mask: Tensor):
        if not isinstance(mask, Tensor):
            raise TypeError(f"`mask` must be a tensor, got {type(mask).__name__}")
        if mask.dtype != torch.bool and not bool(((mask == 0) | (mask == 1)).all()):
            raise ValueError("`mask` must hold 0 and 1, or be bool, got other values")
        if not bool(mask.bool().any()):
            raise ValueError("`mask` must keep at least one entry, got none")

        self.mask = mask.bool()

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[1:] != self.mask.shape:
            raise ValueError(
                f"`mask` must have the shape of one sample, {tuple(x.shape[1:])}, got {tuple(self.mask.shape)}"
            )
        return x[:, self.mask.to(x.device)]

    def adjoint(self, y: Tensor) -> Tensor:
        x = y.new_zeros(len(y), *self.mask.shape)
        x[:, self.mask.to(y.device)] = y
        return x


class Downsample(TightOperator):
    """Averages square blocks of pixels in the last two dimensions: A A' = I/factor^2.

    Args:
        factor: side of a block, in pixels.
    """

    def __init__(self, factor: int):
        self.factor = check.integer("factor", factor, least=1)
        self.gram = 1 / self.factor**2

    def forward(self, x: Tensor) -> Tensor:
        if x.dim() < 3 or any(n % self.factor for n in x.shape[-2:]):
            raise ValueError(f"`factor` must divide the sides of an image, got {self.factor} for {tuple(x.shape[1:])}")
        return F.avg_pool2d(x, self.factor)

    def adjoint(self, y: Tensor) -> Tensor:
        wide = y.repeat_interleave(self.factor, -1).repeat_interleave(self.factor, -2)
        return wide / self.factor**2


class Grey(TightOperator):
    """Averages the channels, (B, C, ...) -> (B, 1, ...): A A' = I/C.

    Args:
        channels: C, number of channels.
    """

    def __init__(self, channels: int = 3):
        self.channels = check.integer("channels", channels)
        self.gram = 1 / self.channels

    def forward(self, x: Tensor) -> Tensor:
        if x.dim() < 2 or x.shape[1] != self.channels:
            raise ValueError(f"`channels` must be those of a sample, got {self.channels} for {tuple(x.shape[1:])}")
        return x.mean(1, keepdim=True)

    def adjoint(self, y: Tensor) -> Tensor:
        return y.expand(-1, self.channels, *y.shape[2:]) / self.channels


class Blur(Operator):
    """A circular convolution over the last dimensions, by FFT: its singular values are |FFT of the kernel|.

    Args:
        kernel: (k,) for series, (k, k) for images, (k, k, k) for volumes; its middle is the origin.
    """

    def __init__(self, kernel: Tensor):
        self.kernel = finite("kernel", kernel)
        if kernel.dim() not in (1, 2, 3):
            raise ValueError(f"`kernel` must have 1 to 3 dimensions, got shape {tuple(kernel.shape)}")

    def spectrum(self, shape: tuple[int, ...]) -> Tensor:
        """The Fourier transform of the kernel, complex, for samples whose last dimensions are `shape`."""
        if any(k > n for k, n in zip(self.kernel.shape, shape, strict=True)):
            raise ValueError(f"`kernel` must fit into a sample of size {shape}, got {tuple(self.kernel.shape)}")

        padded = self.kernel.new_zeros(shape)
        padded[tuple(slice(0, k) for k in self.kernel.shape)] = self.kernel
        middle = tuple(-(k // 2) for k in self.kernel.shape)
        return torch.fft.fftn(padded.roll(middle, tuple(range(len(shape)))))

    def forward(self, x: Tensor) -> Tensor:
        return self._by_spectrum(x, lambda spectrum: spectrum)

    def adjoint(self, y: Tensor) -> Tensor:
        return self._by_spectrum(y, torch.conj)

    def solve(self, y: Tensor, r: Tensor, s: float) -> Tensor:
        return self._by_spectrum(y, lambda spectrum: 1 / (wide(r, y) * spectrum.abs().square() + s))

    def spectral(self, x: Tensor, f: Callable[[Tensor], Tensor]) -> Tensor:
        return self._by_spectrum(x, lambda spectrum: f(spectrum.abs().square()))

    def _by_spectrum(self, x: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
        shape = tuple(x.shape[-self.kernel.dim() :])
        dims = tuple(range(-len(shape), 0))
        spectrum = self.spectrum(shape).to(x.device)
        turned = torch.fft.fftn(x.to(spectrum.real.dtype), dim=dims) * change(spectrum)
        return torch.fft.ifftn(turned, dim=dims).real.to(x)
