"""EM beside pgmpy's, and EM on pt_failure: `make bench-learning` writes the tables.

Same rows, same hidden variables, same number of iterations; one iteration is one pass over the data.
"""

from __future__ import annotations

import logging
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

import bayesnet
from bayesnet.inference.counts import plan_counts
from bayesnet.learning.data import encode_frame
from bayesnet.learning.em import Patients
from bayesnet.learning.local import local_of, parameters_of

HERE = Path(__file__).parent
NETWORKS = HERE.parent / "tests" / "networks"
#: Simulated patients that the clinical model learns from.
PATIENTS = 10_000
#: Network, hidden variables, rows, iterations of pgmpy.
RUNS = (
    ("asia", ("either",), 2000, 3),
    ("alarm", ("HYPOVOLEMIA", "LVFAILURE"), 1000, 1),
    ("hepar2", ("Steatosis", "Cirrhosis"), 300, 1),
)


def drawn(model: bayesnet.Model, n: int, seed: int) -> pd.DataFrame:
    """Forward samples."""
    rng = np.random.default_rng(seed)
    states: dict[str, np.ndarray] = {}
    for v in model.network.topological_order:
        parents = model.network.parents(v)
        table = model.network.table(v)
        rows = table[tuple(states[p] for p in parents)] if parents else np.repeat(table[None], n, 0)
        states[v] = (rng.random((n, 1)) > rows.cumsum(axis=1)[:, :-1]).sum(axis=1)
    return pd.DataFrame({v: np.array(model.network[v].states, object)[s] for v, s in states.items()})


def ours(model: bayesnet.Model, frame: pd.DataFrame, repeats: int = 5) -> float:
    """Seconds of one iteration (expected counts and the new numbers)."""
    network = model.network
    parameters = parameters_of(network)
    state = {}
    for v in network.variables:
        own = [p for p in parameters if p.variable == v]
        state[v] = local_of(network, v, own, own, 1.0)
    rows, _ = encode_frame(network, frame)
    plan = plan_counts(network, rows.variables, list(network.variables))
    patients = Patients.of(rows)
    best = np.inf
    for _ in range(repeats):
        start = time.perf_counter()
        counts, _, _ = patients.counts(plan, state)
        state = {v: x.updated(counts[v]) if v in counts else x for v, x in state.items()}
        best = min(best, time.perf_counter() - start)
    return best


def theirs(model: bayesnet.Model, frame: pd.DataFrame, hidden: tuple[str, ...], iterations: int) -> float:
    """Seconds of one iteration of pgmpy's EM, one processor or all, whichever is faster."""
    from pgmpy.estimators import ExpectationMaximization
    from pgmpy.models import DiscreteBayesianNetwork

    whole = model.to_pgmpy()
    network = DiscreteBayesianNetwork(whole.edges(), latents=set(hidden))
    network.add_nodes_from(whole.nodes())
    known = {v: list(model.network[v].states) for v in model.network.variables}
    best = np.inf
    for jobs in (1, -1):
        estimator = ExpectationMaximization(network, frame, state_names=known)
        start = time.perf_counter()
        estimator.get_parameters(
            latent_card={h: len(model.network[h]) for h in hidden}, max_iter=iterations, atol=0.0,
            seed=1, show_progress=False, n_jobs=jobs,
        )
        best = min(best, (time.perf_counter() - start) / iterations)
    return best


def measured() -> str:
    """The tables as Markdown."""
    lines = [
        "| network | hidden | rows | ours, ms an iteration | pgmpy, ms an iteration | pgmpy / ours |",
        "|---|---|---|---|---|---|",
    ]
    for name, hidden, n, iterations in RUNS:
        model = bayesnet.read_network(NETWORKS / f"{name}.bif.gz")
        frame = drawn(model, n, 1).drop(columns=list(hidden))
        a, b = ours(model, frame), theirs(model, frame, hidden, iterations)
        lines.append(f"| {name} | {', '.join(hidden)} | {n:,} | {1000 * a:.2f} | {1000 * b:,.0f} | {b / a:,.0f} |")
        print(lines[-1], flush=True)
    model = bayesnet.load("pt_failure")
    frame = model.simulate(PATIENTS, seed=1, given={"pt_failure": True}, missing=0.3)
    start = time.perf_counter()
    learned = model.fit(frame.drop(columns=["pt_failure"], errors="ignore"))
    seconds = time.perf_counter() - start
    assert learned.learning is not None
    t = learned.learning.trace
    lines.append(
        f"\npt_failure, {PATIENTS:,} simulated patients with 30 % of the cells and all hidden variables missing, all "
        f"{len(learned.learning.changes):,} numbers, from the literature: {len(t.log_likelihood) - 1} iterations, "
        f"{'converged' if t.converged else 'not converged'}, {seconds:.0f} s."
    )
    return "\n".join(lines)


def main() -> None:
    """Measure, and write the table into benchmarks/README.md."""
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    text = measured()
    print(text)
    report = HERE / "README.md"
    before, _, rest = report.read_text(encoding="utf-8").partition("<!-- learning -->\n")
    _, _, after = rest.partition("<!-- /learning -->\n")
    report.write_text(f"{before}<!-- learning -->\n{text}\n<!-- /learning -->\n{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
