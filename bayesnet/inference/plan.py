"""A program laid out flat for the kernels: one buffer of table rows, one list of index triples.

A plan belongs to a set of targets: only the derivatives that lead to them are computed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bayesnet.inference.program import Program, SumOfProducts
from bayesnet.network.factor import FloatArray

__all__ = ["Plan", "make_plan"]

IntArray = npt.NDArray[np.int32]

#: Kinds of step: weights times rows, rows times rows, undo a rescaling.
WEIGHTED, PRODUCTS, UNSCALE = 0, 1, 2


@dataclass(frozen=True, eq=False)
class Plan:
    """Flat arrays for `kernels.run_tiles`.

    Attributes
    ----------
    targets : tuple of str
    columns : tuple of int
        Where each target's states start in the posterior array; `width` columns in all.
    rows : int
        Rows of the value buffer (and of the derivative buffer).
    slot_first, slot_size, slot_column : ndarray
        Of every evidence variable: its first row, its states, its place on the evidence axis.
    table_nodes, table_first, table_size, table_column : tuple of int, ndarrays
        Of every table that is given anew for each row: its node, first row, entries and place.
    forward, backward : ndarray, shape (steps, 5)
        kind, first row of the result, rows of the result, where its starts are, rescaling slot.
    starts, a_index, b_index, weight : ndarray
        Row o of a step sums the terms `[starts[at + o], starts[at + o + 1])`: `weight[e] *
        rows[a_index[e]]`, or `rows[a_index[e]] * rows[b_index[e]]`.
    rescaled : int
        Number of rescaled messages.
    root_row : int
        The row that holds P(evidence); -1 when it does not depend on evidence.
    constant_root : float
        Its value in that case.
    """

    targets: tuple[str, ...]
    columns: tuple[int, ...]
    width: int
    rows: int
    slot_first: IntArray
    slot_size: IntArray
    slot_column: IntArray
    table_nodes: tuple[int, ...]
    table_first: IntArray
    table_size: IntArray
    table_column: IntArray
    forward: IntArray
    backward: IntArray
    starts: IntArray
    a_index: IntArray
    b_index: IntArray
    weight: FloatArray
    rescaled: int
    root_row: int
    constant_root: float
    target_slot: IntArray
    target_column: IntArray


class Terms:
    """Collects the index triples of all steps."""

    def __init__(self) -> None:
        self.starts: list[IntArray] = []
        self.a: list[IntArray] = []
        self.b: list[IntArray] = []
        self.weight: list[FloatArray] = []
        self.start_count = 0
        self.term_count = 0

    def add(
        self,
        plan: SumOfProducts,
        result: IntArray,
        a: IntArray,
        b: IntArray,
        weight: FloatArray | None = None,
    ) -> int:
        """Append one step; returns where its starts are. Entries without a row have no terms."""
        at = self.start_count
        starts = np.append(plan.starts[:-1][result >= 0], plan.starts[-1])
        self.starts.append(starts + self.term_count)
        self.start_count += len(starts)
        self.term_count += len(a)
        self.a.append(a)
        self.b.append(b)
        self.weight.append(np.zeros(len(a)) if weight is None else weight)
        return at


def _kept(rows: IntArray) -> int:
    return int((rows >= 0).sum())


def make_plan(program: Program, targets: Iterable[str] | None = None) -> Plan:
    """Lay `program` out for the posteriors of `targets` (all variables by default)."""
    wanted = set(program.variables if targets is None else targets)
    nodes = program.nodes
    # Row of each entry; entries that are always zero have none (-1), and no term refers to them.
    row_of: dict[int, IntArray] = {}
    first: dict[int, int] = {}
    rows = 0

    def place(node: int, present: npt.NDArray[np.bool_] | None = None) -> None:
        nonlocal rows
        kept = np.ones(nodes[node].size, bool) if present is None else present
        row_of[node] = np.where(kept, rows + np.cumsum(kept) - 1, -1).astype(np.int32)
        first[node] = rows
        rows += int(kept.sum())

    for v in program.variables:
        place(program.evidence_nodes[v])
    free = tuple(n for nodes_of in program.table_nodes.values() for n in nodes_of)
    for node in free:
        place(node)
    for step in program.steps:
        place(step.out, np.diff(step.forward.starts) > 0)

    terms = Terms()
    forward, backward = [], []
    slot_of: dict[int, int] = {}
    one = np.ones(1)

    def constant(node: int) -> FloatArray:
        return one if node < 0 else program.values[node]

    def moving(node: int) -> bool:
        return node >= 0 and not nodes[node].constant

    for step in program.steps:
        f = step.forward
        slot = -1
        if step.rescale:
            slot = slot_of[step.out] = len(slot_of)
        if moving(step.left) and moving(step.right):
            at = terms.add(
                f, row_of[step.out], row_of[step.left][f.a_index], row_of[step.right][f.b_index]
            )
            kind = PRODUCTS
        elif moving(step.left):
            at = terms.add(
                f, row_of[step.out], row_of[step.left][f.a_index], f.b_index,
                constant(step.right)[f.b_index],
            )
            kind = WEIGHTED
        else:
            at = terms.add(
                f, row_of[step.out], row_of[step.right][f.b_index], f.a_index,
                constant(step.left)[f.a_index],
            )
            kind = WEIGHTED
        forward.append((kind, first[step.out], _kept(row_of[step.out]), at, slot))

    needed = {program.evidence_nodes[v] for v in wanted}
    for step in program.steps:
        if step.left in needed or step.right in needed:
            needed.add(step.out)
    for step in reversed(program.steps):
        if step.out not in needed:
            continue
        if step.rescale:
            kept = _kept(row_of[step.out])
            backward.append((UNSCALE, first[step.out], kept, 0, slot_of[step.out]))
        for node, other, half in (
            (step.left, step.right, step.to_left),
            (step.right, step.left, step.to_right),
        ):
            if node not in needed or not moving(node):
                continue
            a = row_of[step.out][half.a_index]
            if moving(other):
                at = terms.add(half, row_of[node], a, row_of[other][half.b_index])
                kind = PRODUCTS
            else:
                at = terms.add(
                    half, row_of[node], a, half.b_index, constant(other)[half.b_index]
                )
                kind = WEIGHTED
            backward.append((kind, first[node], _kept(row_of[node]), at, -1))

    ordered = tuple(v for v in program.variables if v in wanted)
    position = {v: i for i, v in enumerate(program.variables)}
    sizes = [program.sizes[position[v]] for v in ordered]
    columns = [int(x) for x in np.concatenate([[0], np.cumsum(sizes)])[:-1]] if ordered else []
    root_moves = moving(program.root)

    def joined(parts: list[npt.NDArray[np.generic]], dtype: type) -> npt.NDArray[np.generic]:
        return np.concatenate(parts).astype(dtype) if parts else np.zeros(0, dtype)

    return Plan(
        targets=ordered,
        columns=tuple(columns),
        width=int(sum(sizes)),
        rows=rows,
        slot_first=np.array(
            [first[program.evidence_nodes[v]] for v in program.variables], np.int32
        ),
        slot_size=np.array(program.sizes, np.int32),
        slot_column=np.array(program.offsets, np.int32),
        table_nodes=free,
        table_first=np.array([first[n] for n in free], np.int32),
        table_size=np.array([nodes[n].size for n in free], np.int32),
        table_column=np.cumsum([0, *(nodes[n].size for n in free)])[:-1].astype(np.int32),
        forward=np.array(forward, np.int32).reshape(-1, 5),
        backward=np.array(backward, np.int32).reshape(-1, 5),
        starts=joined(terms.starts, np.int32),  # type: ignore[arg-type]
        a_index=joined(terms.a, np.int32),  # type: ignore[arg-type]
        b_index=joined(terms.b, np.int32),  # type: ignore[arg-type]
        weight=joined(terms.weight, np.float64),  # type: ignore[arg-type]
        rescaled=len(slot_of),
        root_row=int(row_of[program.root][0]) if root_moves else -1,
        constant_root=0.0 if root_moves else float(program.values[program.root][0]),
        target_slot=np.array([position[v] for v in ordered], np.int32),
        target_column=np.array(columns, np.int32),
    )
