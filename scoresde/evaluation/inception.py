"""The Inception-v3 of the Frechet inception distance: 2048 features per image, from a weights file the user gives.

This is the graph of 2015 as ported from TensorFlow. It differs from Inception-v3 in later libraries in three points.
Average pools leave their padding out of the mean. The last block has a maximum pool in place of an average pool. Images
are resized by the rule of TensorFlow 1 (output pixel i lies at i in/299, no half pixels) and scaled by (x - 128)/128.
Szegedy et al. 2015, arXiv:1512.00567; Heusel et al. 2017, arXiv:1706.08500; Parmar et al. 2022, arXiv:2104.11222.

Nothing is downloaded. The file is the one pytorch-fid and torch-fidelity publish
(`pt_inception-2015-12-05-6726825d.pth`, or its tensors as .safetensors), read by `foreign.read`. The TorchScript
archive of the same network is refused: it holds a program, not only weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..storage import foreign
from ..storage.files import CheckpointError
from ..storage.weights import restore

SIZE = 299
Kernel = int | tuple[int, int]
One = tuple[int, Kernel]  # channels out, kernel
Step = One | list[One]  # a list: convolutions in parallel
_mean = partial(F.avg_pool2d, kernel_size=3, stride=1, padding=1, count_include_pad=False)
_most = partial(F.max_pool2d, kernel_size=3, stride=1, padding=1)
_half = partial(F.max_pool2d, kernel_size=3, stride=2)


class Conv(nn.Module):
    """A convolution without bias, then batch norm, then ReLU."""

    def __init__(
        self,
        inside: int,
        out: int,
        kernel: Kernel,
        stride: int = 1,
        padding: Kernel = 0,
    ):
        super().__init__()
        self.conv = nn.Conv2d(
            inside,
            out,
            kernel,
            stride,
            padding,
            bias=False,
        )
        self.bn = nn.BatchNorm2d(out, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)))


class Mixed(nn.Module):
    """An Inception block: parallel branches, whose output channels are concatenated.

    A branch is a chain of convolutions. The branch `branch_pool` starts with a pool. If `halving`, the last convolution
    of each branch has stride 2 and no padding. Layers are named BRANCH_1, BRANCH_2, and so on; BRANCH_2a and BRANCH_2b
    if two are in parallel; BRANCH if the branch has only one."""

    def __init__(
        self,
        inside: int,
        paths: Mapping[str, Sequence[Step]],
        pool: partial[Tensor],
        halving: bool = False,
    ):
        super().__init__()
        self.pool = pool
        self.chains = dict[str, list[list[str]]]()
        self.width = 0

        for path, steps in paths.items():
            width = inside
            chain = list[list[str]]()

            for k, step in enumerate(steps, 1):
                side_by_side = step if isinstance(step, list) else [step]
                last = halving and k == len(steps)
                names: list[str] = []

                for letter, (out, kernel) in zip("ab", side_by_side, strict=False):
                    names.append(path if len(steps) == 1 else f"{path}_{k}{letter if len(side_by_side) > 1 else ''}")
                    self.add_module(names[-1], Conv(width, out, kernel, 2 if last else 1, 0 if last else _same(kernel)))

                width = sum(out for out, _ in side_by_side)
                chain.append(names)

            self.chains[path] = chain
            self.width += width

    def forward(self, x: Tensor) -> Tensor:
        outs: list[Tensor] = []
        for path, chain in self.chains.items():
            y = self.pool(x) if path == "branch_pool" else x
            for names in chain:
                y = torch.cat([self.get_submodule(name)(y) for name in names], 1)
            outs.append(y)
        return torch.cat(outs, 1)


def _same(kernel: Kernel) -> Kernel:
    """Padding that keeps the size."""
    return kernel // 2 if isinstance(kernel, int) else (kernel[0] // 2, kernel[1] // 2)


def _a(inside: int, pooled: int) -> Mixed:
    paths = {
        "branch1x1": [(64, 1)],
        "branch5x5": [(48, 1), (64, 5)],
        "branch3x3dbl": [(64, 1), (96, 3), (96, 3)],
        "branch_pool": [(pooled, 1)],
    }
    return Mixed(inside, paths, _mean)


def _c(inside: int, c: int) -> Mixed:
    double = [(c, 1), (c, (7, 1)), (c, (1, 7)), (c, (7, 1)), (192, (1, 7))]
    paths = {
        "branch1x1": [(192, 1)],
        "branch7x7": [(c, 1), (c, (1, 7)), (192, (7, 1))],
        "branch7x7dbl": double,
        "branch_pool": [(192, 1)],
    }
    return Mixed(inside, paths, _mean)


def _e(inside: int, pool: partial[Tensor]) -> Mixed:
    fork: list[One] = [(384, (1, 3)), (384, (3, 1))]
    single: list[Step] = [(384, 1), fork]
    double: list[Step] = [(448, 1), (384, 3), fork]
    return Mixed(
        inside, {"branch1x1": [(320, 1)], "branch3x3": single, "branch3x3dbl": double, "branch_pool": [(192, 1)]}, pool
    )


class Inception(nn.Module):
    """The network: images (n, C, H, W) -> features (n, 2048); call it in eval mode.

    C is 1 or 3. uint8 images are in 0..255. Float images are in the model's scale [-1, 1] and are rounded to the values
    that an image file would hold. The network can be the argument `features` of `distances.on_features`. A wrong shape
    or dtype raises TypeError or ValueError naming `x`."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = Conv(3, 32, 3, 2)
        self.Conv2d_2a_3x3 = Conv(32, 32, 3)
        self.Conv2d_2b_3x3 = Conv(32, 64, 3, 1, 1)
        self.Conv2d_3b_1x1 = Conv(64, 80, 1)
        self.Conv2d_4a_3x3 = Conv(80, 192, 3)
        self.Mixed_5b = _a(192, 32)
        self.Mixed_5c = _a(256, 64)
        self.Mixed_5d = _a(288, 64)
        self.Mixed_6a = Mixed(
            288, {"branch3x3": [(384, 3)], "branch3x3dbl": [(64, 1), (96, 3), (96, 3)], "branch_pool": []}, _half, True
        )
        self.Mixed_6b = _c(768, 128)
        self.Mixed_6c = _c(768, 160)
        self.Mixed_6d = _c(768, 160)
        self.Mixed_6e = _c(768, 192)
        seven = [(192, 1), (192, (1, 7)), (192, (7, 1)), (192, 3)]
        self.Mixed_7a = Mixed(
            768, {"branch3x3": [(192, 1), (320, 3)], "branch7x7x3": seven, "branch_pool": []}, _half, True
        )
        self.Mixed_7b = _e(1280, _mean)
        self.Mixed_7c = _e(2048, _most)

    def forward(self, x: Tensor) -> Tensor:
        x = (resized(pixels(x)).to(self.Conv2d_1a_3x3.conv.weight) - 128) / 128
        x = _half(self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x))))
        x = _half(self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(x)))
        x = self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(x)))
        x = self.Mixed_6e(self.Mixed_6d(self.Mixed_6c(self.Mixed_6b(self.Mixed_6a(x)))))
        return self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(x))).mean((2, 3))


