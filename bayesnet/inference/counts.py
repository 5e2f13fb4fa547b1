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
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from bayesnet.inference.compile import compile_program
from bayesnet.inference.plan import Layout, lay_out
from bayesnet.inference.program import Contraction, Program, sum_of_products
from bayesnet.inference.run import given_back, taken
from bayesnet.network import Network
from bayesnet.network.factor import FloatArray

__all__ = [
    "CountPlan", "Counts", "EncodedRows", "StratifiedCounts", "expected_counts", "plan_counts",
]

Tables = Mapping[str, Sequence[FloatArray]]

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
    needed : frozenset of int
        Nodes whose derivatives lead to the tables.
    place : dict node -> int
        Where each table-only node starts in the vector of all table-only values, `table_values`
        long; -1 stands for none.
    layout : Layout
        Of the other steps; table-only nodes are its constants.
    """

    program: Program
    shapes: dict[str, tuple[tuple[int, ...], ...]]
    early: tuple[Contraction, ...]
    needed: frozenset[int]
    place: dict[int, int]
    table_values: int
    layout: Layout


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

    shapes = {
        v: tuple(f.values.shape for f in network.factors_of(v)) for v in program.table_nodes
    }
    needed_nodes = frozenset(needed)
    return CountPlan(
        program, shapes, tuple(early), needed_nodes, place, size,
        lay_out(program, late, (), place, needed_nodes),
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
        Where fewer rows know the same variables of `by`, they are counted with those that know
        nothing of them: a plan of their own would take longer to lay out (half a second on a large
        network) than it saves.
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
            given = {v: k for v, k in zip(self.by, known, strict=True) if k >= 0}
            first = tuple(min(k, 0) for k in known)
            if first not in self._plans:
                states = {v: self.network[v].states[0] for v in given}
                self._plans[first] = plan_counts(
                    self.network, self.observed, self.free, self.order, states
                )
            plan = self._plans[first]
            self._plans[known] = replace(plan, program=plan.program.holding(given))
        return self._plans[known]

    def counts(self, rows: EncodedRows, tables: Tables | None, threads: int | None) -> Counts:
        """As `expected_counts`, by group."""
        known = np.full((len(rows), len(self.by)), -1)
        for i, v in enumerate(self.by):
            column = rows.variables.index(v)
            levels = rows.levels[column]
            certain = np.count_nonzero(levels, axis=1) == 1
            known[:, i] = np.where(certain, levels.argmax(axis=1), -1)[rows.codes[:, column]]
        _, group, size = np.unique(known < 0, axis=0, return_inverse=True, return_counts=True)
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
    from bayesnet.inference.kernels import TILE, count_tiles

    if isinstance(plan, StratifiedCounts):
        return plan.counts(rows, tables, threads)
    program = plan.program
    values = dict(program.values)
    for v, parts in (tables or {}).items():
        for node, part in zip(program.table_nodes.get(v, ()), parts, strict=False):
            whole = np.asarray(part, dtype=np.float64)
            values[node] = np.ascontiguousarray(whole[program.cut(node)]).ravel()
    one = np.ones(1)
    for step in plan.early:
        right = values[step.right] if step.right >= 0 else one
        values[step.out] = sum_of_products(step.forward, values[step.left], right)
    constants = np.ones(plan.table_values)
    for node, at in plan.place.items():
        if node >= 0 and node in values:
            constants[at : at + len(values[node])] = values[node]

    if set(rows.variables) != set(program.variables):
        raise ValueError("the rows are not over the observed variables of the plan")
    column = {v: i for i, v in enumerate(rows.variables)}
    chosen = [column[v] for v in program.variables]
    codes = np.ascontiguousarray(rows.codes[:, chosen])
    levels = np.concatenate([rows.levels[i].ravel() for i in chosen])
    level_first = np.cumsum([0, *(rows.levels[i].size for i in chosen)])[:-1].astype(np.int64)
    patients = len(rows)
    evidence, exponent = np.zeros(patients), np.zeros(patients, np.int64)
    layout, lanes = plan.layout, len(TILE)
    tiles = -(-patients // lanes)
    pieces = max(1, min(PIECES, tiles // 4))
    edges = np.minimum(np.linspace(0, tiles, pieces + 1).astype(int) * lanes, patients)
    sums = np.zeros((pieces, layout.sums))
    sizes = np.array(program.sizes, np.int32)
    firsts = np.array(program.offsets, np.int32)

    def work(piece: int) -> None:
        room = taken(layout.rows * lanes), taken(layout.derivative_rows * lanes)
        count_tiles(
            TILE, codes, rows.people, levels, level_first, edges[piece], edges[piece + 1], firsts,
            sizes, layout.forward, layout.backward, layout.a_index, layout.b_index,
            layout.rescaled, layout.root_row, layout.root_derivative, constants, evidence,
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
        node: summed[first : first + program.nodes[node].size] for node, first in layout.meets
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
            part = whole[program.cut(n)]
            found = values[n] * gradient.get(n, np.zeros_like(values[n]))
            whole[program.cut(n)] = found.reshape(np.shape(part))
            counted[v].append(whole)
    with np.errstate(divide="ignore"):
        log_evidence = np.log(evidence) + exponent * np.log(2.0)
    return Counts(counted, log_evidence)
