"""Answers from SciPy, mpmath, and plain definitions: reads questions as JSON, writes answers as JSON.

What is not finite is null. Every function takes one question, a list, and returns a list of numbers.
"""

import json
import math
import sys
import warnings

import mpmath
import numpy as np
from scipy import optimize, special, stats

warnings.filterwarnings("ignore")
mpmath.mp.dps = 60


def ranks(x, y):
    """U, p asymptotic one- and two-sided, p exact one-sided (where nothing is tied)."""
    if len(set(x) | set(y)) == 1:
        return [len(x) * len(y) / 2, 1.0, 1.0, math.nan]
    greater = stats.mannwhitneyu(x, y, alternative="greater", method="asymptotic")
    both = stats.mannwhitneyu(x, y, alternative="two-sided", method="asymptotic")
    exact = math.nan
    if len(set(x) | set(y)) == len(x) + len(y) <= 50:
        exact = stats.mannwhitneyu(x, y, alternative="greater", method="exact").pvalue
    return [greater.statistic, greater.pvalue, both.pvalue, exact]


def shift(x, y, alpha):
    """The limits and the estimate, from all differences: each gap between two of them is tested as a shift."""
    x, y = np.array(x), np.array(y)
    differences = np.sort(np.subtract.outer(x, y).ravel())
    pairs, n = len(differences), len(x) + len(y)
    ties = sum(t**3 - t for v in (x, y) for t in np.unique(v, return_counts=True)[1])
    sigma = math.sqrt(pairs / 12 * ((n + 1) - ties / (n * (n - 1))))
    z = stats.norm.isf(alpha / 2)

    def refuted(above):
        return abs(above - pairs / 2) - 0.5 > z * sigma

    low = high = math.nan
    if refuted(pairs):
        kept = [k for k in range(pairs) if not refuted(pairs - 1 - k)]
        low, high = differences[kept[0]], differences[pairs - 1 - kept[0]]
    return [low, float(np.median(differences)), high]


def split(c, b, theta, k):
    """ln E two-sided by 60 digits; ln E one-sided by SciPy's incomplete beta function."""
    m = mpmath.mpf
    t = m(theta)
    p, q = m(k) * t, m(k) * (1 - t)

    def ln_beta(u, v):
        return mpmath.loggamma(u) + mpmath.loggamma(v) - mpmath.loggamma(u + v)

    two = ln_beta(p + c, q + b) - ln_beta(p, q) - c * mpmath.log(t) - b * mpmath.log(1 - t)
    now = special.betaincc(float(p) + c, float(q) + b, theta)
    start = special.betaincc(float(p), float(q), theta)
    one = float(two) + math.log(now) - math.log(start) if now > 1e-290 and start > 1e-290 else math.nan
    return [float(two), one]


def interval(c, total, alpha):
    """Clopper and Pearson, for one look."""
    low = stats.beta.ppf(alpha / 2, c, total - c + 1) if c > 0 else 0.0
    high = stats.beta.isf(alpha / 2, c + 1, total - c) if c < total else 1.0
    return [low, high]


def normal(z, part):
    return [stats.norm.sf(z), stats.norm.isf(part)]


def two_sample(past, batch, times, plus, at_most):
    """Turner, Ly and Grünwald's factor: the nearest allowed pair of rates is found by a root finder."""
    (pc, pn, qc, qn), (c, n, b, m) = past, batch
    tc, tb = (pc + 0.18) / (pn + 0.36), (qc + 0.18) / (qn + 0.36)
    edge = times * tb + plus
    if (tc <= edge) if at_most else (tc >= edge):
        return [0.0]
    low, high = max(-plus / times, 0.0), min((1 - plus) / times, 1.0)
    if n + m == 0 or pn == 0 or qn == 0:
        return [0.0]

    def slope(t):
        rate = times * t + plus
        return n * times * (rate - tc) / (rate * (1 - rate)) + m * (t - tb) / (t * (1 - t))

    inside = (high - low) * 1e-13
    if slope(low + inside) >= 0:
        near = low
    elif slope(high - inside) <= 0:
        near = high
    else:
        near = optimize.brentq(slope, low + inside, high - inside, xtol=1e-300, rtol=1e-15, maxiter=500)
    logpmf = stats.binom.logpmf
    rate = min(max(times * near + plus, 1e-15), 1 - 1e-15)
    return [logpmf(c, n, tc) + logpmf(b, m, tb) - logpmf(c, n, rate) - logpmf(b, m, near)]


