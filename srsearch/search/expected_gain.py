"""The expected gain of hypervolume of a design whose costs are known and whose quality is not.

Let a design cost c (one or several costs, as logarithms) and let its quality be normal with mean m and deviation s. The
hypervolume counts, at every height h above the reference quality, the area of the costs that are dominated there: at
height h by the front's points with quality above h. A design of quality q adds at each height below q the area
between its costs and the reference costs that no such point dominates, A(h). So its gain is the integral of A(h) over
the heights up to q, and, A being constant between the qualities of two neighbours on the front,

    E[gain] = sum over intervals (a, b) of A * (E[(q - a)+] - E[(q - b)+]),
    E[(q - a)+] = s * (z * Phi(z) + phi(z)),  z = (m - a) / s.

With one cost A is the distance from c to the cheapest point of at least that quality: the widths of the front's steps.
Only the quality is integrated; that costs are known makes this exact, where expected hypervolume improvement in general
needs boxes or samples.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.special import ndtr

from srsearch.analysis import dominated_volume
from srsearch.analysis.gaussian_process import Array


def expected_gain(
    means: Array, deviations: Array, costs: Array, front: Array, front_costs: Array, reference: float, limits: Array
) -> Array:
    """Expected gain of hypervolume of each candidate.

    Args:
        means: (n,) expected quality, larger is better.
        deviations: (n,) its standard deviation.
        costs: (n, k) costs, smaller is better; k may be 0.
        front: (f,) qualities of the designs so far; those that others dominate do not matter.
        front_costs: (f, k) their costs.
        reference: The quality that counts from.
        limits: (k,) the costs that count up to.

    Returns:
        (n,) gains, in quality times the volume of costs.
    """
    inside = (front > reference) & (front_costs < limits).all(axis=1)
    order = np.argsort(-front[inside], kind="stable")
    heights, known = front[inside][order], front_costs[inside][order]
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


def partial_expectation(means: Array, deviations: Array, threshold: float) -> Array:
    """E[(q - threshold)+] of normal variables; (n,) to (n,)."""
    z = (means - threshold) / deviations
    density = np.exp(-0.5 * z**2) / math.sqrt(2 * math.pi)
    result: Array = deviations * (z * ndtr(z) + density)
    return np.maximum(result, 0.0)


def _undominated(costs: Array, room: Array, points: Array, limits: Array) -> Array:
    """Volume between each candidate's costs and the limits that no point dominates, (n,)."""
    volume = room.prod(axis=1)
    if not len(points):
        return np.asarray(volume)
    if costs.shape[1] <= 1:
        if not costs.shape[1]:
            return np.zeros(len(costs))  # without costs, what has that quality dominates all below it
        cheapest: Array = np.minimum(limits, points.min(axis=0))
        return np.asarray(np.maximum(cheapest - costs, 0.0)[:, 0])
    # What is dominated inside a candidate's box is dominated by the points moved into the box.
    taken = [dominated_volume(np.maximum(points, cost), limits) for cost in costs]
    return np.asarray(np.maximum(volume - np.array(taken), 0.0))
