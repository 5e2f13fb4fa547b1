"""A program laid out flat for the kernels: buffers of table rows, segments of rows, index pairs.

A plan belongs to a set of targets: only the derivatives that lead to them are computed. It knows
where the constants are but not their values, so that programs that differ only in numbers share it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bayesnet.inference.program import Contraction, Program, SumOfProducts
from bayesnet.inference.rows import FreeRows

__all__ = ["Layout", "Plan", "lay_out", "make_plan"]

IntArray = npt.NDArray[np.int32]

#: Kinds of segment: constants times rows; rows times rows; a message's rows divided by a power of
#: two or, backward, their derivatives too; and the first two added to sums over patients.
WEIGHTED, PRODUCTS, SCALE, SUM_WEIGHTED, SUM_PRODUCTS = range(5)

#: kind, first row, rows, first term, terms a row (of `SCALE`: which message it is).
Segment = tuple[int, int, int, int, int]


@dataclass(frozen=True, eq=False)
class Layout:
    """Steps as segments of rows with equally many terms each.

    Attributes
    ----------
    rows, derivative_rows : int
        Of the buffer of values and of that of derivatives.
    forward, backward : ndarray, shape (segments, 5)
        See `Segment`. Row r of a segment sums `a[a_index[e]] * b[b_index[e]]` over its terms, one
        row's after the other's; a are the values (forward) or derivatives (backward), b the values
        or, where `WEIGHTED`, the constants.
    a_index, b_index : ndarray
    rescaled : int
        Number of rescaled messages.
    root_row, root_derivative : int
        The rows of P(evidence); -1 when it does not depend on evidence.
    meets : tuple of (node, first)
        Constant nodes whose derivatives are summed over patients, and where in the sums.
    sums : int
    """

    rows: int
    derivative_rows: int
    forward: IntArray
    backward: IntArray
    a_index: IntArray
    b_index: IntArray
    rescaled: int
    root_row: int
    root_derivative: int
    meets: tuple[tuple[int, int], ...]
    sums: int


@dataclass(frozen=True, eq=False)
class Plan:
    """What `kernels.run_tiles` needs beside the patients and the constants.

    Attributes
    ----------
    targets : tuple of str
    columns : tuple of int
        Where each target's states start in the posterior array; `width` columns in all.
    layout : Layout
    slot_first, slot_size : ndarray
        Of every evidence variable: its first row (of both buffers, and its place on the evidence
        axis), and its states.
    table_nodes, table_first, table_size, table_column : tuple of int, ndarrays
        Of every table that is given anew for each row: its node, first row, entries and place.
    target_slot, target_column : ndarray
        Of every target: which evidence variable it is, and its place in the posterior array.
    """

    targets: tuple[str, ...]
    columns: tuple[int, ...]
    width: int
    layout: Layout
    slot_first: IntArray
    slot_size: IntArray
    table_nodes: tuple[int, ...]
    table_first: IntArray
    table_size: IntArray
    table_column: IntArray
    target_slot: IntArray
    target_column: IntArray

    @property
    def terms(self) -> int:
        """Multiplications a patient, both passes."""
        return len(self.layout.a_index)


class _Terms:
    """Collects the index pairs of all segments."""

    def __init__(self) -> None:
        self.a: list[IntArray] = []
        self.b: list[IntArray] = []
        self.count = 0

    def add(
        self, kind: int, half: SumOfProducts, result: IntArray, a: IntArray, b: IntArray
    ) -> list[Segment]:
        """The segments of one sum; `result` has the row of each entry, -1 where it has none."""
        entries = np.flatnonzero(result >= 0)
        if not len(entries):
            return []
        entries = entries[np.argsort(result[entries])]
        terms = np.diff(half.starts)[entries]
        ends = np.cumsum(terms)
        term = np.arange(ends[-1]) + np.repeat(half.starts[:-1][entries] - (ends - terms), terms)
        self.a.append(a[term])
        self.b.append(b[term])
        cuts = np.flatnonzero(np.diff(terms)) + 1
        row = int(result[entries[0]])
        segments = []
        for i, j in zip([0, *cuts.tolist()], [*cuts.tolist(), len(terms)], strict=True):
            each = int(terms[i])
            segments.append((kind, row + i, j - i, self.count + int(ends[i]) - each, each))
        self.count += len(term)
        return segments


def _numbered(terms: npt.NDArray[np.generic], kept: npt.NDArray[np.bool_], first: int) -> IntArray:
    """Rows from `first` for the entries kept, those with equally many terms together; or -1."""
    entries = np.flatnonzero(kept)
    entries = entries[np.argsort(terms[entries], kind="stable")]
    rows = np.full(len(terms), -1, np.int32)
    rows[entries] = first + np.arange(len(entries))
    return rows


def lay_out(
    program: Program,
    steps: Sequence[Contraction],
    tables: Iterable[int],
    place: Mapping[int, int],
    needed: frozenset[int],
) -> Layout:
    """Lay out `steps`.

    Parameters
    ----------
    program : Program
    steps : sequence of Contraction
        Each depends on evidence.
    tables : iterable of int
        Nodes whose rows follow those of the evidence and are filled in with them.
    place : mapping node -> int
        Where each constant node, and `-1` for none, starts in the vector of constants.
    needed : frozenset of int
        Nodes whose derivatives are computed.
    """
    nodes = program.nodes
    # Row of each entry; entries that are always zero have none, and no term refers to them.
    row_of: dict[int, IntArray] = {}
    rows = 0
    for leaf in (*(program.evidence_nodes[v] for v in program.variables), *tables):
        row_of[leaf] = np.arange(rows, rows + nodes[leaf].size, dtype=np.int32)
        rows += nodes[leaf].size
    for step in steps:
        terms_of = np.diff(step.forward.starts)
        kept = (terms_of > 0) | (step.out == program.root)
        row_of[step.out] = _numbered(terms_of, kept, rows)
        rows += int(kept.sum())

    terms = _Terms()
    message: dict[int, int] = {}

    def segments(
        half: SumOfProducts, result: IntArray, a: IntArray, other: int, b: IntArray,
        kinds: tuple[int, int] = (WEIGHTED, PRODUCTS),
    ) -> list[Segment]:
        if other in place:
            return terms.add(kinds[0], half, result, a, place[other] + b * (other >= 0))
        return terms.add(kinds[1], half, result, a, row_of[other][b])

    def scaled(node: int, row: IntArray) -> list[Segment]:
        kept = row[row >= 0]
        return [(SCALE, int(kept.min(initial=rows)), len(kept), 0, message[node])]

    forward: list[Segment] = []
    for step in steps:
        f, left, right = step.forward, step.left, step.right
        source, other, a, b = left, right, f.a_index, f.b_index
        if left in place:
            source, other, a, b = right, left, b, a
        forward += segments(f, row_of[step.out], row_of[source][a], other, b)
        if step.rescale:
            message[step.out] = len(message)
            forward += scaled(step.out, row_of[step.out])

    free = FreeRows(program.width)
    # The derivatives of evidence have the rows of the evidence.
    derivative_of = {n: row_of[n] for n in program.evidence_nodes.values()}
    backward: list[Segment] = []
    meets: list[tuple[int, int]] = []
    sums = 0

    def derivative(node: int, terms_of: npt.NDArray[np.generic]) -> IntArray:
        if node not in derivative_of:
            kept = row_of[node] >= 0
            derivative_of[node] = _numbered(terms_of, kept, free.take(int(kept.sum())))
        return derivative_of[node]

    root = row_of.get(program.root)
    if root is not None:
        derivative(program.root, np.ones(1))
    for step in reversed(steps):
        if step.out not in needed:
            continue
        out = derivative_of[step.out]
        if step.rescale:
            # The derivative enters a rescaled message: undo the division.
            backward += scaled(step.out, out)
        for node, other, half in (
            (step.left, step.right, step.to_left),
            (step.right, step.left, step.to_right),
        ):
            if node not in needed:
                continue
            a = out[half.a_index]
            if node in place:
                result = np.arange(sums, sums + nodes[node].size, dtype=np.int32)
                kinds = SUM_WEIGHTED, SUM_PRODUCTS
                backward += segments(half, result, a, other, half.b_index, kinds)
                meets.append((node, sums))
                sums += nodes[node].size
            else:
                result = derivative(node, np.diff(half.starts))
                backward += segments(half, result, a, other, half.b_index)
        held = out[out >= 0]
        free.give(int(held.min(initial=rows)), len(held))

    def joined(parts: list[IntArray]) -> IntArray:
        return np.concatenate(parts).astype(np.int32) if parts else np.zeros(0, np.int32)

    return Layout(
        rows=rows,
        derivative_rows=free.most,
        forward=np.array(forward, np.int32).reshape(-1, 5),
        backward=np.array(backward, np.int32).reshape(-1, 5),
        a_index=joined(terms.a),
        b_index=joined(terms.b),
        rescaled=len(message),
        root_row=-1 if root is None else int(root[0]),
        root_derivative=-1 if root is None else int(derivative_of[program.root][0]),
        meets=tuple(meets),
        sums=sums,
    )


def make_plan(program: Program, targets: Iterable[str] | None = None) -> Plan:
    """Lay `program` out for the posteriors of `targets` (all variables by default).

    Raises
    ------
    ValueError
        For a target that the program takes apart.
    """
    wanted = set(program.variables if targets is None else targets)
    if wanted & program.apart:
        raise ValueError(f"this program gives no posterior of {min(wanted & program.apart)}")
    nodes = program.nodes
    tables = tuple(n for nodes_of in program.table_nodes.values() for n in nodes_of)
    needed = {program.evidence_nodes[v] for v in wanted}
    for step in program.steps:
        if step.left in needed or step.right in needed:
            needed.add(step.out)
    layout = lay_out(program, program.steps, tables, program.place, frozenset(needed))
    ordered = tuple(v for v in program.variables if v in wanted)
    position = {v: i for i, v in enumerate(program.variables)}
    columns = np.cumsum([0, *(program.sizes[position[v]] for v in ordered)])
    table_sizes = [nodes[n].size for n in tables]
    table_column = np.cumsum([0, *table_sizes])[:-1].astype(np.int32)
    return Plan(
        targets=ordered,
        columns=tuple(columns[:-1].tolist()),
        width=int(columns[-1]),
        layout=layout,
        slot_first=np.array(program.offsets, np.int32),
        slot_size=np.array(program.sizes, np.int32),
        table_nodes=tables,
        table_first=program.width + table_column,
        table_size=np.array(table_sizes, np.int32),
        table_column=table_column,
        target_slot=np.array([position[v] for v in ordered], np.int32),
        target_column=columns[:-1].astype(np.int32),
    )
