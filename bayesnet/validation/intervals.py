"""Intervals for proportions."""

from __future__ import annotations

import math

__all__ = ["wilson_interval"]


def wilson_interval(hits: int, n: int, z: float = 1.959963984540054) -> tuple[float, float]:
    """Wilson's score interval for a proportion (Wilson 1927, J Am Stat Assoc 22:209).

    Parameters
    ----------
    hits, n : int
        Successes and trials; with no trials the interval is (0, 1).
    z : float
        Normal quantile; 1.96 for 95 %.
    """
    if n == 0:
        return (0.0, 1.0)
    p = hits / n
    centre = p + z * z / (2 * n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    return (max(0.0, (centre - half) / scale), min(1.0, (centre + half) / scale))
