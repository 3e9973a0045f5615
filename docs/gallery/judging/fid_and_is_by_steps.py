r"""
Frechet distance and Inception score
====================================

Both numbers judge a set of images by a classifier of digits. The Frechet distance compares the features of samples and
of real digits. With their means :math:`m_a, m_b` and covariances :math:`A, B` it is :math:`|m_a - m_b|^2 +
\operatorname{tr}(A + B - 2 (A^{1/2} B A^{1/2})^{1/2})`. It is small for good samples. The Inception score is
:math:`\exp E\, \mathrm{KL}(p(y \mid x) \,\|\, p(y))`, where :math:`p(y \mid x)` are the classifier's probabilities. It
is large if each image clearly belongs to one class and all classes occur. It is at most 10.

The dashed lines show the values of 192 real digits. By both numbers, ``recommended`` with 4 network calls is about as
good as DDIM with 16.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import torch

from scoresde import catalogue, data, recommended, runs, sample
from scoresde.evaluation.judge import frechet, train_classifier
from scoresde.evaluation.sample_sets import inception_score

CALLS = (2, 4, 8, 16)
COUNT = 192

model = runs.load(Path("../../runs/digits"))
digits = data.digits()
real = digits.batch(step=0, size=len(digits), seed=0)[0]  # moved by up to a pixel, as in training
classifier = train_classifier(digits, epochs=8)


def judged(x):
    """Frechet distance from real digits, and Inception score."""
    with torch.no_grad():
        (features, logits), others = classifier(x), classifier(real[COUNT:])[0]
    return frechet(features, others), inception_score(logits.softmax(1)).value


makers = {"DDIM": catalogue.ddim, "recommended": lambda n: recommended(model.denoiser, n)}
fig, axes = plt.subplots(1, 2, figsize=(8, 3))

for (name, make), line in zip(makers.items(), ("o-", "s-"), strict=True):
    scores = [judged(sample(model.denoiser, (COUNT, *model.shape), make(n), seed=0)) for n in CALLS]
    for ax, values in zip(axes, zip(*scores, strict=True), strict=True):
        ax.plot(CALLS, values, line, label=name)

for ax, value, label in zip(axes, judged(real[:COUNT]), ("Frechet distance", "Inception score"), strict=True):
    ax.axhline(value, color="0.4", linestyle="--", label="real digits")
    ax.set(xlabel="network calls for a sample", ylabel=label, xscale="log")
    ax.set_xticks(CALLS, CALLS)
    ax.minorticks_off()

axes[0].set_yscale("log")
_ = axes[0].legend()
