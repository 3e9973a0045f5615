"""Explicit Runge-Kutta methods. Each one is given by its coefficients:

    k_i = F(t + c_i h, y + h sum_j a_ij k_j),   y1 = y + h sum_i b_i k_i,   error = h sum_i e_i k_i,

where F(t, y) = a y + f(t, y) is the whole drift. If the last stage is evaluated at y1 ("first same as last"), the next
step uses it as its first stage.

References: Hairer, Norsett & Wanner, "Solving Ordinary Differential Equations I", 2nd ed. 1993, and the papers named
below.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from . import dop853
from .tableau import RungeKutta, Tableau


@dataclass(frozen=True)
class Euler(RungeKutta):
    """Euler's method: the explicit Runge-Kutta method of order 1.

        y1 = y + h F(t, y).

    One evaluation. Euler 1768."""

    order: ClassVar[int] = 1
    evals: ClassVar[int] = 1
    reference: ClassVar[str] = "Euler 1768"
    tableau: ClassVar[Tableau] = Tableau(a=(), b=(1.0,))


@dataclass(frozen=True)
class Midpoint(RungeKutta):
    """The midpoint method: an explicit Runge-Kutta method of order 2.

        y1 = y + h F(t + h/2, Y),      Y = y + h/2 F(t, y).

    Two evaluations. Runge 1895."""

    order: ClassVar[int] = 2
    evals: ClassVar[int] = 2
    reference: ClassVar[str] = "Runge 1895"
    tableau: ClassVar[Tableau] = Tableau(a=((1 / 2,),), b=(0.0, 1.0))


@dataclass(frozen=True)
class Heun(RungeKutta):
    """Heun's method: an explicit Runge-Kutta method of order 2, the trapezoidal rule with an Euler predictor.

        y1 = y + h (F(t, y) + F(t + h, Y))/2,      Y = y + h F(t, y).

    Two evaluations. Heun 1900."""

    order: ClassVar[int] = 2
    evals: ClassVar[int] = 2
    reference: ClassVar[str] = "Heun 1900"
    tableau: ClassVar[Tableau] = Tableau(a=((1.0,),), b=(1 / 2, 1 / 2))


@dataclass(frozen=True)
class Ralston(RungeKutta):
    """Ralston's method: the two-stage explicit Runge-Kutta method of order 2 with the smallest error bound.

        y1 = y + h (F(t, y) + 3 F(t + 2/3 h, Y))/4,      Y = y + 2/3 h F(t, y).

    Two evaluations. Ralston 1962, Math. Comp. 16, 431-437."""

    order: ClassVar[int] = 2
    evals: ClassVar[int] = 2
    reference: ClassVar[str] = "Ralston 1962"
    tableau: ClassVar[Tableau] = Tableau(a=((2 / 3,),), b=(1 / 4, 3 / 4))


@dataclass(frozen=True)
class Kutta3(RungeKutta):
    """Kutta's third-order method: an explicit Runge-Kutta method of order 3 with the weights of Simpson's rule.

        y1 = y + h (k1 + 4 k2 + k3)/6,      stages at t, t + h/2 and t + h.

    Three evaluations. Kutta 1901."""

    order: ClassVar[int] = 3
    evals: ClassVar[int] = 3
    reference: ClassVar[str] = "Kutta 1901"
    tableau: ClassVar[Tableau] = Tableau(a=((1 / 2,), (-1.0, 2.0)), b=(1 / 6, 2 / 3, 1 / 6))


@dataclass(frozen=True)
class RK4(RungeKutta):
    """The classical Runge-Kutta method, of order 4.

        y1 = y + h (k1 + 2 k2 + 2 k3 + k4)/6,      stages at t, t + h/2, t + h/2 and t + h.

    Four evaluations. Kutta 1901."""

    order: ClassVar[int] = 4
    evals: ClassVar[int] = 4
    reference: ClassVar[str] = "Kutta 1901"
    tableau: ClassVar[Tableau] = Tableau(a=((1 / 2,), (0.0, 1 / 2), (0.0, 0.0, 1.0)), b=(1 / 6, 1 / 3, 1 / 3, 1 / 6))


@dataclass(frozen=True)
class BogackiShampine32(RungeKutta):
    """Bogacki and Shampine's explicit Runge-Kutta method of order 3 with an embedded error estimate of order 2.

    Three evaluations per step, and one more to start. Between steps it uses the cubic Hermite interpolant. Bogacki &
    Shampine 1989, Appl. Math. Lett. 2, 321-325."""

    order: ClassVar[int] = 3
    evals: ClassVar[int] = 3
    embedded: ClassVar[float | None] = 2
    reference: ClassVar[str] = "Bogacki & Shampine 1989"
    tableau: ClassVar[Tableau] = Tableau(
        a=((1 / 2,), (0.0, 3 / 4), (2 / 9, 1 / 3, 4 / 9)),
        b=(2 / 9, 1 / 3, 4 / 9, 0.0),
        e=(-5 / 72, 1 / 12, 1 / 9, -1 / 8),
    )


@dataclass(frozen=True)
class DormandPrince54(RungeKutta):
    """Dormand and Prince's explicit Runge-Kutta method of order 5 with an embedded error estimate of order 4.

    Six evaluations per step, and one more to start. Between steps it uses an interpolant of order 4. Dormand & Prince
    1980; the interpolant is due to Shampine 1986 (Math. Comp. 46, 135-150)."""

    order: ClassVar[int] = 5
    evals: ClassVar[int] = 6
    embedded: ClassVar[float | None] = 4
    reference: ClassVar[str] = "Dormand & Prince 1980"
    tableau: ClassVar[Tableau] = Tableau(
        a=(
            (1 / 5,),
            (3 / 40, 9 / 40),
            (44 / 45, -56 / 15, 32 / 9),
            (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
            (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
            (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
        ),
        b=(35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84, 0.0),
        e=(71 / 57600, 0.0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40),
        dense=(
            (1.0, -8048581381 / 2820520608, 8663915743 / 2820520608, -12715105075 / 11282082432),
            (0.0, 0.0, 0.0, 0.0),
            (0.0, 131558114200 / 32700410799, -68118460800 / 10900136933, 87487479700 / 32700410799),
            (0.0, -1754552775 / 470086768, 14199869525 / 1410260304, -10690763975 / 1880347072),
            (0.0, 127303824393 / 49829197408, -318862633887 / 49829197408, 701980252875 / 199316789632),
            (0.0, -282668133 / 205662961, 2019193451 / 616988883, -1453857185 / 822651844),
            (0.0, 40617522 / 29380423, -110615467 / 29380423, 69997945 / 29380423),
        ),
    )


@dataclass(frozen=True)
class Tsitouras54(RungeKutta):
    """Tsitouras' explicit Runge-Kutta method of order 5 with an embedded error estimate of order 4.

    Six evaluations per step, and one more to start. Between steps it uses an interpolant of order 4. Its error is
    smaller than that of `DormandPrince54` at equal cost. Tsitouras 2011, Comput. Math. Appl. 62, 770-775."""

    order: ClassVar[int] = 5
    evals: ClassVar[int] = 6
    embedded: ClassVar[float | None] = 4
    reference: ClassVar[str] = "Tsitouras 2011"
    tableau: ClassVar[Tableau] = Tableau(
        a=(
            (0.161,),
            (-0.008480655492356989, 0.335480655492357),
            (2.8971530571054935, -6.359448489975075, 4.3622954328695815),
            (5.325864828439257, -11.748883564062828, 7.4955393428898365, -0.09249506636175525),
            (5.86145544294642, -12.92096931784711, 8.159367898576159, -0.071584973281401, -0.028269050394068383),
            (0.09646076681806523, 0.01, 0.4798896504144996, 1.379008574103742, -3.290069515436081, 2.324710524099774),
        ),
        b=(
            0.09646076681806523,
            0.01,
            0.4798896504144996,
            1.379008574103742,
            -3.290069515436081,
            2.324710524099774,
            0.0,
        ),
        e=(
            -0.00178001105222577714,
            -0.0008164344596567469,
            0.007880878010261995,
            -0.1447110071732629,
            0.5823571654525552,
            -0.45808210592918697,
            0.015151515151515152,
        ),
        dense=(
            (1.0, -2.763706197274826, 2.9132554618219126, -1.0530884977290216),
            (0.0, 0.13169999999999998, -0.2234, 0.1017),
            (0.0, 3.930296236894751, -5.941033872131505, 2.490627285651253),
            (0.0, -12.411077166933676, 30.338188630282318, -16.548102889244902),
            (0.0, 37.50931341651104, -88.1789048947664, 47.37952196281928),
            (0.0, -27.896526289197286, 65.09189467479368, -34.87065786149661),
            (0.0, 1.5, -4.0, 2.5),
        ),
    )


@dataclass(frozen=True)
class DormandPrince853(RungeKutta):
    """Dormand and Prince's explicit Runge-Kutta method of order 8 with two embedded error estimates.

    The estimates have orders 5 and 3. Their combination behaves like an estimate of order 7. Twelve evaluations per
    step, and one more to start. A step that contains save times needs three more, for an interpolant of order 7.
    Dormand & Prince 1980; Hairer, Norsett & Wanner 1993, II.5-6."""

    order: ClassVar[int] = 8
    evals: ClassVar[int] = 12
    embedded: ClassVar[float | None] = 7
    reference: ClassVar[str] = "Dormand & Prince 1980"
    tableau: ClassVar[Tableau] = Tableau(
        a=dop853.A,
        b=dop853.B,
        e=dop853.E5,
        e_low=dop853.E3,
        extra=dop853.EXTRA,
        dense=dop853.powers(),
    )