def wager(batch, times, plus, level):
    """Without an offset: the likelihood ratio of the candidate's share of the bad events."""
    c, n, b, m = batch
    if n + m == 0:
        return [0.0]
    w, r = n / (n + m), m / (n + m)
    if plus == 0.0:
        said = w * times * level / (w * times * level + r) if m > 0 or level > 0 else 1.0
        null = w * times / (w * times + r)
        return [stats.binom.logpmf(c, c + b, said) - stats.binom.logpmf(c, c + b, null)]
    k = (w * times * level + r) / (w * times + r)
    if k == 0:
        return [0.0]
    u = level / k
    return [special.xlogy(c, u) - special.xlogy(b, k) - n * plus * (u - 1)]


def mixture(batches, times):
    """The purse, by its words: a fifth kept, the rest spread; a fiftieth of what is kept moves after each batch."""
    parts = [1 / 6, 1 / 6, 1 / 3, 1 / 6, 1 / 6]
    kept, stakes, past = 0.2, [0.8 * part for part in parts], [0, 0, 0, 0]
    for batch in batches:
        factors = two_sample(past, batch, times, 0.0, True)
        factors += [wager(batch, times, 0.0, level)[0] for level in (1.5, 2.0, 3.0, 6.0)]
        stakes = [
            stake * math.exp(factor) + 0.02 * kept * part for stake, factor, part in zip(stakes, factors, parts)
        ]
        kept *= 0.98
        past = [p + q for p, q in zip(past, batch)]
    return [math.log(kept + sum(stakes))]


class Arm:
    """One stream's game about its quantile p: the formula of Howard and Ramdas with v and s."""

    def __init__(self, total, p, alpha, sharpest_at):
        self.total, self.g, self.h = total, p, 1 - p
        ln_odds = math.log(1 / alpha)
        rho = p * (1 - p) * sharpest_at / (2 * ln_odds + math.log(1 + 2 * ln_odds))
        self.rho = max(rho - self.g * self.h, 1e-3 * self.g * self.h)
        self.calm = 0.0
        if total:

            def slope(upto):
                rising = special.digamma(self.rho / self.h + upto) - special.digamma(self.rho / self.g + total - upto)
                return rising - math.log(self.g / self.h)

            if slope(0) < 0:
                self.calm = optimize.brentq(slope, 0, total) if slope(total) > 0 else float(total)

    def ln_m(self, upto):
        """`upto` observations at or below the place."""
        g, h, rho = self.g, self.h, self.rho
        v, s = g * h * self.total, upto - g * self.total
        return (
            -(v + h * s) / h * math.log(g)
            - (v - g * s) / g * math.log(h)
            # (rho + v - g s)/g and (rho + v + h s)/h, without losing the digits of a small rho
            + special.betaln(rho / g + self.total - upto, rho / h + upto)
            - special.betaln(rho / g, rho / h)
        )

    def least(self, low, high):
        return self.ln_m(min(max(self.calm, low), high))


def quantile(candidate, baseline, p, times, plus, at_most, alpha, sharpest_at):
    """Over all places: each value, between each two, and outside."""
    mine = np.sort((np.array(candidate) - plus) / times)
    theirs = np.sort(np.array(baseline))
    values = np.unique(np.concatenate([mine, theirs]))
    places = np.unique(np.concatenate([values, (values[1:] + values[:-1]) / 2, [values[0] - 1, values[-1] + 1]]))
    arms = [Arm(len(v), p, alpha, sharpest_at) for v in (mine, theirs)]
    here = [
        [arm.least(int((v < x).sum()), int((v <= x).sum())) for x in places] for arm, v in zip(arms, (mine, theirs))
    ]
    better = np.minimum.accumulate(here[0]) if at_most else np.minimum.accumulate(here[0][::-1])[::-1]
    return [float(np.min(better + np.array(here[1])))]


def buckets(candidate, baseline, p, at_most, alpha, sharpest_at):
    """The same buckets on both sides, the edge at the baseline: inside of a bucket nothing is known."""
    mine, theirs = (Arm(sum(counts), p, alpha, sharpest_at) for counts in (candidate, baseline))
    upto = [np.concatenate([[0], np.cumsum(counts)]) for counts in (candidate, baseline)]
    sums = []
    for j in range(len(candidate)):
        low, high = (0, upto[0][j + 1]) if at_most else (upto[0][j], upto[0][-1])
        sums.append(mine.least(float(low), float(high)) + theirs.least(float(upto[1][j]), float(upto[1][j + 1])))
    return [float(min(sums))]


def finite(number):
    number = float(number)
    return number if math.isfinite(number) else None


questions = json.load(sys.stdin)
answers = {
    name: [[finite(n) for n in globals()[name](*question)] for question in asked] for name, asked in questions.items()
}
json.dump(answers, sys.stdout)
