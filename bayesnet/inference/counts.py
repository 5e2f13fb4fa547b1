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

Both P(evidence) and its derivatives are sums, so a mixture of programs counts as one does: over the
states of variables that couple the network, each program holding them at one combination, and over
the two states of a hub's double (`bayesnet.inference.strata`),

    P(evidence) = sum_s w_s P_s,    d P(evidence) = sum_s w_s d P_s,

and only the quotient of the two waits until the last program has run. Which programs answer for a
patient depends on that patient's evidence alone.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from bayesnet.inference.compile import compile_program
from bayesnet.inference.hubs import (
    LARGEST_ROUNDING,
    double_weights,
    hubs_by_difference,
    leaf_hub,
    rounding_by_difference,
    summed_up,
    summed_up_adjoint,
)
from bayesnet.inference.plan import Layout, lay_out
from bayesnet.inference.program import Contraction, Program, sum_of_products
from bayesnet.inference.run import given_back, taken
from bayesnet.inference.strata import mixture_pays
from bayesnet.network import Network
from bayesnet.network.factor import FloatArray

__all__ = [
    "CountPlan", "Counts", "EncodedRows", "StratifiedCounts", "expected_counts", "plan_counts",
]

Tables = Mapping[str, Sequence[FloatArray]]
BoolArray = npt.NDArray[np.bool_]
IndexArray = npt.NDArray[np.int64]
#: One state of each held variable; and last, where the hub is left out, that of its double.
Stratum = tuple[int, ...]

#: Pieces that a batch is cut into, whatever the number of threads, so that sums agree to the bit.
PIECES = 32


@dataclass(frozen=True, eq=False)
class EncodedRows:
    """What is known about many patients.

    Attributes
    ----------
    variables : tuple of str
    codes : ndarray of int32
        Shape `(patients, variables)`: which of the variable's `levels` holds; 0 is not known.
    levels : tuple of ndarray
        One a variable, shape `(levels, states)`: the likelihood of each state. The first is ones.
    people : ndarray
        Shape `(patients,)`: for how many each row stands (a case or survey weight).
    """

    variables: tuple[str, ...]
    codes: npt.NDArray[np.int32]
    levels: tuple[FloatArray, ...]
    people: FloatArray

    def __len__(self) -> int:
        return len(self.codes)

    def distinct(self) -> tuple[EncodedRows, npt.NDArray[np.intp]]:
        """Equal rows put together, weights added; and to which of them each row went."""
        if not len(self):
            return self, np.zeros(0, np.intp)
        # The fewest bytes that hold all codes: rows are compared byte by byte.
        packed = np.ascontiguousarray(self.codes, np.min_scalar_type(self.codes.max(initial=0)))
        view = packed.view(np.dtype((np.void, packed.dtype.itemsize * packed.shape[1]))).ravel()
        _, first, inverse = np.unique(view, return_index=True, return_inverse=True)
        people = np.bincount(inverse, weights=self.people, minlength=len(first)).astype(float)
        return EncodedRows(self.variables, self.codes[first], self.levels, people), inverse

    def at(self, rows: npt.NDArray[np.intp]) -> EncodedRows:
        """Some of the rows."""
        return EncodedRows(self.variables, self.codes[rows], self.levels, self.people[rows])

    @cached_property
    def scaled(self) -> tuple[EncodedRows, FloatArray]:
        """Every likelihood over its largest, so that small ones do not vanish when multiplied.

        And the natural log of what each row was divided by.
        """
        largest = [x.max(axis=1) for x in self.levels]
        by = [np.where(m > 0, m, 1.0) for m in largest]
        levels = tuple(x / m[:, None] for x, m in zip(self.levels, by, strict=True))
        log_scale = np.zeros(len(self))
        for i, m in enumerate(by):
            if (m != 1).any():
                log_scale += np.log(m)[self.codes[:, i]]
        return EncodedRows(self.variables, self.codes, levels, self.people), log_scale

    def likelihood(self, variable: str) -> FloatArray:
        """What each row says of one variable, shape `(patients, states)`."""
        column = self.variables.index(variable)
        found: FloatArray = self.levels[column][self.codes[:, column]]
        return found


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
    """A program laid out for `kernels.count_tiles`, and the strata that it is run for.

    Attributes
    ----------
    network : Network
    observed : tuple of str
    program : Program
        That of the first stratum; those of the others differ in numbers alone.
    held : tuple of str
        The variables that each stratum holds at one state.
    hub : str or None
        An observed hub that is left out: a stratum holds its double too.
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

    network: Network
    observed: tuple[str, ...]
    program: Program
    held: tuple[str, ...]
    hub: str | None
    shapes: dict[str, tuple[tuple[int, ...], ...]]
    early: tuple[Contraction, ...]
    needed: frozenset[int]
    place: dict[int, int]
    table_values: int
    layout: Layout

    @cached_property
    def _programs(self) -> dict[Stratum, Program]:
        return {}

    def of_stratum(self, stratum: Stratum) -> Program:
        """The program that holds what the stratum says."""
        if stratum not in self._programs:
            names = (*self.held, *(() if self.hub is None else (f"{self.hub}'",)))
            given = dict(zip(names, stratum, strict=True))
            self._programs[stratum] = self.program.holding(given)
        return self._programs[stratum]


def plan_counts(
    network: Network,
    observed: Sequence[str],
    free: Sequence[str],
    order: Sequence[str] | None = None,
    held: Sequence[str] = (),
    by_difference: bool = False,
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
    held : sequence of str
        Variables, observed or not, over whose states a mixture of smaller programs is taken.
    by_difference : bool
        Take hubs by difference (`bayesnet.inference.hubs`), and leave out the one without children
        where it is observed. The leaks in all tables to come must bound what that loses.
    """
    hub = leaf_hub(network) if by_difference else None
    # What is left must depend on evidence.
    if hub not in observed or hub in held or not {*observed, *held} - {hub}:
        hub = None
    given = {v: network[v].states[0] for v in held}
    if hub is not None:
        given[f"{hub}'"] = network[hub].states[0]
    program = compile_program(
        network, [v for v in observed if v != hub], free=free, zeros_stay=True,
        free_hubs=by_difference, order=order, given=given,
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
        network, tuple(observed), program, tuple(held), hub, shapes, tuple(early), needed_nodes, place,
        size, lay_out(program, late, (), place, needed_nodes),
    )


