"""The Inception of the Frechet inception distance, on random weights: nothing is downloaded, so no figure of a trained
one is known here."""

from __future__ import annotations

import math
import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from scoresde.evaluation.distances import energy, on_features
from scoresde.evaluation.inception import Conv, Inception, Mixed, load_inception, pixels, resized
from scoresde.runtime.torch_state import seeded
from scoresde.storage.files import CheckpointError
from tests.helpers.pickles import Loud


@pytest.fixture(scope="module")
def network() -> Inception:
    """Weights and running moments that are not at their start, and keep a signal alive through 48 layers."""
    with seeded(0):
        made = Inception()
        for layer in made.modules():
            if isinstance(layer, nn.BatchNorm2d):
                for value, low, high in (
                    (layer.weight, 0.8, 1.6),
                    (layer.bias, -0.1, 0.3),
                    (layer.running_mean, -0.1, 0.1),
                    (layer.running_var, 0.05, 0.2),
                ):
                    nn.init.uniform_(value, low, high)
    return made.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def published(network: Inception) -> dict[str, Tensor]:
    """As the published file has it: the classifier too, and no counts of batches."""
    weights = {k: v.clone() for k, v in network.state_dict().items() if not k.endswith("num_batches_tracked")}
    return weights | {"fc.weight": torch.zeros(1008, 2048), "fc.bias": torch.zeros(1008)}


