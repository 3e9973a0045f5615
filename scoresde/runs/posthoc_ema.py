"""Weight averages of any width, computed after training from a few stored averages.

A power-function average after n steps weighs step k by p(k) = (k^(g+1) - (k-1)^(g+1))/n^(g+1), for every n. The stored
averages, of two widths at several n, have the profiles p_i. The target profile p_r is fitted in least squares by sum
c_i p_i, subject to sum c_i = 1, so that constant weights are reproduced exactly:

    A c + mu = b,    sum c = 1,    A_ij = int p_i p_j,    b_i = int p_i p_r,
    int p_i p_j = (g_i + 1)(g_j + 1)/(g_i + g_j + 1) (n_<^(g_>))/(n_>^(g_> + 1)),    g_> of the longer profile, p(t) =
        (g + 1) t^g/n^(g+1).

Karras et al. 2024, arXiv:2312.02696, section 3 and appendix C, which leaves the sum free.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from solvers import check

from ..storage import checkpoints
from ..storage.files import CheckpointError
from ..training.state import WIDTHS, Average, power

FOLDER = "averages"
_MISSED = 0.1  # largest relative error of a fitted profile


def store_average(
    run: Path,
    step: int,
    tracks: Sequence[Average],
    identity: str = "",
) -> None:
    """Store the current averages of WIDTHS in one file, which is written atomically.

    Args:
        run: the run's folder.
        step: number of the training step.
        tracks: the averages, one for each of WIDTHS.
        identity: of the run (`stored.identity`); empty: not recorded.

    Raises:
        CheckpointError: if a weight is not finite; nothing is written then.
    """
    tensors = {
        f"{k}.{name}": p.detach().cpu().contiguous().clone()
        for k, track in enumerate(tracks)
        for name, p in track.module.named_parameters()
    }
    checkpoints.write(run / FOLDER, tensors, {"step": step, "count": tracks[0].count, "run": identity})


def drop_after(run: Path, step: int) -> None:
    """Delete the averages stored after a step, because the run is resumed from that step.

    Args:
        run: the run's folder.
        step: the last step that is kept.
    """
    for later, path in checkpoints.steps(run / FOLDER).items():
        if later > step:
            path.unlink(missing_ok=True)


def posthoc(run: Path, width: float, identity: str = "") -> dict[str, Tensor]:
    """A weight average over all steps of a run, computed from the averages that training.posthoc stored.

    The result is exact for the stored widths. Between them the error falls with the square of the number of stored
    averages.

    Args:
        run: the run's folder.
        width: of the average: the standard deviation of its profile divided by the length of training, in (0, 0.28).
        identity: the run that the averages must belong to (`stored.identity`); empty: any.

    Returns:
        The averaged parameters by name.

    Raises:
        CheckpointError: if there are no stored averages, if they belong to another run, or if the fitted profile has a
            relative error above 0.1.
        TypeError, ValueError: naming `width`.
    """

    check.number("width", width, above=0.0, below=0.28)
    paths: dict[int, Path] = {}

    for _, path in sorted(checkpoints.steps(run / FOLDER).items()):
        about = checkpoints.unseal(path).about
        if "" not in (identity, about.get("run", "")) and about["run"] != identity:
            raise CheckpointError(
                f"{path} is of another run than {run}; remove it, or put back the averages of this one"
            )

        paths[about["count"]] = path  # files have equal counts if the steps between them were skipped

    paths.pop(0, None)

    if not paths:
        raise CheckpointError(
            f"{run / FOLDER} holds no stored averages; train with training.posthoc = 100, or as many steps as"
            " shall lie between"
        )

    weights, missed = combination([(count, kept) for count in paths for kept in WIDTHS], max(paths), width)
    if missed > _MISSED:
        said = (
            f"an average of width {width:g} cannot be made from {len(paths)} of widths"
            f" {' and '.join(map(str, WIDTHS))} in {run / FOLDER}"
        )
        raise CheckpointError(
            f"{said}: it would miss {missed:.0%} of its profile; take one nearer to them, or store more often"
        )

    total: dict[str, Tensor] = {}
    dtypes: dict[str, torch.dtype] = {}
    shares = weights.reshape(-1, len(WIDTHS)).tolist()  # for each file one share for each stored width

    for path, share in zip(paths.values(), shares, strict=True):
        stored = checkpoints.unseal(path).tensors  # one file at a time: they may be large

        for key, value in stored.items():
            width_index, _, name = key.partition(".")
            total[name] = total.get(name, 0.0) + share[int(width_index)] * value.double()
            dtypes[name] = value.dtype

    return {name: value.to(dtypes[name]) for name, value in total.items()}


def combination(profiles: list[tuple[int, float]], count: int, width: float) -> tuple[Tensor, float]:
    """Coefficients c of the stored profiles that fit a target profile best.

    Args:
        profiles: (steps, width) of each stored profile.
        count: steps of the target profile.
        width: of the target profile.

    Returns:
        (c, float64; relative L2 error of the fitted profile).
    """

    n, g = torch.tensor([(steps / count, power(kept)) for steps, kept in profiles], dtype=torch.float64, device="cpu").T
    end, r = torch.tensor([1.0, power(width)], dtype=torch.float64, device="cpu")
    between = _inner(n[:, None], g[:, None], n, g)
    onto = _inner(n, g, end, r)
    own = _inner(end, r, end, r)
    one = torch.ones(len(profiles), 1, dtype=torch.float64, device="cpu")
    system = torch.cat(
        [torch.cat([between, one], 1), torch.cat([one.T, torch.zeros(1, 1, dtype=torch.float64, device="cpu")], 1)]
    )
    c = torch.linalg.solve(system, torch.cat([onto, one[0]]))[:-1]

    return c, float(((c @ between @ c - 2 * c @ onto + own) / own).clamp(min=0.0).sqrt())


def _inner(
    n: Tensor,
    g: Tensor,
    m: Tensor,
    h: Tensor,
) -> Tensor:
    """int p q dt of two profiles: exponent g, steps n; and exponent h, steps m."""
    short = torch.minimum(n, m)
    long = torch.maximum(n, m)
    exponent = torch.where(n < m, h, g)
    return (g + 1) * (h + 1) / (g + h + 1) * (short / long) ** exponent / long