@dataclass(frozen=True, eq=False)
class StratifiedCounts:
    """Plans by what is known of a row, as `bayesnet.inference.strata` has programs.

    Attributes
    ----------
    network, observed, free, order
        As for `plan_counts`.
    by : tuple of str
        Variables that couple the network, observed or not. A row is counted with all of them held, or
        with those that it knows where a mixture over the others costs more than it saves.
    """

    network: Network
    observed: tuple[str, ...]
    free: tuple[str, ...]
    order: Sequence[str] | None
    by: tuple[str, ...] = ()

    @property
    def shapes(self) -> dict[str, tuple[tuple[int, ...], ...]]:
        """Of the tables of each free variable."""
        return self.plan(self.by, self._is_by_difference(None)).shapes

    @cached_property
    def _plans(self) -> dict[tuple[tuple[str, ...], bool], CountPlan]:
        return {}

    @cached_property
    def _hubs(self) -> frozenset[str]:
        return hubs_by_difference(self.network, frozenset())

    @cached_property
    def _held(self) -> dict[tuple[bool, ...], tuple[str, ...]]:
        return {}

    def plan(self, held: tuple[str, ...], by_difference: bool) -> CountPlan:
        """As `plan_counts`."""
        key = held, by_difference
        if key not in self._plans:
            self._plans[key] = plan_counts(
                self.network, self.observed, self.free, self.order, held, by_difference
            )
        return self._plans[key]

    def held(self, unknown: tuple[bool, ...]) -> tuple[str, ...]:
        """What is held for rows that do not know the `unknown` ones of `by`."""
        if unknown not in self._held:
            mixed = mixture_pays(self.network, self.observed, self.by, unknown, self.order)
            self._held[unknown] = tuple(
                v for v, u in zip(self.by, unknown, strict=True) if mixed or not u
            )
        return self._held[unknown]

    def _is_by_difference(self, tables: Tables | None) -> bool:
        """Whether the leaks, which learning moves, allow for hubs by difference."""
        return rounding_by_difference(self.network, self._hubs, tables) <= LARGEST_ROUNDING

    def counts(self, rows: EncodedRows, tables: Tables | None, threads: int | None) -> Counts:
        """As `expected_counts`, plan by plan."""
        unknown = np.ones((len(rows), len(self.by)), bool)
        for i, v in enumerate(self.by):
            if v in rows.variables:
                unknown[:, i] = np.count_nonzero(rows.likelihood(v), axis=1) != 1
        patterns, pattern = np.unique(unknown, axis=0, return_inverse=True)
        held = [self.held(tuple(p)) for p in patterns.tolist()]
        by_difference = self._is_by_difference(tables)
        total: dict[str, list[FloatArray]] = {}
        log_evidence = np.empty(len(rows))
        for h in dict.fromkeys(held):
            at = np.flatnonzero(np.array([x == h for x in held])[pattern.ravel()])
            found = expected_counts(self.plan(h, by_difference), rows.at(at), tables, threads)
            log_evidence[at] = found.log_evidence
            for v, arrays in found.tables.items():
                before = total.get(v)
                total[v] = (
                    arrays if before is None
                    else [a + b for a, b in zip(before, arrays, strict=True)]
                )
        return Counts(total, log_evidence)


