"""Old import names: modules and classes can still be imported by the names that they had before they were moved.

For example, `from scoresde.sampling import transport` still works. The table of old and new names is in CHANGELOG.md.
If an old module became one new module, the old name gives the same module object. If it was divided into several, the
old name gives a module that looks up each name in its parts.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Sequence
from functools import partial
from types import ModuleType
from typing import Any

MODULES: dict[str, tuple[str, ...]] = {
    "scoresde.cli.examining": ("scoresde.cli.diagnosis",),
    "scoresde.compare.entries": ("scoresde.compare.competitors",),
    "solvers.additive": ("solvers.sde_additive",),
    "solvers.counted": ("solvers.counting",),
    "solvers.driven": ("solvers.reverse_communication",),
    "solvers.errors": ("solvers.solution",),
    "solvers.stochastic": ("solvers.sde_diagonal",),
    "scoresde.checkpoint": (
        "scoresde.storage.files",
        "scoresde.storage.weights",
        "scoresde.runs.run_folder",
    ),
    "scoresde.snapshots": ("scoresde.storage.checkpoints",),
    "scoresde.weights": ("scoresde.storage.weights",),
    "scoresde.ownership": ("scoresde.storage.ownership",),
    "scoresde.beginning": ("scoresde.runtime.beginning",),
    "scoresde.seeding": ("scoresde.runtime.torch_state",),
    "scoresde.launch": ("scoresde.runtime.distributed",),
    "scoresde.stopping": ("scoresde.runtime.signals",),
    "scoresde.report": (
        "scoresde.reports.images",
        "scoresde.reports.page",
    ),
    "scoresde.process": ("scoresde.processes.base",),
    "scoresde.schedules": ("scoresde.processes.forward",),
    "scoresde.charts": ("scoresde.processes.coordinates",),
    "scoresde.ddpm": ("scoresde.processes.ddpm",),
    "scoresde.own": ("scoresde.processes.custom",),
    "scoresde.times": ("scoresde.processes.coefficients",),
    "scoresde.parameterisations": ("scoresde.denoisers.parameterisations",),
    "scoresde.denoiser": (
        "scoresde.denoisers.denoiser",
        "scoresde.denoisers.prediction",
    ),
    "scoresde.exact": ("scoresde.denoisers.exact",),
    "scoresde.moments": ("scoresde.denoisers.moments",),
    "scoresde.conditions": ("scoresde.denoisers.conditions",),
    "scoresde.dataset": (
        "scoresde.data.samples",
        "scoresde.data.batches",
        "scoresde.data.scale",
    ),
    "scoresde.reading": ("scoresde.data.reading",),
    "scoresde.toys": ("scoresde.data.toys",),
    "scoresde.reverse": (
        "scoresde.samplers.reverse",
        "scoresde.processes.base",
    ),
    "scoresde.grids": (
        "scoresde.samplers.grids",
        "scoresde.samplers.plan",
        "scoresde.tuning.measured_grid",
        "scoresde.samplers.ranges",
    ),
    "scoresde.pieces": (
        "scoresde.samplers.adams_rules",
        "scoresde.samplers.eta",
    ),
    "scoresde.method": ("scoresde.samplers.method",),
    "scoresde.catalogue": ("scoresde.samplers.catalogue",),
    "scoresde.plan": (
        "scoresde.samplers.plan",
        "scoresde.runtime.torch_state",
        "scoresde.samplers.cached",
        "scoresde.samplers.ranges",
    ),
    "scoresde.sampling": (
        "scoresde.samplers.sampling",
        "scoresde.samplers.transport",
        "scoresde.samplers.plan",
        "scoresde.runtime.torch_state",
    ),
    "scoresde.frame": ("scoresde.samplers.frame",),
    "scoresde.peaked": ("scoresde.samplers.peaked",),
    "scoresde.recommend": ("scoresde.samplers.recommend",),
    "scoresde.steps": (
        "scoresde.samplers.wrappers.base",
        "scoresde.samplers.wrappers.churn",
        "scoresde.samplers.wrappers.large_variance",
    ),
    "scoresde.langevin": ("scoresde.samplers.wrappers.langevin",),
    "scoresde.variance": (
        "scoresde.samplers.wrappers.variance",
        "scoresde.samplers.plan",
        "scoresde.denoisers.denoiser",
        "scoresde.samplers.cached",
        "scoresde.denoisers.prediction",
    ),
    "scoresde.metrics": ("scoresde.evaluation.judge",),
    "scoresde.distances": ("scoresde.evaluation.distances",),
    "scoresde.inception": ("scoresde.evaluation.inception",),
    "scoresde.likelihood": ("scoresde.evaluation.likelihood",),
    "scoresde.elbo": ("scoresde.evaluation.elbo",),
    "scoresde.doctor": ("scoresde.evaluation.doctor",),
    "scoresde.readings": ("scoresde.evaluation.interpretations",),
    "scoresde.compare.laws": ("scoresde.evaluation.affine_laws",),
    "scoresde.tails": ("scoresde.evaluation.tails",),
    "scoresde.losses": (
        "scoresde.training.losses",
        "scoresde.training.norms",
        "scoresde.training.sliced",
    ),
    "scoresde.levels": ("scoresde.training.noise_levels",),
    "scoresde.state": ("scoresde.training.state",),
    "scoresde.config": (
        "scoresde.runs.config",
        "scoresde.denoisers.noise_conditioning",
        "scoresde.runs.toml",
    ),
    "scoresde.record": (
        "scoresde.runs.journal",
        "scoresde.runs.gallery",
        "scoresde.training.validation",
    ),
    "scoresde.averaging": ("scoresde.runs.posthoc_ema",),
    "scoresde.pipelines": (
        "scoresde.interop.pipelines",
        "scoresde.denoisers.noise_conditioning",
    ),
    "scoresde.scheduler": ("scoresde.interop.scheduler",),
    "scoresde.importing": (
        "scoresde.interop.importing",
        "scoresde.storage.foreign",
    ),
    "scoresde.chains": ("scoresde.interop.chains",),
    "scoresde.unets": ("scoresde.interop.unets",),
    "scoresde.folders": ("scoresde.interop.models",),
    "scoresde.demo": (
        "scoresde.cli.demo",
        "scoresde.cli.progress",
    ),
    "scoresde.demo_page": ("scoresde.cli.demo_page",),
}


RENAMED: dict[str, dict[str, str]] = {
    "scoresde.samplers.grids": {
        "Fixed": "AbsoluteGrid",
        "Karras": "KarrasGrid",
        "Listed": "ExplicitGrid",
        "Spaced": "ChainGrid",
        "Through": "InterpolatedGrid",
        "equidistributed": "error_balanced_grid",
        "warn_beyond": "warn_outside_training_range",
    },
    "scoresde.samplers.catalogue": {"lines": "fixed_step_methods"},
    "scoresde.samplers.plan": {"Asked": "CachedDenoiser", "levels": "method_levels"},
    "scoresde.samplers.sampling": {"levels": "method_levels"},
    "scoresde.samplers.wrappers.langevin": {
        "Hold": "IdentityStep",
        "OfNorms": "SnrStepSize",
        "OfVariance": "VarianceStepSize",
    },
    "scoresde.samplers.adams_rules": {
        "Flat": "EqualStepWeights",
        "HalfCurvature": "PublishedThirdOrder",
        "InGrid": "GridClock",
    },
    "scoresde.denoisers.parameterisations": {"Karras": "KarrasPreconditioning", "Table": "Parameterisation"},
    "scoresde.denoisers.denoiser": {
        "Karras": "KarrasPreconditioning",
        "Table": "Parameterisation",
    },
    "scoresde.denoisers.prediction": {"needed": "require_variance"},
    "scoresde.denoisers.noise_conditioning": {"Clock": "NoiseConditioning"},
    "scoresde.processes.custom": {"OwnProcess": "CustomProcess"},
    "scoresde.training.noise_levels": {"Levels": "NoiseLevels"},
    "scoresde.training.state": {"State": "TrainState"},
    "scoresde.training": {"State": "TrainState"},
    "scoresde": {"OwnProcess": "CustomProcess"},
}  # for each module: old public names and the present ones
_ELSEWHERE = {
    "error_balanced_grid": "scoresde.tuning.measured_grid",
    "warn_outside_training_range": "scoresde.samplers.ranges",
}


def today(module: str, name: str) -> Any:
    """The object that an old name in a module now refers to.

    Args:
        module: present dotted name of the module, a key of `RENAMED`.
        name: an old name in that module.

    Raises:
        AttributeError: for any other name.
    """
    new = RENAMED.get(module, {}).get(name)
    if new is None:
        raise AttributeError(f"module {module!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_ELSEWHERE.get(new, module)), new)


class Moved(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds a module by its old name."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """The module spec for an old name, or None for any other name.

        Args:
            fullname: dotted name of the module that is imported.
            path: where Python would look for it; not used.
            target: a module that is reloaded; not used.
        """
        return importlib.util.spec_from_loader(fullname, self) if fullname in MODULES else None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        """The present module if it is the only one; None if there are several, so that Python makes an empty module."""
        home, *others = MODULES[spec.name]
        if others:
            return None
        module = importlib.import_module(home)
        spec.loader_state = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Leave a present module unchanged; make an empty one look up its names in the present modules."""
        spec = module.__spec__
        if spec is not None and spec.loader_state is not None:
            module.__spec__ = spec.loader_state
            return

        homes = MODULES[module.__name__]

        def look(name: str) -> Any:
            for home in homes:
                if name in vars(importlib.import_module(home)) or name in RENAMED.get(home, {}):
                    return getattr(importlib.import_module(home), name)
            raise AttributeError(
                f"module {module.__name__!r} has no attribute {name!r}; its parts are {', '.join(homes)}"
            )

        module.__dict__["__getattr__"] = look


def install() -> None:
    """Make the old names importable.

    If an old module became one new module that is already loaded, it is registered under its old name at once.
    Therefore `scoresde.doctor` stays the function: a later import of the old module of that name would replace it."""

    for name, homes in MODULES.items():
        if len(homes) == 1 and homes[0] in sys.modules:
            sys.modules.setdefault(name, sys.modules[homes[0]])

    for module in RENAMED.keys() - {"scoresde"}:
        vars(importlib.import_module(module))["__getattr__"] = partial(today, module)

    if not any(isinstance(finder, Moved) for finder in sys.meta_path):
        sys.meta_path.append(Moved())
