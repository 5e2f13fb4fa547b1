"""A compiled network: a flat sequence of contractions that gives exact posteriors.

Every step makes one table from two,

    out[o] = sum over e with O(e) = o of left[L(e)] * right[R(e)],

and every intermediate table is used exactly once, so the whole is a tree. Running it forward gives
P(evidence). Running its derivative backward gives, for every variable, the derivative of P(evidence)
with respect to the evidence likelihoods, and with it the posterior (Darwiche 2003, J ACM 50:280, "A
differential approach to inference in Bayesian networks"; the two passes are those of a junction
tree, whose cliques are the products formed here).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bayesnet.inference.elimination import Elimination
from bayesnet.network.factor import FloatArray

if TYPE_CHECKING:
    from bayesnet.inference.plan import Plan

__all__ = [
    "Contraction", "Node", "Precomputed", "Program", "SumOfProducts", "Uncut", "sum_of_products",
]

IndexArray = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Node:
    """A table of the program.

    Attributes
    ----------
    kind : str
        `factor` (a constant of the network), `evidence` (a likelihood vector of the patient) or
        `message` (computed).
    scope : tuple of int
        Program variables, in axis order (C order).
    contributions : frozenset of int
        Those variables of the scope on which this table is a contribution.
    size : int
        Entries.
    constant : bool
        Whether its value does not depend on evidence.
    """

    kind: str
    scope: tuple[int, ...]
    contributions: frozenset[int]
    size: int
    constant: bool


@dataclass(frozen=True, slots=True, eq=False)
class SumOfProducts:
    """`out[o] = sum_{e in [starts[o], starts[o + 1])} a[a_index[e]] * b[b_index[e]]`."""

    starts: IndexArray
    a_index: IndexArray
    b_index: IndexArray


@dataclass(frozen=True, slots=True, eq=False)
class Contraction:
    """One step: node `out` from nodes `left` and `right` (`right` is -1 for a plain sum).

    Attributes
    ----------
    forward : SumOfProducts
        `out` from `left` and `right`.
    to_left, to_right : SumOfProducts
        The derivative with respect to `left` from (`out`, `right`), and to `right` from
        (`out`, `left`).
    rescale : bool
        Divide `out` by a power of two, patient by patient, and keep the exponent.
    """

    left: int
    right: int
    out: int
    forward: SumOfProducts
    to_left: SumOfProducts
    to_right: SumOfProducts
    rescale: bool


@dataclass(frozen=True, slots=True, eq=False)
class Precomputed:
    """A step that was taken when compiling: constant node `out` from `left` and `right`, as above."""

    left: int
    right: int
    out: int
    forward: SumOfProducts

    def value(self, values: Mapping[int, FloatArray]) -> FloatArray:
        """The table, from those of other nodes."""
        right = values[self.right] if self.right >= 0 else np.ones(1)
        return sum_of_products(self.forward, values[self.left], right)


@dataclass(frozen=True, slots=True, eq=False)
class Uncut:
    """A factor before the given variables were held.

    Attributes
    ----------
    axes : tuple of (str or None)
        For each axis the given variable that it belongs to; None where it stays.
    values : ndarray
    """

    axes: tuple[str | None, ...]
    values: FloatArray

    def index(self, given: Mapping[str, int]) -> tuple[int | slice, ...]:
        """What cuts an array of this shape."""
        return tuple(slice(None) if v is None else given[v] for v in self.axes)

    def cut(self, given: Mapping[str, int]) -> FloatArray:
        """The factor where the given variables are in these states, flat."""
        held = self.values[self.index(given)]
        return np.ascontiguousarray(held, dtype=np.float64).reshape(-1)

    def support(self) -> npt.NDArray[np.bool_]:
        """Where it is not zero for some states of the given variables, flat."""
        held = tuple(i for i, v in enumerate(self.axes) if v is not None)
        found: npt.NDArray[np.bool_] = (self.values != 0).any(axis=held)
        return found.reshape(-1)


@dataclass(frozen=True, eq=False)
class Program:
    """A compiled network. Immutable; can be pickled; compiling again gives the same program.

    Attributes
    ----------
    variables : tuple of str
        Variables that carry an evidence likelihood, in the order of the network.
    sizes, offsets : tuple of int
        Their numbers of states, and where each starts along the evidence axis.
    nodes : tuple of Node
    evidence_nodes : dict id -> int
        Nodes of the evidence likelihoods.
    table_nodes : dict id -> tuple of int
        For each free variable, the nodes of its factors, in the order of `Network.factors_of`.
    hubs : dict id -> bool
        The noisy variables taken by difference, and whether their contributions combine by the
        minimum: their tables are sums over the states up to (from) each one.
    values : dict int -> ndarray
        Values of the nodes that do not depend on evidence (computed once, at compile time).
    steps : tuple of Contraction
        The steps that depend on evidence, in order.
    root : int
        The node that holds P(evidence).
    elimination : Elimination
        Treewidth and cost of the order.
    order : tuple of str
        The elimination order in names; the double of a noisy variable ends in a prime.
    given : dict id -> int
        Variables held at a state: every answer is as if the evidence said so too.
    uncut : dict int -> Uncut
        The factors that lost an axis to `given`.
    precomputed : tuple of Precomputed
        The steps that depend on them alone, in order.
    apart : frozenset of str
        Variables that every row leaves open or neutral; their posteriors cannot be asked for.
    plans : dict
        Those made so far, by their targets; programs that differ only in numbers share them.
    """

    variables: tuple[str, ...]
    sizes: tuple[int, ...]
    offsets: tuple[int, ...]
    nodes: tuple[Node, ...]
    evidence_nodes: dict[str, int]
    table_nodes: dict[str, tuple[int, ...]]
    hubs: dict[str, bool]
    values: dict[int, FloatArray]
    steps: tuple[Contraction, ...]
    root: int
    elimination: Elimination
    order: tuple[str, ...]
    given: dict[str, int]
    uncut: dict[int, Uncut]
    precomputed: tuple[Precomputed, ...]
    apart: frozenset[str] = frozenset()
    plans: dict[frozenset[str] | None, Plan] = field(default_factory=dict)

    def plan(self, targets: Iterable[str] | None = None) -> Plan:
        """The flat arrays that give the posteriors of `targets`; laid out once for each set."""
        from bayesnet.inference.plan import make_plan

        key = None if targets is None else frozenset(targets)
        if key not in self.plans:
            self.plans[key] = make_plan(self, key)
        return self.plans[key]

    def holding(self, given: Mapping[str, int]) -> Program:
        """The program for other states of the given variables: the same steps, other numbers.

        It takes a few milliseconds, since what is structurally zero is zero for all their states.
        """
        if given.keys() != self.given.keys():
            raise ValueError(f"this program holds {', '.join(self.given) or 'nothing'}")
        values = self.values | {n: factor.cut(given) for n, factor in self.uncut.items()}
        for step in self.precomputed:
            values[step.out] = step.value(values)
        return replace(self, values=values, given={v: given[v] for v in self.given})

    def cut(self, node: int) -> tuple[int | slice, ...]:
        """The index that takes the table of `node` from a whole one."""
        return self.uncut[node].index(self.given) if node in self.uncut else ()

    def __getstate__(self) -> dict[str, Any]:
        return {f.name: getattr(self, f.name) for f in fields(self)} | {"plans": {}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    @cached_property
    def place(self) -> dict[int, int]:
        """Where each constant table that a step reads starts in `constants`; -1 stands for none."""
        read = {n for s in self.steps for n in (s.left, s.right)}
        found, size = {-1: 0}, 1
        for n in sorted(n for n in read if n >= 0 and self.nodes[n].constant):
            found[n] = size
            size += self.nodes[n].size
        return found

    @cached_property
    def constants(self) -> FloatArray:
        """A one, then the constant tables one after the other."""
        return np.concatenate([np.ones(1), *(self.values[n] for n in self.place if n >= 0)])

    @cached_property
    def position(self) -> dict[str, int]:
        """Where each variable starts along the evidence axis."""
        return dict(zip(self.variables, self.offsets, strict=True))

    @property
    def width(self) -> int:
        """Length of the evidence axis: states of all variables together."""
        return sum(self.sizes)

    @cached_property
    def multiplications(self) -> int:
        """Multiplications of one forward pass for one patient."""
        return sum(len(s.forward.a_index) for s in self.steps)

    def summary(self) -> dict[str, float]:
        """Size of the program: treewidth, entries and operations."""
        messages = sum(self.nodes[s.out].size for s in self.steps)
        backward = sum(
            len(half.a_index)
            for s in self.steps
            for node, half in ((s.left, s.to_left), (s.right, s.to_right))
            if node >= 0 and not self.nodes[node].constant
        )
        return {
            "variables": len(self.variables),
            "treewidth": self.elimination.width,
            "clique_entries": self.elimination.entries,
            "largest_clique": self.elimination.largest,
            "steps": len(self.steps),
            "message_entries": messages,
            "multiplications_forward": self.multiplications,
            "multiplications_backward": backward,
        }

    def __repr__(self) -> str:
        s = self.summary()
        return (
            f"<Program: {len(self.variables)} variables, treewidth {s['treewidth']:.0f}, "
            f"{s['clique_entries']:,.0f} clique entries, {len(self.steps)} steps, "
            f"{s['multiplications_forward']:,.0f} + {s['multiplications_backward']:,.0f} "
            "multiplications a patient>"
        )


def sum_of_products(plan: SumOfProducts, a: FloatArray, b: FloatArray) -> FloatArray:
    """One half of a contraction; `a`, `b` and the result have their entries along the last axis."""
    products = a[..., plan.a_index] * b[..., plan.b_index]
    entries = len(plan.starts) - 1
    each = products.reshape(-1, len(plan.a_index))
    owner = np.repeat(np.arange(entries), np.diff(plan.starts))
    place = owner + entries * np.arange(len(each))[:, None]
    sums = np.bincount(place.ravel(), weights=each.ravel(), minlength=entries * len(each))
    return sums.astype(np.float64).reshape(*products.shape[:-1], entries)
