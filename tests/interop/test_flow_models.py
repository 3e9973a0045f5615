"""Models trained on straight paths, whose range begins at pure noise: every sampler and command takes them."""

from __future__ import annotations

import itertools
import json
import math

import pytest
import torch

from scoresde import EDM, RectifiedFlow, catalogue, ddpm, exact, runs, sample, sampling
from scoresde.samplers.catalogue import fixed_step_methods
from scoresde.samplers.ranges import NEARLY_NOISE, method_levels
from tests.helpers.bad_files import command
from tests.helpers.problems import F64

FLOWS = [RectifiedFlow(), ddpm.zero_terminal_snr(ddpm.linear(100))]
NAMES = sorted(set(fixed_step_methods()) - {"improved_ddpm"})  # which asks for learned variances


def model(process):
    """The exact denoiser of N(1, 0.25) in 64 dimensions, trained on `process` as it were."""
    return exact.Gaussian(torch.ones(64, dtype=F64), 0.25, process=process)


@pytest.mark.parametrize("process", FLOWS, ids=repr)
@pytest.mark.parametrize("name", NAMES)
def test_every_line_of_the_catalogue_samples_a_flow_model(name, process):
    """At 40 levels mean and standard deviation are right to 0.1: 30 standard errors of 64 x 256 numbers, and what the
    crudest line errs."""
    x = sample(model(process), (256, 64), fixed_step_methods()[name](40))
    wide = {"annealed_langevin": 0.2}.get(name, 0.1)
    assert abs(x.mean() - 1) < wide
    assert abs(x.std() - 0.5) < wide


@pytest.mark.parametrize("name", NAMES)
def test_a_line_begins_at_pure_noise_or_just_inside(name):
    first = float(method_levels(model(RectifiedFlow()), fixed_step_methods()[name](5))[0])
    assert first in (-math.inf, NEARLY_NOISE)


def test_what_reaches_pure_noise_begins_there():
    """Euler along the straight path is the sampler of flow matching: from t = 1, by the velocity eps - x0."""
    assert float(method_levels(model(RectifiedFlow()), catalogue.euler(5))[0]) == -math.inf
    D, z = model(RectifiedFlow()), torch.randn(8, 64, dtype=F64, generator=torch.Generator().manual_seed(0))
    x = z
    times = torch.linspace(1, 1e-3, 5, dtype=F64)
    for t, s in itertools.pairwise(times):
        x = x + (s - t) * D(x, 1 - t, t).velocity
    wanted = D(x, 1 - times[-1], times[-1]).x0
    assert torch.allclose(sampling.decode(D, z, catalogue.euler(5)), wanted, atol=1e-12)


def test_a_time_without_signal_is_refused_by_its_name():
    """`transport` was told the time, so that the message names it."""
    with pytest.raises(ValueError, match=r"`t0` must be a time of RectifiedFlow.*signal"):
        sampling.transport(
            model(RectifiedFlow()), torch.ones(2, 64, dtype=F64), catalogue.ddim(5), RectifiedFlow(), 1.0, 0.1
        )
    carried = sampling.transport(
        model(RectifiedFlow()), torch.ones(2, 64, dtype=F64), catalogue.ddim(5), EDM(), 80.0, 0.1
    )
    assert carried.y.isfinite().all()


@pytest.fixture(scope="module")
def flow_run(tmp_path_factory):
    """A flow model of points after a few steps, with pictures on the way."""
    from scoresde.runs.toml import parse

    made = parse(
        {
            "data": {"path": "moons"},
            "process": {"name": "RectifiedFlow"},
            "loss": {"name": "FlowMatching"},
            "training": {"steps": 60},
        }
    )
    folder = tmp_path_factory.mktemp("flow") / "run"
    data, held_out = made.dataset().split(0.2)
    runs.train(made, data, folder, "test", held_out=held_out)
    return folder


def succeeds(*arguments):
    """`scoresde ARGUMENTS` ends with exit code 0."""
    with pytest.raises(RuntimeError, match="exit code 0"):
        command(*arguments)


@pytest.mark.parametrize("method", [None, "best", "euler", "euler_maruyama", "probability_flow"])
def test_the_command_printed_after_training_works(method, flow_run, tmp_path):
    """`scoresde sample RUN`, whatever the method."""
    succeeds(
        "sample", flow_run, "--n", "8", "--out", tmp_path / "x.npz", *(() if method is None else ("--method", method))
    )


def test_compare_takes_a_flow_model(flow_run, tmp_path):
    """Errors fall with calls: they are judged against a flow that begins where the model does."""
    succeeds("compare", flow_run, "--methods", "euler,best", "--budgets", "5,20", "--out", tmp_path / "compared")
    rows = [json.loads(line) for line in (tmp_path / "compared" / "rows.jsonl").read_text().splitlines()]
    errors = {(row["method"], row["cost"]): row["error"] for row in rows}
    assert errors["euler", 20] < errors["euler", 5]
    assert errors["best", 5] < errors["euler", 5]
