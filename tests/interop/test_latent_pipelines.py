"""Latent pipelines of diffusers: read as models of latents, and written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, DDIMScheduler, LDMPipeline, UNet2DModel, VQModel

from scoresde import VPSDE, Denoiser, V, catalogue, runs, sample
from scoresde.denoisers.noise_conditioning import NoiseConditioning
from scoresde.interop import models, pipelines
from scoresde.interop.latent_pipelines import save_autoencoder
from scoresde.latent import Autoencoder, LatentSpace
from scoresde.networks import ImageAutoencoder, UNet
from scoresde.runtime.torch_state import seeded
from scoresde.storage.files import CheckpointError
from tests.helpers.in_process import called

pytestmark = pytest.mark.peers
BLOCKS = {
    "block_out_channels": (8, 8),
    "down_block_types": ("DownEncoderBlock2D",) * 2,
    "up_block_types": ("UpDecoderBlock2D",) * 2,
    "norm_num_groups": 4,
}


def parts(kind: str) -> tuple[Any, UNet2DModel, DDIMScheduler]:
    """Of a tiny pipeline: latents of 3 x 8 x 8, images of 3 x 16 x 16."""
    with seeded(0):
        more = {"scaling_factor": 0.5} if kind == "AutoencoderKL" else {"num_vq_embeddings": 32, "scaling_factor": 0.5}
        made: Any = {"AutoencoderKL": AutoencoderKL, "VQModel": VQModel}[kind]
        body = made(latent_channels=3, **BLOCKS, **more)
        unet = UNet2DModel(
            sample_size=8,
            in_channels=3,
            out_channels=3,
            block_out_channels=(8, 8),
            down_block_types=("DownBlock2D",) * 2,
            up_block_types=("UpBlock2D",) * 2,
            norm_num_groups=4,
            layers_per_block=1,
        )
    return body, unet, DDIMScheduler(num_train_timesteps=100, clip_sample=False)


@pytest.mark.parametrize("kind", ["AutoencoderKL", "VQModel"])
def test_a_latent_pipeline_is_a_model(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its samples are decoded as the pipeline decodes: latents over the scaling factor."""
    body, unet, scheduler = parts(kind)
    LDMPipeline(vqvae=body, unet=unet, scheduler=scheduler).save_pretrained(tmp_path / "p")
    model = models.load(tmp_path / "p")
    assert model.shape == (3, 8, 8)
    assert model.sample_shape == (3, 16, 16)
    u = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        wanted = body.decode(u / 0.5).sample
    assert torch.allclose(model.decoded(u), wanted, atol=1e-6)

    out = tmp_path / "x.npz"
    run = str(tmp_path / "p")
    assert called("sample", run, "--n", "2", "--steps", "3", "--out", str(out)) == 0
    assert np.load(out)["x"].shape == (2, 3, 16, 16)
    capsys.readouterr()
    assert called("info", run) == 0
    assert "latents" in capsys.readouterr().out

    images = tmp_path / "images.npy"
    np.save(images, np.random.default_rng(0).random((20, 3, 16, 16), dtype=np.float32))
    assert called("doctor", run, "--data", str(images), "--n", "20") in (0, 3)
    capsys.readouterr()
    assert called("likelihood", run, "--data", str(images), "--n", "2") == 2
    assert "must know the observation noise of its autoencoder" in capsys.readouterr().err


def test_ours_is_saved_as_one(tmp_path: Path) -> None:
    """Centre and scale are in its convolutions: it encodes and decodes the same, in diffusers and here."""
    process = VPSDE()
    with seeded(2):
        autoencoder = Autoencoder(ImageAutoencoder((1, 8, 8), 2, (8, 8))).eval()
        denoiser = Denoiser(UNet(2, (8, 8), 1), process, V(), time=NoiseConditioning(process)).eval()
    space = LatentSpace(autoencoder, torch.tensor([0.5, -1.5]), torch.tensor([2.0, 0.25]))
    pipelines.save(denoiser, tmp_path / "p", 4, space)

    x = torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(3))
    u = torch.randn(3, 2, 4, 4, generator=torch.Generator().manual_seed(4))
    theirs = LDMPipeline.from_pretrained(tmp_path / "p")
    mean, std = space.posterior(x)
    with torch.no_grad():
        found = theirs.vqvae.encode(x).latent_dist
        assert torch.allclose(theirs.vqvae.decode(u).sample, space.decode(u), atol=1e-4)
    assert torch.allclose(found.mean, mean, atol=1e-4)
    assert torch.allclose(found.std, std, rtol=1e-4)

    ours = models.load(tmp_path / "p")
    assert torch.allclose(ours.decoded(u), space.decode(u), atol=1e-4)
    t = torch.tensor(0.5)
    alpha, sigma = process.alpha(t).float(), process.sigma(t).float()
    assert torch.allclose(ours.denoiser(u, alpha, sigma).x0, denoiser(u, alpha, sigma).x0, atol=1e-3)
    assert sample(ours.denoiser, (2, 2, 4, 4), catalogue.ddim(3)).shape == (2, 2, 4, 4)

    with pytest.raises(TypeError, match="`space` must be of an autoencoder of images"):
        save_autoencoder(LatentSpace(Autoencoder(torch.nn.Linear(1, 1)), torch.zeros(1), torch.ones(1)), tmp_path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"_class_name": "AutoencoderTiny"}, "must describe a VQModel or AutoencoderKL"),
        ({"latent_channels": 4}, "cannot be loaded with it"),
        ({"block_out_channels": [10**6, 10**6]}, "cannot be loaded"),
        ({"down_block_types": ["Nothing", "Nothing"]}, "cannot be loaded as a AutoencoderKL"),
    ],
)
def test_a_foreign_autoencoder_is_refused(change: dict[str, Any], said: str, tmp_path: Path) -> None:
    body, unet, scheduler = parts("AutoencoderKL")
    LDMPipeline(vqvae=body, unet=unet, scheduler=scheduler).save_pretrained(tmp_path / "p")
    path = tmp_path / "p" / "vqvae" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(CheckpointError, match=said):
        models.load(tmp_path / "p")


def test_its_weights_must_be_safetensors(tmp_path: Path) -> None:
    body, unet, scheduler = parts("AutoencoderKL")
    LDMPipeline(vqvae=body, unet=unet, scheduler=scheduler).save_pretrained(tmp_path / "p")
    (tmp_path / "p" / "vqvae" / "diffusion_pytorch_model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="weights are read from safetensors alone"):
        models.load(tmp_path / "p")
    assert runs.holds(tmp_path / "p") is None
