"""Local distributions: the few ways in which a variable depends on its parents.

Every kind can give its exact full table and the small exact factors that inference uses. Arrays put
parents first and the child last; the first state of a variable is its baseline.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import ClassVar

import numpy as np

from bayesnet.errors import TooLargeError
from bayesnet.network.factor import Factor, FloatArray, frozen_array

__all__ = [
    "Distribution",
    "Mixture",
    "NoisyMax",
    "OddsRatio",
    "SensitivitySpecificity",
    "Table",
    "max_convolution",
]

#: Rows may miss a sum of one by this much (rounding in published tables is normalised away).
SUM_TOLERANCE = 1e-6
LARGEST_TABLE = 1 << 24


class Distribution(ABC):
    """P(child | parents) of one variable.

    Attributes
    ----------
    parents : tuple of str
        In the order of the axes of the arrays.
    kind : str
        The word used in model files.
    """

    kind: ClassVar[str]
    parents: tuple[str, ...]

    @abstractmethod
    def shape_problems(self, parent_sizes: Sequence[int], child_size: int) -> list[str]:
        """Every way in which the arrays do not fit the variables, as sentences."""

    @abstractmethod
    def table(self, parent_sizes: Sequence[int]) -> FloatArray:
        """The full table, shape `(*parent_sizes, child_size)`.

        Raises
        ------
        TooLargeError
            If the table would have more than 2**24 entries.
        """

    def factors(self, child: str, parent_sizes: Sequence[int]) -> tuple[Factor, ...]:
        """Small factors whose product (see `Factor.contribution`) is P(child | parents)."""
        return (Factor((*self.parents, child), self.table(parent_sizes)),)

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return NotImplemented
        return all(
            _same(getattr(self, f.name), getattr(other, f.name))
            for f in fields(self)  # type: ignore[arg-type]
        )

    __hash__ = None  # type: ignore[assignment]


def _same(a: object, b: object) -> bool:
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        return np.array_equal(np.asarray(a), np.asarray(b), equal_nan=True)
    if isinstance(a, tuple) and isinstance(b, tuple):
        return len(a) == len(b) and all(map(_same, a, b))
    return a == b


def _probability_problems(values: FloatArray, what: str) -> list[str]:
    found = []
    if not np.isfinite(values).all():
        found.append(f"{what} has a value that is not a finite number")
    elif (values < 0).any() or (values > 1).any():
        bad = values[(values < 0) | (values > 1)].flat[0]
        found.append(f"{what} has probability {bad:g}, outside [0, 1]")
    return found


def _row_problems(rows: FloatArray, what: str) -> list[str]:
    found = _probability_problems(rows, what)
    if found:
        return found
    sums = rows.sum(axis=-1)
    worst = np.abs(sums - 1).argmax() if sums.size else 0
    if sums.size and abs(sums.flat[worst] - 1) > SUM_TOLERANCE:
        found.append(f"{what} has a row that sums to {sums.flat[worst]:.6g} instead of 1")
    return found


def _size_guard(parent_sizes: Sequence[int], child_size: int) -> None:
    entries = math.prod(parent_sizes) * child_size
    if entries > LARGEST_TABLE:
        raise TooLargeError(
            f"a full table over {len(parent_sizes)} parents would have {entries:.3g} entries "
            f"({entries * 8 / 2**30:.3g} GiB); ask for its factors instead"
        )


@dataclass(frozen=True, eq=False)
class Table(Distribution):
    """One row per parent configuration; without parents, a prior.

    Attributes
    ----------
    probabilities : ndarray
        Shape `(*parent sizes, child size)`; each row sums to one.
    """

    parents: tuple[str, ...]
    probabilities: FloatArray
    kind: ClassVar[str] = "table"

    def __post_init__(self) -> None:
        object.__setattr__(self, "probabilities", frozen_array(self.probabilities))

    def shape_problems(self, parent_sizes: Sequence[int], child_size: int) -> list[str]:
        expected = (*parent_sizes, child_size)
        if self.probabilities.shape != expected:
            return [f"the table has shape {self.probabilities.shape}, expected {expected}"]
        return _row_problems(self.probabilities, "the table")

    def table(self, parent_sizes: Sequence[int]) -> FloatArray:
        return self.probabilities


def max_convolution(a: FloatArray, b: FloatArray, toward_first: bool = False) -> FloatArray:
    """Distribution of max(A, B) (or min, with `toward_first`) for independent A and B.

    Only sums of products of non-negative numbers, so no digits are lost however small the
    probabilities; the leading axes of `a` and `b` broadcast.
    """
    combine = min if toward_first else max
    size = a.shape[-1]
    out = np.zeros(np.broadcast_shapes(a.shape, b.shape))
    for i in range(size):
        for j in range(size):
            out[..., combine(i, j)] += a[..., i] * b[..., j]
    return out


@dataclass(frozen=True, eq=False)
class NoisyMax(Distribution):
    """Each parent, on its own, may bring the child to some state; the most severe one wins.

    With a two-state child this is the leaky noisy-OR in Díez's form: the link is the probability
    that the parent alone produces the finding, the leak that nothing in the model does (Díez 1993
    UAI; Díez & Galán 2003 Int J Intell Syst 18:125).

    Attributes
    ----------
    links : tuple of ndarray
        One a parent, shape `(parent size, child size)`: row x is the distribution of the child if
        this parent is in state x and nothing else acts. The first row is all baseline.
    leak : ndarray
        Shape `(child size,)`: the distribution of the child when no parent acts.
    toward_first : bool
        False: states rise from the first, the maximum wins. True (noisy-NOR): the child is in its
        last state unless a parent brings it down, the minimum wins.
    """

    parents: tuple[str, ...]
    links: tuple[FloatArray, ...]
    leak: FloatArray
    toward_first: bool = False
    kind: ClassVar[str] = "noisy_max"

    def __post_init__(self) -> None:
        object.__setattr__(self, "links", tuple(frozen_array(x) for x in self.links))
        object.__setattr__(self, "leak", frozen_array(self.leak))

    @property
    def neutral(self) -> int:
        """The child state that a parent without effect contributes."""
        return len(self.leak) - 1 if self.toward_first else 0

    def shape_problems(self, parent_sizes: Sequence[int], child_size: int) -> list[str]:
        if len(self.links) != len(self.parents):
            return [f"{len(self.links)} links for {len(self.parents)} parents"]
        if self.leak.shape != (child_size,):
            return [f"the leak has shape {self.leak.shape}, expected ({child_size},)"]
        found = _row_problems(self.leak, "the leak")
        for parent, link, size in zip(self.parents, self.links, parent_sizes, strict=True):
            if link.shape != (size, child_size):
                found.append(
                    f"the link of {parent} has shape {link.shape}, expected {(size, child_size)}"
                )
                continue
            found += _row_problems(link, f"the link of {parent}")
            if link[0, self.neutral] != 1:
                found.append(f"the link of {parent} acts in its baseline state")
        return found

    def table(self, parent_sizes: Sequence[int]) -> FloatArray:
        _size_guard(parent_sizes, len(self.leak))
        n = len(parent_sizes)
        out: FloatArray = self.leak
        for i, link in enumerate(self.links):
            shaped = link.reshape([1] * i + [link.shape[0]] + [1] * (n - i - 1) + [-1])
            out = max_convolution(out, shaped, self.toward_first)
        return out

    def factors(self, child: str, parent_sizes: Sequence[int]) -> tuple[Factor, ...]:
        return (
            Factor((child,), self.leak, contribution=True),
            *(
                Factor((parent, child), link, contribution=True)
                for parent, link in zip(self.parents, self.links, strict=True)
            ),
        )


@dataclass(frozen=True, eq=False)
class Mixture(Distribution):
    """The child follows one of the parents that are present, or `none` when none is.

    P(y | x) = sum_i w_i(x_i) P_i(y | x_i) / sum_i w_i(x_i), where parents in their baseline state
    have weight zero.

    Attributes
    ----------
    components : tuple of ndarray
        One a parent, shape `(parent size, child size)`; the first row is not used.
    weights : tuple of ndarray
        One a parent, shape `(parent size,)`; the first entry is zero.
    none : ndarray
        Shape `(child size,)`.
    """

    parents: tuple[str, ...]
    components: tuple[FloatArray, ...]
    weights: tuple[FloatArray, ...]
    none: FloatArray
    kind: ClassVar[str] = "mixture"

    def __post_init__(self) -> None:
        object.__setattr__(self, "components", tuple(frozen_array(x) for x in self.components))
        object.__setattr__(self, "weights", tuple(frozen_array(x) for x in self.weights))
        object.__setattr__(self, "none", frozen_array(self.none))

    def shape_problems(self, parent_sizes: Sequence[int], child_size: int) -> list[str]:
        if not len(self.components) == len(self.weights) == len(self.parents):
            return [f"components and weights do not match the {len(self.parents)} parents"]
        if self.none.shape != (child_size,):
            return [f"`none` has shape {self.none.shape}, expected ({child_size},)"]
        found = _row_problems(self.none, "`none`")
        for parent, part, weight, size in zip(
            self.parents, self.components, self.weights, parent_sizes, strict=True
        ):
            if part.shape != (size, child_size) or weight.shape != (size,):
                found.append(f"the component of {parent} has shape {part.shape}")
                continue
            found += _row_problems(part[1:], f"the component of {parent}")
            if weight[0] != 0 or not (weight[1:] > 0).all() or not np.isfinite(weight).all():
                found.append(f"the weight of {parent} must be a positive number")
        return found

    def table(self, parent_sizes: Sequence[int]) -> FloatArray:
        child_size = len(self.none)
        _size_guard(parent_sizes, child_size)
        n = len(parent_sizes)
        mixed = np.zeros((*parent_sizes, child_size))
        total = np.zeros((*parent_sizes, 1))
        for i, (part, weight) in enumerate(zip(self.components, self.weights, strict=True)):
            axes = [1] * i + [len(weight)] + [1] * (n - i - 1)
            mixed = mixed + (weight[:, None] * part).reshape([*axes, child_size])
            total = total + weight.reshape([*axes, 1])
        nothing = total == 0
        return np.where(nothing, self.none, mixed / np.where(nothing, 1, total))


@dataclass(frozen=True, eq=False)
class SensitivitySpecificity(Distribution):
    """A two-state test of one thing.

    Attributes
    ----------
    sensitivity : ndarray
        Shape `(parent size - 1,)`: P(positive | state) for every state but the baseline.
    specificity : float
        P(negative | baseline).
    """

    parents: tuple[str, ...]
    sensitivity: FloatArray
    specificity: float
    kind: ClassVar[str] = "sensitivity_specificity"

    def __post_init__(self) -> None:
        object.__setattr__(self, "sensitivity", frozen_array(self.sensitivity))

    def shape_problems(self, parent_sizes: Sequence[int], child_size: int) -> list[str]:
        if len(self.parents) != 1:
            return ["sensitivity and specificity speak of exactly one parent"]
        if child_size != 2:
            return [f"needs a child with two states, not {child_size}"]
        if self.sensitivity.shape != (parent_sizes[0] - 1,):
            return [
                f"sensitivity is given for {self.sensitivity.size} states of {self.parents[0]}, "
                f"expected {parent_sizes[0] - 1}"
            ]
        return _probability_problems(self.sensitivity, "sensitivity") + _probability_problems(
            np.array(self.specificity), "specificity"
        )

    def table(self, parent_sizes: Sequence[int]) -> FloatArray:
        positive = np.concatenate([[1 - self.specificity], self.sensitivity])
        return np.stack([1 - positive, positive], axis=-1)


@dataclass(frozen=True, eq=False)
class OddsRatio(Distribution):
    """A cause given risk factors: its prevalence and one odds ratio per risk state.

    log[P(y | x) / P(baseline | x)] = a_y(s) + sum_i log OR_i(x_i, y), where s is the state of the
    stratifying parent (if any). The intercepts a are solved so that P(y | s) is the stated
    prevalence exactly, whatever the joint distribution of the risk factors
    (`bayesnet.network.prevalence`).

    Attributes
    ----------
    by : str or None
        The parent by whose states the prevalence is given; it is then the first of `parents`.
    prevalence : ndarray
        Shape `(states of by or 1, child size)`, baseline included.
    odds_ratios : tuple of ndarray
        One a parent other than `by`, shape `(parent size, child size)`: odds ratio against the
        parent's baseline state, for each child state against the child's baseline; the first row
        and column are one.
    """

    parents: tuple[str, ...]
    prevalence: FloatArray
    odds_ratios: tuple[FloatArray, ...]
    by: str | None = None
    kind: ClassVar[str] = "odds_ratio"

    def __post_init__(self) -> None:
        object.__setattr__(self, "prevalence", frozen_array(self.prevalence))
        object.__setattr__(self, "odds_ratios", tuple(frozen_array(x) for x in self.odds_ratios))

    def shape_problems(self, parent_sizes: Sequence[int], child_size: int) -> list[str]:
        sizes = list(parent_sizes)
        strata = 1
        if self.by is not None:
            if not self.parents or self.parents[0] != self.by:
                return [f"the stratifying parent {self.by} must be the first parent"]
            strata = sizes.pop(0)
        if self.prevalence.shape != (strata, child_size):
            return [
                f"the prevalence has shape {self.prevalence.shape}, expected {(strata, child_size)}"
            ]
        found = _row_problems(self.prevalence, "the prevalence")
        if (self.prevalence[:, 0] <= 0).any():
            found.append("the prevalence leaves nothing for the baseline state")
        if len(self.odds_ratios) != len(sizes):
            return [*found, f"{len(self.odds_ratios)} odds ratios for {len(sizes)} risk factors"]
        for parent, ratio, size in zip(
            self.risk_factors, self.odds_ratios, sizes, strict=True
        ):
            if ratio.shape != (size, child_size):
                found.append(
                    f"the odds ratio of {parent} has shape {ratio.shape}, "
                    f"expected {(size, child_size)}"
                )
            elif not np.isfinite(ratio).all() or (ratio <= 0).any():
                found.append(f"the odds ratio of {parent} must be a positive number")
        return found

    @property
    def risk_factors(self) -> tuple[str, ...]:
        """The parents that have odds ratios (all but the stratifying one)."""
        return self.parents[1:] if self.by is not None else self.parents

    def table(self, parent_sizes: Sequence[int]) -> FloatArray:
        raise TypeError(
            "the table of an odds-ratio distribution depends on how the risk factors are "
            "distributed: ask the network, `network.table(id)`"
        )
