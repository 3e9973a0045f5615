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
KINDS = ("auto", "mlp", "unet", "dit", "patches", CLASSIFIER)
CHECKPOINTED = ("auto", "unet", "dit")
SERIES = 2  # dimensions of a sample of them, and of a set of points: only the user knows which it is
SUITED: dict[int, tuple[str, ...]] = {
    1: ("mlp", CLASSIFIER),
    SERIES: ("patches",),
    3: ("unet", "dit", "patches", CLASSIFIER),
    4: ("patches",),
}


class ConfigError(ValueError):
    """A configuration that cannot be used; the message names the dotted key."""


@dataclass(frozen=True)
class NetworkConfig:
    """kind: mlp for points, unet or dit for images, patches for series, images, volumes and video; auto: mlp, unet or
    patches, by the data; classifier: logits of noisy samples, by an MLP or the way down of a U-Net

    predicts       eps, x0, v, score or karras, the last for data of standard deviation sigma_data
    widths         of the U-Net's levels, () for as many as the image needs; or (width,) of the MLP, DiT or patches
    variance       another head, for the variances of reverse steps: trained by the loss Hybrid, used by improved_ddpm
    layers         residual blocks a level of the U-Net, blocks of the DiT or patches less 3, layers of the MLP less 2
    patch          sides of a patch, one an axis of a sample; () for about 256 of them (`patch_for`): patches
    fourier        features of x that the MLP is given, 0: x alone
    checkpointing  of activations, to save memory: unet and dit"""

    kind: str = "auto"
    predicts: str = "v"
    sigma_data: float = 0.5
    variance: bool = False
    widths: tuple[int, ...] = ()
    layers: int = 1
    fourier: int = 64
    checkpointing: bool = False
    patch: tuple[int, ...] = ()

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

        check.integer("layers", self.layers, most=64)
        check.integer("fourier", self.fourier, least=0, most=4096)

        if self.patch != ():
            check.shape("patch", self.patch)

        if self.patch and self.kind != "patches":
            raise ValueError(
                f"`patch` must be left out unless kind is patches, got {list(self.patch)} with {self.kind}"
            )

    @property
    def table(self) -> Parameterisation:
        """What the network predicts."""
        mean = KarrasPreconditioning(self.sigma_data) if self.predicts == "karras" else TABLES[self.predicts]()
        return LearnedRange(mean) if self.variance else mean

    def build(self, shape: tuple[int, ...], classes: int | None) -> nn.Module:
        """A network for samples of `shape`. Raises ValueError naming `kind` where it is not for such samples."""
        from ..networks import MLP, DiT, PatchTransformer, UNet

        outputs = self.table.outputs
        kind = self._kind(shape)

        if kind == CLASSIFIER:
            return self._classifier(shape, classes)

        if kind == "patches":
            return PatchTransformer(
                shape[0],
                self._patch(shape),
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

    def _patch(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Sides of a patch; raises ConfigError naming `network.patch` where they do not divide a sample's."""
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
        """Logits of noisy samples."""
        from ..networks import MLP, UNetClassifier

        if classes is None:
            raise ConfigError("`data.path` must hold labels for network.kind = classifier, got data without")
        if len(shape) == 1:
            width = (self.widths or (128,))[0]
            return MLP(shape[0], width, self.layers + 2, fourier=self.fourier, answers=classes)
        return UNetClassifier(shape[0], self.widths or level_widths(max(shape[1:])), self.layers, classes)


def level_widths(size: int) -> tuple[int, ...]:
    """Widths for images of `size` pixels: levels down to 8 pixels, where attention is cheap, and at least two."""
    levels = max(2, math.ceil(math.log2(max(size, 2) / 8)) + 1)
    return (32, *[64] * (levels - 1))
