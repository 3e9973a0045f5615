"""The latent space of a trained autoencoder, and data sets of its latents."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from solvers import SeededNoise, check
from solvers.noise import PRIOR

from ..data.batches import mixed
from ..data.derived import Derived
from ..data.samples import Samples
from ..samplers.sampling import evaluating
from .autoencoder import Autoencoder

_CHUNK = 256  # samples encoded at once
_MEASURED = 4096  # samples on which centre and scale are measured
_DRAW = range(4, 5)  # index in the stream PRIOR; samples start from another index


@dataclass(frozen=True)
class LatentSpace:
    """The scaled latents u = (z - centre)/scale of an autoencoder. Each channel has mean 0 and variance 1 on the data.

    autoencoder  a trained autoencoder; used in eval mode
    centre       mean of each channel of z, (C,)
    scale        standard deviation of each channel of z, (C,)
    folder       folder of the autoencoder's run
    digest       SHA-256 of the autoencoder's weights
    """

    autoencoder: Autoencoder
    centre: Tensor
    scale: Tensor
    folder: str = ""
    digest: str = ""

    @classmethod
    def measured(
        cls,
        autoencoder: Autoencoder,
        data: Samples,
        folder: str = "",
        digest: str = "",
    ) -> LatentSpace:
        """Measure centre and scale on up to 4096 samples, evenly spaced in the data set.

        The variance of a channel is that of draws z: Var(mean) + E[variance of q].

        Args:
            autoencoder: a trained autoencoder.
            data: samples of the shape that it takes.
            folder: folder of the autoencoder's run.
            digest: SHA-256 of the autoencoder's weights.
        """

        channels = autoencoder.latent_shape[0]
        plain = cls(autoencoder, torch.zeros(channels, device="cpu"), torch.ones(channels, device="cpu"))
        count = min(_MEASURED, len(data))
        index = torch.linspace(0, len(data) - 1, count, dtype=torch.float64, device="cpu").long()
        mean, std = (part.double().transpose(0, 1).flatten(1).cpu() for part in plain.posterior(data.samples(index)))
        scale = (mean.var(1, correction=0) + std.square().mean(1)).sqrt()

        return replace(plain, centre=mean.mean(1).float(), scale=scale.float(), folder=folder, digest=digest)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one latent."""
        return self.autoencoder.latent_shape

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of q(u | x), (B, ...) each, on the autoencoder's device.

        Args:
            x: samples, (B, ...).

        Raises:
            TypeError, ValueError: naming `x`.
        """

        x = _checked("x", x, self.autoencoder.network.shape)
        device = next(self.autoencoder.parameters()).device
        means: list[Tensor] = []
        stds: list[Tensor] = []

        with torch.no_grad(), evaluating(self.autoencoder):
            for part in x.split(_CHUNK):
                mean, std = self.autoencoder.encode(part.to(device))
                means.append(mean)
                stds.append(std)

        scale = self._channels(self.scale, means[0])
        return (torch.cat(means) - self._channels(self.centre, means[0])) / scale, torch.cat(stds) / scale

    def encode(self, x: Tensor, eps: Tensor) -> Tensor:
        """Encode samples: one draw of q(u | x) for each, (B, ...).

        Args:
            x: samples, (B, ...).
            eps: standard normals with the shape of the latents.
        """
        mean, std = self.posterior(x)
        return mean + std * eps.to(mean)

    def decode(self, u: Tensor) -> Tensor:
        """Decode latents: D(centre + scale u), (B, ...), differentiable in u.

        Args:
            u: latents, (B, ...).

        Raises:
            TypeError, ValueError: naming `u`.
        """
        u = _checked("u", u, self.shape)
        dtype = next(self.autoencoder.parameters()).dtype
        z = (u * self._channels(self.scale, u) + self._channels(self.centre, u)).to(dtype)
        with evaluating(self.autoencoder):
            return self.autoencoder.decode(z).to(u.dtype)

    def decoded(self, u: Tensor) -> Tensor:
        """Decode latents as `decode` does, but without gradients.

        Args:
            u: latents, (B, ...).
        """
        with torch.no_grad():
            return self.decode(u)

    def about(self) -> dict[str, Any]:
        """The space as plain values, for the description of a run."""
        return {
            "autoencoder": self.folder,
            "sha256": self.digest,
            "shape": list(self.shape),
            "centre": self.centre.tolist(),
            "scale": self.scale.tolist(),
        }

    def _channels(self, values: Tensor, like: Tensor) -> Tensor:
        """One value per channel, shaped to multiply latents."""
        return values.to(like).reshape(-1, *[1] * (like.dim() - 2))


@dataclass(frozen=True)
class Latents(Derived):
    """A data set of latents: each sample of another data set is encoded by a draw of q(u | x).

    Samples are augmented before they are encoded. Labels and units are those of `data`, like those of decoded samples.

    data   samples of the shape that the autoencoder takes
    space  the latent space

    A wrong shape raises ValueError naming `data`."""

    space: LatentSpace

    def __post_init__(self) -> None:
        super().__post_init__()
        wanted = self.space.autoencoder.network.shape
        if self.data.shape != wanted:
            raise ValueError(
                f"`data` must hold samples of shape {wanted} for {self.space.folder}, got {self.data.shape}"
            )

    @property
    def shape(self) -> tuple[int, ...]:
        return self.space.shape

    def about(self) -> dict[str, Any]:
        return self.space.about()

    def decoded(self, x: Tensor) -> Tensor:
        return self.space.decoded(x)

    def conditions(self, index: Tensor, x: Tensor) -> Any:
        return self.data.conditions(index, x)

    def samples(self, index: Tensor) -> Tensor:
        low = int(index.min())
        high = int(index.max())
        noise = SeededNoise(0, low).normal(PRIOR, _DRAW, (high - low + 1, *self.shape), torch.float32, "cpu")[0]
        return self.space.encode(self.data.samples(index), noise[index - low]).cpu()

    def batch(
        self,
        step: int,
        size: int,
        seed: int,
        rows: range | None = None,
    ) -> tuple[Tensor, Any]:
        x, cond = self.data.batch(step, size, seed, rows)
        draw = SeededNoise(mixed(seed, 3), 0 if rows is None else rows.start)
        noise = draw.normal(PRIOR, range(step, step + 1), (len(x), *self.shape), torch.float32, "cpu")[0]
        return self.space.encode(x, noise), cond


def _checked(name: str, x: Any, shape: tuple[int, ...]) -> Tensor:
    """The batch if its samples have the given shape; else raise TypeError or ValueError naming it."""
    x = check.floating(name, x)
    if x.shape[1:] != shape:
        raise ValueError(f"`{name}` must be of shape (B, {', '.join(map(str, shape))}), got {tuple(x.shape)}")
    return x
