"""The description of the HTTP API (OpenAPI 3.1), with an example for every question."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bayesnet.model import DiagnosticModel

__all__ = ["EXAMPLES", "openapi"]

_FINDINGS = {"age": 34, "rest_response": "worse", "fever": {"absent": 0.9, "present": 0.1}}
#: Question -> (summary, a request).
EXAMPLES: dict[str, tuple[str, dict[str, Any]]] = {
    "diagnose": ("Rank the causes, with triage", {"findings": _FINDINGS}),
    "next": (
        "What to ask, examine or test next",
        {"findings": _FINDINGS, "kinds": ["history"], "by": "information", "top": 3},
    ),
    "explain": (
        "What every finding says for and against a cause, in decibans",
        {"findings": _FINDINGS, "cause": "axial_spondyloarthritis"},
    ),
    "whatif": (
        "The same patient with another finding (set), or with a cause forced (do)",
        {"findings": _FINDINGS, "set": {"hla_b27": "positive"}, "do": {"poor_sleep": "absent"}},
    ),
    "view": ("Everything that the page draws", {"findings": _FINDINGS, "chosen": ""}),
}
_VALUE = {
    "description": "A state; a list of states it may be in; {state: likelihood} for uncertain "
    "evidence; true or false; a number where the variable takes one; null for not known.",
}
_FIELDS: dict[str, dict[str, Any]] = {
    "kinds": {"type": "array", "items": {"type": "string"}, "description": "Of: context, history, "
              "examination, questionnaire, programme, test."},
    "by": {"enum": ["information", "utility"]},
    "top": {"type": "integer", "minimum": 1},
    "cause": {"type": "string"},
    "over": {"type": "string", "description": "Explain the cause against this other one."},
    "set": {"type": "object", "additionalProperties": _VALUE},
    "do": {"type": "object", "additionalProperties": {"type": "string"}},
    "chosen": {"type": "string", "description": "A cause to explain; empty for none."},
}


def openapi(model: DiagnosticModel) -> dict[str, Any]:
    """The description of the API for one model."""
    from bayesnet.explorer.api import FIELDS

    paths: dict[str, Any] = {
        "/v1/model": {"get": _read("The variables, their questions and states, and the network")},
        "/v1/cases": {"get": _read("The published cases")},
    }
    for name, (summary, example) in EXAMPLES.items():
        properties = {"findings": {"$ref": "#/components/schemas/Findings"}}
        properties |= {f: _FIELDS[f] for f in FIELDS[name]}
        needed = ["findings", *[f for f, (_, must) in FIELDS[name].items() if must]]
        body = {"type": "object", "properties": properties, "required": needed,
                "additionalProperties": False}
        paths[f"/v1/{name}"] = {"post": {
            "summary": summary,
            "requestBody": {"required": True, "content": {
                "application/json": {"schema": body, "example": example}}},
            "responses": {
                "200": _response("The answer, with a disclaimer", "Answer"),
                **{code: _response(said, "Error") for code, said in _ERRORS.items()},
            },
        }}
    return {
        "openapi": "3.1.0",
        "info": {"title": f"bayesnet: {model.name}", "version": model.version,
                 "description": f"{model.document.manifest.title} {model.disclaimer}"},
        "paths": paths,
        "components": {"schemas": {
            "Findings": {
                "type": "object",
                "description": "Variable to value; the ids and states are in /v1/model.",
                "additionalProperties": _VALUE,
            },
            "Answer": {"type": "object", "properties": {"disclaimer": {"type": "string"}},
                       "required": ["disclaimer"]},
            "Error": {
                "type": "object", "required": ["error", "disclaimer"],
                "properties": {
                    "disclaimer": {"type": "string"},
                    "error": {"type": "object", "required": ["message", "problems"], "properties": {
                        "message": {"type": "string", "description": "As on the command line."},
                        "problems": {"type": "array", "items": {
                            "type": "object", "required": ["message", "where"],
                            "properties": {"message": {"type": "string"},
                                           "where": {"type": "string"}},
                        }},
                    }},
                },
            },
        }},
    }


_ERRORS = {
    "403": "Another Host, origin or site", "413": "The body is too large",
    "415": "Not JSON", "422": "The request or the findings are wrong; every problem is listed",
    "503": "Not answered in time",
}


def _read(summary: str) -> dict[str, Any]:
    return {"summary": summary, "responses": {"200": _response("The data, with a disclaimer", "Answer")}}


def _response(description: str, schema: str) -> dict[str, Any]:
    return {"description": description, "content": {
        "application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}}
