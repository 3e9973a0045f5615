"""The [network] section of a run's configuration, and the network it stands for."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import nn

from solvers import check

from ..denoisers.parameterisations import X0, Eps, KarrasPreconditioning, LearnedRange, Parameterisation, Score, V

TABLES: dict[str, type[Parameterisation]] = {
    "eps": Eps,
    "x0": X0,
    "v": V,
    "score": Score,
    "karras": KarrasPreconditioning,
}
CLASSIFIER = "classifier"
AUTOENCODER = "autoencoder"
KINDS = ("auto", "mlp", "unet", "dit", "patches", CLASSIFIER, AUTOENCODER)
CHECKPOINTED = ("auto", "unet", "dit")
SERIES = 2  # dimensions of a sample of them, and of a set of points: only the user knows which it is
SUITED: dict[int, tuple[str, ...]] = {
    1: ("mlp", CLASSIFIER, AUTOENCODER),
    SERIES: ("patches",),
    3: ("unet", "dit", "patches", CLASSIFIER, AUTOENCODER),
    4: ("patches",),
}


class ConfigError(ValueError):
    """A configuration that cannot be used; the message names the dotted key."""


@dataclass(frozen=True)
class NetworkConfig:
    """kind: mlp for points, unet or dit for images, patches for series, images, volumes and video; auto: mlp, unet or
    patches, by the data; classifier: logits of noisy samples, by an MLP or the way down of a U-Net; autoencoder: an MLP
    either way for points, diffusers' AutoencoderKL for images

    predicts       eps, x0, v, score or karras, the last for data of standard deviation sigma_data
    widths         of the U-Net's levels, () for as many as the image needs; or (width,) of the MLP, DiT or patches
    variance       another head, for the variances of reverse steps: trained by the loss Hybrid, used by improved_ddpm
    layers         residual blocks a level of the U-Net, blocks of the DiT or patches less 3, layers of the MLP less 2
    fourier        features of x that the MLP is given, 0: x alone
    latent_channels  of an autoencoder; each of its widths after the first halves an image's sides
    checkpointing  of activations, to save memory: unet and dit"""

    kind: str = "auto"
    predicts: str = "v"
    sigma_data: float = 0.5
    variance: bool = False
    widths: tuple[int, ...] = ()
    layers: int = 1
    fourier: int = 64
    checkpointing: bool = False
    latent_channels: int = 2

    def __post_init__(self) -> None:
        check.choice("kind", self.kind, KINDS)
        check.choice("predicts", self.predicts, TABLES)
        check.number("sigma_data", self.sigma_data, above=0.0)

        if not isinstance(self.variance, bool):
            raise TypeError(f"`variance` must be true or false, got {self.variance!r}")
        if not isinstance(self.checkpointing, bool) or (self.checkpointing and self.kind not in CHECKPOINTED):
            raise TypeError(
                f"`checkpointing` must be true or false, and false for an MLP, patches and a classifier, got"
                f" {self.checkpointing!r}"
            )

        for width in self.widths:
            check.integer("widths", width, most=4096)

        check.integer("latent_channels", self.latent_channels, most=4096)
        check.integer("layers", self.layers, most=64)
        check.integer("fourier", self.fourier, least=0, most=4096)

    @property
    def table(self) -> Parameterisation:
        """What the network predicts."""
        mean = KarrasPreconditioning(self.sigma_data) if self.predicts == "karras" else TABLES[self.predicts]()
        return LearnedRange(mean) if self.variance else mean

    def build(
        self,
        shape: tuple[int, ...],
        classes: int | None,
        *,
        enlarges: bool = False,
    ) -> nn.Module:
        """A network for samples of `shape`, `enlarges` where it is given low-resolution images. Raises ConfigError
        naming `network.kind` where it is not for such samples."""
        from ..networks import MLP, DiT, PatchTransformer, UNet, patch_for
        from ..networks.upsampler import Upsampler

        outputs = self.table.outputs
        kind = self._kind(shape)

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
                patch_for(shape[1:]),
                (self.widths or (64,))[0],
                self.layers + 3,
                classes=classes,
                outputs=outputs,
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

    def _kind(self, shape: tuple[int, ...]) -> str:
        """Which network; raises ConfigError naming `network.kind` where it is not for such samples."""
        suited = SUITED.get(len(shape), ())
        kind = suited[0] if self.kind == "auto" and suited and len(shape) != SERIES else self.kind
        if kind in suited:
            return kind

        own = "sets of points and others want a network of your own, trained by scoresde.training.fit"
        raise ConfigError(
            f"`network.kind` must be {' or '.join(suited) or 'left to'} for samples of shape {shape}, got {self.kind};"
            f" {own}"
        )

    def _classifier(self, shape: tuple[int, ...], classes: int | None) -> nn.Module:
        """Logits of noisy samples."""
        from ..networks import MLP, UNetClassifier

        if classes is None:
            raise ConfigError("`data.path` must hold labels for network.kind = classifier, got data without")
        if len(shape) == 1:
            width = (self.widths or (128,))[0]
            return MLP(shape[0], width, self.layers + 2, fourier=self.fourier, answers=classes)
        return UNetClassifier(shape[0], self.widths or level_widths(max(shape[1:])), self.layers, classes)

    def _autoencoder(self, shape: tuple[int, ...]) -> nn.Module:
        """Encoder and decoder."""
        from ..networks.autoencoders import ImageAutoencoder, PointAutoencoder

        try:
            if len(shape) == 1:
                width = (self.widths or (128,))[0]
                return PointAutoencoder(shape, self.latent_channels, width, self.layers + 1)
            return ImageAutoencoder(shape, self.latent_channels, self.widths or (32, 64), self.layers)
        except ValueError as error:
            key = "widths" if "`widths`" in str(error) else "latent_channels"
            raise ConfigError(f"`network.{key}` must suit samples of shape {shape}: {error}") from error


def level_widths(size: int) -> tuple[int, ...]:
    """Widths for images of `size` pixels: levels down to 8 pixels, where attention is cheap, and at least two."""
    levels = max(2, math.ceil(math.log2(max(size, 2) / 8)) + 1)
    return (32, *[64] * (levels - 1))
