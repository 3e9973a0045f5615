r"""
7. A saved pipeline's workflow
==============================

At the end of this page you know each step that a pipeline of the library diffusers takes from noise to an image. You
can take the same steps with this package, and you know the strengths and weaknesses of saved pipelines.

A **pipeline** is a folder with a trained network, the configuration of a **scheduler**, and a file that names both.
Many published diffusion models are such folders. Here we make a small one from a model of handwritten digits, so that
nothing is downloaded.
"""

# %%
# The folder
# ----------
#
# :func:`~scoresde.interop.pipelines.save` writes a trained model as a pipeline. The digits' model was trained on
# :class:`~scoresde.processes.forward.VPSDE`. The scheduler's configuration gets a chain of 1001 levels of this process.

import json
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from diffusers import DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler, UNet2DModel

from scoresde import catalogue, data, grids, runs, sample
from scoresde.interop import pipelines
from scoresde.interop.scheduler import MethodScheduler
from scoresde.reports.images import tiled
from scoresde.samplers.sampling import decode

plt.style.use("tableau-colorblind10")

temporary = tempfile.TemporaryDirectory()
folder = Path(temporary.name) / "digits"
pipelines.save(runs.load(Path("../runs/digits")).denoiser, folder, size=8)

for file in sorted(path for path in folder.rglob("*") if path.is_file()):
    print(f"{file.relative_to(folder)!s:50} {file.stat().st_size / 1000:8.1f} kB")

config = json.loads((folder / "scheduler" / "scheduler_config.json").read_text())
for key in ("_class_name", "num_train_timesteps", "prediction_type", "timestep_spacing"):
    print(f"{key:22}", config[key])

# %%
# The network, in ``unet/``, takes a noisy image, a timestep and here a label. The scheduler knows the chain (its
# ``betas``). It chooses the timesteps at which the network is called, and makes the step from one to the next.
# ``prediction_type`` says what the network's output means: noise (``epsilon``), the clean image (``sample``), or v
# (``v_prediction``).
#
# Step 1: timesteps
# -----------------
#
# ``set_timesteps(10)`` chooses ten of the 1001 timesteps. There are three rules for it. The picture shows the chosen
# levels :math:`\lambda = \log(\alpha/\sigma)`. They differ at the ends: "leading" does not begin with pure noise, and
# the last call of "trailing" is at :math:`\lambda = 1.1`, where much noise is left.

unet = UNet2DModel.from_pretrained(folder / "unet", use_safetensors=True).eval()
fig, ax = plt.subplots(figsize=(6, 2.2))

for row, spacing in enumerate(("leading", "linspace", "trailing")):
    scheduler = DDPMScheduler.from_pretrained(folder / "scheduler", timestep_spacing=spacing)
    scheduler.set_timesteps(10)
    signal = scheduler.alphas_cumprod[scheduler.timesteps.long()]
    ax.plot(0.5 * torch.log(signal / (1 - signal)), [row] * 10, "o")
    print(f"{spacing:9}", scheduler.timesteps.tolist())

ax.set_yticks(range(3), ["leading", "linspace", "trailing"])
ax.set(xlabel=r"level $\lambda$, noise to data", ylim=(-0.5, 2.5), title="Ten timesteps by three rules")

# %%
# Step 2: a call of the network
# -----------------------------
#
# At each timestep the network is called once. From its output :math:`v` the clean image follows:
# :math:`\hat x = \alpha z - \sigma v`. To see one call, we make a real digit noisy with the scheduler's ``add_noise``,
# at four timesteps. The label 3 is given.

digit = data.digits().x[3:4]  # a three, in [-1, 1]
timesteps = torch.tensor([100, 300, 500, 800])
noisy = scheduler.add_noise(digit.expand(4, -1, -1, -1), torch.randn(4, 1, 8, 8), timesteps)

with torch.no_grad():
    v = unet(noisy, timesteps, class_labels=torch.full((4,), 3)).sample

