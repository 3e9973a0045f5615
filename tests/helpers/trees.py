"""Order conditions of Runge-Kutta methods, one per rooted tree."""

from __future__ import annotations

import math
from functools import cache

Tree = tuple  # a rooted tree is the sorted tuple of the trees that hang on its root


@cache
def trees(n: int) -> tuple[Tree, ...]:
    """All rooted trees of n vertices."""
    return tuple(sorted({tuple(sorted(forest)) for forest in forests(n - 1)}))


@cache
def forests(n: int) -> tuple[tuple[Tree, ...], ...]:
    if n == 0:
        return ((),)
    return tuple((tree, *rest) for k in range(1, n + 1) for tree in trees(k) for rest in forests(n - k))


def size(tree: Tree) -> int:
    return 1 + sum(size(child) for child in tree)


def gamma(tree: Tree) -> int:
    """The density of a tree: the product of the sizes of all its subtrees."""
    return size(tree) * math.prod(gamma(child) for child in tree)


def stages(tree: Tree, a: list[list[float]]) -> list[float]:
    """Phi_i(tree) = prod over children of sum_j a_ij Phi_j(child)."""
    total = [1.0] * len(a)
    for child in tree:
        phi = stages(child, a)
        total = [t * math.fsum(x * y for x, y in zip(row, phi, strict=True)) for t, row in zip(total, a, strict=True)]
    return total


def square(solver) -> list[list[float]]:
    s = len(solver.tableau.b)
    return [[*row, *[0.0] * (s - len(row))] for row in ((), *solver.tableau.a)]


def residual(b: list[float], a: list[list[float]], tree: Tree, theta: float = 1.0) -> float:
    """How far the weights miss the condition of a tree at theta, in units of the terms that are summed."""
    terms = [w * phi for w, phi in zip(b, stages(tree, a), strict=True)]
    return abs(math.fsum(terms) - theta ** size(tree) / gamma(tree)) / max(1.0, math.fsum(map(abs, terms)))


def algebraic_order(b: list[float], a: list[list[float]], theta: float = 1.0) -> int:
    """The highest order whose conditions, and those of all lower ones, hold to rounding; the next is missed by far."""
    n, worst = 0, 0.0
    while worst <= 1e-14:
        n, worst = n + 1, max(residual(b, a, tree, theta) for tree in trees(n + 1))
    assert worst > 1e-9, "neither met nor missed: a coefficient is wrong in its last digits"
    return n - 1
