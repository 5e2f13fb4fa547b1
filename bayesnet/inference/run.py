"""Run a compiled program on a batch of patients.

Two backends do the same additions and multiplications in the same order and agree to the last bit:
NumPy, which needs no warming up, and the kernels of `kernels`, which are some hundred times faster
once Numba is loaded. A few patients in a fresh process go through NumPy; everything else goes
through the kernels.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from bayesnet.inference.hubs import summed_up
from bayesnet.inference.program import Program, SumOfProducts
from bayesnet.network.factor import FloatArray

__all__ = [
    "Backend", "Joined", "Marginals", "as_marginals", "checked_codes", "checked_likelihood",
    "given_back", "run", "run_codes", "run_codes_joined", "run_joined", "taken",
]

Backend = Literal["auto", "numpy", "kernels"]
CodeArray = npt.NDArray[np.int8]
#: The posteriors of all targets side by side, in the program's order; and the log evidence.
Joined = tuple[FloatArray, FloatArray]

#: Loading the kernels costs about as much as this many multiplications in NumPy.
WORK_BEFORE_KERNELS = 2e7
#: A step of a program takes NumPy as long as this many multiplications, however small it is.
WORK_OF_A_STEP = 400.0
#: So many patients that fill no tile run one by one: a tile takes twice as long as one patient.
ALONE = 2
#: Bytes.
CACHE_LINE = 64
_work_done = 0.0
_kernels_loaded = False
#: Left by earlier runs, two for each thread that ran at the same time.
_rooms: list[FloatArray] = []


@dataclass(frozen=True, eq=False)
class Marginals:
    """Exact posteriors of a batch of patients.

    Attributes
    ----------
    posteriors : dict id -> ndarray
        Shape `(patients, states)`; NaN where the evidence is impossible.
    log_evidence : ndarray
        Shape `(patients,)`: natural log of the probability of the evidence (of its likelihood, when
        virtual evidence is given); minus infinity where it is impossible.
    """

    posteriors: dict[str, FloatArray]
    log_evidence: FloatArray


def run(
    program: Program,
    likelihood: FloatArray,
    targets: Iterable[str] | None = None,
    tables: Mapping[str, FloatArray | Sequence[FloatArray]] | None = None,
    *,
    backend: Backend = "auto",
    threads: int | None = None,
) -> Marginals:
    """Exact posteriors for every row of `likelihood`.

    Parameters
    ----------
    program : Program
    likelihood : ndarray
        Shape `(patients, program.width)`: for every variable of `program.variables`, at its offset,
        the likelihood of each state: ones when nothing is known, a single one for a state that was
        observed, any non-negative numbers for virtual evidence (Pearl 1988, section 2.2.2).
    targets : iterable of str, optional
        Variables whose posteriors are wanted; all by default. Fewer targets cost less.
    tables : mapping id -> ndarray, optional
        For free variables (`compile_program`): P(variable | parents) for every row, shape
        `(patients, *parent sizes, size)`; for a noisy-MAX a sequence, the leak first and then one
        link a parent, each `(patients, ...)` (the order of `Network.factors_of`).
    backend : str
        `numpy`, `kernels`, or `auto`. Same numbers either way.
    threads : int, optional
        Threads of the kernels; the number of processors by default. Same numbers either way.
    """
    wanted = set(program.variables if targets is None else targets)
    likelihood = checked_likelihood(program.width, likelihood)
    joined = run_joined(program, likelihood, wanted, tables, backend, threads)
    return as_marginals(program.variables, program.sizes, wanted, joined)


def run_joined(
    program: Program,
    likelihood: FloatArray,
    targets: Set[str],
    tables: Mapping[str, FloatArray | Sequence[FloatArray]] | None = None,
    backend: Backend = "auto",
    threads: int | None = None,
) -> Joined:
    """As `run`, for a likelihood that is as it should be."""
    given = _by_node(program, tables or {}, len(likelihood))
    if not _use_kernels(backend, program, len(likelihood)):
        return _in_numpy(program, targets, likelihood, given)
    rows = None
    if program.table_nodes:
        patients = len(likelihood)
        rows = np.concatenate(
            [
                given[n] if n in given else np.broadcast_to(x, (patients, len(x)))
                for n in program.plan(targets).table_nodes
                for x in (program.values[n],)
            ],
            axis=1,
        )
    return _in_kernels(
        program, targets, np.zeros((1, 1), np.int8), likelihood, False, threads, rows
    )


def _by_node(
    program: Program, tables: Mapping[str, FloatArray | Sequence[FloatArray]], patients: int
) -> dict[int, FloatArray]:
    """The given tables, flat, by node: shape `(patients, entries)`."""
    found: dict[int, FloatArray] = {}
    for v, given in tables.items():
        if v not in program.table_nodes:
            raise ValueError(f"{v} is not free in this program; compile with free=[{v!r}]")
        parts = [given] if isinstance(given, np.ndarray) else list(given)
        nodes = program.table_nodes[v]
        if len(parts) != len(nodes):
            raise ValueError(f"{v} has {len(nodes)} tables, not {len(parts)}")
        for node, part in zip(nodes, parts, strict=True):
            whole = np.asarray(part, dtype=np.float64)
            if v in program.hubs:
                whole = summed_up(whole, program.hubs[v])
            flat = whole[:, *program.cut(node)].reshape(len(part), -1)
            if flat.shape != (patients, program.nodes[node].size):
                raise ValueError(
                    f"a table of {v} has shape {np.shape(part)}: expected {patients} rows of "
                    f"{program.nodes[node].size} entries"
                )
            found[node] = flat
    return found


def run_codes(
    program: Program,
    codes: CodeArray,
    targets: Iterable[str] | None = None,
    *,
    threads: int | None = None,
) -> Marginals:
    """Like `run`, for findings that are known or not: a state index, or -1, a variable.

    Parameters
    ----------
    codes : ndarray of int8
        Shape `(patients, variables)`, in the order of `program.variables`.
    """
    wanted = set(program.variables if targets is None else targets)
    codes = checked_codes(program.variables, program.sizes, codes)
    joined = run_codes_joined(program, codes, wanted, threads)
    return as_marginals(program.variables, program.sizes, wanted, joined)


def run_codes_joined(
    program: Program, codes: CodeArray, targets: Set[str], threads: int | None = None
) -> Joined:
    """As `run_codes`, for codes that are as they should be."""
    return _in_kernels(program, targets, codes, np.zeros((1, 1)), True, threads)


def as_marginals(
    variables: Sequence[str], sizes: Sequence[int], targets: Set[str], joined: Joined
) -> Marginals:
    """Joined posteriors taken apart."""
    posterior, log_evidence = joined
    split, start = {}, 0
    for v, size in zip(variables, sizes, strict=True):
        if v in targets:
            split[v] = posterior[:, start : start + size]
            start += size
    return Marginals(split, log_evidence)


def checked_likelihood(width: int, likelihood: FloatArray) -> FloatArray:
    """The array as the kernels read it, if its shape is right."""
    likelihood = np.ascontiguousarray(likelihood, dtype=np.float64)
    if likelihood.ndim != 2 or likelihood.shape[1] != width:
        raise ValueError(f"likelihood has shape {likelihood.shape}, expected (patients, {width})")
    return likelihood


def checked_codes(variables: Sequence[str], sizes: Sequence[int], codes: CodeArray) -> CodeArray:
    """The array as the kernels read it, if its shape is right and every code is a state."""
    codes = np.ascontiguousarray(codes, dtype=np.int8)
    if codes.ndim != 2 or codes.shape[1] != len(variables):
        raise ValueError(f"codes has shape {codes.shape}, expected (patients, {len(variables)})")
    if len(codes) and (codes.max(axis=0) >= np.array(sizes)).any():
        bad = int(np.argmax(codes.max(axis=0) >= np.array(sizes)))
        raise ValueError(
            f"{variables[bad]} has {sizes[bad]} states; "
            f"a code of {codes[:, bad].max()} is too large"
        )
    return codes


def _use_kernels(backend: Backend, program: Program, patients: int) -> bool:
    global _work_done  # noqa: PLW0603
    if backend != "auto":
        return backend == "kernels"
    _work_done += 3.0 * program.multiplications * patients + WORK_OF_A_STEP * len(program.steps)
    return _kernels_loaded or _work_done > WORK_BEFORE_KERNELS


def taken(entries: int) -> FloatArray:
    """Room for a run, taken from what earlier runs have left where that is large enough.

    Memory that is new to the process must be cleared by the system, which takes longer than a
    small batch itself. It starts on a cache line, so that no row of eight lies on two.
    """
    try:
        room = _rooms.pop()
    except IndexError:
        room = np.empty(0)
    if len(room) < entries:
        larger = np.empty(entries + CACHE_LINE // 8)
        first = -larger.ctypes.data % CACHE_LINE // 8
        room = larger[first : first + entries]
    return room


def given_back(*rooms: FloatArray) -> None:
    """Leave what `taken` gave for later runs, which get the first of them first."""
    _rooms.extend(reversed(rooms))


def _in_kernels(
    program: Program,
    targets: Set[str],
    codes: CodeArray,
    likelihood: FloatArray,
    by_code: bool,
    threads: int | None,
    tables: FloatArray | None = None,
) -> Joined:
    global _kernels_loaded  # noqa: PLW0603
    from bayesnet.inference.kernels import ONE_LANE, TILE, run_tiles

    _kernels_loaded = True
    plan = program.plan(targets)
    layout = plan.layout
    patients = len(codes) if by_code else len(likelihood)
    posterior = np.empty((patients, plan.width))
    evidence = np.empty(patients)
    exponent = np.empty(patients, np.int64)
    left = patients % len(TILE)
    in_tiles = patients - left if left <= ALONE else patients
    tiles = -(-in_tiles // len(TILE))
    given = np.zeros((1, 1)) if tables is None else np.ascontiguousarray(tables)
    constant_root = 0.0 if layout.root_row >= 0 else float(program.values[program.root][0])

    def work(lanes: tuple[int, ...], start: int, stop: int) -> None:
        width = len(lanes)
        room = taken(layout.rows * width), taken(layout.derivative_rows * width)
        run_tiles(
            lanes, codes, likelihood, by_code, start, stop, plan.slot_first, plan.slot_size, given,
            plan.table_first, plan.table_size, plan.table_column, layout.forward, layout.backward,
            layout.a_index, layout.b_index, layout.rescaled, layout.root_row,
            layout.root_derivative, program.constants, constant_root, plan.target_slot,
            plan.target_column, posterior, evidence, exponent, *room,
        )
        given_back(*room)

    workers = min(threads or os.cpu_count() or 1, max(1, tiles // 4))
    if workers == 1:
        if tiles:
            work(TILE, 0, in_tiles)
    else:
        pieces = min(tiles, 8 * workers)
        edges = np.linspace(0, tiles, pieces + 1).astype(int) * len(TILE)
        starts, stops = edges[:-1].tolist(), np.minimum(edges[1:], in_tiles).tolist()
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(work, itertools.repeat(TILE), starts, stops))
    if in_tiles < patients:
        work(ONE_LANE, in_tiles, patients)
    return posterior, _log(evidence, exponent)


def _log(evidence: FloatArray, exponent: npt.NDArray[np.int64]) -> FloatArray:
    with np.errstate(divide="ignore"):
        out: FloatArray = np.log(evidence) + exponent * np.log(2.0)
    return out


def _apply(plan: SumOfProducts, a: FloatArray, b: FloatArray) -> FloatArray:
    products = a[plan.a_index] * b[plan.b_index]
    count = np.diff(plan.starts)
    out = np.zeros((len(count), products.shape[1]))
    most = int(count.max(initial=0))
    if most and (count == most).all():
        grouped = products.reshape(len(count), most, -1)
        for k in range(most):
            out += grouped[:, k]
        return out
    first = plan.starts[:-1]
    for k in range(most):
        has = count > k
        out[has] += products[first[has] + k]
    return out


def _rescaled(values: FloatArray) -> tuple[FloatArray, npt.NDArray[np.int64]]:
    """`values` with every column's largest entry in [0.5, 1), and the exponents taken out.

    Powers of two are exact: scaling by them changes no digit.
    """
    _, exponent = np.frexp(values.max(axis=0))
    return np.ldexp(values, -exponent), exponent.astype(np.int64)


def _in_numpy(
    program: Program, targets: Set[str], likelihood: FloatArray, tables: Mapping[int, FloatArray]
) -> Joined:
    patients = likelihood.shape[0]
    columns = np.ascontiguousarray(likelihood.T)
    nodes = program.nodes
    one = np.ones((1, 1))
    values: dict[int, FloatArray] = {n: x[:, None] for n, x in program.values.items()}
    for node, table in tables.items():
        values[node] = np.ascontiguousarray(table.T)
    scale = np.zeros(patients, dtype=np.int64)
    for v, size, offset in zip(program.variables, program.sizes, program.offsets, strict=True):
        node = program.evidence_nodes[v]
        # Largest entry in [1, 2): a finding that is simply known needs no scaling.
        half, exponent = _rescaled(columns[offset : offset + size])
        values[node] = 2 * half
        exponent = exponent - 1
        scale += exponent
    exponents: dict[int, npt.NDArray[np.int64]] = {}
    for step in program.steps:
        right = values[step.right] if step.right >= 0 else one
        out = _apply(step.forward, values[step.left], right)
        if step.rescale:
            out, exponents[step.out] = _rescaled(out)
            scale += exponents[step.out]
        values[step.out] = out
    evidence = np.broadcast_to(values[program.root][0], (patients,))

    needed = {program.evidence_nodes[v] for v in targets}
    for step in program.steps:
        if step.left in needed or step.right in needed:
            needed.add(step.out)
    gradient: dict[int, FloatArray] = {program.root: np.ones((1, patients))}
    for step in reversed(program.steps):
        if step.out not in needed:
            continue
        g = gradient.pop(step.out)
        if step.rescale:
            g = np.ldexp(g, -exponents[step.out])
        right = values[step.right] if step.right >= 0 else one
        if step.left in needed and not nodes[step.left].constant:
            gradient[step.left] = _apply(step.to_left, g, right)
        if step.right in needed and not nodes[step.right].constant:
            gradient[step.right] = _apply(step.to_right, g, values[step.left])

    posteriors = [np.empty((patients, 0))]
    for v in program.variables:
        if v not in targets:
            continue
        node = program.evidence_nodes[v]
        weight = values[node] * gradient[node]
        total = np.zeros(weight.shape[1])
        for row in weight:
            total = total + row
        with np.errstate(invalid="ignore", divide="ignore"):
            posteriors.append(np.broadcast_to((weight / total).T, (patients, len(weight))))
    return np.concatenate(posteriors, axis=1), _log(evidence, scale)