IMAGES = torch.randint(0, 256, (4, 3, 40, 32), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


def test_the_weights_are_those_of_the_published_graph(network: Inception) -> None:
    """94 convolutions without bias; 21 785 568 parameters, which with a classifier of 1000 classes make the 23 834 568
    of Inception-v3."""
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    assert len(convolutions) == 94
    assert sum(p.numel() for p in network.parameters()) == 21_785_568 == 23_834_568 - 2048 * 1000 - 1000
    shapes = {k: tuple(v.shape) for k, v in network.state_dict().items()}
    for name, shape in {
        "Conv2d_1a_3x3.conv.weight": (32, 3, 3, 3),
        "Mixed_5b.branch5x5_2.conv.weight": (64, 48, 5, 5),
        "Mixed_5b.branch_pool.conv.weight": (32, 192, 1, 1),
        "Mixed_6a.branch3x3.conv.weight": (384, 288, 3, 3),
        "Mixed_6b.branch7x7dbl_3.conv.weight": (128, 128, 1, 7),
        "Mixed_6e.branch7x7_3.bn.running_var": (192,),
        "Mixed_7a.branch7x7x3_4.conv.weight": (192, 192, 3, 3),
        "Mixed_7b.branch3x3_2b.conv.weight": (384, 384, 3, 1),
        "Mixed_7c.branch3x3dbl_3a.conv.weight": (384, 384, 1, 3),
    }.items():
        assert shapes[name] == shape


def test_layers_have_the_published_sizes(network: Inception) -> None:
    """Side and channels behind each part, for images of any size."""
    seen: dict[str, tuple[int, ...]] = {}
    hooks = [
        m.register_forward_hook(lambda _, __, out, name=name: seen.__setitem__(name, tuple(out.shape[1:])))
        for name, m in network.named_children()
    ]
    assert network(IMAGES[:1]).shape == (1, 2048)
    for hook in hooks:
        hook.remove()
    assert seen == {
        "Conv2d_1a_3x3": (32, 149, 149),
        "Conv2d_2a_3x3": (32, 147, 147),
        "Conv2d_2b_3x3": (64, 147, 147),
        "Conv2d_3b_1x1": (80, 73, 73),
        "Conv2d_4a_3x3": (192, 71, 71),
        "Mixed_5b": (256, 35, 35),
        "Mixed_5c": (288, 35, 35),
        "Mixed_5d": (288, 35, 35),
        "Mixed_6a": (768, 17, 17),
        "Mixed_6b": (768, 17, 17),
        "Mixed_6c": (768, 17, 17),
        "Mixed_6d": (768, 17, 17),
        "Mixed_6e": (768, 17, 17),
        "Mixed_7a": (1280, 8, 8),
        "Mixed_7b": (2048, 8, 8),
        "Mixed_7c": (2048, 8, 8),
    }


def test_a_convolution_by_hand() -> None:
    """relu(gamma (k * x - mean)/sqrt(var + 0.001) + beta), one pixel by sums."""
    layer = Conv(2, 1, 3).eval()
    with torch.no_grad():
        layer.conv.weight.copy_(torch.linspace(-1, 1, 18).reshape(1, 2, 3, 3))
        for value, number in (
            (layer.bn.weight, 1.5),
            (layer.bn.bias, 0.2),
            (layer.bn.running_mean, 0.3),
            (layer.bn.running_var, 0.7),
        ):
            value.fill_(number)
        x = torch.arange(32.0).reshape(1, 2, 4, 4).sin()
        total = sum(
            float(layer.conv.weight[0, c, i, j]) * float(x[0, c, i + 1, j])
            for c in range(2)
            for i in range(3)
            for j in range(3)
        )
        assert layer(x)[0, 0, 1, 0].item() == pytest.approx(
            max(0.0, 1.5 * (total - 0.3) / math.sqrt(0.701) + 0.2), rel=1e-5
        )


def test_pools_of_a_block_by_hand(network: Inception) -> None:
    """Paths that pass on what they pool: means leave the padding out (4 of 9 in a corner), the last block takes the
    maximum; paths stay in order."""
    x = torch.rand(1, 2, 4, 4, generator=torch.Generator().manual_seed(1))
    for pool, corner in (
        (network.Mixed_7b.pool, x[0, :, :2, :2].mean((1, 2))),
        (network.Mixed_7c.pool, x[0, :, :2, :2].amax((1, 2))),
    ):
        block = Mixed(2, {"branch1x1": [(2, 1)], "branch_pool": [(2, 1)]}, pool).eval()
        with torch.no_grad():
            for scale, layer in ((1.0, block.get_submodule("branch1x1")), (3.0, block.get_submodule("branch_pool"))):
                layer.conv.weight.copy_(scale * torch.eye(2)[:, :, None, None])
            out = block(x) * math.sqrt(1.001)
        torch.testing.assert_close(out[:, :2], x)
        torch.testing.assert_close(out[0, 2:, 0, 0], 3 * corner)
    halved = Mixed(2, {"branch_pool": []}, network.Mixed_6a.pool, halving=True)
    assert torch.equal(halved(x), x[:, :, :3, :3].amax((2, 3), keepdim=True))


def test_resizing_by_hand() -> None:
    """Pixel i lies at i in/299: exact on a ramp until the last pixel, which is repeated; the corner is kept; 299
    pixels are left alone."""
    ramp = torch.arange(10.0, dtype=torch.float64).expand(1, 1, 7, 10)
    out = resized(ramp)
    at = torch.arange(299, dtype=torch.float64) * 10 / 299
    torch.testing.assert_close(out[0, 0], at.clamp(max=9).expand(299, 299), rtol=0, atol=1e-12)
    x = torch.rand(1, 1, 299, 299, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert torch.equal(resized(x), x)
    x = torch.rand(1, 1, 5, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    low, high, u, v = 100 * 5 // 299, 200 * 6 // 299, 500 / 299 % 1, 1200 / 299 % 1
    a, b, c, d = (x[0, 0, low + i, high + j] for i in (0, 1) for j in (0, 1))
    torch.testing.assert_close(
        resized(x)[0, 0, 100, 200], (1 - u) * ((1 - v) * a + v * b) + u * ((1 - v) * c + v * d), rtol=1e-12, atol=0
    )


def test_bytes_floats_and_grey_images_agree(network: Inception) -> None:
    """uint8 is taken as it is; floats in [-1, 1] are those bytes, small noise and all; grey is three equal channels."""
    assert torch.equal(pixels(IMAGES), IMAGES.float())
    floats = IMAGES.double() / 127.5 - 1
    assert torch.equal(pixels(floats + 0.3 / 127.5), IMAGES.float())
    assert torch.equal(
        pixels(torch.tensor([-1.5, -1.0, 1.0, 7.0]).reshape(1, 1, 2, 2))[0, 2].flatten(),
        torch.tensor([0.0, 0.0, 255.0, 255.0]),
    )
    assert torch.equal(pixels(IMAGES[:, :1])[:, 2], IMAGES[:, 0].float())
    assert torch.equal(network(IMAGES[:1]), network(floats[:1]))


@pytest.mark.parametrize(
    ("x", "kind"),
    [
        (IMAGES[0], ValueError),
        (IMAGES[:, :2], ValueError),
        (IMAGES[:0], ValueError),
        (IMAGES.int(), TypeError),
    ],
)
def test_what_is_no_image_is_named(x: Tensor, kind: type[Exception], network: Inception) -> None:
    with pytest.raises(kind, match="`x` must be"):
        network(x)


@pytest.mark.parametrize(
    ("save", "name"), [(save_file, "a.safetensors"), pytest.param(torch.save, "a.pth", marks=pytest.mark.slow)]
)
def test_distances_on_a_loaded_file(
    save, name: str, tmp_path: Path, network: Inception, published: dict[str, Tensor]
) -> None:
    """A file of the published names gives the network back; its features go where any go."""
    save(published, tmp_path / name)
    features, x, y, want = load_inception(tmp_path / name), IMAGES[:2], IMAGES[2:], network(IMAGES).double()
    assert not features.training
    assert want.std(0).max() > 1e-3  # random weights, yet the images are told apart
    assert on_features(energy, features, batch=1)(x, y) == pytest.approx(energy(want[:2], want[2:]), rel=1e-3)


def broken(weights: dict[str, Tensor]) -> Iterator[tuple[str, dict[str, Tensor], str]]:
    """Files that are not it, and what is said of them."""
    first = "Conv2d_1a_3x3.conv.weight"
    yield "missing", {k: v for k, v in weights.items() if k != first}, f"another architecture.*Missing.*{first}"
    yield "shape", weights | {first: torch.zeros(32, 1, 3, 3)}, "another architecture.*size mismatch"
    yield (
        "auxiliary classifier",
        weights | {"AuxLogits.fc.bias": torch.zeros(1000)},
        "another architecture.*Unexpected.*AuxLogits",
    )
    yield "1000 classes", weights | {"fc.weight": torch.zeros(1000, 2048)}, "1000 classes.*1008"
    yield "not finite", weights | {first: weights[first] / 0}, "NaN or Inf"


@pytest.mark.slow
def test_wrong_files_are_refused(tmp_path: Path, published: dict[str, Tensor]) -> None:
    for name, weights, said in broken(published):
        torch.save(weights, tmp_path / f"{name}.pth")
        with pytest.raises(CheckpointError, match=said):
            load_inception(tmp_path / f"{name}.pth")
    with pytest.raises(CheckpointError, match="does not exist"):
        load_inception(tmp_path / "absent.pth")


def test_programs_are_not_run(tmp_path: Path) -> None:
    """A pickle and a TorchScript archive are refused, and nothing in them runs."""
    touched = tmp_path / "touched"
    (tmp_path / "loud.pth").write_bytes(pickle.dumps(Loud(touched)))
    torch.save(Loud(touched), tmp_path / "zipped.pth")
    with pytest.warns(DeprecationWarning, match="jit"):
        torch.jit.script(nn.Linear(2, 2)).save(str(tmp_path / "script.pt"))
    for name in ("loud.pth", "zipped.pth", "script.pt"):
        with pytest.raises(CheckpointError, match=name):
            load_inception(tmp_path / name)
    assert not touched.exists()
