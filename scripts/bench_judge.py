"""The Python side of `scripts/bench judge`: the same work with SciPy and NumPy."""

import timeit

import numpy as np
from scipy import special, stats


def best(call, calls, rounds=7):
    return min(timeit.repeat(call, number=calls, repeat=rounds)) / calls * 1e9


PAST, BATCH = (61, 3000, 260, 27000), (1, 100, 9, 900)


def rates():
    (pc, pn, qc, qn), (_, n, _, m) = PAST, BATCH
    c, b = (pc + 0.18) / (pn + 0.36), (qc + 0.18) / (qn + 0.36)
    return c, b, (n * c + m * b) / (n + m)


def a2_by_binom():
    (x, n, y, m), (c, b, both) = BATCH, rates()
    log = stats.binom.logpmf
    return log(x, n, c) + log(y, m, b) - log(x, n, both) - log(y, m, both)


def a2_by_special():
    (x, n, y, m), (c, b, both) = BATCH, rates()
    of = special.xlogy, special.xlog1py
    return (
        of[0](x, c) + of[1](n - x, -c) + of[0](y, b) + of[1](m - y, -b)
        - of[0](x + y, both) - of[1](n + m - x - y, -both)
    )  # fmt: skip


def interval(x, y, alpha=0.05):
    """Hodges and Lehmann by all differences; only the wanted ones are put in their place."""
    m, n = len(x), len(y)
    edge = m * n / 2 + 0.5 + stats.norm.isf(alpha / 2) * np.sqrt(m * n / 12 * (m + n + 1))
    low = int(np.floor(m * n - edge))
    middle = (m * n) // 2
    differences = np.subtract.outer(x, y).ravel()
    placed = np.partition(differences, [low, middle - 1, middle, m * n - 1 - low])
    return placed[low], (placed[middle - 1] + placed[middle]) / 2, placed[m * n - 1 - low]


rng = np.random.default_rng(1)
x, y = rng.normal(size=60), rng.normal(size=60)
print("a2_ns", min(best(a2_by_binom, 200), best(a2_by_special, 2000)))
print("ranks_ns", best(lambda: stats.mannwhitneyu(x, y, alternative="greater", method="asymptotic"), 200))
x, y = rng.normal(size=10_000), rng.normal(size=10_000)
print("interval_ns", best(lambda: interval(x, y), 1, rounds=2))
