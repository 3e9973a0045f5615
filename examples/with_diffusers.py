"""diffusers both ways: a saved pipeline as a denoiser, and a method in a scheduler's place."""

import tempfile
from pathlib import Path

import torch
from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel

from scoresde import catalogue, sample
from scoresde.interop import pipelines
from scoresde.interop.scheduler import MethodScheduler


def tiny() -> DDPMPipeline:
    """An untrained pipeline; any folder of a UNet2DModel will do."""
    blocks = {
        "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
        "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
    }
    unet = UNet2DModel(8, 1, 1, block_out_channels=(8, 16), layers_per_block=1, norm_num_groups=4, **blocks)
    return DDPMPipeline(unet, DDPMScheduler(1000))


def main() -> None:
    """Print the shapes of samples drawn either way."""
    with tempfile.TemporaryDirectory() as folder:
        theirs = Path(folder) / "theirs"
        tiny().save_pretrained(theirs)

        model = pipelines.load(theirs)
        x = sample(model, (4, 1, 8, 8), catalogue.unipc(10), seed=0)
        print("their model, our sampler:", tuple(x.shape), model.process)

        pipe = DDPMPipeline.from_pretrained(theirs)
        pipe.set_progress_bar_config(disable=True)
        pipe.scheduler = MethodScheduler("unipc", pipe.scheduler.config)
        generator = torch.Generator().manual_seed(0)
        images = pipe(batch_size=4, generator=generator, num_inference_steps=10, output_type="pt").images
        print("their pipeline, our method:", tuple(images.shape))


if __name__ == "__main__":
    main()