def pixels(x: Tensor) -> Tensor:
    """Images as three channels of whole numbers in 0..255, float32."""
    if x.dim() != 4 or x.shape[1] not in (1, 3) or 0 in x.shape:
        raise ValueError(f"`x` must be images (n, 1 or 3, H, W), got shape {tuple(x.shape)}")

    if x.is_floating_point():
        x = (127.5 * (x + 1)).round().clamp(0, 255)
    elif x.dtype != torch.uint8:
        raise TypeError(f"`x` must be uint8 in 0..255 or floats in [-1, 1], got {x.dtype}")

    return x.float().expand(-1, 3, -1, -1)


def resized(x: Tensor) -> Tensor:
    """Images resized to 299 x 299: pixel i is the linear interpolant at i in/299, as in TensorFlow 1."""
    rows, columns = (_weights(n).to(x) for n in x.shape[2:])
    return rows @ x @ columns.T


def _weights(n: int) -> Tensor:
    """Interpolation weights, (299, n): each row holds the weights of the two pixels on both sides of its point."""
    at = torch.arange(SIZE, dtype=torch.float64, device="cpu") * n / SIZE
    low = at.floor().long()
    weights = torch.zeros(SIZE, n, dtype=torch.float64, device="cpu")
    weights.scatter_add_(1, low[:, None], (1 - at + low)[:, None])
    return weights.scatter_add_(1, (low + 1).clamp(max=n - 1)[:, None], (at - low)[:, None])


def load_inception(path: str | Path) -> Inception:
    """Load the network with the weights of a local file, in eval mode and without gradients of the weights.

    Raises:
        CheckpointError: if the file is missing, is a pickle or a program, or holds the weights of another network.
    """

    path = Path(path)
    tensors = foreign.read(path)
    head = tensors.pop("fc.weight", None), tensors.pop("fc.bias", None)  # the classifier's last layer, not used here
    if head[0] is not None and head[0].shape[0] != 1008:
        raise CheckpointError(
            f"{path} holds an Inception of {head[0].shape[0]} classes; that of the Frechet inception distance has 1008"
        )

    network = Inception()
    restore(network, tensors, path)

    return network.eval().requires_grad_(False)
