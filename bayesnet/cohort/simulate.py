"""Patients drawn exactly from the network, given what is known of them.

Evidence on variables without parents is set, since everything else is drawn given it. Any other
evidence is met by rejection (von Neumann 1951), which is exact. Where that would take too long,
the ancestors of the evidence are drawn one after the other from their exact posteriors given the
evidence and what has been drawn (the chain rule), and the rest forward.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bayesnet.cohort.encode import check_states
from bayesnet.errors import EvidenceError, did_you_mean
from bayesnet.inference import likelihoods_of
from bayesnet.inference.sampling import draw_states, given_parents
from bayesnet.network import Network
from bayesnet.network.factor import FloatArray

if TYPE_CHECKING:
    import pandas as pd

    from bayesnet.model import DiagnosticModel

__all__ = ["draw_patients", "simulate"]

#: Patients drawn at a time.
BLOCK = 50_000
#: Below this probability of the evidence, patients are drawn by the chain rule.
RARE = 0.002
#: Rows of one run of the engine in the chain rule.
CHAIN_BLOCK = 10_000

StateArray = npt.NDArray[np.int8]


def simulate(
    model: DiagnosticModel,
    n: int,
    seed: int = 0,
    given: Mapping[str, Any] | None = None,
    missing: float | Mapping[str, float] = 0.0,
    hidden: bool = False,
    progress: Callable[[int], None] | None = None,
) -> pd.DataFrame:
    """Simulated patients.

    Parameters
    ----------
    model : DiagnosticModel
    n : int
    seed : int
    given : mapping, optional
        What is known of all of them, as for `model.posterior`: `{"sex": "female", "age": 70}`. The
        outcome too: `{"pt_failure": True}`.
    missing : float or mapping
        Share of cells left empty, completely at random: one number; or by variable id or role
        (`{"test": 0.9, "history": 0.2}`), an id before its role. What is `given` is never missing.
    hidden : bool
        Add causes and mechanisms: the truth that the posteriors are about. The outcome is always
        there, and whole unless `missing` names it: without it PT would be taken to have failed in all.
    progress : callable, optional
        Called with the number of patients drawn.

    Returns
    -------
    DataFrame
        Shape `(n, variables)`; categorical columns with all states.

    Raises
    ------
    EvidenceError, ImpossibleEvidenceError
        When `n`, `seed`, `given` or `missing` is wrong.
    CohortError
        When a variable has more states than a table can have.
    """
    import pandas as pd

    if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 0:
        raise EvidenceError([f"n must be a whole number of at least 0, not {n!r}"])
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise EvidenceError([f"seed must be a whole number of at least 0, not {seed!r}"])
    network = model.network
    vectors = likelihoods_of(network, given or {})
    share = _shares(network, missing)
    rng = np.random.default_rng(seed)
    states = draw_patients(model, int(n), rng, vectors, progress)
    secret = ("cause", "mechanism")
    data: dict[str, Any] = {}
    categories: Any = pd.Categorical
    for v in network.variables:
        if network[v].role in secret and not hidden and v not in vectors:
            continue
        code = states[v]
        if v not in vectors and network[v].role not in secret and share[v] > 0:
            code = np.where(rng.random(n, dtype=np.float32) < share[v], np.int8(-1), code)
        data[v] = categories.from_codes(code, list(network[v].states))
    return pd.DataFrame(data)


def _shares(network: Network, missing: float | Mapping[str, float]) -> dict[str, float]:
    if not isinstance(missing, Mapping):
        missing = {v: missing for v, x in network.variables.items() if x.role != "outcome"}
    roles = {v.role for v in network.variables.values()}
    for key, x in missing.items():
        if key not in network and key not in roles:
            known = [*network.variables, *roles]
            raise EvidenceError([f"missing: unknown variable or role {key!r}.{did_you_mean(key, known)}"])
        if isinstance(x, bool) or not isinstance(x, int | float) or not 0 <= x <= 1:
            raise EvidenceError([f"missing: {x!r} is not a share from 0 to 1"])
    return {
        v: float(missing.get(v, missing.get(network[v].role, 0.0))) for v in network.variables
    }


def draw_patients(
    model: DiagnosticModel,
    n: int,
    rng: np.random.Generator,
    vectors: Mapping[str, FloatArray],
    progress: Callable[[int], None] | None = None,
) -> dict[str, StateArray]:
    """State indices of `n` patients, exactly from P(everything | evidence)."""
    network = model.network
    check_states(network, network.variables)
    roots = {v: x for v, x in vectors.items() if not network.parents(v)}
    rest = {v: x / x.max() for v, x in vectors.items() if v not in roots}
    log_all, log_roots = (
        float(model.run([x], ()).log_evidence[0]) for x in (vectors, roots)
    )
    if not np.isfinite(log_all):
        raise model.impossible(vectors)
    scale = sum(float(np.log(x.max())) for v, x in vectors.items() if v not in roots)
    acceptance = float(np.exp(log_all - log_roots - scale))
    parts: list[dict[str, StateArray]] = []
    done = 0
    while done < n:
        if acceptance < RARE:
            block = _chained(model, min(CHAIN_BLOCK, n - done), rng, vectors)
        else:
            size = min(BLOCK, int((n - done) / acceptance * 1.02) + 100)
            block = _forward(network, size, rng, roots, {})
            kept = np.ones(size, bool)
            for v, x in rest.items():
                kept &= rng.random(size) < x[block[v]]
            block = {v: x[kept] for v, x in block.items()} if rest else block
        parts.append(block)
        done += len(next(iter(block.values())))
        if progress:
            progress(min(done, n))
    if not parts:
        return {v: np.zeros(0, np.int8) for v in network.variables}
    return {v: np.concatenate([p[v] for p in parts])[:n] for v in network.variables}


def _forward(
    network: Network, n: int, rng: np.random.Generator, roots: Mapping[str, FloatArray],
    drawn: Mapping[str, StateArray],
) -> dict[str, StateArray]:
    """Parents before children (Henrion 1988), around what has been drawn."""
    states: dict[str, Any] = dict(drawn)
    for v in network.topological_order:
        if v in states:
            continue
        rows = given_parents(network, v, states, n)
        if v in roots:
            rows = rows * roots[v]
        states[v] = _drawn(rows, rng)
    return states


def _drawn(rows: FloatArray, rng: np.random.Generator) -> StateArray:
    if rows.shape[1] == 2:
        u = rng.random(len(rows))
        return (u * (rows[:, 0] + rows[:, 1]) >= rows[:, 0]).astype(np.int8)
    return draw_states(rows, rng).astype(np.int8)


def _chained(
    model: DiagnosticModel, n: int, rng: np.random.Generator, vectors: Mapping[str, FloatArray]
) -> dict[str, StateArray]:
    """The evidence's ancestors by the chain rule, exactly; then the rest forward."""
    network, strata = model.network, model.strata
    above = network.ancestors(vectors) | set(vectors)
    likelihood = np.ones((n, strata.width))
    for v, x in vectors.items():
        at = strata.position[v]
        likelihood[:, at : at + len(x)] = x
    drawn: dict[str, StateArray] = {}
    for v in network.topological_order:
        if v not in above:
            continue
        posterior = strata.run(likelihood, [v], backend="kernels").posteriors[v]
        drawn[v] = _drawn(posterior, rng)
        at, size = strata.position[v], len(network[v])
        likelihood[:, at : at + size] = np.eye(size)[drawn[v]]
    return _forward(network, n, rng, {}, drawn)