@dataclass(frozen=True, eq=False)
class _Tiles:
    """The rows of a batch in tiles whose patients need the same strata.

    Attributes
    ----------
    strata : tuple of Stratum
        Those that some row needs.
    order : ndarray of int
        The rows, those of one tile together.
    start, stop, group : ndarray of int
        Of each tile, among the ordered rows; and which set of strata it needs.
    first, members : ndarray of int
        Set g is `members[first[g] : first[g + 1]]`, places in `strata`.
    weights : ndarray
        Shape `(patients, sides)`: what each state of the hub's double counts, in the rows' own order.
    side : ndarray of int
        Which of them each stratum holds.
    """

    strata: tuple[Stratum, ...]
    order: npt.NDArray[np.intp]
    start: IndexArray
    stop: IndexArray
    group: IndexArray
    first: IndexArray
    members: IndexArray
    weights: FloatArray
    side: IndexArray

    def pieces(self) -> IndexArray:
        """The first tile of each piece, and the last one's end: pieces of about equal work."""
        work = np.cumsum([0, *np.diff(self.first)[self.group]])
        pieces = max(1, min(PIECES, len(self.group), int(work[-1]) // 4))
        wanted = np.linspace(0, work[-1], pieces + 1)
        edges = np.searchsorted(work, wanted[:-1], side="left")
        return np.array([*edges, len(self.group)], np.int64)


def _tiles(plan: CountPlan, rows: EncodedRows, lanes: int) -> _Tiles:
    """Tiles of `rows`, which strata each needs, and what those count."""
    patients = len(rows)
    needs = np.ones((patients, 1), bool)
    sizes = [len(plan.network[v]) for v in plan.held]
    for v, states in zip(plan.held, sizes, strict=True):
        possible = rows.likelihood(v) > 0 if v in rows.variables else np.ones((patients, states), bool)
        needs = (needs[:, :, None] & possible[:, None, :]).reshape(patients, -1)
    weights = np.ones((patients, 1))
    if plan.hub is not None:
        weights = double_weights(
            rows.likelihood(plan.hub), plan.network.combines_toward_first(plan.hub)
        )
        needs = (needs[:, :, None] & (weights != 0)[:, None, :]).reshape(patients, -1)
        sizes.append(2)
    met = np.flatnonzero(needs.any(axis=0))
    every = list(itertools.product(*map(range, sizes)))
    sets, of_row, size = np.unique(
        np.packbits(needs[:, met], axis=1), axis=0, return_inverse=True, return_counts=True
    )
    member_of = np.unpackbits(sets, axis=1, count=len(met)).astype(bool)
    last = np.cumsum(size)
    tiles = -(-size // lanes)
    group = np.repeat(np.arange(len(size)), tiles)
    start = (last - size)[group] + lanes * (np.arange(len(group)) - (np.cumsum(tiles) - tiles)[group])
    return _Tiles(
        strata=tuple(every[i] for i in met),
        order=np.argsort(of_row.ravel(), kind="stable"),
        start=start,
        stop=np.minimum(start + lanes, last[group]),
        group=group,
        first=np.cumsum([0, *member_of.sum(axis=1)]),
        members=np.nonzero(member_of)[1],
        weights=weights,
        side=np.array([0 if plan.hub is None else every[i][-1] for i in met], np.int64),
    )


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
    if set(rows.variables) != set(plan.observed):
        raise ValueError("the rows are not over the observed variables of the plan")
    rows, log_scale = rows.scaled
    program, layout, lanes = plan.program, plan.layout, len(TILE)
    tiles = _tiles(plan, rows, lanes)
    programs = [plan.of_stratum(s) for s in tiles.strata]
    numbers = _numbers(plan, tables or {})
    values = _table_values(plan, programs, numbers)
    constants = np.ones((len(programs), plan.table_values))
    for node, at in plan.place.items():
        if node in values:
            constants[:, at : at + values[node].shape[1]] = values[node]

    column = {v: i for i, v in enumerate(rows.variables)}
    codes = np.zeros((len(rows), len(program.variables)), np.int32)
    levels = []
    for i, (v, size) in enumerate(zip(program.variables, program.sizes, strict=True)):
        if v in column:
            codes[:, i] = rows.codes[tiles.order, column[v]]
        levels.append(rows.levels[column[v]] if v in column else np.ones((1, size)))
    level_first = np.cumsum([0, *(x.size for x in levels)])[:-1].astype(np.int64)
    flat_levels = np.concatenate([x.ravel() for x in levels])
    people, weights = rows.people[tiles.order], tiles.weights[tiles.order]
    evidence, exponent = np.zeros(len(rows)), np.zeros(len(rows), np.int64)
    edges = tiles.pieces()
    pieces = len(edges) - 1
    sums = np.zeros((pieces, len(programs), layout.sums))
    sizes = np.array(program.sizes, np.int32)
    firsts = np.array(program.offsets, np.int32)

    def work(piece: int) -> None:
        room = taken(layout.rows * lanes), taken(layout.derivative_rows * lanes)
        count_tiles(
            TILE, codes, people, weights, flat_levels, level_first, edges[piece], edges[piece + 1],
            tiles.start, tiles.stop, tiles.group, tiles.first, tiles.members, tiles.side, firsts, sizes,
            layout.forward, layout.backward, layout.a_index, layout.b_index, layout.rescaled,
            layout.root_row, layout.root_derivative, constants, evidence, exponent, sums[piece], *room,
        )
        given_back(*room)

    workers = min(threads or os.cpu_count() or 1, pieces)
    if workers == 1:
        for piece in range(pieces):
            work(piece)
    else:
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(work, range(pieces)))
    log_evidence = np.empty(len(rows))
    with np.errstate(divide="ignore"):
        log_evidence[tiles.order] = np.log(evidence) + exponent * np.log(2.0)
    derivatives = _table_derivatives(plan, values, sums.sum(axis=0))
    return Counts(_counted(plan, programs, numbers, derivatives), log_evidence + log_scale)


def _numbers(plan: CountPlan, tables: Tables) -> dict[str, list[FloatArray]]:
    """The numbers of the free tables, whole."""
    found = {}
    for v in plan.program.table_nodes:
        own = [f.values for f in plan.network.factors_of(v)]
        given = tables.get(v, own)
        found[v] = [np.asarray(x, dtype=np.float64) for x in given]
    return found


def _table_values(
    plan: CountPlan, programs: Sequence[Program], numbers: Mapping[str, Sequence[FloatArray]]
) -> dict[int, FloatArray]:
    """The values of all table-only nodes, one row a stratum."""
    values = {
        n: np.stack([p.values[n] for p in programs]) if programs else np.zeros((0, x.size))
        for n, x in plan.program.values.items() if n in plan.place
    }
    for v, parts in numbers.items():
        for node, part in zip(plan.program.table_nodes[v], parts, strict=True):
            whole = _as_multiplied(plan, v, part)
            for i, p in enumerate(programs):
                values[node][i] = whole[p.cut(node)].ravel()
    one = np.ones((len(programs), 1))
    for step in plan.early:
        right = values[step.right] if step.right >= 0 else one
        values[step.out] = sum_of_products(step.forward, values[step.left], right)
    return values


def _as_multiplied(plan: CountPlan, variable: str, table: FloatArray) -> FloatArray:
    """A table as the program reads it: that of a hub summed up."""
    if variable in plan.program.hubs:
        return summed_up(table, plan.network.combines_toward_first(variable))
    return table


def _table_derivatives(
    plan: CountPlan, values: Mapping[int, FloatArray], summed: FloatArray
) -> dict[int, FloatArray]:
    """The derivatives of the tables from those summed over patients, one row a stratum."""
    gradient = {
        node: summed[:, first : first + plan.program.nodes[node].size]
        for node, first in plan.layout.meets
    }
    one = np.ones((len(summed), 1))
    for step in reversed(plan.early):
        if step.out not in gradient:
            continue
        g = gradient.pop(step.out)
        right = values[step.right] if step.right >= 0 else one
        if step.left in plan.needed:
            gradient[step.left] = sum_of_products(step.to_left, g, right)
        if step.right in plan.needed:
            gradient[step.right] = sum_of_products(step.to_right, g, values[step.left])
    return gradient


def _counted(
    plan: CountPlan, programs: Sequence[Program], numbers: Mapping[str, Sequence[FloatArray]],
    derivatives: Mapping[int, FloatArray],
) -> dict[str, list[FloatArray]]:
    """Entry times derivative, the strata put together."""
    counted: dict[str, list[FloatArray]] = {}
    for v, nodes in plan.program.table_nodes.items():
        counted[v] = []
        for node, number in zip(nodes, numbers[v], strict=True):
            whole = np.zeros(number.shape)
            for i, p in enumerate(programs):
                if node in derivatives:
                    part = whole[p.cut(node)]
                    whole[p.cut(node)] = part + derivatives[node][i].reshape(np.shape(part))
            if v in plan.program.hubs:
                whole = summed_up_adjoint(whole, plan.network.combines_toward_first(v))
            # What is taken by difference may be a rounding below nothing.
            counted[v].append(np.maximum(number * whole, 0.0))
    return counted
