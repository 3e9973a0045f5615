"""The keys of a row of a comparison, their meanings and units. A row is `Measured`, or it is `Failed`."""

from __future__ import annotations

from typing import NotRequired, TypedDict


class Asked(TypedDict):
    """The task of a row."""

    problem: str  # name of a shared problem, or the folder of a run or a pipeline
    method: str  # name of the competitor, as `competitors.entry` takes it
    family: str  # library whose solver it is
    stochastic: bool  # whether the method adds noise
    cost: float  # model calls per sample that were allowed; of an adaptive method its tolerance, below 1
    adaptive: bool  # whether the method chooses its steps
    seed: int  # of the starts and of the noise
    device: str  # where the model ran: cpu, or cuda with its number
    dtype: str  # of the states
    model: str  # hash of the model and of its problem (`store.digest`)
    checksum: NotRequired[str]  # hash of all other keys, once the row is stored


class Spent(TypedDict):
    """The cost of the solve of the whole batch."""

    calls: float  # model evaluations per sample, a mean where samples differ
    batched_calls: int  # calls of the model, of any batch size
    seconds: float  # s, of wall time
    peak_mib: float | None  # MiB of memory above what was held before; None where the system does not say


class Judged(TypedDict):
    """The error of the samples. Keys from `low` on are missing if the method is deterministic; `median` is missing if
    it is stochastic."""

    metric: str  # "rms" or "sliced W2": what `error` is
    error: float  # the distance, in units of the data
    floor: float  # what exact samples would show; of "rms" the error of the reference, in units of the data
    n: int  # samples judged
    median: NotRequired[float]  # over samples, of the RMS distance per dimension, in units of the data
    low: NotRequired[float]  # lower end of the 95 % interval of `error`
    high: NotRequired[float]  # its upper end
    energy_error: NotRequired[float]  # energy distance, in units of the data; its interval and floor below
    energy_low: NotRequired[float]
    energy_high: NotRequired[float]
    energy_floor: NotRequired[float]
    mmd_error: NotRequired[float]  # squared maximum mean discrepancy, without unit; its interval and floor below
    mmd_low: NotRequired[float]
    mmd_high: NotRequired[float]
    mmd_floor: NotRequired[float]
    frechet_error: NotRequired[float]  # Frechet distance, in squared units of the data; not of more than 256 dimensions
    frechet_low: NotRequired[float]
    frechet_high: NotRequired[float]
    frechet_floor: NotRequired[float]


class ExactLaw(TypedDict, total=False):
    """The distribution of the method's samples, if the data are Gaussian. Both keys are missing for other data."""

    law: str  # "exact", where the distribution is known in closed form; else "sampled"
    w2: float  # W2 of an exact one from the data's at the last level, in units of the data


class Environment(TypedDict):
    """Software and machine of the measurement."""

    versions: dict[str, str]  # of libraries and of Python, by name
    machine: str  # kind of processor, as x86_64
    system: str  # as linux
    cores: int | None  # of the machine
    threads: int  # that torch used
    commit: str | None  # of the project's own checkout; None: an installed package
    date: str  # YYYY-MM-DD


class Measured(Asked, Spent, Judged, ExactLaw, Environment):
    """A row of a method that made samples."""


class Failed(Asked):
    """A row of a method that failed or made samples that are not finite."""

    failed: str  # the reason
    calls: NotRequired[float]  # as in `Spent`, where samples were made that are not finite
    batched_calls: NotRequired[int]
    seconds: NotRequired[float]
    peak_mib: NotRequired[float | None]


Row = Measured | Failed