alpha = scheduler.alphas_cumprod[timesteps].sqrt().reshape(4, 1, 1, 1)
clean = alpha * noisy - (1 - alpha**2).sqrt() * v
fig, axes = plt.subplots(1, 4, figsize=(7, 2))

for k, ax in enumerate(axes):
    ax.imshow(tiled(torch.cat([noisy[k : k + 1], clean[k : k + 1]]), columns=2))
    ax.set_title(f"timestep {timesteps[k]}:\nnoisy, clean")
    ax.set_axis_off()

# %%
# At timestep 100 the clean image is close to the digit. At timestep 800 the noisy image holds almost no information,
# and the answer is close to a mean of all threes.
#
# Step 3: the loop
# ----------------
#
# The ``__call__`` of a pipeline is a loop. It draws noise. Then, for each timestep, it calls the network and makes a
# step of the scheduler. Here are 50 steps of ``DDPMScheduler``, one digit for each label.

labels = torch.arange(10)
scheduler = DDPMScheduler.from_pretrained(folder / "scheduler")
scheduler.set_timesteps(50)

generator = torch.Generator().manual_seed(0)
image = torch.randn(10, 1, 8, 8, generator=generator)
seen = []

for step, t in enumerate(scheduler.timesteps):
    if step % 10 == 0:
        seen.append(image)
    with torch.no_grad():
        output = unet(image, t, class_labels=labels).sample
    image = scheduler.step(output, t, image, generator=generator).prev_sample

fig, ax = plt.subplots(figsize=(5, 3.2))
ax.imshow(tiled(torch.cat([*seen, image]), columns=10))
ax.set(xticks=[], yticks=[33 * k + 16 for k in range(6)], yticklabels=[f"after {k} steps" for k in range(0, 51, 10)])

# %%
# Step 4: decode
# --------------
#
# The network works with numbers in [-1, 1]. At the end the pipeline maps them to [0, 1], clamps them, and rounds them
# to whole numbers from 0 to 255. A **latent** pipeline, such as Stable Diffusion, runs the same loop on latents. A
# decoder network then turns the latents into an image.

pixels = ((image / 2 + 0.5).clamp(0, 1) * 255).round().to(torch.uint8)
print(pixels.shape, pixels.dtype, "from", pixels.min().item(), "to", pixels.max().item())

# %%
# The same by this package
# ------------------------
#
# :func:`~scoresde.interop.pipelines.load` reads the folder as a denoiser. The scheduler's betas become a chain, and the
# prediction type becomes a parameterisation. The scheduler's solver and timesteps are not used, because they belong to
# the sampler and not to the model. Then one line replaces the loop, with any method of
# :doc:`the catalogue </catalogue>`.

model = pipelines.load(folder)
x = sample(model, (10, 1, 8, 8), catalogue.ddpm(50, grid=grids.Trailing(model.process)), seed=0, cond=labels)
print(model.process, model.table)

# %%
# To check that both give the same results, we take a sampler without noise, DDIM, and start both from the same numbers.
# We take 13 steps, because 13 divides 1001. The remaining difference comes from the start: in diffusers it has standard
# deviation 1, here it has that of the chain's last level, 0.99998.


def by_scheduler(scheduler, noise, n):
    """The pipeline's loop without noise in the steps."""
    scheduler.set_timesteps(n)
    for t in scheduler.timesteps:
        with torch.no_grad():
            output = unet(noise, t, class_labels=labels).sample
        noise = scheduler.step(output, t, noise).prev_sample
    return noise


start = torch.randn(10, 1, 8, 8, generator=torch.Generator().manual_seed(1))
theirs = by_scheduler(DDIMScheduler.from_pretrained(folder / "scheduler"), start, 13)
ours = decode(model, start, catalogue.ddim(13, grid=grids.Trailing(model.process)), cond=labels)
print(f"DDIM, 13 steps: largest difference {(theirs - ours).abs().max():.0e}")

