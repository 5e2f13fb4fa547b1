"""What the page shows, as plain data: pure functions of a model and of a patient's findings.

The page computes nothing: a notebook and the web server hand it the same dictionaries.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bayesnet.diagnosis.explanation import explain
from bayesnet.diagnosis.information import NextFinding, next_findings
from bayesnet.diagnosis.naming import cause_id
from bayesnet.diagnosis.pathways import FILE as PATHWAYS_FILE
from bayesnet.diagnosis.result import MEASURES, CauseResult, Diagnosis
from bayesnet.diagnosis.words import DECIBANS, because, finding_words, name_of, question
from bayesnet.errors import BayesnetError, Problem
from bayesnet.explorer.graph import FINDING_ROLES, patient_graph, whole_graph
from bayesnet.inference import likelihoods_of
from bayesnet.network import Variable
from bayesnet.viz.style import words

if TYPE_CHECKING:
    from bayesnet.model import DiagnosticModel

__all__ = ["Picture", "cases_view", "error_view", "model_view", "patient_view", "picture"]

#: Kinds of findings that are offered together, and how many of each.
ASKED = {
    "ask": ("context", "history", "programme", "questionnaire"),
    "examine": ("examination",),
    "test": ("test",),
}
OFFERED = 4
SECTIONS = {
    "context": "Known before", "history": "History", "examination": "Examination",
    "questionnaire": "Questionnaires", "programme": "Programme", "test": "Tests",
}


def model_view(model: DiagnosticModel) -> dict[str, Any]:
    """What does not change with the patient: variables, sections, the whole network, priors."""
    from bayesnet.shipped import shipped_models

    network = model.network
    failed = {model.outcome: True} if model.outcome else {}
    prior = model.posterior(None, failed)
    sections: dict[tuple[str, str], list[str]] = {}
    for role in ("context", *FINDING_ROLES):
        for v in network.of_role(role):
            sections.setdefault((role, network[v].group), []).append(v)
    return {
        "name": model.name,
        "source": model.name if model.name in shipped_models() else str(model.document.folder),
        "version": model.version,
        "title": model.document.manifest.title,
        "question": question(model),
        "disclaimer": model.disclaimer,
        "variables": {v.id: _variable(v) for v in network.variables.values()},
        "priors": {v: list(p.values()) for v, p in prior.items()},
        "sections": [
            {"role": role, "section": SECTIONS[role],
             "title": SECTIONS[role] if group in ("", role) else words(group),
             "findings": ids}
            for (role, group), ids in sections.items()
        ],
        "whole": whole_graph(network),
        "measures": {
            "necessity": because(model), "posterior": "It is present",
            "likelihood_ratio": "What the findings say (LR)",
        },
        "decibans": DECIBANS,
    }


def _variable(v: Variable) -> dict[str, Any]:
    found: dict[str, Any] = {
        "name": v.name, "ask": v.ask, "states": list(v.states), "role": v.role, "group": v.group,
    }
    if v.bins:
        found["bins"] = {"low": v.bins.edges[0], "high": v.bins.edges[-1], "unit": v.bins.unit}
    return found


def cases_view(model: DiagnosticModel) -> list[dict[str, Any]]:
    """The published cases that the model can read, for the page to load."""
    from bayesnet.shipped import data_file
    from bayesnet.validation import read_cases

    found = []
    for case in read_cases(data_file("cases", "dev_cases.jsonl")):
        evidence = case.evidence()
        if {*evidence, *case.true_causes} <= set(model.network.variables):
            found.append({
                "id": case.id, "summary": case.summary, "citation": case.citation,
                "evidence": evidence,
                "diagnosis": [model.network[c].name for c in case.true_causes],
            })
    return sorted(found, key=lambda c: c["id"])


def patient_view(diagnosis: Diagnosis, chosen: str = "") -> dict[str, Any]:
    """Everything that the page draws for one patient.

    Parameters
    ----------
    diagnosis : Diagnosis
    chosen : str
        The cause to explain, by id or label; none when empty.

    Raises
    ------
    EvidenceError
        For an unknown cause.
    """
    model = diagnosis.model
    network = model.network
    chosen = cause_id(network, model.causes, chosen) if chosen else ""
    has_pathways = (model.document.folder / PATHWAYS_FILE).is_file()
    known = {v: x for v, x in diagnosis.findings.items() if x is not None}
    vectors = likelihoods_of(network, known)
    posterior = diagnosis.posterior()
    return {
        "evidence": known,
        "known": [
            {"id": v, "words": finding_words(network[v], known[v]), "likelihood": x.tolist()}
            for v, x in vectors.items()
        ],
        "causes": {
            group: {
                "rows": [_cause(r) for r in diagnosis.ranked(group)],
                "order": {by: [r.cause for r in diagnosis.ranked(group, by)] for by in MEASURES},
            }
            for group in ("diagnoses", "contributors")
        },
        "posteriors": {v: list(p.values()) for v, p in posterior.items()},
        "triage": diagnosis.triage.to_dict() if has_pathways else None,
        "next": _offered(next_findings(diagnosis)) if has_pathways else {},
        "graph": patient_graph(diagnosis, chosen),
        "chosen": chosen,
        "explanation": _explanation(diagnosis, chosen) if chosen else None,
        "error": None,
    }


def _cause(r: CauseResult) -> dict[str, Any]:
    return {**r.to_dict(), "label": name_of(r), "certain": math.isinf(r.likelihood_ratio)}


def _offered(found: Sequence[NextFinding]) -> dict[str, list[dict[str, Any]]]:
    """The best few of each kind."""
    return {
        name: [f.to_dict() for f in found if f.kind in kinds][:OFFERED]
        for name, kinds in ASKED.items()
    }


def _explanation(diagnosis: Diagnosis, cause: str) -> dict[str, Any]:
    found = explain(diagnosis, cause)
    data = found.to_dict()
    data["label"] = found.label
    data["sentence"] = found.sentence()
    data["blocks"] = [
        {
            "mechanism": mechanism, "weight": _finite(weight),
            "findings": [{**f.to_dict(), "way": found.way(f)} for f in members],
        }
        for mechanism, weight, members in found.blocks()
    ]
    data["rivals"] = [
        {"cause": r.cause, "label": r.label, "posterior_without": r.posterior_without}
        for r in found.rivals
    ]
    return data


def _finite(weight: float) -> float | None:
    return weight if math.isfinite(weight) else None


def error_view(error: BayesnetError) -> dict[str, Any]:
    """An error as plain data: the message of the command line, and its problems one by one."""
    problems: Sequence[Problem | str] = getattr(error, "problems", (Problem(str(error)),))
    return {
        "message": str(error),
        "problems": [
            {"message": p.message, "where": p.where} if isinstance(p, Problem) else {"message": p}
            for p in problems
        ],
    }


@dataclass(frozen=True, eq=False)
class Picture:
    """One patient's diagnosis, and the page drawn from it."""

    diagnosis: Diagnosis
    view: Mapping[str, Any]


def picture(model: DiagnosticModel, evidence: Mapping[str, Any], chosen: str = "") -> Picture:
    """Diagnose and draw in one go.

    Raises
    ------
    EvidenceError, ImpossibleEvidenceError
    """
    diagnosis = model.diagnose(evidence)
    return Picture(diagnosis, patient_view(diagnosis, chosen))
