"""Expected hypervolume gain of a design with known costs and an uncertain quality.

Let a design have costs c (one or several, as logarithms), and let its quality q be normal with mean m and standard
deviation s. At every height h above the reference quality, the hypervolume counts the area of the costs that the
front's points with quality above h dominate. A design of quality q adds, at each height below q, the area A(h) between
its costs and the reference costs that no such point dominates. So its gain is the integral of A(h) over the heights up
to q. A(h) is constant between the qualities of two neighbours on the front, and therefore

    E[gain] = sum over intervals (a, b) of A * (E[(q - a)+] - E[(q - b)+]),
    E[(q - a)+] = s * (z * Phi(z) + phi(z)),  z = (m - a) / s.

With one cost, A is the distance from c to the cheapest point of at least that quality: the widths of the front's steps.
With two costs, it is an area under a staircase. Because costs are known, only the quality is integrated and the result
is exact; expected hypervolume improvement in general needs box decompositions or samples.

With more costs, or a second quality, the volume is integrated over the costs instead. Within the costs u, the front
reaches the quality H(u), that of the best point that costs no more than u. So

    E[gain] = integral over u >= c of E[(q - H(u))+] du,

which is computed as a mean over quasi-random costs u. A second quality, taken as independent of the first, is one more
dimension to sample: at u = (costs, level), a point counts if it costs no more and reaches the level, and a candidate
counts with the probability that it reaches the level.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.special import ndtr

from srsearch.analysis.gaussian_process import Array

_EXACT = 2
"""Largest number of costs for which the gain is computed exactly; with one quality."""

_SAMPLES = 1024
"""Quasi-random points of the sampled gain."""


def expected_gain(
    means: Array, deviations: Array, costs: Array, front: Array, front_costs: Array, reference: Array, limits: Array
) -> Array:
    """Compute the expected hypervolume gain of each candidate.

    Args:
        means: (n, q) expected qualities, larger is better; a candidate's qualities are taken to be independent.
        deviations: (n, q) standard deviations of the qualities, above 0.
        costs: (n, k) costs, smaller is better; k may be 0.
        front: (f, q) qualities of the designs so far; dominated designs may be among them.
        front_costs: (f, k) costs of these designs.
        reference: (q,) reference point of the hypervolume: qualities.
        limits: (k,) reference point of the hypervolume: costs.

    Returns:
        (n,) gains, in the unit of the qualities' product times that of the costs. They are exact for one quality and
        up to two costs, else from 1,024 quasi-random points.
    """
    counting = (front > reference).all(axis=1) & (front_costs < limits).all(axis=1)
    front, front_costs = front[counting], front_costs[counting]
    if means.shape[1] == 1 and costs.shape[1] <= _EXACT:
        return _exact(means[:, 0], deviations[:, 0], costs, front[:, 0], front_costs, float(reference[0]), limits)
    return _sampled(means, deviations, costs, front, front_costs, reference, limits)


def _exact(
    means: Array, deviations: Array, costs: Array, front: Array, front_costs: Array, reference: float, limits: Array
) -> Array:
    order = np.argsort(-front, kind="stable")
    heights, known = front[order], front_costs[order]
    room = np.maximum(limits - costs, 0.0)
    edges = np.concatenate([[math.inf], heights, [reference]])
    gains = np.zeros(len(means))
    above = np.zeros(len(means))  # E[(q - b)+] of the interval's upper end
    for step in range(len(edges) - 1):
        below = partial_expectation(means, deviations, float(edges[step + 1]))
        if edges[step + 1] < edges[step]:
            gains += _undominated(costs, room, known[:step], limits) * (below - above)
        above = below
    return gains


def _sampled(
    means: Array, deviations: Array, costs: Array, front: Array, front_costs: Array, reference: Array, limits: Array
) -> Array:
    from scipy.stats.qmc import Halton  # imported here because scipy.stats takes long to import

    highest = (means + 2 * deviations).max(axis=0)[1:]
    low = np.concatenate([costs.min(axis=0), reference[1:]])
    high = np.concatenate([limits, np.maximum(highest, reference[1:])])
    count = costs.shape[1]
    samples = low + (high - low) * Halton(len(low), scramble=False).random(_SAMPLES)
    # (f, s): which points of the front count at which sample, and (s,) the quality reached there.
    counting = (front_costs[:, None] <= samples[None, :, :count]).all(axis=2)
    counting &= (front[:, None, 1:] >= samples[None, :, count:]).all(axis=2)
    reached = np.maximum(np.where(counting, front[:, :1], -np.inf).max(axis=0, initial=-np.inf), reference[0])
    gains = (costs[:, None] <= samples[None, :, :count]).all(axis=2).astype(np.float64)
    for level in range(1, means.shape[1]):
        wanted = samples[:, count + level - 1]
        gains *= ndtr((means[:, level, None] - wanted) / deviations[:, level, None])
    gains *= partial_expectation(means[:, :1], deviations[:, :1], reached)
    return np.asarray(gains.mean(axis=1) * np.prod(high - low))


def partial_expectation(means: Array, deviations: Array, threshold: float | Array) -> Array:
    """Compute E[(q - threshold)+] of normal variables q with (n,) means and deviations, element by element."""
    z = (means - threshold) / deviations
    density = np.exp(-0.5 * z**2) / math.sqrt(2 * math.pi)
    result: Array = deviations * (z * ndtr(z) + density)
    return np.maximum(result, 0.0)


def _undominated(costs: Array, room: Array, points: Array, limits: Array) -> Array:
    """(n,) volume between each candidate's costs and the limits that no point dominates; up to two costs."""
    volume = room.prod(axis=1)
    if not len(points):
        return np.asarray(volume)
    if not costs.shape[1]:
        return np.zeros(len(costs))  # without costs, a point dominates every lower quality
    if costs.shape[1] == 1:
        cheapest: Array = np.minimum(limits, points.min(axis=0))
        return np.asarray(np.maximum(cheapest - costs, 0.0)[:, 0])
    # Going up the first cost, the dominated range of the second cost starts at the cheapest point so far.
    points = points[np.argsort(points[:, 0], kind="stable")]
    edges = np.maximum(np.append(points[:, 0], limits[0]), costs[:, :1])
    lowest = np.maximum(np.minimum.accumulate(points[:, 1]), costs[:, 1:])
    return np.asarray(volume - (np.diff(edges, axis=1) * np.maximum(limits[1] - lowest, 0.0)).sum(axis=1))
