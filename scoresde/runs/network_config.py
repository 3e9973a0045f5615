"""The [network] section of a run's configuration, and the network that is built from it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from solvers import check

from ..denoisers.parameterisations import X0, Eps, KarrasPreconditioning, LearnedRange, Parameterisation, Score, V
from . import own_code

TABLES: dict[str, type[Parameterisation]] = {
    "eps": Eps,
    "x0": X0,
    "v": V,
    "score": Score,
    "karras": KarrasPreconditioning,
}
CLASSIFIER = "classifier"
AUTOENCODER = "autoencoder"
KINDS = ("auto", "mlp", "unet", "dit", "patches", "transformer", "unet1d", "unet3d", CLASSIFIER, AUTOENCODER)
CHECKPOINTED = ("auto", "unet", "dit")
SUITED: dict[str, tuple[str, ...]] = {  # networks for each kind of data; auto takes the first
    "points": ("mlp", "transformer", CLASSIFIER, AUTOENCODER),
    "series": ("unet1d", "patches"),
    "sets": ("transformer",),
    "images": ("unet", "dit", "patches", CLASSIFIER, AUTOENCODER),
    "volumes": ("patches", "unet3d"),
}
DIMENSIONS: dict[int, tuple[str, ...]] = {  # possible kinds of data by the number of dimensions of a sample
    1: ("points",),
    2: ("series", "sets"),  # only the user knows which of them
    3: ("images",),
    4: ("volumes",),
}
AXES = {"unet1d": 1, "unet3d": 3}  # axes of the grid of a sample


class ConfigError(ValueError):
    """A configuration that cannot be used; the message names the dotted key."""


@dataclass(frozen=True)
class NetworkConfig:
    """kind: mlp for points, transformer for points and sets, unet or dit for images, unet1d for series, unet3d for
    volumes and video, patches for all grids; auto: chosen by the data; classifier: logits of noisy samples, by an MLP
    or the down-sampling half of a U-Net; autoencoder: two MLPs for points, diffusers' AutoencoderKL for images;
    package.module:Class: a network of one's own (`own_code`)

    predicts       eps, x0, v, score or karras; karras is for data of standard deviation sigma_data
    widths         channels of each level of a U-Net, () chooses them by the grid; or (width,) of an MLP or transformer
    variance       adds a second head for the variances of reverse steps; the loss Hybrid trains it, improved_ddpm
                   uses it
    layers         depth: residual blocks per level of a U-Net = layers; blocks of a DiT or of another transformer =
                   layers + 3; hidden layers of an MLP = layers + 2
    patch          sides of a patch, one for each axis of the grid; () for about 256 patches; only for kind patches
    fourier        number of Fourier features of x for the MLP; 0: x alone
    latent_channels  channels of an autoencoder's latents; each of its widths after the first halves an image's sides
    checkpointing  computes activations again in the backward pass, which saves memory; only for unet and dit
    options        keyword arguments of a network of one's own"""

    kind: str = "auto"
    predicts: str = "v"
    sigma_data: float = 0.5
    variance: bool = False
    widths: tuple[int, ...] = ()
    layers: int = 1
    fourier: int = 64
    checkpointing: bool = False
    latent_channels: int = 2
    options: dict[str, Any] = field(default_factory=dict, hash=False)
    patch: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.options, dict):
            raise TypeError(f"`options` must be a table, got {self.options!r}")

        if self.is_own:
            own_code.check_named(self.kind, self.options)
            if self.widths:
                raise ValueError(f"`widths` must be left out for {self.kind}, which takes `options`, got {self.widths}")
        else:
            check.choice("kind", self.kind, KINDS)
            if self.options:
                raise ValueError(f"`options` must be left out for {self.kind}, got {self.options!r}")

        check.choice("predicts", self.predicts, TABLES)
        check.number("sigma_data", self.sigma_data, above=0.0)

        if not isinstance(self.variance, bool):
            raise TypeError(f"`variance` must be true or false, got {self.variance!r}")
        if not isinstance(self.checkpointing, bool) or (self.checkpointing and self.kind not in CHECKPOINTED):
            raise TypeError(
                f"`checkpointing` must be true or false, and false for other networks than unet and dit, got"
                f" {self.checkpointing!r}"
            )

        for width in self.widths:
            check.integer("widths", width, most=4096)

        check.integer("latent_channels", self.latent_channels, most=4096)
        if self.latent_channels != 2 and self.kind != AUTOENCODER:
            raise ValueError(
                f"`latent_channels` must be left out unless kind is autoencoder, got {self.latent_channels} with"
                f" {self.kind}"
            )

        check.integer("layers", self.layers, most=64)
        check.integer("fourier", self.fourier, least=0, most=4096)

        if self.patch != ():
            check.shape("patch", self.patch)

        if self.patch and self.kind != "patches":
            raise ValueError(
                f"`patch` must be left out unless kind is patches, got {list(self.patch)} with {self.kind}"
            )

    @property
    def is_own(self) -> bool:
        """Whether the network is a class of the user's own."""
        return own_code.is_own(self.kind)

    @property
    def table(self) -> Parameterisation:
        """The parameterisation: what the network predicts."""
        mean = KarrasPreconditioning(self.sigma_data) if self.predicts == "karras" else TABLES[self.predicts]()
        return LearnedRange(mean) if self.variance else mean

    def build(
        self,
        shape: tuple[int, ...],
        classes: int | None,
        data: str | None = None,
        *,
        enlarges: bool = False,
    ) -> nn.Module:
        """Build the network.

        Args:
            shape: of one sample.
            classes: number of classes; None: the network takes no labels.
            data: kind of the samples; None: their shape determines it.
            enlarges: whether low-resolution images are its condition.

        Raises:
            ConfigError: if the network does not suit the samples; naming the key.
            OwnCodeError: if a class of one's own is not allowed to run, or fails.
        """
        from ..networks import MLP, DiT, PatchTransformer, Transformer, UNet, UNetND, Upsampler

        if self.is_own:
            return own_code.network(self.kind, self.options)

        outputs = self.table.outputs
        kind = self._kind(shape, data)

        if kind == CLASSIFIER:
            return self._classifier(shape, classes)

        if kind == AUTOENCODER:
            return self._autoencoder(shape)

        if enlarges:
            return Upsampler(
                shape[0],
                self.widths or level_widths(max(shape[1:])),
                self.layers,
                self.checkpointing,
                outputs,
            )

        if kind == "patches":
            return PatchTransformer(
                shape[0],
                self._patch(shape),
                (self.widths or (64,))[0],
                self.layers + 3,
                classes=classes,
                outputs=outputs,
            )

        if kind == "transformer":
            return Transformer(
                shape[-1],
                (self.widths or (64,))[0],
                self.layers + 3,
                classes=classes,
                outputs=outputs,
                sets=len(shape) > 1,
            )

        if kind in AXES:
            return UNetND(
                shape[0],
                AXES[kind],
                self.widths or level_widths(max(shape[1:])),
                self.layers,
                classes,
                outputs,
            )

        if kind == "mlp":
            return MLP(
                shape[0],
                (self.widths or (128,))[0],
                self.layers + 2,
                fourier=self.fourier,
                classes=classes,
                outputs=outputs,
            )

        if kind == "dit":
            width = (self.widths or (64,))[0]
            depth = self.layers + 3
            return DiT(
                shape[0],
                max(shape[1:]),
                width=width,
                depth=depth,
                classes=classes,
                checkpointing=self.checkpointing,
                outputs=outputs,
            )

        return UNet(
            shape[0],
            self.widths or level_widths(max(shape[1:])),
            self.layers,
            classes,
            self.checkpointing,
            outputs,
        )

    def _kind(self, shape: tuple[int, ...], data: str | None) -> str:
        """The kind of network. Raises ConfigError naming `network.kind` if it does not suit the samples."""
        could = DIMENSIONS.get(len(shape), ())
        kinds = (data,) if data in could else could
        suited = [kind for each in kinds for kind in SUITED[each]]
        kind = suited[0] if self.kind == "auto" and len(kinds) == 1 else self.kind
        if kind in suited:
            return kind

        what = f"{kinds[0]} of shape" if len(kinds) == 1 else "samples of shape"
        told = f"say which they are by data.kind, {' or '.join(kinds)}; others" if len(kinds) > 1 else "others"
        raise ConfigError(
            f"`network.kind` must be {' or '.join(suited) or 'left to a network of your own'} for {what} {shape}, got"
            f" {self.kind}; {told} want a network of your own, package.module:Class"
        )

    def _patch(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Sides of a patch. Raises ConfigError naming `network.patch` if they do not divide the sides of a sample."""
        from ..networks import patch_for

        if not self.patch:
            return patch_for(shape[1:])
        if len(self.patch) != len(shape) - 1 or any(n % p for n, p in zip(shape[1:], self.patch, strict=True)):
            raise ConfigError(
                f"`network.patch` must hold a divisor of each of the sides {list(shape[1:])} of a sample, got"
                f" {list(self.patch)}"
            )
        return self.patch

    def _classifier(self, shape: tuple[int, ...], classes: int | None) -> nn.Module:
        """A network for the logits of noisy samples."""
        from ..networks import MLP, UNetClassifier

        if classes is None:
            raise ConfigError("`data.path` must hold labels for network.kind = classifier, got data without")
        if len(shape) == 1:
            width = (self.widths or (128,))[0]
            return MLP(shape[0], width, self.layers + 2, fourier=self.fourier, answers=classes)
        return UNetClassifier(shape[0], self.widths or level_widths(max(shape[1:])), self.layers, classes)

    def _autoencoder(self, shape: tuple[int, ...]) -> nn.Module:
        """A network of encoder and decoder."""
        from ..networks import ImageAutoencoder, PointAutoencoder

        try:
            if len(shape) == 1:
                width = (self.widths or (128,))[0]
                return PointAutoencoder(shape, self.latent_channels, width, self.layers + 1)
            return ImageAutoencoder(shape, self.latent_channels, self.widths or (32, 64), self.layers)
        except ValueError as error:
            key = "widths" if "`widths`" in str(error) else "latent_channels"
            raise ConfigError(f"`network.{key}` must suit samples of shape {shape}: {error}") from error


def level_widths(size: int) -> tuple[int, ...]:
    """Widths of a U-Net for images of side `size`: at least two levels, down to 8 pixels, where attention is cheap."""
    levels = max(2, math.ceil(math.log2(max(size, 2) / 8)) + 1)
    return (32, *[64] * (levels - 1))
