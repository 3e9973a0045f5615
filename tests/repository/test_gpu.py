"""The GPU benchmark: it skips in one line where there is none, and every part of it runs on toy sizes."""

from __future__ import annotations

import sys

import pytest
import torch

from benchmarks import gpu


def test_without_cuda_it_says_so_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(sys, "argv", ["gpu"])
    gpu.main()
    said = capsys.readouterr().out
    assert said.startswith("no CUDA device here: nothing measured")
    assert said.count("\n") == 1


def test_its_bare_steps_are_the_solvers() -> None:
    """What is captured as a graph gives what `transport` gives."""
    denoiser, shape, n = next(iter(gpu.cases("cpu", True).values()))
    method = gpu.catalogue.unipc(n)
    x = gpu.HIGH * torch.randn(shape, generator=torch.Generator().manual_seed(0))
    times = method.process.time(
        method.grid(n + 1, *(-torch.tensor([gpu.HIGH, gpu.LOW], dtype=torch.float64).log()).tolist())
    )
    with torch.no_grad():
        bare = gpu.steps(gpu.reverse(method.process, denoiser, 0.0, method.split), x, method.solver, times)
    assert torch.equal(bare, gpu.transport(denoiser, x, method, gpu.EDM(), gpu.HIGH, gpu.LOW).y)


@pytest.mark.parametrize("part", ["graph", "agreement", "syncs"])
def test_a_part_runs_on_toy_sizes(part: str, device: str) -> None:
    """On the CPU the same seeds differ by nothing and nothing is waited for."""
    rows = getattr(gpu, part)(device, True, 1) if part == "graph" else getattr(gpu, part)(device, True)
    assert len(rows) >= 3
    for row in rows:
        assert row.get("per step", 0.0) == 0.0
        assert row.get("difference", 0.0) <= row.get("target", 0.0)


@pytest.mark.slow
def test_overhead_runs_on_toy_sizes(device: str) -> None:
    """Everyone runs on every network; nobody is faster than the network alone by more than noise can explain."""
    rows = gpu.overhead(device, True, 2)
    assert {"ours ddim", "ours euler_maruyama", "diffusers:ddim"} <= {row["run"] for row in rows}
    assert all(row["of bare calls"] > 0.3 for row in rows)
