"""What the configuration of a scheduler or a network says: the entries that change the answer are honoured or refused
by name."""

from __future__ import annotations

import json

import pytest
import torch
from diffusers import (
    CogVideoXDDIMScheduler,
    DDIMScheduler,
    DDPMScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
)

from scoresde.interop import pipelines
from scoresde.interop.pipelines import read_scheduler
from scoresde.storage.files import CheckpointError
from tests.helpers.pipelines import written

CHAINS = [
    CogVideoXDDIMScheduler(),
    CogVideoXDDIMScheduler(snr_shift_scale=1.0),
    CogVideoXDDIMScheduler(snr_shift_scale=2.0, rescale_betas_zero_snr=True),
    DDIMScheduler(rescale_betas_zero_snr=True),
    DDPMScheduler(200, beta_schedule="squaredcos_cap_v2"),
    EulerDiscreteScheduler(beta_schedule="scaled_linear"),
]


@pytest.mark.parametrize(
    "theirs",
    CHAINS,
    ids=lambda s: f"{type(s).__name__}-{s.config.get('snr_shift_scale')}-{s.config.get('rescale_betas_zero_snr')}",
)
def test_a_chain_is_theirs_to_rounding(theirs):
    """abar at every level, but where theirs keeps a trace of signal for its own solver's sake."""
    chain, _ = read_scheduler(theirs.config)
    t = torch.arange(1, chain.steps + 1, dtype=torch.float64) / chain.steps
    assert torch.allclose((chain.alpha(t) ** 2), theirs.alphas_cumprod.double(), rtol=2e-4, atol=1e-6)


def test_cogvideox_in_the_middle():
    """abar(500) of linear in sqrt(beta), 0.00085 to 0.012, its signal-to-noise ratio divided by three, none at the
    end."""
    chain, _ = read_scheduler(CogVideoXDDIMScheduler(snr_shift_scale=3.0, rescale_betas_zero_snr=True).config)
    assert float(chain.alpha(501 / 1000) ** 2) == pytest.approx(0.0953, abs=5e-4)


REFUSED = {
    "timestep_type": "continuous",
    "use_flow_sigmas": True,
    "use_dynamic_shifting": True,
    "thresholding": True,
    "variance_type": "learned",
    "prediction_type": "flow_prediction",
    "beta_schedule": "laplace",
    "an_entry_of_tomorrow": 3,
    "beta_start": 1e-320,
    "beta_end": 1e38,
    "num_train_timesteps": 10**7,
    "trained_betas": [0.1, float("nan")],
    "snr_shift_scale": "x",
    "_class_name": "DDIMInverseScheduler",
}


@pytest.mark.parametrize("key", REFUSED)
def test_an_entry_that_changes_the_answer_is_refused_by_name(key):
    config = dict(DDPMScheduler().config) | {key: REFUSED[key]}
    with pytest.raises(CheckpointError, match=f"`{key}`"):
        read_scheduler(config)


def test_a_flow_matching_scheduler_is_refused():
    with pytest.raises(CheckpointError, match=r"FlowMatchEulerDiscreteScheduler.*names no betas"):
        read_scheduler(FlowMatchEulerDiscreteScheduler().config | {"_class_name": "FlowMatchEulerDiscreteScheduler"})


UNETS = {
    "sample_size": ["x", [8], -8, 0, 1.5, True],
    "layers_per_block": [10**6, 0, "2", None, [1]],
    "block_out_channels": [[], [0, 8], [10**9], "8", 8, [[8]]],
    "in_channels": [0, -1, None, 10**9],
    "norm_num_groups": [0, "4"],
    "down_block_types": [["NoSuchBlock", "DownBlock2D"], 3],
    "dropout": [2.0, "x"],
    "an_entry_of_tomorrow": [1],
}


@pytest.mark.parametrize(
    ("key", "value"), [(key, value) for key, values in UNETS.items() for value in values], ids=repr
)
def test_a_network_that_cannot_be_is_refused_by_the_entry(key, value, tmp_path):
    written(tmp_path, DDPMScheduler(50))
    path = tmp_path / "unet" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    with pytest.raises(CheckpointError, match=f"`{key}`"):
        pipelines.load(tmp_path)


def test_a_configuration_of_another_size_is_refused_before_memory_is_taken(tmp_path):
    """Blocks of 8192 channels would take gigabytes; the file holds a few thousand numbers."""
    written(tmp_path, DDPMScheduler(50))
    path = tmp_path / "unet" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"block_out_channels": [8192, 8192]}))
    with pytest.raises(CheckpointError, match="another architecture"):
        pipelines.load(tmp_path)


def test_a_latent_pipeline_is_not_sampled_as_images(tmp_path):
    """The message says what the folder is."""
    written(tmp_path, DDPMScheduler(50))
    index = tmp_path / "model_index.json"
    parts = {
        "unet": ["diffusers", "UNet2DModel"],
        "scheduler": ["diffusers", "DDPMScheduler"],
        "vqvae": ["diffusers", "VQModel"],
    }
    index.write_text(json.dumps({"_class_name": "LDMPipeline", **parts}))
    with pytest.raises(CheckpointError, match=r"LDMPipeline.*vqvae.*latents"):
        pipelines.load(tmp_path)


def test_a_pipeline_of_other_parts_is_named(tmp_path):
    """A folder without run.json is told for what it is, by every command."""
    from scoresde.interop import models

    parts = {"transformer": ["diffusers", "DiTTransformer2DModel"], "scheduler": ["diffusers", "DDIMScheduler"]}
    (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": "DiTPipeline", **parts}))
    with pytest.raises(CheckpointError, match=r"DiTPipeline.*transformer"):
        models.load(tmp_path)


@pytest.mark.parametrize(
    "name", ["diffusion_pytorch_model.fp16.safetensors", "diffusion_pytorch_model-00001-of-00002.safetensors"]
)
def test_variants_and_parts_are_named(name, tmp_path):
    written(tmp_path, DDPMScheduler(50))
    stored = tmp_path / "unet" / "diffusion_pytorch_model.safetensors"
    stored.rename(stored.with_name(name))
    with pytest.raises(CheckpointError, match=rf"{name}.*variants and parts are not read"):
        pipelines.load(tmp_path)


def test_a_latent_pipeline_as_diffusers_saves_it_is_named(tmp_path):
    """Stable Diffusion, tiny and with random weights: network of latents, autoencoder and text encoder; no command
    takes it for images."""
    from diffusers import AutoencoderKL, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    from scoresde.interop import models

    blocks = {
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
    }
    unet = UNet2DConditionModel(
        8,
        block_out_channels=(4, 8),
        layers_per_block=1,
        norm_num_groups=2,
        cross_attention_dim=8,
        attention_head_dim=2,
        **blocks,
    )
    vae = AutoencoderKL(block_out_channels=(4,), norm_num_groups=2, latent_channels=4)
    text = CLIPTextModel(
        CLIPTextConfig(vocab_size=10, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2)
    )
    none = {"tokenizer": None, "safety_checker": None, "feature_extractor": None}
    chain = DDIMScheduler(steps_offset=1, clip_sample=False)
    pipe = StableDiffusionPipeline(
        vae=vae, text_encoder=text, unet=unet, scheduler=chain, requires_safety_checker=False, **none
    )
    pipe.save_pretrained(tmp_path)
    for load in (pipelines.load, models.load):
        with pytest.raises(CheckpointError, match=r"StableDiffusionPipeline.*text_encoder, vae.*latents"):
            load(tmp_path)
