"""What if: another observation, or an intervention, side by side with what is.

Another finding is conditioning: it changes what is believed of its causes. Forcing a cause is graph
surgery (Pearl 2009, Causality, section 3.2.1): the arcs into it are cut, so that nothing is
concluded about what brings it about; its effects follow.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesnet.diagnosis.naming import cause_id
from bayesnet.errors import EvidenceError, Problem
from bayesnet.inference import Marginals, likelihood_of, likelihoods_of, stack_rows

if TYPE_CHECKING:
    import pandas as pd

    from bayesnet.diagnosis.result import Diagnosis

__all__ = ["compared", "forced"]


def compared(now: Diagnosis, then: Diagnosis) -> pd.DataFrame:
    """Posterior and necessity of every cause in both, largest change of posterior first."""
    import pandas as pd

    frame = pd.DataFrame(
        [
            [r.cause, r.posterior, then[r.cause].posterior, then[r.cause].posterior - r.posterior,
             r.necessity, then[r.cause].necessity]
            for r in now.results
        ],
        columns=["cause", "posterior", "posterior_then", "change", "necessity", "necessity_then"],
    )
    return frame.sort_values("change", key=np.abs, ascending=False, ignore_index=True)


def forced(diagnosis: Diagnosis, causes: Mapping[str, Any]) -> pd.DataFrame:
    """Probability of every cause, and that PT fails, if `causes` were forced into states.

    What was observed of this person is kept for everything that the forced causes do not act on,
    directly or not; findings and outcome below them are left open, since they would change. What
    they do not act on stays as it is: its change is 0.

    Raises
    ------
    EvidenceError
        For an unknown cause or state.
    """
    import pandas as pd

    model = diagnosis.model
    network = model.network
    problems: list[Problem | str] = []
    given = {}
    for named, value in causes.items():
        try:
            c = cause_id(network, model.causes, named)
        except EvidenceError as error:
            problems += error.problems
            continue
        try:
            vector = likelihood_of(network[c], value)
        except ValueError as error:
            problems.append(f"{c}: {error}")
            continue
        if vector is None or (vector > 0).sum() != 1:
            problems.append(f"{c}: name the one state to force it into")
            continue
        given[c] = (vector > 0).astype(float)
    if problems:
        raise EvidenceError(problems)
    below = set(given)
    for v in network.topological_order:
        if set(network.parents(v)) & below:
            below.add(v)
    vectors = likelihoods_of(network, diagnosis.findings)
    if model.outcome is not None and model.outcome not in diagnosis.findings:
        vectors[model.outcome] = np.array([0.0, 1.0])
    kept = {v: x for v, x in vectors.items() if v not in below}
    targets = [*model.causes, *([model.outcome] if model.outcome else [])]
    cut = model.cut_strata(given)
    found = cut.run(stack_rows(cut, [{**kept, **given}]), targets)
    base = model.run([kept], targets)

    def present(answer: Marginals, v: str) -> float:
        return float(answer.posteriors[v][0, 1:].sum())

    frame = pd.DataFrame(
        [[v, present(base, v), present(found if v in below else base, v)] for v in targets],
        columns=["variable", "probability", "probability_then"],
    )
    frame["change"] = frame["probability_then"] - frame["probability"]
    return frame.sort_values("change", key=np.abs, ascending=False, ignore_index=True)