# %%
# What the choice of the method gains
# -----------------------------------
#
# From the same start every deterministic sampler approximates the same image, that of the converged probability flow.
# So its error is a distance between images. DDIM and DPM-Solver++ run as schedulers in the loop, with the spacing that
# is stored in the folder ("trailing"). The third line is ``catalogue.best``.

budgets = (5, 7, 10, 14, 20)
converged = decode(model, start, catalogue.probability_flow(1e-4), cond=labels)
loops = {"DDIM": DDIMScheduler, "DPM-Solver++(2M)": DPMSolverMultistepScheduler}
fig, ax = plt.subplots(figsize=(6, 3))

for name, kind in loops.items():
    scheduler = kind.from_pretrained(folder / "scheduler")
    errors = [(by_scheduler(scheduler, start, n) - converged).square().mean().sqrt() for n in budgets]
    ax.loglog(budgets, errors, "o-", label=f"{name}, the scheduler")

errors = [(decode(model, start, catalogue.best(n), cond=labels) - converged).square().mean().sqrt() for n in budgets]
ax.loglog(budgets, errors, "s-", label="catalogue.best")
ax.set_xticks(budgets, [str(n) for n in budgets])
ax.minorticks_off()
ax.set(xlabel="calls of the network", ylabel="root mean square error")
ax.legend(loc="upper right", bbox_to_anchor=(1, 1.15))

# %%
# The other direction works too: a method of this package replaces the scheduler. The pipeline, or the loop above, does
# not change. The script prints the largest difference between the two ways.

swapped = MethodScheduler(catalogue.best, config)
through = by_scheduler(swapped, start * float(model.process.sigma(1.0)), 10)
print(f"in the loop and by decode: {(through - decode(model, start, catalogue.best(10), cond=labels)).abs().max():.0e}")
temporary.cleanup()

# %%
# Strengths and weaknesses of a saved pipeline
# --------------------------------------------
#
# Strengths:
#
# * Network, chain and prediction type lie in one folder, in open formats, and are loaded with one call.
# * The weights are safetensors: loading them runs no foreign code.
# * Network and sampler are separate. The scheduler can be exchanged without new training.
# * The loop is short, and can be read and changed, as above.
#
# Weaknesses:
#
# * The folder does not say on which data the network was trained, in which scale, or how good it is.
# * The meaning of the output depends on many keys. A wrong ``prediction_type`` or ``timestep_spacing`` gives no error
#   message, only bad images.
# * The scheduler stores its own choices (spacing, clipping) beside the facts of the model (betas, prediction type).
# * By default noise comes from one generator for the whole batch, so that an image depends on its place in the batch.
# * There is no measure of the error: nothing tells whether 10 steps would be enough, or whether 50 are too few.
# * ``DDPMPipeline`` itself passes no labels, so that a conditional network needs its own loop.
#
# Try next
# --------
#
# * :doc:`/diffusers`: which pipelines are read, and what is refused.
# * :doc:`5_solvers`: the orders of solvers, which explain the slopes above.
#
# References
# ----------
#
# * von Platen et al. 2022, *Diffusers: state-of-the-art diffusion models*, the library's documentation.
# * Ho, Jain, Abbeel 2020, *Denoising diffusion probabilistic models*, arXiv:2006.11239.
# * Jiaming Song, Meng, Ermon 2021, *Denoising diffusion implicit models*, arXiv:2010.02502.
# * Lin, Liu, Li, Yang 2023, *Common diffusion noise schedules and sample steps are flawed*, arXiv:2305.08891.
# * Salimans, Ho 2022, *Progressive distillation for fast sampling of diffusion models*, arXiv:2202.00512.
# * Rombach, Blattmann, Lorenz, Esser, Ommer 2022, *High-resolution image synthesis with latent diffusion models*,
#   arXiv:2112.10752.
