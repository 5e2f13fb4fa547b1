"""Run a compiled program on a batch of patients, in NumPy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from bayesnet.inference.program import Program, SumOfProducts
from bayesnet.network.factor import FloatArray

__all__ = ["Marginals", "run"]


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


def _apply(plan: SumOfProducts, a: FloatArray, b: FloatArray) -> FloatArray:
    products = a[plan.a_index] * b[plan.b_index]
    count = np.diff(plan.starts)
    size = len(count)
    if size and (count == count[0]).all() and count[0]:
        grouped = products.reshape(size, count[0], -1)
        out: FloatArray = grouped[:, 0].copy()
        for k in range(1, count[0]):
            out += grouped[:, k]
        return out
    out = np.zeros((size, products.shape[1]))
    filled = count > 0
    out[filled] = np.add.reduceat(products, plan.starts[:-1][filled], axis=0)
    return out


def run(
    program: Program,
    likelihood: FloatArray,
    targets: Iterable[str] | None = None,
    tables: Mapping[str, FloatArray] | None = None,
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
        `(patients, *parent sizes, size)`.
    """
    likelihood = np.asarray(likelihood, dtype=np.float64)
    patients = likelihood.shape[0]
    columns = np.ascontiguousarray(likelihood.T)
    nodes = program.nodes
    one = np.ones((1, 1))
    values: dict[int, FloatArray] = {n: x[:, None] for n, x in program.values.items()}
    for v, table in (tables or {}).items():
        values[program.table_nodes[v]] = np.ascontiguousarray(table.reshape(patients, -1).T)
    scale = np.zeros(patients, dtype=np.int64)
    for v, size, offset in zip(program.variables, program.sizes, program.offsets, strict=True):
        # Powers of two are exact: scaling by them changes no digit.
        vector = columns[offset : offset + size]
        values[program.evidence_nodes[v]], exponent = _rescaled(vector)
        scale += exponent
    exponents: dict[int, np.ndarray] = {}
    for step in program.steps:
        right = values[step.right] if step.right >= 0 else one
        out = _apply(step.forward, values[step.left], right)
        if step.rescale:
            out, exponents[step.out] = _rescaled(out)
            scale += exponents[step.out]
        values[step.out] = out

    evidence = np.broadcast_to(values[program.root][0], (patients,))
    with np.errstate(divide="ignore"):
        log_evidence = np.log(evidence) + scale * np.log(2.0)

    wanted = set(program.variables if targets is None else targets)
    needed = {program.evidence_nodes[v] for v in wanted}
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

    posteriors = {}
    for v in program.variables:
        if v in wanted:
            node = program.evidence_nodes[v]
            weight = values[node] * gradient[node]
            with np.errstate(invalid="ignore", divide="ignore"):
                posteriors[v] = (weight / weight.sum(axis=0)).T
    return Marginals(posteriors, log_evidence)


def _rescaled(values: FloatArray) -> tuple[FloatArray, np.ndarray]:
    """`values` with every column's largest entry in [0.5, 1), and the exponents taken out."""
    _, exponent = np.frexp(values.max(axis=0))
    return np.ldexp(values, -exponent), exponent
