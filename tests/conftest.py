"""`--device cuda` runs the tests that take `device` on the GPU; where there is none they are skipped, and say so."""

from __future__ import annotations

import pytest
import torch


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--device", choices=("cpu", "cuda"), default="cpu", help="device of the tests that can run on either"
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "device" in getattr(item, "fixturenames", ()):
            item.add_marker("gpu")


@pytest.fixture(scope="session")
def device(request: pytest.FixtureRequest) -> str:
    """The device under test."""
    name = request.config.getoption("--device")
    if name == "cuda" and not torch.cuda.is_available():
        pytest.skip("--device cuda was asked for, but torch sees no GPU here")
    return name


@pytest.fixture(autouse=True)
def _same_start() -> None:
    """Layers draw their first weights from torch's generator: a test must not depend on those that ran before it."""
    torch.manual_seed(0)


@pytest.fixture(scope="session", autouse=True)
def _few_threads() -> None:
    """The tensors of these tests are small: threads only cost, and samples do not depend on their number."""
    torch.set_num_threads(1)
