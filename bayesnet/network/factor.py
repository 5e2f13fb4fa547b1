"""A factor: a table over a few variables, the piece that exact inference multiplies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Factor", "FloatArray", "frozen_array"]

FloatArray = npt.NDArray[np.float64]


def frozen_array(values: Any) -> FloatArray:
    """A read-only float64 copy."""
    array = np.array(values, dtype=np.float64)
    array.setflags(write=False)
    return array


@dataclass(frozen=True, slots=True, eq=False)
class Factor:
    """A non-negative table over `scope`.

    Attributes
    ----------
    scope : tuple of str
        One variable an axis.
    values : ndarray
        One axis a variable of `scope`.
    contribution : bool
        True when the last variable of the scope is the child of a noisy-MAX and the table is one
        parent's (or the leak's) contribution to it: contributions to the same child combine by the
        maximum of their values (convolution), not by the product. Zhang & Poole 1996, J Artif
        Intell Res 5:301, "heterogeneous factorisation".
    """

    scope: tuple[str, ...]
    values: FloatArray
    contribution: bool = False
