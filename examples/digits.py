"""Images: a small U-Net on handwritten digits, and a picture of its samples."""

import sys
from pathlib import Path

from scoresde import catalogue, sample
from scoresde.data import digits
from scoresde.reports.images import save_image, tiled
from scoresde.runs.toml import parse
from scoresde.training import fit

STEPS = 60  # a minute's worth is 600


def main() -> None:
    """Train, sample, and write digits.png into the folder named on the command line, or here."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path()
    data = digits()
    config = parse({"network": {"widths": [16, 32]}, "training": {"steps": STEPS, "batch": 64}})
    denoiser = config.denoiser(data.shape)

    for progress in fit(denoiser, data, config.training):
        if progress.step % 20 == 0:
            print(f"step {progress.step}: loss {progress.loss:.3f}")

    x = sample(denoiser, (16, *data.shape), catalogue.ddim(10), seed=0)
    save_image(tiled(x, columns=4), folder / "digits.png")
    print(f"wrote {folder / 'digits.png'}")


if __name__ == "__main__":
    main()
