"""Ranks that do not hang on the last bits of a floating-point number."""

from __future__ import annotations

import math
from collections.abc import Iterable

__all__ = ["rank_among", "rank_key"]


def rank_key(value: float) -> float:
    """Sort key, best first: ten significant digits of `-value`, and what is undefined last.

    A patient of whom nothing is known has a likelihood ratio of 1 for every cause; rounding in
    the sums of inference would else order them.
    """
    return math.inf if math.isnan(value) else -float(f"{value:.10g}")


def rank_among(own: float, rivals: Iterable[float]) -> int:
    """Rank of `own` among `rivals`, from 1; whoever ties with it is counted before it."""
    key = rank_key(own)
    return 1 + sum(rank_key(r) <= key for r in rivals)
