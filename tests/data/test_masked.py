"""Sets of several sizes: masks of files, counts of sizes, sizes of samples."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from scoresde import data
from scoresde.data.masked import drawn_masks, size_counts

X = np.random.default_rng(0).standard_normal((6, 4, 2)).astype(np.float32)
MASK = np.arange(4) < np.array([1, 4, 2, 2, 3, 4])[:, None]


def written(folder: Path, **arrays: Any) -> Path:
    path = folder / "sets.npz"
    np.savez(path, **arrays)
    return path


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.float32])
def test_a_mask_becomes_the_condition_and_points_beyond_it_zero(dtype: Any, tmp_path: Path) -> None:
    """NaN there too."""
    x = X.copy()
    x[~MASK] = np.nan
    found = data.load(written(tmp_path, x=x, mask=MASK.astype(dtype)), kind="sets")
    assert torch.equal(found.cond["mask"], torch.from_numpy(MASK))
    some = found.in_memory(6).x.numpy()
    assert np.array_equal(some[MASK], X[MASK])
    assert not some[~MASK].any()


def test_safetensors_hold_masks_too(tmp_path: Path) -> None:
    path = tmp_path / "sets.safetensors"
    save_file({"x": torch.from_numpy(X), "mask": torch.from_numpy(MASK)}, path)
    assert torch.equal(data.load(path, kind="sets").cond["mask"], torch.from_numpy(MASK))


def test_a_batch_has_its_masks(tmp_path: Path) -> None:
    found = data.load(written(tmp_path, x=X, mask=MASK), kind="sets")
    x, cond = found.batch(0, 4, seed=0)
    assert torch.equal(x.abs().sum(2) > 0, cond["mask"])


def test_sizes_are_counted() -> None:
    assert size_counts({"mask": torch.from_numpy(MASK)}) == {"1": 1, "2": 2, "3": 1, "4": 2}
    assert size_counts(None) is None
    assert size_counts({"mask": torch.from_numpy(MASK), "more": torch.ones(6)}) is None


def test_sizes_come_as_often_as_they_were_counted() -> None:
    """Within four standard errors; and those of a sample are a function of seed and index."""
    counts = {"2": 100, "5": 700, "9": 200}
    n = 20_000
    masks = drawn_masks(counts, 9, range(n), 3)
    sizes = masks.sum(1)
    assert set(sizes.tolist()) == {2, 5, 9}
    for size, count in counts.items():
        share = count / 1000
        assert abs(float((sizes == int(size)).double().mean()) - share) < 4 * (share * (1 - share) / n) ** 0.5

    assert torch.equal(drawn_masks(counts, 9, range(50, 80), 3), masks[50:80])
    assert not torch.equal(drawn_masks(counts, 9, range(n), 4), masks)
    assert bool((masks[:, :-1] >= masks[:, 1:]).all())


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "shape": ({"x": X, "mask": MASK[:, :3]}, "`mask` must say of each point"),
    "rows": ({"x": X, "mask": MASK[:4]}, "`mask` must say of each point"),
    "numbers": ({"x": X, "mask": MASK * 2}, "`mask` must hold 0 and 1"),
    "empty set": ({"x": X, "mask": MASK & (np.arange(6) != 4)[:, None]}, "none in row 4"),
    "cond beside": ({"x": X, "mask": MASK, "cond": np.ones(6)}, "`cond` must be left out beside a mask"),
    "NaN within": ({"x": np.where(MASK[..., None], np.nan, X), "mask": MASK}, "`data` must be finite"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_mask_is_named(name: str, tmp_path: Path) -> None:
    arrays, said = BAD[name]
    with pytest.raises(ValueError, match=said):
        data.load(written(tmp_path, **arrays), kind="sets")
