"""Interviews with simulated patients: the questions it takes to find the true reason.

Patients are drawn from the network. The link of every cause to the outcome is drawn with them, so
that it is known which causes made the therapy fail. Kept are those in whom it failed because of
exactly one underlying or structural diagnosis, the true reason, which age and sex alone do not put
among the three most probable ones. Each is interviewed three times: the best question next, the
questions in the order of the model's files (as on a form), and in the order of what they tell about
a patient of whom nothing is known (the best form).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesnet.diagnosis.information import next_findings
from bayesnet.diagnosis.interview import TALK
from bayesnet.diagnosis.necessity import outcome_links
from bayesnet.errors import EvidenceError
from bayesnet.inference.sampling import forward_samples
from bayesnet.network.factor import FloatArray

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from bayesnet.model import DiagnosticModel

__all__ = ["STRATEGIES", "Rehearsal", "SimulatedPatient", "rehearse", "simulated_patients"]

#: Strategy to its words in tables and pictures.
STRATEGIES = {
    "next_best": "best question next",
    "fixed": "fixed order, as on a form",
    "best_form": "fixed order, best first",
}
KNOWN_AT_START = ("age", "sex")
#: What is asked and looked at before any test.
CONSULTATION = (*TALK, "examination")


@dataclass(frozen=True, slots=True)
class SimulatedPatient:
    """A drawn patient.

    Attributes
    ----------
    findings : dict variable -> state
        The answer to every question that could be put.
    reason : str
        The one diagnosis because of which therapy failed.
    """

    findings: Mapping[str, str]
    reason: str


@dataclass(frozen=True, eq=False)
class Rehearsal:
    """What came of the interviews.

    Attributes
    ----------
    patients : int
    found : dict strategy -> ndarray
        Shape `(patients, questions + 1)`: whether the true reason is among the three diagnoses most
        probably responsible after so many answers.
    within_reach : dict str -> float
        Share of patients whose reason is in the top three once everything of a consultation is
        known (`consultation`), and every test too (`tests`): no interview can be expected to do
        better.
    """

    patients: int
    found: Mapping[str, FloatArray]
    within_reach: Mapping[str, float] = field(default_factory=dict)

    @property
    def questions(self) -> int:
        """Questions put in each interview."""
        return int(next(iter(self.found.values())).shape[1]) - 1

    def share(self, strategy: str) -> FloatArray:
        """Share of patients whose reason is in the top three, by number of questions answered."""
        return np.asarray(self.found[strategy].mean(axis=0))

    def questions_to_reach(self, strategy: str, share: float) -> int | None:
        """Fewest questions after which at least `share` of the patients are found."""
        enough = np.flatnonzero(self.share(strategy) >= share)
        return int(enough[0]) if len(enough) else None

    def mean_questions(self, strategy: str) -> float:
        """Mean questions until the reason first is in the top three; all of them where it never is.

        A later answer can move it out again, so `share` may be lower than what this suggests.
        """
        hit = self.found[strategy] > 0
        return float(np.where(hit.any(axis=1), hit.argmax(axis=1), self.questions).mean())

    @property
    def table(self) -> pd.DataFrame:
        """Columns questions, and the share in the top three by strategy."""
        import pandas as pd

        return pd.DataFrame(
            {"questions": np.arange(self.questions + 1), **{s: self.share(s) for s in self.found}}
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return {
            "patients": self.patients, "questions": self.questions,
            "mean_questions": {s: self.mean_questions(s) for s in self.found},
            "share_in_top_3": {s: self.share(s).tolist() for s in self.found},
            "share_within_reach": dict(self.within_reach),
        }

    def plot(self, ax: Axes | None = None, theme: str = "light") -> Axes:
        """Share in the top three against the number of questions."""
        from bayesnet.viz.rehearsal_figure import plot_rehearsal

        return plot_rehearsal(self, ax=ax, theme=theme)


def simulated_patients(
    model: DiagnosticModel, n: int, seed: int = 0, top: int = 3, max_draws: int = 2_000_000
) -> tuple[SimulatedPatient, ...]:
    """`n` drawn patients in whom therapy failed because of one diagnosis that is not plain at once.

    Plain at once is a diagnosis that age and sex alone put among the first `top`.

    Raises
    ------
    EvidenceError
        When the model has no outcome, or such patients are too rare to be drawn.
    """
    network, outcome = model.network, model.outcome
    if outcome is None:
        raise EvidenceError(["the model has no outcome, so no reason for its failure can be drawn"])
    links = outcome_links(network, outcome)
    diagnoses = [c for c in links if network[c].group in ("underlying", "structural")]
    asked = [v.id for v in network.variables.values() if v.role not in ("cause", "mechanism", "outcome")]
    rng = np.random.default_rng(seed)
    patients: list[SimulatedPatient] = []
    block = 20_000
    for _ in range(max(1, max_draws // block)):
        states = forward_samples(network, block, rng)
        acts = {c: rng.random(block) < links[c][states[c]] for c in diagnoses}
        alone = np.flatnonzero(sum(a.astype(int) for a in acts.values()) == 1)
        for i in alone:
            findings = {v: network[v].states[states[v][i]] for v in asked}
            reason = next(c for c in diagnoses if acts[c][i])
            known = {v: findings[v] for v in KNOWN_AT_START if v in findings}
            if reason not in _leading(model, known, top):
                patients.append(SimulatedPatient(findings, reason))
            if len(patients) == n:
                return tuple(patients)
    raise EvidenceError(
        [f"only {len(patients)} of {n} patients could be drawn in {max_draws:,} tries; ask for fewer"]
    )


def _leading(model: DiagnosticModel, known: Mapping[str, str], top: int) -> list[str]:
    return [r.cause for r in model.diagnose(known).ranked("diagnoses")[:top]]


def rehearse(
    model: DiagnosticModel,
    patients: int = 100,
    questions: int = 60,
    kinds: tuple[str, ...] = CONSULTATION,
    seed: int = 0,
    top: int = 3,
    progress: Callable[[int], None] | None = None,
) -> Rehearsal:
    """Interview simulated patients in each of `STRATEGIES`, in search of the diagnosis.

    Parameters
    ----------
    model : DiagnosticModel
    patients, questions : int
        Patients to draw, and questions to put to each.
    kinds : tuple of str
        What may be asked (`bayesnet.diagnosis.information.KINDS`).
    seed : int
        Same seed, same patients.
    top : int
        The reason is found when it is among so many first diagnoses.
    progress : callable, optional
        Called with the number of patients done.
    """
    start = [v for v in KNOWN_AT_START if v in model.network]
    aim = model.causes_of("diagnoses")
    best_form = [f.finding for f in next_findings(model.diagnose({}), kinds, causes=aim)]
    form = model.network.of_role(*kinds)
    forms = {
        "fixed": [v for v in form if v not in start][:questions],
        "best_form": [v for v in best_form if v not in start][:questions],
    }
    questions = min(questions, len(forms["fixed"]))
    found = {s: np.zeros((patients, questions + 1)) for s in STRATEGIES}
    reach = {
        "consultation": [*start, *form],
        "tests": [*start, *form, *model.network.of_role("test")],
    }
    reached = dict.fromkeys(reach, 0)
    for i, p in enumerate(simulated_patients(model, patients, seed, top)):
        for strategy in STRATEGIES:
            known = {v: p.findings[v] for v in start}
            for k in range(questions + 1):
                found[strategy][i, k] = p.reason in _leading(model, known, top)
                if k < questions:
                    asked = (
                        forms[strategy][k]
                        if strategy in forms
                        else next_findings(model.diagnose(known), kinds, causes=aim)[0].finding
                    )
                    known[asked] = p.findings[asked]
        for what, known_then in reach.items():
            everything = {v: p.findings[v] for v in known_then}
            reached[what] += p.reason in _leading(model, everything, top)
        if progress is not None:
            progress(i + 1)
    return Rehearsal(patients, found, {what: n / patients for what, n in reached.items()})
