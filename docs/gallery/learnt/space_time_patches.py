r"""
A clip as space-time patches
============================

:class:`~scoresde.networks.patches.PatchTransformer` cuts a clip into patches of 4 frames of 4 x 4 pixels. Each patch is
a token of 64 numbers. The clip of 8 frames of 16 x 16 pixels is a sequence of :math:`2 \cdot 4 \cdot 4 = 32` tokens.

The first row shows the clip. The borders of the patches are blue, and one patch is orange. The second row shows the
noisy clip, :math:`z_t = \alpha x + \sigma \epsilon` at :math:`t = 0.1`. It is the input of the network. Below are the
tokens of the noisy clip, one in each row, with the same token in orange.
"""

import matplotlib.pyplot as plt
import torch

from scoresde import VPSDE, data, networks

FRAMES, SIDE = 8, 16
ROW, COLUMN = 1, 1  # of the orange token, in its first four frames
T = 0.1  # time of the noise

clip = data.moving_digits(1, frames=FRAMES, size=(SIDE, SIDE), seed=3).data.x  # (1, 1, frames, height, width)
patch = networks.patch_for((FRAMES, SIDE, SIDE), tokens=32)

torch.manual_seed(0)
noisy = VPSDE().perturb(clip, T, torch.randn_like(clip))
cut = noisy[0, 0].unfold(0, patch[0], patch[0]).unfold(1, patch[1], patch[1]).unfold(2, patch[2], patch[2])
tokens = cut.reshape(32, 64)
which = ROW * SIDE // patch[2] + COLUMN

fig = plt.figure(figsize=(8, 4.6))
top, bottom = fig.subfigures(2, 1, height_ratios=(1, 1.2))
rows = top.subplots(2, FRAMES)

for frame in range(FRAMES):
    for ax, x in zip(rows[:, frame], (clip, noisy), strict=True):
        ax.imshow(x[0, 0, frame], cmap="gray", vmin=-1, vmax=1, extent=(0, SIDE, SIDE, 0))
        ax.set(xticks=range(0, SIDE, 4), yticks=range(0, SIDE, 4), xticklabels=[], yticklabels=[])
        ax.tick_params(length=0)
        ax.grid(color="C0", linewidth=0.6)
        if frame < patch[0]:
            ax.add_patch(plt.Rectangle((4 * COLUMN, 4 * ROW), 4, 4, fill=False, edgecolor="C1", linewidth=2))
    rows[0, frame].set_title(f"frame {frame}", fontsize=8)

ax = bottom.subplots()
ax.imshow(tokens, cmap="gray", vmin=-1, vmax=1, aspect="auto", extent=(0, 64, 32, 0))
ax.add_patch(plt.Rectangle((0, which), 64, 1, fill=False, edgecolor="C1", linewidth=2))
ax.set(xlabel="number within the token", ylabel="token")
