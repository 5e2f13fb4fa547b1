"""Maximum a posteriori by EM: expected counts from the engine, then one step of every distribution.

Log likelihood plus log prior never falls (Dempster, Laird & Rubin 1977, J R Stat Soc B 39:1; Green
1990, J R Stat Soc B 52:443, for the penalised form). A fall beyond rounding is an error.

Where all patients were selected for something (PT failed in everybody), the likelihood is that of
their findings given the selection. The people who were not selected are then missing data too: for n
people and a selection of probability P, n (1 - P) / P of them are expected (Dempster et al. 1977,
section 4.2, truncation), counted with nothing known but that they were not selected.

EM is slow where much is hidden, so that the last steps show the next (`bayesnet.learning.acceleration`),
which is kept only if the log posterior does not fall.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from bayesnet.errors import BayesnetError
from bayesnet.inference.counts import (
    CountPlan,
    Counts,
    EncodedRows,
    StratifiedCounts,
    expected_counts,
)
from bayesnet.learning.acceleration import Path
from bayesnet.learning.local import Local
from bayesnet.learning.selection import LearningError
from bayesnet.network.factor import FloatArray

__all__ = ["Patients", "Progress", "Trace", "climb"]

#: Called with the iteration, the log posterior and its gain for each person.
Progress = Callable[[int, float, float], None]


@dataclass(frozen=True, eq=False)
class Patients:
    """The rows to learn from, equal ones put together.

    Attributes
    ----------
    rows : EncodedRows
    where : ndarray
        To which of `rows` each row of the table went.
    unselected : EncodedRows or None
        One row: somebody of whom only is known that they were not selected.
    """

    rows: EncodedRows
    where: np.ndarray[tuple[int], np.dtype[np.intp]]
    unselected: EncodedRows | None

    @classmethod
    def of(cls, rows: EncodedRows, selected_by: str | None = None) -> Patients:
        """`selected_by` is a column of `rows` that says the same of everybody."""
        merged, where = rows.distinct()
        if selected_by is None:
            return cls(merged, where, None)
        at = rows.variables.index(selected_by)
        levels = list(rows.levels)
        # Rows that count for nobody may say nothing.
        chosen = levels[at][rows.codes[int(rows.people.argmax()), at]]
        levels[at] = np.stack([np.ones(len(chosen)), (chosen == 0).astype(float)])
        codes = np.zeros((1, len(rows.variables)), np.int32)
        codes[0, at] = 1
        return cls(merged, where, EncodedRows(rows.variables, codes, tuple(levels), np.ones(1)))

    @property
    def people(self) -> float:
        """How many there are, by weight."""
        return float(self.rows.people.sum())

    def possible(self, found: Counts) -> float:
        """How many of them have findings that are possible, by weight."""
        return float(self.rows.people[np.isfinite(found.log_evidence)].sum())

    def counts(
        self, plan: CountPlan | StratifiedCounts, locals_: Mapping[str, Local], threads: int | None = None
    ) -> tuple[dict[str, list[FloatArray]], float, Counts]:
        """Expected counts (of the unselected too), the log likelihood, and the counts of the rows."""
        tables = {v: x.tables() for v, x in locals_.items()}
        found = expected_counts(plan, self.rows, tables, threads)
        possible = np.isfinite(found.log_evidence)
        people = self.possible(found)
        likelihood = float(self.rows.people[possible] @ found.log_evidence[possible])
        if self.unselected is None:
            return found.tables, likelihood, found
        others = expected_counts(plan, self.unselected, tables, threads)
        unselected = float(np.exp(others.log_evidence[0]))
        likelihood -= people * float(np.log1p(-unselected))
        weight = people * unselected / (1 - unselected)
        total = {
            v: [a + weight * b for a, b in zip(parts, others.tables[v], strict=True)]
            for v, parts in found.tables.items()
        }
        return total, likelihood, found


@dataclass(frozen=True, eq=False)
class Trace:
    """How EM went.

    Attributes
    ----------
    log_likelihood, log_prior : ndarray
        One entry an iteration, the first at the numbers that EM began with.
    converged : bool
        Whether the last step of EM gained less than the tolerance.
    impossible : ndarray of int
        Rows of probability zero; they were left out.
    people : float
        Whose likelihood it is: all but those that are impossible, by weight.
    """

    log_likelihood: FloatArray
    log_prior: FloatArray
    converged: bool
    impossible: np.ndarray[tuple[int], np.dtype[np.intp]]
    people: float

    @property
    def log_posterior(self) -> FloatArray:
        """What never falls."""
        return self.log_likelihood + self.log_prior


@dataclass(frozen=True, eq=False)
class _Point:
    """Numbers, and what the data say there."""

    state: dict[str, Local]
    counts: dict[str, list[FloatArray]]
    log_likelihood: float
    log_prior: float
    found: Counts

    @property
    def log_posterior(self) -> float:
        return self.log_likelihood + self.log_prior

    def next(self) -> dict[str, Local]:
        """One step of EM."""
        return {
            v: x.updated(self.counts[v]) if v in self.counts else x for v, x in self.state.items()
        }


def climb(
    plan: CountPlan | StratifiedCounts,
    patients: Patients,
    locals_: Mapping[str, Local],
    *,
    iterations: int,
    tolerance: float,
    threads: int | None = None,
    on_progress: Progress | None = None,
) -> tuple[dict[str, Local], dict[str, list[FloatArray]], Trace]:
    """Run EM.

    Parameters
    ----------
    plan : CountPlan or StratifiedCounts
        Its free variables are those of `locals_`.
    patients : Patients
    locals_ : mapping id -> Local
    iterations : int
        The most passes over the data.
    tolerance : float
        Stop when a step of EM adds less to the log posterior than this for each person.
    threads : int, optional
    on_progress : callable, optional

    Returns
    -------
    locals, counts, trace
        `counts` are those of the last pass, at the numbers returned.
    """
    likelihood: list[float] = []
    prior: list[float] = []

    def look(state: dict[str, Local]) -> _Point:
        counts, value, found = patients.counts(plan, state, threads)
        return _Point(state, counts, value, sum(x.log_prior() for x in state.values()), found)

    def keep(point: _Point) -> float:
        """The gain over the last point kept."""
        likelihood.append(point.log_likelihood)
        prior.append(point.log_prior)
        gain = point.log_posterior - here.log_posterior if len(prior) > 1 else float("inf")
        if gain < -1e-9 * max(1.0, abs(point.log_posterior)):
            raise BayesnetError(
                f"the log posterior fell by {-gain:.3g}: please report this with the model and data"
            )
        if on_progress:
            on_progress(len(prior) - 1, point.log_posterior, gain / people)
        return gain

    here = look(dict(locals_))
    people = patients.possible(here.found)
    if not people > 0:
        raise LearningError(
            "every row is impossible under the model, so there is nothing to learn from; "
            "`model.posterior(evidence=...)` of one of them names the findings that clash"
        )
    keep(here)
    path = Path()
    gain = float("inf")
    enough = tolerance * people
    converged = False
    while not converged and len(prior) <= iterations:
        by_em = here.next()
        moving = [v for v in by_em if v in here.counts]
        path = path.onward(*({v: s[v] for v in moving} for s in (here.state, by_em)))
        # Only a step of EM can say that there is nothing more to gain.
        leap = path.ahead({v: by_em[v] for v in moving}) if gain > enough else None
        there = None if leap is None else look({**by_em, **leap})
        if there is not None and not there.log_posterior >= here.log_posterior:
            path, there = path.present, None
        accelerated = there is not None
        if there is None:
            there = look(by_em)
        gain = keep(there)
        here = there
        converged = not accelerated and gain <= enough
    found = here.found
    state, counts = here.state, here.counts
    impossible = np.flatnonzero(~np.isfinite(found.log_evidence)[patients.where])
    return state, counts, Trace(np.array(likelihood), np.array(prior), converged, impossible, people)
