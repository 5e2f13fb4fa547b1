"""Compile a network into a flat program of contractions that gives exact posteriors.

The network's factors are multiplied and summed in the order of `elimination`; every intermediate
table is used exactly once, so the whole is a tree of two-operand contractions

    out[o] = sum over e with O(e) = o of left[L(e)] * right[R(e)].

Running it forward gives P(evidence). Running its derivative backward gives, for every variable, the
derivative of P(evidence) with respect to the evidence likelihoods, and with it the posterior
(Darwiche 2003, J ACM 50:280, "A differential approach to inference in Bayesian networks"; the two
passes are those of a junction tree, whose cliques are the products formed here).

A noisy-MAX child is never expanded. Each parent contributes a small table, and contributions
combine by the maximum of their values (Zhang & Poole 1996, J Artif Intell Res 5:301). This spans
the same cliques as the auxiliary-variable factorisation of Díez & Galán (2003) but has no negative
entries: every number is a sum of products of non-negative numbers, so no digits are lost to
cancellation, however small the links or many the findings. The rules for two factors that share a
noisy variable y, contribution (c) or function (f):

    c, c -> c    out(max(y1, y2)) += a(y1) b(y2)
    f, c -> f    out(y) += a(max(y, y2)) b(y2)        (the adjoint: f averaged over the contribution)

Summing y out of (f, c) pairs equal values; of a lone f takes its value at the neutral state.

A hub is the exception: a noisy-OR of many parents is in nearly every clique, where combining by the
maximum costs several products an entry and the factorisation of Díez & Galán (Int J Intell Syst
18:165) only one. It is used for the few hubs whose leak bounds what the subtraction can lose
(`_hubs`): P(y = 1 | parents) = 1 - P(y = 0 | parents) is at least the leak, so that rounding grows
by at most (2 - leak) / leak.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bayesnet.errors import TooLargeError, did_you_mean
from bayesnet.inference.elimination import (
    Elimination,
    cost_of_order,
    good_eliminations,
)
from bayesnet.network import Network
from bayesnet.network.factor import FloatArray

if TYPE_CHECKING:
    from bayesnet.inference.annealing import Work
    from bayesnet.inference.plan import Plan

__all__ = [
    "Contraction",
    "Node",
    "Program",
    "SumOfProducts",
    "compile_program",
    "double_weights",
    "counted_multiplications",
    "estimated_entries",
    "leaf_hub",
    "search_order",
    "sum_of_products",
    "summed_up",
]

IndexArray = npt.NDArray[np.int32]

#: Rescale a message once it has absorbed this many evidence vectors, so that products of
#: probabilities stay far from the smallest float: soon where that is cheap (few entries), and at
#: the latest when two such messages, each entry 1e-12, would multiply to 1e-288.
EVIDENCE_BEFORE_RESCALING = {"small": 4, "large": 12}
SMALL_MESSAGE = 64
#: A noisy-OR of so many parents is a hub.
HUB_PARENTS = 8
#: The subtractions of hubs may multiply rounding by this much in all: four of sixteen digits.
LARGEST_ROUNDING = 1e4
#: Clique-table entries of the largest program: its indices take some 30 bytes an entry.
LARGEST_PROGRAM = 1 << 26
#: A long search starts by accepting orders that cost about this share more.
HEAT = 0.03
#: What the program that leaves everything open counts in a search beside that of known strata: where
#: those are not known, the mixture of the strata answers, so that it is seldom run.
OPEN_WEIGHT = 0.05
#: A program of fewer multiplications, both passes, is not worth a climb: loading the compiled count
#: takes longer.
CLIMB_ABOVE = 500_000


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


class _Compiler:
    """Builds the steps; `ids` are program variables (network variables, then noisy doubles)."""

    def __init__(
        self,
        network: Network,
        evidence_on: Sequence[str],
        free: frozenset[str],
        zeros_stay: bool = False,
        given: Mapping[str, int] | None = None,
        free_hubs: bool = False,
    ) -> None:
        self.network = network
        self.given = dict(given or {})
        self.uncut: dict[int, Uncut] = {}
        self.precomputed: list[Precomputed] = []
        #: Constant nodes whose values depend on the given states.
        self.varying: set[int] = set()
        self.free = free
        self.zeros_stay = zeros_stay
        self.table_nodes: dict[str, tuple[int, ...]] = {}
        #: Hubs whose double is given: they are left out themselves.
        self.parted = frozenset(v[:-1] for v in self.given if v not in network)
        self.hubs = _hubs(network, frozenset() if free_hubs else free) | self.parted
        self.ids = {v: i for i, v in enumerate(network.variables)}
        self.sizes = [len(v) for v in network.variables.values()]
        self.toward_first = [network.combines_toward_first(v) for v in network.variables]
        self.names = list(network.variables)
        self.nodes: list[Node] = []
        self.values: dict[int, FloatArray] = {}
        self.steps: list[Contraction] = []
        self.evidence_nodes: dict[str, int] = {}
        self.noisy: set[int] = set()
        self.mass: dict[int, int] = {}
        self.support: list[npt.NDArray[np.bool_]] = []
        self.counted: float | None = None
        #: For each node, the values that its contributions can take, by noisy variable.
        self.reached: list[dict[int, frozenset[int]]] = []
        self.held = {self.ids[v]: v for v in self.given if v in self.ids}
        self._add_factors(evidence_on)

    def _add(
        self, node: Node, value: FloatArray | None = None,
        support: npt.NDArray[np.bool_] | None = None,
    ) -> int:
        self.nodes.append(node)
        index = len(self.nodes) - 1
        if value is not None:
            self.values[index] = np.ascontiguousarray(value, dtype=np.float64).reshape(-1)
        self.mass[index] = 1 if node.kind == "evidence" else 0
        # Entries that may differ from zero. Products with a structural zero are never formed
        # (zero compression; Jensen & Andersen 1990, UAI).
        if not ((node.constant or self.zeros_stay) and index in self.values):
            support = np.ones(node.size, bool)
        self.support.append(self.values[index] != 0 if support is None else support)
        self.reached.append({})
        for v in node.contributions:
            axes = tuple(i for i, u in enumerate(node.scope) if u != v)
            shape = [self.sizes[u] for u in node.scope]
            possible = self.support[index].reshape(shape).any(axis=axes)
            self.reached[index][v] = frozenset(np.flatnonzero(possible).tolist())
        return index

    def _add_factors(self, evidence_on: Sequence[str]) -> None:
        # Variables that neither carry evidence nor lead to any that does sum to one.
        relevant = self.network.ancestors([*evidence_on, *self.parted])
        factors = [f for v in self.network.variables if v in relevant
                   for f in self.network.factors_of(v)]
        contributed = {f.scope[-1] for f in factors if f.contribution}
        also_used = {v for f in factors for v in (f.scope[:-1] if f.contribution else f.scope)}
        also_used |= self.given.keys() | self.hubs
        double: dict[str, int] = {}
        for v in sorted(contributed, key=self.ids.__getitem__):
            noisy = self.ids[v]
            if v in also_used:
                # Contributions go to a double of v, which hands the result over to v: by the
                # identity, or for a hub by the differences of what its parents' products sum up.
                noisy = len(self.sizes)
                self.sizes.append(self.sizes[self.ids[v]])
                self.toward_first.append(self.toward_first[self.ids[v]])
                self.names.append(f"{v}'")
                double[v] = noisy
                if v in self.parted:
                    self.held[noisy] = self.names[-1]
                    continue
                handed = np.eye(self.sizes[noisy])
                if v in self.hubs:
                    handed -= np.eye(len(handed), k=-1 if self.toward_first[noisy] else 1)
                self._add_cut((noisy, self.ids[v]), frozenset(), handed, constant=True)
            double[v] = noisy
            if v not in self.hubs:
                self.noisy.add(noisy)
        for f in factors:
            scope = tuple(self.ids[v] for v in f.scope)
            contributions: frozenset[int] = frozenset()
            child, values = f.scope[-1], f.values
            if f.contribution:
                scope = (*scope[:-1], double[child])
                if child not in self.hubs:
                    contributions = frozenset(scope[-1:])
                else:
                    values = summed_up(values, self.toward_first[scope[-1]])
            constant = child not in self.free
            added = self._add_cut(scope, contributions, values, constant)
            if not constant:
                self.table_nodes[child] = (*self.table_nodes.get(child, ()), added)
        for v in (v for v in self.given if v in self.ids):
            states = Uncut((v, None), np.eye(self.sizes[self.ids[v]]))
            self._add_uncut((self.ids[v],), frozenset(), states, constant=True)
        for v in evidence_on:
            i = self.ids[v]
            node = Node("evidence", (i,), frozenset(), self.sizes[i], False)
            self.evidence_nodes[v] = self._add(node)

    def _add_cut(
        self, scope: tuple[int, ...], contributions: frozenset[int], values: FloatArray,
        constant: bool,
    ) -> int:
        """Add a factor where the given variables hold: without their axes."""
        held = self.held
        if not held.keys() & set(scope):
            return self._add(Node("factor", scope, contributions, values.size, constant), values)
        uncut = Uncut(tuple(held.get(v) for v in scope), values)
        kept = tuple(v for v in scope if v not in held)
        return self._add_uncut(kept, contributions, uncut, constant)

    def _add_uncut(
        self, scope: tuple[int, ...], contributions: frozenset[int], factor: Uncut, constant: bool
    ) -> int:
        values = factor.cut(self.given)
        node = Node("factor", scope, contributions, values.size, constant)
        index = self._add(node, values, factor.support())
        self.uncut[index] = factor
        if constant:
            self.varying.add(index)
        return index

    def cost(self, order: Sequence[int]) -> float:
        """Multiplications of both passes in `order`, counted without forming any table."""
        saved = len(self.nodes)
        self.counted = 0.0
        self.eliminate(order)
        cost, self.counted = self.counted, None
        del self.nodes[saved:], self.reached[saved:]
        return cost

    def work(self) -> Work:
        """What `cost` counts from, as arrays for the compiled count."""
        from bayesnet.inference.annealing import WIDEST_SCOPE, Work

        shape = len(self.nodes), WIDEST_SCOPE
        scopes, reached = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        for i, node in enumerate(self.nodes):
            for j, v in enumerate(node.scope):
                scopes[i, j] = v
                if v in node.contributions:
                    # A contribution that can take no value counts as one that takes one.
                    reached[i, j] = sum(1 << k for k in self.reached[i][v]) or 1
        return Work(
            np.array([len(x.scope) for x in self.nodes]), scopes, reached,
            np.array([float(x.size) for x in self.nodes]),
            np.array([x.constant for x in self.nodes]),
            np.array(self.sizes), np.array(self.toward_first),
        )

    def eliminate(self, order: Sequence[int]) -> int:
        """Emit the steps for `order`; returns the node that holds P(evidence)."""
        position = {v: k for k, v in enumerate(order)}
        buckets: list[list[int]] = [[] for _ in order]
        done: list[int] = []

        def place(node: int) -> None:
            scope = self.nodes[node].scope
            if scope:
                buckets[min(position[v] for v in scope)].append(node)
            else:
                done.append(node)

        for node in range(len(self.nodes)):
            place(node)
        for v, bucket in zip(order, buckets, strict=True):
            if bucket:
                place(self._reduce(bucket, v))
        return self._reduce(done, None)

    def _reduce(self, bucket: list[int], eliminated: int | None) -> int:
        """Multiply a bucket together, smallest products first, and sum `eliminated` out."""
        pool = list(bucket)
        while len(pool) > 2:
            best = min(
                (
                    (not (self.nodes[a].constant and self.nodes[b].constant),
                     self._terms(a, b), i, j)
                    for i, a in enumerate(pool)
                    for j, b in enumerate(pool[:i])
                )
            )
            _, _, i, j = best
            a, b = pool[j], pool[i]
            pool = [n for k, n in enumerate(pool) if k not in (i, j)]
            pool.append(self._contract(a, b, None))
        if len(pool) == 1:
            return pool[0] if eliminated is None else self._contract(pool[0], -1, eliminated)
        return self._contract(pool[0], pool[1], eliminated)

    def _terms(self, left: int, right: int, eliminated: int | None = None) -> int:
        """Products of a contraction: a noisy variable on both sides counts twice."""
        a, b = self.nodes[left], self.nodes[right]
        total = 1
        for v in {*a.scope, *b.scope}:
            at_a = self.reached[left].get(v) if v in a.scope else ()
            at_b = self.reached[right].get(v) if v in b.scope else ()
            # None: a function, which has a value for every state.
            n_a = self.sizes[v] if at_a is None else max(1, len(at_a))
            n_b = self.sizes[v] if at_b is None else max(1, len(at_b))
            if at_a is None and at_b is None:
                total *= n_a
            elif v == eliminated and (at_a is None or at_b is None):
                total *= min(n_a, n_b)
            else:
                total *= n_a * n_b
        return total

    def _count(self, left: int, right: int, eliminated: int | None) -> int:
        """`_contract` without its tables: adds to `counted`, and keeps only the scope."""
        a = self.nodes[left]
        b = self.nodes[right] if right >= 0 else Node("factor", (), frozenset(), 1, True)
        constant = a.constant and b.constant
        if not constant:
            assert self.counted is not None
            # Once forward, and once backward for each side that depends on evidence.
            passes = 1 + (not a.constant) + (not b.constant)
            terms = self._terms(left, right, eliminated) if right >= 0 else a.size
            self.counted += passes * terms
        scope = []
        contributions: dict[int, frozenset[int]] = {}
        for v in (*a.scope, *(u for u in b.scope if u not in a.scope)):
            if v == eliminated:
                continue
            scope.append(v)
            # A function that meets a contribution stays a function.
            if all(v in n.contributions for n in (a, b) if v in n.scope):
                parts = [
                    self.reached[i][v] for i, n in ((left, a), (right, b)) if v in n.scope
                ]
                combine = min if self.toward_first[v] else max
                contributions[v] = (
                    parts[0]
                    if len(parts) == 1
                    else frozenset(combine(i, j) for i in parts[0] for j in parts[1])
                )
        size = math.prod(self.sizes[v] for v in scope)
        self.nodes.append(
            Node("message", tuple(scope), frozenset(contributions), size, constant)
        )
        self.reached.append(contributions)
        return len(self.nodes) - 1

    def _contract(self, left: int, right: int, eliminated: int | None) -> int:
        if self.counted is not None:
            return self._count(left, right, eliminated)
        a = self.nodes[left]
        b = self.nodes[right] if right >= 0 else Node("factor", (), frozenset(), 1, True)
        axes: list[int] = []  # sizes of the axes of the enumeration
        terms: list[tuple[str, tuple[int, ...], npt.NDArray[np.int64]]] = []
        out_scope: list[int] = []
        contributions: set[int] = set()
        strides_a, strides_b = self._strides(a.scope), self._strides(b.scope)
        out_axes: list[tuple[int, tuple[int, ...], npt.NDArray[np.int64]]] = []
        for v in (*a.scope, *(u for u in b.scope if u not in a.scope)):
            size = self.sizes[v]
            states = np.arange(size)
            in_a, in_b = v in strides_a, v in strides_b
            c_a, c_b = v in a.contributions, v in b.contributions
            gone = v == eliminated
            if in_a and in_b and (c_a or c_b) and not (gone and c_a != c_b):
                first, second = len(axes), len(axes) + 1
                axes += [size, size]
                i, j = np.meshgrid(states, states, indexing="ij")
                combined = np.minimum(i, j) if self.toward_first[v] else np.maximum(i, j)
                if c_a and c_b:
                    index_a, index_b, index_out = i, j, combined
                    contributions.add(v)
                elif c_b:  # a is the function: averaged over b's contribution
                    index_a, index_b, index_out = combined, j, i
                else:
                    index_a, index_b, index_out = j, combined, i
                terms.append(("a", (first, second), index_a * strides_a[v]))
                terms.append(("b", (first, second), index_b * strides_b[v]))
                if not gone:
                    out_axes.append((v, (first, second), index_out))
            else:
                if gone and v in self.noisy and not (c_a or c_b):
                    # No contribution is left to come: the maximum of nothing is the neutral state.
                    states = np.array([size - 1 if self.toward_first[v] else 0])
                axis = len(axes)
                axes.append(len(states))
                if in_a:
                    terms.append(("a", (axis,), states * strides_a[v]))
                if in_b:
                    terms.append(("b", (axis,), states * strides_b[v]))
                if not gone:
                    out_axes.append((v, (axis,), states))
                    if c_a or c_b:
                        contributions.add(v)
            if not gone:
                out_scope.append(v)
        strides_out = self._strides(out_scope)
        for v, at, index in out_axes:
            terms.append(("out", at, index * strides_out[v]))
        flat = {"a": np.zeros(axes, np.int64), "b": np.zeros(axes, np.int64),
                "out": np.zeros(axes, np.int64)}
        for name, at, index in terms:
            shape = [1] * len(axes)
            for k, axis in enumerate(at):
                shape[axis] = index.shape[k]
            flat[name] += index.reshape(shape)
        ia, ib, io = (flat[name].reshape(-1) for name in ("a", "b", "out"))
        counts = self.support[left][ia]
        if right >= 0:
            counts = counts & self.support[right][ib]
        ia, ib, io = ia[counts], ib[counts], io[counts]
        size = math.prod(self.sizes[v] for v in out_scope)
        constant = a.constant and b.constant
        node = Node("message", tuple(out_scope), frozenset(contributions), size, constant)
        out = self._add(node)
        self.support[out][:] = False
        self.support[out][io] = True
        for v in contributions:
            axes_but_v = tuple(k for k, u in enumerate(out_scope) if u != v)
            shaped = self.support[out].reshape([self.sizes[u] for u in out_scope])
            self.reached[out][v] = frozenset(np.flatnonzero(shaped.any(axis=axes_but_v)).tolist())
        forward = _grouped(io, size, ia, ib)
        if constant:
            early = Precomputed(left, right, out, forward)
            self.values[out] = early.value(self.values)
            if self.varying & {left, right}:
                self.precomputed.append(early)
                self.varying.add(out)
            return out
        mass = self.mass[left] + (self.mass[right] if right >= 0 else 0)
        rescale = mass >= EVIDENCE_BEFORE_RESCALING["small" if size <= SMALL_MESSAGE else "large"]
        self.mass[out] = 1 if rescale else mass
        self.steps.append(
            Contraction(
                left, right, out, forward,
                _grouped(ia, a.size, io, ib), _grouped(ib, b.size, io, ia), rescale,
            )
        )
        return out

    def _strides(self, scope: Sequence[int]) -> dict[int, int]:
        strides, step = {}, 1
        for v in reversed(scope):
            strides[v] = step
            step *= self.sizes[v]
        return strides


def _hubs(network: Network, free: frozenset[str]) -> frozenset[str]:
    """The two-state noisy variables to take by difference, those with most parents first."""
    found = []
    for v in network.variables:
        factors = network.factors_of(v)
        if v in free or len(network[v]) != 2 or len(factors) <= HUB_PARENTS:
            continue
        for f in factors:
            if f.contribution and len(f.scope) == 1:
                leak = float(f.values[0 if network.combines_toward_first(v) else 1])
                if leak > 0:
                    found.append((-len(factors), v, (2 - leak) / leak))
    chosen, rounding = set(), 1.0
    for _, v, growth in sorted(found):
        if rounding * growth <= LARGEST_ROUNDING:
            chosen.add(v)
            rounding *= growth
    return frozenset(chosen)


def _leaf_hubs(network: Network) -> list[str]:
    used = {p for d in network.distributions.values() for p in d.parents}
    hubs = _hubs(network, frozenset())
    return [v for v in network.variables if v in hubs and v not in used]


def leaf_hub(network: Network) -> str | None:
    """The hub without children that has most parents, if there is one.

    Held at a state of its double, it factorises over its parents: two programs without it, one for
    each state of the double, answer for one with it (`bayesnet.inference.Strata`).
    """
    return max(_leaf_hubs(network), key=lambda v: len(network.parents(v)), default=None)


def double_weights(likelihood: FloatArray, toward_first: bool) -> FloatArray:
    """What each state of a hub's double counts in a mixture, shape `(patients, 2)`; may be negative.

    Parameters
    ----------
    likelihood : ndarray
        Of the hub's states, shape `(patients, 2)`.
    toward_first : bool
        Whether contributions to the hub combine by the minimum.
    """
    first, second = likelihood.T
    pair = (first, second - first) if toward_first else (first - second, second)
    return np.stack(pair, axis=1)


def summed_up(contribution: FloatArray, toward_first: bool) -> FloatArray:
    """What a hub multiplies instead of a contribution: P(no further than each state)."""
    if toward_first:
        return np.cumsum(contribution[..., ::-1], axis=-1)[..., ::-1]
    return np.cumsum(contribution, axis=-1)


def _grouped(
    key: npt.NDArray[np.int64], size: int, a: npt.NDArray[np.int64], b: npt.NDArray[np.int64]
) -> SumOfProducts:
    order = np.argsort(key, kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(key, minlength=size))])
    return SumOfProducts(
        starts.astype(np.int32), a[order].astype(np.int32), b[order].astype(np.int32)
    )


def sum_of_products(plan: SumOfProducts, a: FloatArray, b: FloatArray) -> FloatArray:
    """One half of a contraction for one patient."""
    products = a[plan.a_index] * b[plan.b_index]
    owner = np.repeat(np.arange(len(plan.starts) - 1), np.diff(plan.starts))
    sums = np.bincount(owner, weights=products, minlength=len(plan.starts) - 1)
    return sums.astype(np.float64)


def compile_program(
    network: Network,
    evidence_on: Iterable[str] | None = None,
    *,
    free: Iterable[str] = (),
    zeros_stay: bool = False,
    free_hubs: bool = False,
    given: Mapping[str, str] | None = None,
    order: Sequence[str] | None = None,
    tries: int = 8,
    climb: int = 0,
    seed: int = 0,
    largest: int = LARGEST_PROGRAM,
) -> Program:
    """Compile `network`.

    Parameters
    ----------
    network : Network
    evidence_on : iterable of str, optional
        Variables that may be observed or asked about; all by default. The rest is summed out once.
    free : iterable of str
        Variables whose numbers may be given anew for every row when the program runs.
    zeros_stay : bool
        Promise that a free number that is zero in `network` is zero in every row, so that products
        with it need not be formed.
    free_hubs : bool
        Take free hubs by difference too: a fraction of the work, but a row whose leak is `l` loses
        the digits of `(2 - l) / l` where nothing else explains the hub.
    given : mapping variable -> state, optional
        Answer only for patients of whom this is known: their program is smaller, since what the
        given variables coupled comes apart (cutset conditioning; Pearl 1988, section 4.3.2).
        Evidence says what is given once more, or nothing of it. The double of a hub (`leaf_hub`), which
        is its name and a prime, may be given too: the program then leaves the hub out, and its
        numbers are the probabilities that the hub goes no further than the given state.
    order : sequence of str, optional
        An elimination order (`Program.order`, `search_order`) instead of a search for one; it may
        name more variables than this program has. One that lacks some of them is not used.
    tries, seed : int
        For the search of an elimination order (`good_eliminations`).
    climb : int
        Orders to try from the one found, each with one variable moved, where the program is large.
    largest : int
        The most clique-table entries to accept.

    Raises
    ------
    TooLargeError
        When the best order found needs more than `largest` entries; nothing has been allocated.
    KeyError
        For an unknown variable.
    ValueError
        For an unknown state of a given variable.
    """
    observed = set(network.variables if evidence_on is None else evidence_on)
    for v in observed:
        if v not in network:
            raise KeyError(f"no variable {v!r}.{did_you_mean(v, network.variables)}")
    held = {}
    for v, state in (given or {}).items():
        hub = v[:-1] if v not in network and v.endswith("'") else None
        states = network[hub or v].states
        if state not in states:
            raise ValueError(f"{v} has no state {state!r}.{did_you_mean(state, states)}")
        if hub is not None and (hub in observed or hub not in _leaf_hubs(network)):
            raise ValueError(f"{v} can be given only for a hub without children or evidence")
        held[v] = states.index(state)
    slots = tuple(v for v in network.variables if v in observed or v in held)
    compiler = _Compiler(network, slots, frozenset(free), zeros_stay, held, free_hubs)
    elimination = _given_order(compiler, order) or _searched_order(compiler, tries, seed, largest)
    if elimination.entries > largest:
        raise TooLargeError(
            f"exact inference needs {elimination.entries:.3g} clique-table entries "
            f"({elimination.entries * 8 / 2**30:.3g} GiB a patient; treewidth "
            f"{elimination.width}), more than the {largest:.3g} allowed; `model.posterior` conditions "
            "on the patient's evidence first, `model.approximate` estimates"
        )
    if climb:
        elimination = _climbed(compiler, elimination, climb, seed)
    root = compiler.eliminate(elimination.order)
    sizes = network.sizes(slots)
    offsets = tuple(int(x) for x in np.concatenate([[0], np.cumsum(sizes)])[:-1])
    used = {n for s in compiler.steps for n in (s.left, s.right)} | {root}
    used |= {n for s in compiler.precomputed for n in (s.left, s.right)}
    return Program(
        variables=slots,
        sizes=sizes,
        offsets=offsets,
        nodes=tuple(compiler.nodes),
        evidence_nodes=compiler.evidence_nodes,
        table_nodes=compiler.table_nodes,
        hubs={v: network.combines_toward_first(v) for v in compiler.hubs},
        values={n: x for n, x in compiler.values.items() if n in used},
        steps=tuple(compiler.steps),
        root=root,
        elimination=elimination,
        order=tuple(compiler.names[v] for v in elimination.order),
        given=held,
        uncut=compiler.uncut,
        precomputed=tuple(compiler.precomputed),
    )


def counted_multiplications(
    network: Network, given: Iterable[str] = (), order: Sequence[str] | None = None
) -> float:
    """Multiplications of both passes of the program that holds the variables `given`.

    Counted without forming a table, and so without regard to structural zeros; infinite for a
    program that `compile_program` would refuse.
    """
    held = dict.fromkeys(given, 0)
    compiler = _Compiler(network, tuple(network.variables), frozenset(), given=held)
    found = _given_order(compiler, order) or _searched_order(compiler, 8, 0, LARGEST_PROGRAM)
    return compiler.cost(found.order) if found.entries <= LARGEST_PROGRAM else math.inf


def estimated_entries(network: Network) -> float:
    """Clique-table entries of a program for `network`, by one quick greedy search."""
    compiler = _Compiler(network, tuple(network.variables), frozenset())
    return _searched_order(compiler, 1, 0, 0.0).entries


def search_order(
    network: Network,
    steps: int = 100_000,
    seed: int = 0,
    start: Sequence[str] | None = None,
    given: Iterable[str] = (),
    restarts: int = 4,
    on_progress: Callable[[int, float], None] | None = None,
) -> tuple[str, ...]:
    """Search long for an elimination order with few multiplications, for `compile_program`.

    Parameters
    ----------
    network : Network
    steps : int
        Orders to try in each restart (`bayesnet.inference.annealing`); some thousand a second.
    seed : int
        Same seed, same order.
    start : sequence of str, optional
        An order to begin with; the cheapest that a greedy search finds by default.
    given : iterable of str
        Variables known of most patients: the order is to suit the program that holds them (`given`
        of `compile_program`), and hardly the one that leaves them open (`OPEN_WEIGHT`).
    restarts : int
        Searches from the same start.
    on_progress : callable, optional
        Called with the orders tried and the multiplications of both passes so far.
    """
    from bayesnet.inference.annealing import anneal

    hub = leaf_hub(network)
    everything = tuple(v for v in network.variables if v != hub)
    left_out = {f"{hub}'": 0} if hub is not None else {}
    compiler = _Compiler(network, everything, frozenset(), given=left_out)
    begin = _given_order(compiler, start) or _searched_order(compiler, 20, seed, LARGEST_PROGRAM)
    compilers = [compiler]
    if held := dict.fromkeys(given, 0):
        compilers.append(_Compiler(network, everything, frozenset(), given=held | left_out))
    works = tuple(c.work() for c in compilers)
    weights = np.array([1.0 / c.cost(begin.order) for c in compilers])
    if held:
        weights[0] *= OPEN_WEIGHT

    def search(restart: int) -> tuple[float, tuple[int, ...]]:
        order, cost = anneal(
            works, weights, np.array(begin.order), steps, HEAT, seed * restarts + restart
        )
        return cost, tuple(order.tolist())

    cheapest = float("inf"), begin.order
    with ThreadPoolExecutor() as pool:
        for i, found in enumerate(pool.map(search, range(restarts)), start=1):
            cheapest = min(cheapest, found)
            if on_progress:
                on_progress(i * steps, compiler.cost(cheapest[1]))
    # A program with the hub takes it last.
    last = () if hub is None else (f"{hub}'", hub)
    return (*(compiler.names[v] for v in cheapest[1]), *last)


def _searched_order(compiler: _Compiler, tries: int, seed: int, largest: float) -> Elimination:
    present = sorted({v for node in compiler.nodes for v in node.scope})
    dense = {v: i for i, v in enumerate(present)}
    candidates = [
        replace(e, order=tuple(present[i] for i in e.order))
        for e in good_eliminations(
            [[dense[v] for v in node.scope] for node in compiler.nodes],
            [compiler.sizes[v] for v in present],
            tries,
            seed,
        )
    ]
    if len(candidates) == 1 or candidates[0].entries > largest:
        return candidates[0]
    # Fewest clique entries is not yet fewest multiplications: count those of the best few.
    return min(candidates, key=lambda e: compiler.cost(e.order))


def _climbed(compiler: _Compiler, found: Elimination, steps: int, seed: int) -> Elimination:
    """The cheapest order met on the way from `found`, if that one is dear."""
    cost = compiler.cost(found.order)
    if cost <= CLIMB_ABOVE:
        return found
    from bayesnet.inference.annealing import MOST_STATES, anneal

    if max(compiler.sizes) > MOST_STATES:
        return found
    order, _ = anneal(
        (compiler.work(),), np.array([1.0 / cost]), np.array(found.order), steps, 0.0, seed
    )
    scopes = [node.scope for node in compiler.nodes]
    return cost_of_order(scopes, compiler.sizes, order.tolist())


def _given_order(compiler: _Compiler, order: Sequence[str] | None) -> Elimination | None:
    if order is None:
        return None
    present = {v for node in compiler.nodes for v in node.scope}
    ids = {compiler.names[v]: v for v in present}
    named = set(order)
    kept: list[str] = []
    for v in order:
        double = f"{v}'"
        if v not in ids:
            # A hub that this program does not take by difference stands where its double would.
            kept += [v[:-1]] if v.endswith("'") and v[:-1] in ids else []
        elif double in ids and double not in named:
            kept += [double, v]
        elif double in ids or double not in named:
            kept.append(v)
    if len(kept) != len(ids) or len(set(kept)) != len(ids):
        return None
    scopes = [node.scope for node in compiler.nodes]
    return cost_of_order(scopes, compiler.sizes, [ids[v] for v in kept])
