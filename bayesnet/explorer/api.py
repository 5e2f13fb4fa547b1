"""What the HTTP API answers: pure functions from a request's JSON text to plain data.

Every request is a JSON object with `findings`; what else it may hold is listed in `FIELDS`. Mistakes
are `EvidenceError`s with the messages of the command line; every answer has the disclaimer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from bayesnet.diagnosis.information import KINDS, RANKINGS, next_findings
from bayesnet.diagnosis.patient import parse_json
from bayesnet.errors import EvidenceError, Problem, did_you_mean
from bayesnet.explorer.view import patient_view

if TYPE_CHECKING:
    import pandas as pd

    from bayesnet.model import DiagnosticModel

__all__ = ["ANSWERS", "FIELDS", "answer"]

#: What a request may hold beside `findings`: field -> (type, needed).
FIELDS: Mapping[str, Mapping[str, tuple[type, bool]]] = {
    "diagnose": {},
    "next": {"kinds": (list, False), "by": (str, False), "top": (int, False)},
    "explain": {"cause": (str, True), "over": (str, False)},
    "whatif": {"set": (dict, False), "do": (dict, False)},
    "view": {"chosen": (str, False)},
}
_TYPES = {list: "a list", str: "a text", int: "a whole number", dict: "a mapping such as {\"fever\": true}"}

_EXAMPLES = {"findings": 'a mapping such as {"fever": true}', "cause": 'a cause by its id or label, such as "poor_sleep"'}


def answer(model: DiagnosticModel, question: str, body: bytes) -> dict[str, Any]:
    """The answer to one request.

    Parameters
    ----------
    model : DiagnosticModel
    question : str
        A key of `FIELDS`.
    body : bytes
        The request's JSON.

    Raises
    ------
    EvidenceError, ImpossibleEvidenceError
    """
    request = _request(question, body)
    return {**ANSWERS[question](model, request), "disclaimer": model.disclaimer}


def _request(question: str, body: bytes) -> dict[str, Any]:
    data = parse_json(body, "request")
    if not isinstance(data, dict):
        raise EvidenceError([Problem(f"expected a JSON object, not {type(data).__name__}", "request")])
    fields = {"findings": (dict, True), **FIELDS[question]}
    problems = []
    for name, value in data.items():
        if name not in fields:
            problems.append(
                Problem(f"unknown field {name!r}; expected {', '.join(fields)}."
                        f"{did_you_mean(name, fields)}", "request")
            )
            continue
        kind = fields[name][0]
        if not isinstance(value, kind) or isinstance(value, bool):
            problems.append(Problem(f"expected {_TYPES[kind]}, not {type(value).__name__}", name))
    problems += [
        Problem(f"{name!r} is missing; write {_EXAMPLES[name]}", "request")
        for name, (_, needed) in fields.items() if needed and name not in data
    ]
    if problems:
        raise EvidenceError(problems)
    return data


def _diagnose(model: DiagnosticModel, request: Mapping[str, Any]) -> dict[str, Any]:
    diagnosis = model.diagnose(request["findings"])
    return {**diagnosis.to_dict(), "triage": diagnosis.triage.to_dict()}


def _next(model: DiagnosticModel, request: Mapping[str, Any]) -> dict[str, Any]:
    by, kinds = request.get("by", "information"), request.get("kinds")
    if by not in RANKINGS:
        raise EvidenceError([Problem(f"{by!r}: expected {' or '.join(RANKINGS)}."
                                     f"{did_you_mean(by, RANKINGS)}", "by")])
    wrong = [k for k in kinds or () if not isinstance(k, str)]
    if wrong:
        raise EvidenceError([Problem(f"expected some of {', '.join(KINDS)}", "kinds")])
    found = next_findings(model.diagnose(request["findings"]), kinds, by)
    top = request.get("top", len(found))
    if top < 1:
        raise EvidenceError([Problem("expected 1 or more", "top")])
    return {"findings": [f.to_dict() for f in found[:top]]}


def _explain(model: DiagnosticModel, request: Mapping[str, Any]) -> dict[str, Any]:
    found = model.diagnose(request["findings"]).why(request["cause"], request.get("over"))
    return {**found.to_dict(), "sentence": found.sentence()}


def _whatif(model: DiagnosticModel, request: Mapping[str, Any]) -> dict[str, Any]:
    if not request.get("set") and not request.get("do"):
        raise EvidenceError(["say what to change: set (findings), or do (causes)"])
    diagnosis = model.diagnose(request["findings"])
    found = {}
    if request.get("set"):
        found["observed"] = _records(diagnosis.what_if(request["set"]))
    if request.get("do"):
        found["forced"] = _records(diagnosis.do(request["do"]))
    return found


def _view(model: DiagnosticModel, request: Mapping[str, Any]) -> dict[str, Any]:
    return patient_view(model.diagnose(request["findings"]), request.get("chosen", ""))


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [
        {str(k): None if isinstance(x, float) and math.isnan(x) else x for k, x in r.items()}
        for r in frame.to_dict("records")
    ]


#: Question -> the function that answers it.
ANSWERS: Mapping[str, Callable[[DiagnosticModel, Mapping[str, Any]], dict[str, Any]]] = {
    "diagnose": _diagnose, "next": _next, "explain": _explain, "whatif": _whatif, "view": _view,
}
