"""Tests of the independences that the network claims, on data where variables are observed.

Every pair of observed variables that the graph holds to be independent, given some of the other
observed ones, is tested with Pearson's chi-square, summed over the states of what is given (Agresti
2013, section 6.3). What is hidden between two variables makes no claim about them, and what was
selected for is given always: among people in whom therapy failed, causes are not independent.
"""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bayesnet.cohort.encode import encode
from bayesnet.cohort.frame import opened
from bayesnet.cohort.mapping import ColumnMapping, default_mapping
from bayesnet.errors import CohortError, Problem

if TYPE_CHECKING:
    import pandas as pd

    from bayesnet.model import Model

__all__ = ["independence_tests"]

#: Expected people in a cell below which a stratum is passed over (Cochran 1954, Biometrics 10:417).
FEWEST = 5.0


def independence_tests(
    model: Model, data: Any, mapping: ColumnMapping | None = None, most_given: int = 3,
    selected: bool = True,
) -> pd.DataFrame:
    """Test every independence of the network between columns of a table.

    Parameters
    ----------
    model : Model
    data : DataFrame
        As for `diagnose_frame`. Rows in which a tested variable is not known (or uncertain) are left
        out of that test. Weights are not used.
    mapping : ColumnMapping, optional
    most_given : int
        Claims that need more variables held fixed than this are not tested.
    selected : bool
        In a clinical model without a column for the outcome: therapy failed in all these people.
        Columns that have the same state everywhere are taken as given in any case.

    Returns
    -------
    DataFrame
        Worst first: `x`, `y`, `given` (a smallest set that separates them in the graph), `n`,
        `chi2`, `degrees`, `p`, `q` (Benjamini & Hochberg 1995, over all tests), `effect` (Cramer's V,
        root of chi2 / (n * (fewest states - 1))).

    Raises
    ------
    CohortError
        When rows are bad or fewer than two columns are variables of the model.
    """
    import networkx as nx
    import pandas as pd
    from scipy.stats import chi2, false_discovery_control

    network = model.network
    names, rows, factors, _ = opened(data)
    used = (default_mapping(network, names) if mapping is None else mapping).restricted(names)
    known = {c.variable for c in used.columns.values()}
    variables = [v for v in network.variables if v in known]
    if len(variables) < 2:
        raise CohortError([
            f"{len(variables)} of the columns are variables of the model; independence needs two"
        ])
    encoded = encode(network, variables, factors(0, rows), rows, used)
    if encoded.bad:
        raise CohortError([Problem(said, f"row {r}") for r, said in sorted(encoded.bad.items())])
    codes = {v: encoded.codes[:, i] for i, v in enumerate(variables)}
    graph = network.to_networkx()
    always = {v for v, c in codes.items() if len(np.unique(c)) == 1 and c[0] >= 0}
    outcome = getattr(model, "outcome", None)
    if selected and outcome is not None and outcome not in codes:
        always.add(outcome)
    variables = [v for v in variables if v not in always]
    found = []
    for x, y in combinations(variables, 2):
        if graph.has_edge(x, y) or graph.has_edge(y, x):
            continue
        others = (set(variables) | always) - {x, y}
        given = nx.find_minimal_d_separator(graph, x, y, included=always, restricted=others)
        order = tuple(v for v in variables if v in (given or ()))
        if given is None or len(order) > most_given:
            continue
        n, value, degrees = _chi_square(codes[x], codes[y], [codes[v] for v in order])
        if degrees == 0:
            continue
        fewest = min(len(np.unique(c[c >= 0])) for c in (codes[x], codes[y]))
        effect = float(np.sqrt(value / (n * max(fewest - 1, 1))))
        found.append((x, y, ", ".join(order), n, value, degrees, float(chi2.sf(value, degrees)), effect))
    frame = pd.DataFrame(
        found, columns=["x", "y", "given", "n", "chi2", "degrees", "p", "effect"]
    )
    frame.insert(7, "q", false_discovery_control(frame["p"]) if len(frame) else [])
    return frame.sort_values(["q", "effect"], ascending=[True, False], ignore_index=True)


def _chi_square(
    x: npt.NDArray[np.int8], y: npt.NDArray[np.int8], given: list[npt.NDArray[np.int8]]
) -> tuple[int, float, int]:
    """People, statistic and degrees of freedom, summed over strata."""
    kept = (x >= 0) & (y >= 0)
    for g in given:
        kept &= g >= 0
    strata = np.zeros(int(kept.sum()), int)
    for g in given:
        strata = strata * 128 + g[kept]
    a, b = x[kept], y[kept]
    people, total, degrees = 0, 0.0, 0
    for s in np.unique(strata):
        here = strata == s
        table = np.zeros((int(a.max()) + 1, int(b.max()) + 1))
        np.add.at(table, (a[here], b[here]), 1)
        table = table[table.sum(axis=1) > 0][:, table.sum(axis=0) > 0]
        if min(table.shape) < 2:
            continue
        expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()
        if expected.min() < FEWEST:
            continue
        total += float(((table - expected) ** 2 / expected).sum())
        degrees += (table.shape[0] - 1) * (table.shape[1] - 1)
        people += int(here.sum())
    return people, total, degrees
