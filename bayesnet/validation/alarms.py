"""How often triage raises an alarm, in patients drawn from the model whose therapy failed.

Every question was asked and every sign looked for, no test was done. What comes out is what the
rules and the utilities do in the people whom the model describes: how many are sent on needlessly,
and which serious causes are missed. It is no measure of whether the model describes people rightly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bayesnet.diagnosis.pathways import LEVELS
from bayesnet.errors import EvidenceError

if TYPE_CHECKING:
    import pandas as pd

    from bayesnet.model import DiagnosticModel

__all__ = ["alarm_rates"]


def alarm_rates(
    model: DiagnosticModel, patients: int = 60_000, most: int = 300, seed: int = 0
) -> pd.DataFrame:
    """The share of patients called an emergency, urgent and routine, by what they have.

    Parameters
    ----------
    model : DiagnosticModel
    patients : int
        People to draw, in all of whom therapy failed.
    most : int
        Of those with one cause, the first so many are asked about (ten times as many of all).
    seed : int

    Returns
    -------
    DataFrame
        One row for everybody, for each cause that an urgent action is for, and for those with none
        of these: `cause` (an id, `everybody` or `none`), `label`, `drawn` (the share of the people
        drawn), `patients` (asked about), `emergency`, `urgent`, `routine` (shares of these).

    Raises
    ------
    EvidenceError
        For a model without pathways or without an outcome.
    """
    import pandas as pd

    paths = model.pathways
    if paths.empty or model.outcome is None:
        raise EvidenceError([f"{model.name} has no triage: it names no outcome or no pathways"])
    grave = dict.fromkeys(
        c for level in LEVELS[:-1] for a in paths.actions.values() if a.urgency == level for c in a.gains
    )
    failed = {model.outcome: model.network[model.outcome].states[1]}
    drawn = model.simulate(patients, seed, failed, {"test": 1.0}, hidden=True)
    has = pd.DataFrame({c: drawn[c].cat.codes > 0 for c in grave})
    groups = [("everybody", "Everybody", np.ones(len(drawn), bool), 10 * most)]
    groups += [(c, model.network[c].name, has[c].to_numpy(), most) for c in grave]
    groups.append(("none", "None of these", ~has.any(axis=1).to_numpy(), 10 * most))
    chosen = {cause: np.flatnonzero(members)[:n] for cause, _, members, n in groups}
    asked = np.unique(np.concatenate(list(chosen.values())))
    known = [v for v in model.network.variables if model.network[v].role not in ("cause", "mechanism")]
    level = np.full(len(drawn), "", dtype=object)
    level[asked] = model.diagnose_frame(drawn.loc[asked, known])["triage"].to_numpy()
    rows = []
    for cause, label, members, _ in groups:
        mine = level[chosen[cause]]
        rows.append([
            cause, label, float(members.mean()), len(mine),
            *(float((mine == x).mean()) if len(mine) else float("nan") for x in LEVELS),
        ])
    return pd.DataFrame(rows, columns=["cause", "label", "drawn", "patients", *LEVELS])
