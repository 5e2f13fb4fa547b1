"""Published cases: reading them, and scoring a model on them."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayesnet.diagnosis.pathways import LEVELS
from bayesnet.diagnosis.ranking import rank_among
from bayesnet.diagnosis.result import MEASURES, Diagnosis
from bayesnet.errors import BayesnetError, CaseFileError, Problem, did_you_mean
from bayesnet.inference import likelihoods_of
from bayesnet.shipped import data_file
from bayesnet.validation.intervals import wilson_interval

if TYPE_CHECKING:
    import pandas as pd

    from bayesnet.model import DiagnosticModel

__all__ = [
    "CASE_SETS", "SCOPES", "Case", "CaseScore", "Evaluation", "evaluate", "read_cases", "shipped_case",
    "shipped_cases",
]

#: Cases that come with the package: the file of each set in `data/cases`.
CASE_SETS = {"development": "dev_cases.jsonl", "further": "further_cases.jsonl"}
#: What of a case is told to the model.
SCOPES = ("all", "findings")
TOPS = (1, 3, 5)


@dataclass(frozen=True, slots=True)
class Case:
    """A published case.

    Attributes
    ----------
    id, citation, kind, tier, urgency, summary : str
    findings : dict
        Context, history, examination, questionnaires: what was known before any test.
    tests : dict
        Tests done that do not give the diagnosis away.
    true_causes : tuple of str
        The published diagnosis, primary first.
    pt_failed : bool or None
        Whether the text says that physiotherapy gave no lasting help.
    """

    id: str
    citation: str
    kind: str
    tier: str
    urgency: str
    summary: str
    findings: Mapping[str, Any]
    tests: Mapping[str, Any]
    true_causes: tuple[str, ...]
    pt_failed: bool | None

    def evidence(self, scope: str = "all") -> dict[str, Any]:
        """What is told to the model under `scope` (`all` or `findings`)."""
        if scope not in SCOPES:
            raise ValueError(f"scope={scope!r}: expected {' or '.join(SCOPES)}")
        return {**self.findings, **(self.tests if scope == "all" else {})}

    def __repr__(self) -> str:
        return f"<Case {self.id}: {self.summary}>"

    def _repr_html_(self) -> str:
        return f"<p>{html.escape(self.summary)}</p><p><small>{html.escape(self.citation)}</small></p>"


def read_cases(path: str | Path, model: DiagnosticModel | None = None) -> list[Case]:
    """Read a file of cases, one JSON object a line.

    Parameters
    ----------
    path : path
    model : DiagnosticModel, optional
        Findings and causes are then checked against it.

    Raises
    ------
    CaseFileError
        Listing the line of everything that is wrong.
    """
    name = str(path)
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "is not UTF-8 text"
        raise CaseFileError([Problem(f"cannot be read: {reason}", name)]) from error
    problems: list[Problem] = []
    cases: list[Case] = []
    seen: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        where = f"{name}:{number}"
        case = _case(line, where, problems)
        if case is None:
            continue
        if case.id in seen:
            problems.append(Problem(f"case {case.id!r} is also on line {seen[case.id]}", where))
        seen[case.id] = number
        cases.append(case)
        if model is not None:
            problems += [Problem(f"{case.id}: {m}", where) for m in _misfits(case, model)]
    if not cases and not problems:
        problems.append(Problem("has no cases", name))
    if problems:
        raise CaseFileError(problems)
    return cases


def _case(line: str, where: str, problems: list[Problem]) -> Case | None:
    try:
        data = json.loads(line)
    except json.JSONDecodeError as error:
        problems.append(Problem(f"is not valid JSON: {error.msg}", where))
        return None
    if not isinstance(data, dict):
        problems.append(Problem("expected a JSON object", where))
        return None
    shapes: dict[str, type] = {"id": str, "findings": dict, "true_causes": list}
    wrong = [k for k, kind in shapes.items() if not isinstance(data.get(k), kind)]
    if wrong or not data["true_causes"]:
        problems.append(
            Problem(f"needs {', '.join(wrong or ['true_causes'])} (id: text, findings: object, "
                    "true_causes: list of causes)", where)
        )
        return None
    return Case(
        id=data["id"],
        citation=str(data.get("citation", "")),
        kind=str(data.get("kind", "")),
        tier=str(data.get("tier", "")),
        urgency=str(data.get("urgency", "")),
        summary=str(data.get("summary", "")),
        findings=data["findings"],
        tests=data.get("tests") or {},
        true_causes=tuple(map(str, data["true_causes"])),
        pt_failed=data.get("pt_failed"),
    )


def shipped_cases(
    model: DiagnosticModel | None = None, which: str = "development"
) -> list[Case]:
    """The published cases that come with the package, checked against `model` if one is given.

    Parameters
    ----------
    model : DiagnosticModel, optional
    which : str
        One of `CASE_SETS`: `development`, the cases looked at while the model was built, or
        `further`, cases coded later without sight of it.

    Raises
    ------
    CaseFileError
        For another name.
    """
    if which not in CASE_SETS:
        raise CaseFileError([
            f"no set of cases {which!r}: {' or '.join(CASE_SETS)}.{did_you_mean(which, CASE_SETS)}"
        ])
    return read_cases(data_file("cases", CASE_SETS[which]), model)


def shipped_case(id: str) -> Case:
    """One of them, of any set.

    Raises
    ------
    CaseFileError
        When there is no such case.
    """
    cases = {c.id: c for name in CASE_SETS for c in shipped_cases(which=name)}
    if id not in cases:
        raise CaseFileError([f"no shipped case {id!r}.{did_you_mean(id, cases)}"])
    return cases[id]


def _misfits(case: Case, model: DiagnosticModel) -> Iterable[str]:
    for cause in case.true_causes:
        if cause not in model.causes:
            yield f"unknown cause {cause!r}.{did_you_mean(cause, model.causes)}"
    try:
        likelihoods_of(model.network, case.evidence())
    except BayesnetError as error:
        yield from map(str, getattr(error, "problems", [error]))


@dataclass(frozen=True, slots=True)
class CaseScore:
    """How the model did on one case.

    Attributes
    ----------
    case : Case
    ranks : dict measure -> int
        Rank of the primary true cause within its group (1 is best; ties count against it).
    posterior : float
        Of the primary true cause.
    squared_error : float
        Mean over all causes of (posterior - truth)^2.
    diagnosis : Diagnosis
    """

    case: Case
    ranks: Mapping[str, int]
    posterior: float
    squared_error: float
    diagnosis: Diagnosis

    @property
    def primary(self) -> str:
        """The primary true cause."""
        return self.case.true_causes[0]

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        result = self.diagnosis[self.primary]
        return {
            "id": self.case.id,
            "true_cause": self.primary,
            "group": result.group,
            "urgency": self.case.urgency,
            "rank": dict(self.ranks),
            "posterior": result.posterior,
            "likelihood_ratio": result.to_dict()["likelihood_ratio"],
            "necessity": result.to_dict()["necessity"],
            "leading": {m: self.diagnosis.ranked(result.group, m)[0].cause for m in MEASURES},
        }


@dataclass(frozen=True, eq=False)
class Evaluation:
    """A model's scores on a set of cases.

    Attributes
    ----------
    scores : tuple of CaseScore
    scope : str
        What was told to the model.
    """

    scores: tuple[CaseScore, ...]
    scope: str

    def hits(self, measure: str, top: int) -> int:
        """Cases whose primary true cause is in the top `top` of its group."""
        return sum(s.ranks[measure] <= top for s in self.scores)

    def emergencies(self) -> list[CaseScore]:
        """The scores of the cases of urgency emergency or urgent."""
        return [s for s in self.scores if s.case.urgency in ("emergency", "urgent")]

    def triage(self) -> dict[str, tuple[int, int]]:
        """By published urgency, how many of how many cases were triaged as they should be.

        An emergency or urgent case should not be called routine; any other should. Empty for a
        model without pathways.
        """
        if not self.scores or self.scores[0].diagnosis.model.pathways.empty:
            return {}
        found: dict[str, tuple[int, int]] = {}
        for level in LEVELS:
            mine = [s for s in self.scores if s.case.urgency == level]
            routine = [s.diagnosis.triage.level == "routine" for s in mine]
            found[level] = (sum(r == (level == "routine") for r in routine), len(mine))
        return found

    def summary(self) -> dict[str, Any]:
        """n, log score, Brier score, and per measure the shares in the top 1, 3 and 5.

        The log score is the mean of -ln P(primary true cause); the Brier score the mean over cases
        and causes of (posterior - truth)^2 (lower is better for both). `emergency_recall` is the
        share of emergency and urgent cases whose primary cause is in the top 3. Intervals are
        Wilson's, 95 %.
        """
        n = len(self.scores)
        out: dict[str, Any] = {
            "n": n,
            "scope": self.scope,
            "log_score": sum(-math.log(max(s.posterior, 1e-300)) for s in self.scores) / n,
            "brier": sum(s.squared_error for s in self.scores) / n,
        }
        urgent = self.emergencies()
        for measure in MEASURES:
            entry: dict[str, Any] = {}
            for top in TOPS:
                hits = self.hits(measure, top)
                entry[f"top_{top}"] = hits / n
                entry[f"top_{top}_interval"] = list(wilson_interval(hits, n))
            found = sum(s.ranks[measure] <= 3 for s in urgent)
            entry["emergency_recall"] = found / len(urgent) if urgent else None
            entry["emergency_recall_interval"] = list(wilson_interval(found, len(urgent)))
            out[measure] = entry
        out["triage"] = {
            level: {"right": right, "of": of, "interval": list(wilson_interval(right, of))}
            for level, (right, of) in self.triage().items()
        }
        return out

    def to_frame(self) -> pd.DataFrame:
        """One row a case: true cause, urgency, its ranks, and the probability given to it."""
        import pandas as pd

        return pd.DataFrame([
            {"case": s.case.id, "true_cause": s.primary, "urgency": s.case.urgency,
             **{f"rank_by_{m}": s.ranks[m] for m in MEASURES}, "posterior": s.posterior}
            for s in self.scores
        ])

    def _totals(self) -> pd.DataFrame:
        import pandas as pd

        summary = self.summary()
        rows = {
            m.replace("_", " "): {f"top {k}": summary[m][f"top_{k}"] for k in TOPS}
            | {"emergencies in top 3": summary[m]["emergency_recall"]}
            for m in MEASURES
        }
        return pd.DataFrame(rows).T

    def __repr__(self) -> str:
        if not self.scores:
            return "<Evaluation of no cases>"
        totals = self._totals().to_string(float_format=lambda x: f"{x:.2f}")
        s = self.summary()
        return (
            f"{len(self.scores)} cases, told: {self.scope}\n{totals}\n"
            f"log score {s['log_score']:.3f}, Brier score {s['brier']:.4f}"
        )

    def _repr_html_(self) -> str:
        if not self.scores:
            return "<p>Evaluation of no cases</p>"
        s = self.summary()
        totals = self._totals().to_html(float_format=lambda x: f"{x:.2f}", border=0)
        return (
            f"<b>{len(self.scores)} cases</b>, told: {self.scope}{totals}<small>log score "
            f"{s['log_score']:.3f}, Brier score {s['brier']:.4f}; lower is better. "
            f"{html.escape(self.scores[0].diagnosis.model.disclaimer)}</small>"
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return {"summary": self.summary(), "cases": [s.to_dict() for s in self.scores]}


def evaluate(
    model: DiagnosticModel,
    cases: Sequence[Case],
    scope: str = "all",
    on_progress: Callable[[int], None] | None = None,
) -> Evaluation:
    """Rank the primary true cause of every case within its group.

    Every case is asked as the tool is used: PT failed, why?

    Parameters
    ----------
    model : DiagnosticModel
    cases : sequence of Case
    scope : str
        `all`: findings and tests; `findings`: only what was known before the tests.
    on_progress : callable, optional
        Called with the number of cases done.
    """
    scores = []
    for done, case in enumerate(cases, start=1):
        diagnosis = model.diagnose(case.evidence(scope))
        primary = diagnosis[case.true_causes[0]]
        rivals = [r for r in diagnosis.results if r.group == primary.group and r is not primary]
        ranks = {
            m: rank_among(getattr(primary, m), [getattr(r, m) for r in rivals]) for m in MEASURES
        }
        error = sum(
            (r.posterior - (r.cause in case.true_causes)) ** 2 for r in diagnosis.results
        ) / len(diagnosis.results)
        scores.append(CaseScore(case, ranks, primary.posterior, error, diagnosis))
        if on_progress:
            on_progress(done)
    return Evaluation(tuple(scores), scope)
