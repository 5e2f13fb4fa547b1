"""The steps of a program, from a network's factors and an order of elimination.

A noisy-MAX child is never expanded. Each parent contributes a small table, and contributions
combine by the maximum of their values (Zhang & Poole 1996, J Artif Intell Res 5:301). This spans
the same cliques as the auxiliary-variable factorisation of Díez & Galán (2003) but has no negative
entries: every number is a sum of products of non-negative numbers, so no digits are lost to
cancellation, however small the links or many the findings. The rules for two factors that share a
noisy variable y, contribution (c) or function (f):

    c, c -> c    out(max(y1, y2)) += a(y1) b(y2)
    f, c -> f    out(y) += a(max(y, y2)) b(y2)        (the adjoint: f averaged over the contribution)

Summing y out of (f, c) pairs equal values; of a lone f takes its value at the neutral state. The
exception is the hub (`bayesnet.inference.hubs`).

A finding y that is absent, or of which nothing is known, couples none of its parents (Heckerman 1989,
"A tractable inference algorithm for diagnosing multiple diseases", UAI): with the likelihood e of its
states, one for the neutral state and either one or zero for all others,

    P(e | parents) = prod_i sum_y e(y) c_i(y | parent i)

so that a program for such patients takes each contribution to y on its own (`apart`).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from bayesnet.inference.hubs import hubs_by_difference, summed_up
from bayesnet.inference.program import Contraction, Node, Precomputed, SumOfProducts, Uncut
from bayesnet.network import Network
from bayesnet.network.factor import FloatArray

if TYPE_CHECKING:
    from bayesnet.inference.annealing import Work

__all__ = ["Compiler"]

#: Rescale a message once it has absorbed this many evidence vectors, so that products of
#: probabilities stay far from the smallest float: soon where that is cheap (few entries), and at
#: the latest when two such messages, each entry 1e-12, would multiply to 1e-288.
EVIDENCE_BEFORE_RESCALING = {"small": 4, "large": 12}
SMALL_MESSAGE = 64


class Compiler:
    """Builds the steps; `ids` are program variables (network variables, then noisy doubles)."""

    def __init__(
        self,
        network: Network,
        evidence_on: Sequence[str],
        free: frozenset[str],
        zeros_stay: bool = False,
        given: Mapping[str, int] | None = None,
        free_hubs: bool = False,
        apart: Collection[str] = (),
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
        self.apart = frozenset(apart)
        hubs = hubs_by_difference(network, frozenset() if free_hubs else free)
        self.hubs = (hubs | self.parted) - self.apart
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
        #: Nodes that have been taken up before any variable is eliminated.
        self.taken_up: set[int] = set()
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
        contributed = {f.scope[-1] for f in factors if f.contribution} - self.apart
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
        of_apart: list[tuple[int, str]] = []
        for f in factors:
            scope = tuple(self.ids[v] for v in f.scope)
            contributions: frozenset[int] = frozenset()
            child, values = f.scope[-1], f.values
            if f.contribution and child not in self.apart:
                scope = (*scope[:-1], double[child])
                if child not in self.hubs:
                    contributions = frozenset(scope[-1:])
                else:
                    values = summed_up(values, self.toward_first[scope[-1]])
            constant = child not in self.free
            added = self._add_cut(scope, contributions, values, constant)
            if child in self.apart:
                of_apart.append((added, child))
            if not constant:
                self.table_nodes[child] = (*self.table_nodes.get(child, ()), added)
        for v in (v for v in self.given if v in self.ids):
            states = Uncut((v, None), np.eye(self.sizes[self.ids[v]]))
            self._add_uncut((self.ids[v],), frozenset(), states, constant=True)
        for v in evidence_on:
            i = self.ids[v]
            node = Node("evidence", (i,), frozenset(), self.sizes[i], False)
            self.evidence_nodes[v] = self._add(node)
        # All that such findings say of the same parent is one table.
        said: dict[tuple[int, ...], int] = {}
        for added, v in of_apart:
            one = self._contract(added, self.evidence_nodes[v], self.ids[v])
            scope = self.nodes[one].scope
            self.taken_up |= {added, self.evidence_nodes[v]}
            if scope in said:
                self.taken_up |= {said[scope], one}
                one = self._contract(said[scope], one, None)
            said[scope] = one

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

    def open_nodes(self) -> list[int]:
        """The nodes that elimination starts from."""
        return [n for n in range(len(self.nodes)) if n not in self.taken_up]

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

        nodes = self.open_nodes()
        shape = len(nodes), WIDEST_SCOPE
        scopes, reached = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        for i, n in enumerate(nodes):
            node = self.nodes[n]
            for j, v in enumerate(node.scope):
                scopes[i, j] = v
                if v in node.contributions:
                    # A contribution that can take no value counts as one that takes one.
                    reached[i, j] = sum(1 << k for k in self.reached[n][v]) or 1
        return Work(
            np.array([len(self.nodes[n].scope) for n in nodes]), scopes, reached,
            np.array([float(self.nodes[n].size) for n in nodes]),
            np.array([self.nodes[n].constant for n in nodes]),
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

        for node in self.open_nodes():
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


def _grouped(
    key: npt.NDArray[np.int64], size: int, a: npt.NDArray[np.int64], b: npt.NDArray[np.int64]
) -> SumOfProducts:
    order = np.argsort(key, kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(key, minlength=size))])
    return SumOfProducts(
        starts.astype(np.int32), a[order].astype(np.int32), b[order].astype(np.int32)
    )
