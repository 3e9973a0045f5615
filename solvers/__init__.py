"""solvers: numerical methods for ordinary and stochastic differential equations in torch,

    dy = [a y + f(t, y)] dt + g(t, y) dW.

Time may increase or decrease. The state may have any shape (B, ...), where B is the batch size.

Write an `Equation`, choose a solver, call `solve`:

>>> import torch
>>> from solvers import RK4, Equation, solve
>>> decay = Equation(lambda t, y: -y)
>>> bool((solve(decay, torch.ones(1, dtype=torch.float64), RK4(), torch.linspace(0, 1, 11)).y - 0.36788).abs() < 1e-5)
True
"""

from .adams import ExpAdams as ExpAdams
from .adams import ExpAdamsPC as ExpAdamsPC
from .brownian import BrownianTree as BrownianTree
from .brownian import GridPath as GridPath
from .compiled import Compiled as Compiled
from .control import Adaptive as Adaptive
from .equation import Equation as Equation
from .equation import Noise as Noise
from .equation import Sense as Sense
from .exponential import ETDRK4 as ETDRK4
from .exponential import ETDRK4Krogstad as ETDRK4Krogstad
from .exponential import ExpEuler as ExpEuler
from .exponential import ExpHeun as ExpHeun
from .exponential import ExpMidpoint as ExpMidpoint
from .exponential import ExpRK3 as ExpRK3
from .noise import SeededNoise as SeededNoise
from .noise import Source as Source
from .noise import WhiteNoise as WhiteNoise
from .runge_kutta import RK4 as RK4
from .runge_kutta import BogackiShampine32 as BogackiShampine32
from .runge_kutta import DormandPrince54 as DormandPrince54
from .runge_kutta import DormandPrince853 as DormandPrince853
from .runge_kutta import Euler as Euler
from .runge_kutta import Heun as Heun
from .runge_kutta import Kutta3 as Kutta3
from .runge_kutta import Midpoint as Midpoint
from .runge_kutta import Ralston as Ralston
from .runge_kutta import Tsitouras54 as Tsitouras54
from .sde_additive import SRA1 as SRA1
from .sde_additive import SRA3 as SRA3
from .sde_additive import ShARK as ShARK
from .sde_diagonal import SRI1 as SRI1
from .sde_diagonal import EulerMaruyama as EulerMaruyama
from .sde_diagonal import Milstein as Milstein
from .sde_diagonal import StochasticHeun as StochasticHeun
from .solution import MaxStepsError as MaxStepsError
from .solution import NonFiniteError as NonFiniteError
from .solution import Solution as Solution
from .solution import SolveError as SolveError
from .solution import StepSizeUnderflow as StepSizeUnderflow
from .solve import iterate as iterate
from .solve import solve as solve
from .solver import Solver as Solver
from .table import Table as Table
