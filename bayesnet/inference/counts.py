"""Expected counts of every table of a network over a batch of patients, in one pass.

P(evidence) is a polynomial in the numbers of the network's tables, and each monomial has one number
of every table, so that

    expected count of an entry = entry * d log P(evidence) / d entry

(Darwiche 2003, J ACM 50:280, section 4.2). For a noisy-MAX the tables are the leak and the links, and
a count says how often the hidden inhibitor of that link gave that result: the expectation step of EM
over hidden inhibitors needs nothing more.

Numbers are the same for all patients. What depends on them alone is computed once a pass, not once a
patient; derivatives are summed over patients where the patients' part of the program meets the
tables' part, and carried on from there once.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from bayesnet.inference.plan import PRODUCTS, UNSCALE, WEIGHTED, Terms
from bayesnet.inference.program import (
    Contraction,
    Program,
    SumOfProducts,
    compile_program,
    sum_of_products,
)
from bayesnet.inference.run import given_back, taken
from bayesnet.network import Network
from bayesnet.network.factor import FloatArray

__all__ = [
    "CountPlan", "Counts", "EncodedRows", "StratifiedCounts", "expected_counts", "plan_counts",
]

IntArray = npt.NDArray[np.int32]
Tables = Mapping[str, Sequence[FloatArray]]

#: Kinds of step beyond those of `plan`: add to the sums over patients.
SUM_PRODUCTS, SUM_WEIGHTED = 3, 4
#: Pieces that a batch is cut into, whatever the number of threads, so that sums agree to the bit.
PIECES = 32


@dataclass(frozen=True, eq=False)
class EncodedRows:
    """What is known about many patients.

    Attributes
    ----------
    variables : tuple of str
    codes : ndarray of int16
        Shape `(patients, variables)`: which of the variable's `levels` holds; 0 is not known.
    levels : tuple of ndarray
        One a variable, shape `(levels, states)`: the likelihood of each state. The first is ones.
    people : ndarray
        Shape `(patients,)`: for how many each row stands (a case or survey weight).
    """

    variables: tuple[str, ...]
    codes: npt.NDArray[np.int16]
    levels: tuple[FloatArray, ...]
    people: FloatArray

    def __len__(self) -> int:
        return len(self.codes)

    def distinct(self) -> tuple[EncodedRows, npt.NDArray[np.intp]]:
        """Equal rows put together, weights added; and to which of them each row went."""
        if not len(self):
            return self, np.zeros(0, np.intp)
        packed = np.ascontiguousarray(self.codes)
        view = packed.view(np.dtype((np.void, packed.dtype.itemsize * packed.shape[1]))).ravel()
        _, first, inverse = np.unique(view, return_index=True, return_inverse=True)
        people = np.bincount(inverse, weights=self.people, minlength=len(first)).astype(float)
        return EncodedRows(self.variables, packed[first], self.levels, people), inverse


@dataclass(frozen=True, eq=False)
class Counts:
    """Expected counts of a batch.

    Attributes
    ----------
    tables : dict id -> list of ndarray
        For each free variable, arrays shaped as the values of `Network.factors_of`; `people` in all.
        Variables that no finding depends on are missing.
    log_evidence : ndarray
        Shape `(patients,)`; minus infinity for impossible rows, which are counted nowhere.
    """

    tables: dict[str, list[FloatArray]]
    log_evidence: FloatArray


@dataclass(frozen=True, eq=False)
class CountPlan:
    """A program laid out for `kernels.count_tiles`.

    Attributes
    ----------
    program : Program
    shapes : dict id -> tuple of shapes
        Of the tables of each free variable.
    early : tuple of Contraction
        The steps that depend on tables alone.
    place : dict node -> int
        Where each table-only node starts in the vector of all table-only values.
    weight_source : ndarray
        For each term, its weight's place in that vector.
    meets : tuple of (node, first)
        Table-only nodes whose derivative is summed over patients, and where.
    """

    program: Program
    shapes: dict[str, tuple[tuple[int, ...], ...]]
    early: tuple[Contraction, ...]
    needed: frozenset[int]
    place: dict[int, int]
    table_values: int
    weight_source: IntArray
    meets: tuple[tuple[int, int], ...]
    sums: int
    rows: int
    rescaled: int
    root_row: int
    slot_first: IntArray
    slot_size: IntArray
    forward: IntArray
    backward: IntArray
    starts: IntArray
    a_index: IntArray
    b_index: IntArray = field(repr=False)


def plan_counts(
    network: Network,
    observed: Sequence[str],
    free: Sequence[str],
    order: Sequence[str] | None = None,
    given: Mapping[str, str] | None = None,
) -> CountPlan:
    """Lay out the expected counts of `free` variables given findings on `observed` ones.

    Parameters
    ----------
    network : Network
        Its zeros are taken to be zero in all tables to come.
    observed : sequence of str
        The variables that some patient's findings speak of. At least one.
    free : sequence of str
    order : sequence of str, optional
        An elimination order to try (`compile_program`).
    given : mapping variable -> state, optional
        Observed variables that are in this state in all rows to come.
    """
    program = compile_program(
        network, observed, free=free, zeros_stay=True, order=order, given=given
    )
    nodes = program.nodes
    tables = {n for ns in program.table_nodes.values() for n in ns}
    table_only = {i for i, n in enumerate(nodes) if n.constant or n.kind == "factor"}
    needed = set(tables)
    early: list[Contraction] = []
    late: list[Contraction] = []
    for step in program.steps:
        inputs = [n for n in (step.left, step.right) if n >= 0]
        if all(n in table_only for n in inputs):
            table_only.add(step.out)
            early.append(step)
        else:
            late.append(step)
        if needed.intersection(inputs):
            needed.add(step.out)
    place: dict[int, int] = {-1: 0}
    size = 1
    for node in sorted(table_only):
        if node in program.values or nodes[node].kind == "message":
            place[node] = size
            size += nodes[node].size

    row_of: dict[int, IntArray] = {}
    first: dict[int, int] = {}
    rows = 0

    def lay(node: int, kept: npt.NDArray[np.bool_]) -> None:
        nonlocal rows
        row_of[node] = np.where(kept, rows + np.cumsum(kept) - 1, -1).astype(np.int32)
        first[node] = rows
        rows += int(kept.sum())

    for v in program.variables:
        node = program.evidence_nodes[v]
        lay(node, np.ones(nodes[node].size, bool))
    for step in late:
        lay(step.out, np.diff(step.forward.starts) > 0)

    terms = Terms()
    sources: list[npt.NDArray[np.int64]] = []

    def add(
        half: SumOfProducts, result: IntArray, a: IntArray, other: int, from_rows: bool
    ) -> int:
        if from_rows:
            at = terms.add(half, result, a, row_of[other][half.b_index])
            sources.append(np.zeros(len(a), np.int64))
        else:
            at = terms.add(half, result, a, np.zeros(len(a), np.int32))
            sources.append(place[other] + half.b_index.astype(np.int64) * (other >= 0))
        return at

    forward: list[tuple[int, ...]] = []
    slot_of: dict[int, int] = {}
    for step in late:
        f = step.forward
        left, right = step.left, step.right
        if left in table_only:
            f, left, right = SumOfProducts(f.starts, f.b_index, f.a_index), right, left
        from_rows = right >= 0 and right not in table_only
        at = add(f, row_of[step.out], row_of[left][f.a_index], right, from_rows)
        if step.rescale:
            slot_of[step.out] = len(slot_of)
        forward.append(
            (PRODUCTS if from_rows else WEIGHTED, first[step.out],
             int((row_of[step.out] >= 0).sum()), at, slot_of.get(step.out, -1))
        )
    backward: list[tuple[int, ...]] = []
    meets: list[tuple[int, int]] = []
    sums = 0
    for step in reversed(late):
        if step.out not in needed:
            continue
        kept = int((row_of[step.out] >= 0).sum())
        if step.rescale:
            backward.append((UNSCALE, first[step.out], kept, 0, slot_of[step.out]))
        for node, other, half in (
            (step.left, step.right, step.to_left),
            (step.right, step.left, step.to_right),
        ):
            if node not in needed:
                continue
            from_rows = other >= 0 and other not in table_only
            a = row_of[step.out][half.a_index]
            if node in table_only:
                every = np.zeros(nodes[node].size, np.int32)
                at = add(half, every, a, other, from_rows)
                kind = SUM_PRODUCTS if from_rows else SUM_WEIGHTED
                backward.append((kind, sums, nodes[node].size, at, -1))
                meets.append((node, sums))
                sums += nodes[node].size
            else:
                at = add(half, row_of[node], a, other, from_rows)
                kept_node = int((row_of[node] >= 0).sum())
                backward.append((PRODUCTS if from_rows else WEIGHTED, first[node], kept_node, at, -1))

    def joined(parts: Sequence[npt.NDArray[np.generic]]) -> IntArray:
        return np.concatenate(parts).astype(np.int32) if parts else np.zeros(0, np.int32)

    shapes = {
        v: tuple(f.values.shape for f in network.factors_of(v)) for v in program.table_nodes
    }
    return CountPlan(
        program=program, shapes=shapes, early=tuple(early), needed=frozenset(needed), place=place,
        table_values=size, weight_source=joined(sources), meets=tuple(meets), sums=sums, rows=rows,
        rescaled=len(slot_of), root_row=int(row_of[program.root][0]),
        slot_first=np.array([first[program.evidence_nodes[v]] for v in program.variables], np.int32),
        slot_size=np.array(program.sizes, np.int32),
        forward=np.array(forward, np.int32).reshape(-1, 5),
        backward=np.array(backward, np.int32).reshape(-1, 5),
        starts=joined(terms.starts), a_index=joined(terms.a), b_index=joined(terms.b),
    )


@dataclass(frozen=True, eq=False)
class StratifiedCounts:
    """Plans by what is known of a row, as `bayesnet.inference.strata` has programs.

    Attributes
    ----------
    network, observed, free, order
        As for `plan_counts`.
    by : tuple of str
        Observed variables whose known states make the groups.
    fewest : int
        A smaller group is counted with the rows of which nothing of `by` is known: its own plan
        would take longer to lay out (half a second on a large network) than it saves.
    """

    network: Network
    observed: tuple[str, ...]
    free: tuple[str, ...]
    order: Sequence[str] | None
    by: tuple[str, ...] = ()
    fewest: int = 100

    @property
    def shapes(self) -> dict[str, tuple[tuple[int, ...], ...]]:
        """Of the tables of each free variable."""
        return self.plan((-1,) * len(self.by)).shapes

    @cached_property
    def _plans(self) -> dict[tuple[int, ...], CountPlan]:
        return {}

    def plan(self, known: tuple[int, ...]) -> CountPlan:
        """The plan for rows whose states of `by` are `known` (-1: not known)."""
        if known not in self._plans:
            given = {
                v: self.network[v].states[k] for v, k in zip(self.by, known, strict=True) if k >= 0
            }
            self._plans[known] = plan_counts(
                self.network, self.observed, self.free, self.order, given
            )
        return self._plans[known]

    def counts(self, rows: EncodedRows, tables: Tables | None, threads: int | None) -> Counts:
        """As `expected_counts`, by group."""
        known = np.full((len(rows), len(self.by)), -1)
        for i, v in enumerate(self.by):
            column = rows.variables.index(v)
            levels = rows.levels[column]
            certain = np.count_nonzero(levels, axis=1) == 1
            known[:, i] = np.where(certain, levels.argmax(axis=1), -1)[rows.codes[:, column]]
        _, group, size = np.unique(known, axis=0, return_inverse=True, return_counts=True)
        known[size[group.ravel()] < self.fewest] = -1
        groups, group = np.unique(known, axis=0, return_inverse=True)
        total: dict[str, list[FloatArray]] = {}
        log_evidence = np.empty(len(rows))
        for g, key in enumerate(groups.tolist()):
            at = np.flatnonzero(group.ravel() == g)
            part = EncodedRows(rows.variables, rows.codes[at], rows.levels, rows.people[at])
            found = expected_counts(self.plan(tuple(key)), part, tables, threads)
            log_evidence[at] = found.log_evidence
            for v, arrays in found.tables.items():
                before = total.get(v)
                total[v] = (
                    arrays if before is None
                    else [a + b for a, b in zip(before, arrays, strict=True)]
                )
        return Counts(total, log_evidence)


def expected_counts(
    plan: CountPlan | StratifiedCounts, rows: EncodedRows, tables: Tables | None = None, threads: int | None = None
) -> Counts:
    """Expected counts of the plan's free tables over all rows.

    Parameters
    ----------
    plan : CountPlan or StratifiedCounts
    rows : EncodedRows
        Over exactly the observed variables of the plan.
    tables : mapping id -> sequence of ndarray, optional
        Numbers in place of those of the network, shaped as `Network.factors_of` gives them.
    threads : int, optional
        The number of processors by default. Same numbers either way.
    """
    from bayesnet.inference.kernels import LANES, count_tiles

    if isinstance(plan, StratifiedCounts):
        return plan.counts(rows, tables, threads)
    program = plan.program
    values = dict(program.values)
    for v, parts in (tables or {}).items():
        for node, part in zip(program.table_nodes.get(v, ()), parts, strict=False):
            whole = np.asarray(part, dtype=np.float64)
            values[node] = np.ascontiguousarray(whole[program.cuts.get(node, ())]).ravel()
    one = np.ones(1)
    for step in plan.early:
        right = values[step.right] if step.right >= 0 else one
        values[step.out] = sum_of_products(step.forward, values[step.left], right)
    vector = np.ones(plan.table_values)
    for node, at in plan.place.items():
        if node >= 0 and node in values:
            vector[at : at + len(values[node])] = values[node]
    weight = vector[plan.weight_source]

    if set(rows.variables) != set(program.variables):
        raise ValueError("the rows are not over the observed variables of the plan")
    column = {v: i for i, v in enumerate(rows.variables)}
    chosen = [column[v] for v in program.variables]
    codes = np.ascontiguousarray(rows.codes[:, chosen])
    levels = np.concatenate([rows.levels[i].ravel() for i in chosen])
    level_first = np.cumsum([0, *(rows.levels[i].size for i in chosen)])[:-1].astype(np.int64)
    patients = len(rows)
    evidence, exponent = np.zeros(patients), np.zeros(patients, np.int64)
    tiles = -(-patients // LANES)
    pieces = max(1, min(PIECES, tiles // 4))
    edges = np.linspace(0, tiles, pieces + 1).astype(int)
    sums = np.zeros((pieces, plan.sums))

    def work(piece: int) -> None:
        room = taken(plan.rows * LANES), taken(plan.rows * LANES)
        count_tiles(
            codes, rows.people, levels, level_first, edges[piece], edges[piece + 1],
            plan.slot_first, plan.slot_size, plan.forward, plan.backward, plan.starts,
            plan.a_index, plan.b_index, weight, plan.rows, plan.rescaled, plan.root_row, evidence,
            exponent, sums[piece], *room,
        )
        given_back(*room)

    workers = min(threads or os.cpu_count() or 1, pieces)
    if workers == 1:
        for piece in range(pieces):
            work(piece)
    else:
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(work, range(pieces)))
    summed = sums.sum(axis=0)

    gradient = {
        node: summed[first : first + program.nodes[node].size] for node, first in plan.meets
    }
    for step in reversed(plan.early):
        if step.out not in gradient:
            continue
        g = gradient.pop(step.out)
        right = values[step.right] if step.right >= 0 else one
        if step.left in plan.needed:
            gradient[step.left] = sum_of_products(step.to_left, g, right)
        if step.right in plan.needed:
            gradient[step.right] = sum_of_products(step.to_right, g, values[step.left])
    counted: dict[str, list[FloatArray]] = {}
    for v, nodes in program.table_nodes.items():
        counted[v] = []
        for n, shape in zip(nodes, plan.shapes[v], strict=True):
            whole = np.zeros(shape)
            part = whole[program.cuts.get(n, ())]
            found = values[n] * gradient.get(n, np.zeros_like(values[n]))
            whole[program.cuts.get(n, ())] = found.reshape(np.shape(part))
            counted[v].append(whole)
    with np.errstate(divide="ignore"):
        log_evidence = np.log(evidence) + exponent * np.log(2.0)
    return Counts(counted, log_evidence)
