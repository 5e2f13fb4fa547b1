"""The schema of model files: what may stand in a block, before its meaning is checked."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    WithJsonSchema,
    model_validator,
)

from bayesnet.errors import Problem, did_you_mean
from bayesnet.modelfile.source import Source

__all__ = [
    "KINDS",
    "Manifest",
    "MixtureSpec",
    "NoisySpec",
    "OddsRatioSpec",
    "ParameterSpec",
    "SensitivitySpecificitySpec",
    "TableSpec",
    "VariableSpec",
    "json_schema",
    "problems_of",
]

KINDS = (
    "table",
    "noisy_or",
    "noisy_max",
    "noisy_nor",
    "odds_ratio",
    "mixture",
    "sensitivity_specificity",
)

#: A number, or a mapping of states to numbers (perhaps of the parent's states to such mappings).
_NUMBERS = {
    "anyOf": [
        {"type": "number"},
        {
            "type": "object",
            "additionalProperties": {
                "anyOf": [
                    {"type": "number"},
                    {"type": "object", "additionalProperties": {"type": "number"}},
                ]
            },
        },
    ]
}


def _check_value(value: Any) -> Any:
    if isinstance(value, bool) or value is None or isinstance(value, str | list):
        raise ValueError(f"expected a number or a mapping of states to numbers, not {value!r}")
    if isinstance(value, int | float):
        if not math.isfinite(value):
            raise ValueError(f"expected a finite number, not {value!r}")
        return float(value)
    return {k: _check_value(v) for k, v in value.items()}


Value = Annotated[Any, BeforeValidator(_check_value), WithJsonSchema(_NUMBERS)]


def _check_spread(value: Any) -> Any:
    if value is None:
        return None
    if isinstance(value, int | float) and not isinstance(value, bool) and value > 0:
        return float(value)
    if (
        isinstance(value, list)
        and len(value) == 2
        and all(isinstance(x, int | float) and not isinstance(x, bool) for x in value)
        and value[0] <= value[1]
    ):
        return (float(value[0]), float(value[1]))
    raise ValueError(
        "expected a number of patients (spread: 150) or a 95 % interval (spread: [0.4, 0.6]), "
        f"not {value!r}"
    )


Spread = Annotated[
    Any,
    BeforeValidator(_check_spread),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "exclusiveMinimum": 0},
                {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2},
            ],
            "description": "As if so many patients had been seen, or a published 95 % interval.",
        }
    ),
]
Words = Annotated[str, Field(min_length=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Provenance(_Strict):
    """Where a number comes from: study rows, or an expert's reason, or both."""

    studies: list[Words] | None = Field(None, description="Ids of rows in data/evidence.csv.")
    expert: Words | None = Field(None, description="Why this value, where no study gives it.")
    spread: Spread = None
    note: str | None = None


class ParameterSpec(Provenance):
    """One parameter; a bare number or mapping stands for `{p: ...}`."""

    p: Value = Field(description="A probability, or one per state.")

    @model_validator(mode="before")
    @classmethod
    def _bare(cls, data: Any) -> Any:
        if isinstance(data, Mapping) and ("p" in data or "or" in data):
            return data
        return {"p": data}


class BackgroundSpec(_Strict):
    """How often the finding occurs without some causes, from all other reasons together."""

    p: Value = Field(description="A probability, or one per state.")
    without: list[Words] = Field(
        default_factory=list, description="Causes that the people counted did not have."
    )

    @model_validator(mode="before")
    @classmethod
    def _bare(cls, data: Any) -> Any:
        return data if isinstance(data, Mapping) and "p" in data else {"p": data}


class LeakSpec(ParameterSpec):
    """A leak; `background` is the rate that `bayesnet model calibrate` solves it from."""

    background: BackgroundSpec | None = None


class OddsRatioParameter(Provenance):
    """The odds ratio of one risk factor; a bare number stands for `{or: ...}`."""

    odds: Value = Field(alias="or", description="Against the risk factor's first state.")

    @model_validator(mode="before")
    @classmethod
    def _bare(cls, data: Any) -> Any:
        return data if isinstance(data, Mapping) and "or" in data else {"or": data}


class ComponentSpec(ParameterSpec):
    """What the child does when this parent drives it."""

    weight: float = Field(1.0, gt=0)


class TableSpec(Provenance):
    """A prior (`p`), or rows for the states of the parents in `given`."""

    p: Value = None
    given: list[Words] | None = None
    rows: dict[str, Any] | None = None

    @model_validator(mode="before")
    @classmethod
    def _p_or_rows(cls, data: Any) -> Any:
        if isinstance(data, Mapping):
            if ("given" in data) != ("rows" in data):
                raise ValueError("`given` (the parents) and `rows` go together")
            if ("p" in data) == ("rows" in data):
                raise ValueError("give either `p` (no parents) or `given` and `rows`")
        return data


class _WithParents(Provenance):
    """A block whose further keys are parents."""

    model_config = ConfigDict(extra="allow")


class NoisySpec(_WithParents):
    """noisy_or, noisy_max, noisy_nor: one link a parent, and a leak."""

    leak: LeakSpec
    __pydantic_extra__: dict[str, ParameterSpec] = Field(init=False)


class PrevalenceSpec(_WithParents):
    """A prevalence, or one for each state of the parent named in `by`."""

    by: Words | None = None
    p: Value = None
    __pydantic_extra__: dict[str, ParameterSpec] = Field(init=False)

    @model_validator(mode="before")
    @classmethod
    def _bare(cls, data: Any) -> Any:
        if isinstance(data, Mapping) and ("p" in data or "by" in data):
            return data
        return {"p": data}


class OddsRatioSpec(_WithParents):
    """A prevalence and one odds ratio a risk factor."""

    prevalence: PrevalenceSpec
    __pydantic_extra__: dict[str, OddsRatioParameter] = Field(init=False)


class MixtureSpec(_WithParents):
    """One distribution a parent that may drive the child, and `none`."""

    none: ParameterSpec
    __pydantic_extra__: dict[str, ComponentSpec] = Field(init=False)


class SensitivitySpecificitySpec(Provenance):
    """A two-state test `of` one parent."""

    of: Words
    sensitivity: ParameterSpec
    specificity: ParameterSpec


class VariableSpec(_Strict):
    """One variable: what it is, and how it depends on its parents."""

    label: str = ""
    ask: str = ""
    group: str = ""
    states: list[Words] | None = Field(None, min_length=2)
    unit: str = ""
    bins: list[float] | None = None
    note: str = ""
    codes: dict[Literal["ICD-10", "ICD-10-CM", "HPO", "LOINC"], list[Words]] = Field(
        default_factory=dict, description="Codes of public vocabularies, verified in data/codes.csv."
    )
    table: TableSpec | None = None
    noisy_or: NoisySpec | None = None
    noisy_max: NoisySpec | None = None
    noisy_nor: NoisySpec | None = None
    odds_ratio: OddsRatioSpec | None = None
    mixture: MixtureSpec | None = None
    sensitivity_specificity: SensitivitySpecificitySpec | None = None

    @model_validator(mode="before")
    @classmethod
    def _one_kind(cls, data: Any) -> Any:
        if isinstance(data, Mapping):
            kinds = [k for k in KINDS if k in data]
            if len(kinds) != 1:
                found = ", ".join(kinds) if kinds else "none"
                raise ValueError(f"needs exactly one of {', '.join(KINDS)}; found {found}")
        return data


class Manifest(_Strict):
    """model.yaml: what the model is and which files make it.

    A model may also be a single file: its parts then hold the variables instead of naming files.
    """

    name: Words
    title: str = ""
    version: Words = "0"
    population: Words = "not stated"
    licence: Words = "not stated"
    disclaimer: Words = "For education and research. Not a medical device."
    outcome: Words | None = Field(None, description="The variable that diagnosis conditions on.")
    strata: list[Words] = Field(
        default_factory=list,
        description="Variables known of nearly everyone (age, sex): answers are faster where they are.",
    )
    studies: Words | None = Field(None, description="The evidence table, relative to this file.")
    parts: dict[
        Literal[
            "context", "cause", "mechanism", "outcome", "history", "examination", "test",
            "questionnaire", "programme",
        ],
        list[Words] | dict[Words, Any],
    ] = Field(description="Variables by role, in display order: files, or the blocks themselves.")


def problems_of(error: ValidationError, source: Source, at: Iterable[str] = ()) -> list[Problem]:
    """The schema's complaints, each with file and line, in plain words."""
    problems = []
    for item in error.errors():
        loc = [str(x) for x in item["loc"]]
        path = [*at, *loc]
        key = loc[-1] if loc else ""
        kind = item["type"]
        if kind == "extra_forbidden":
            allowed = _allowed_keys(error, loc)
            message = f"unknown key {key!r}.{did_you_mean(key, allowed)}"
            if allowed and "Did you mean" not in message:
                message += f" Expected one of: {', '.join(allowed)}."
        elif kind == "missing":
            message = f"{'.'.join(loc)} is missing"
            path = path[:-1]
        elif kind == "value_error":
            said = str(item["ctx"]["error"])
            message = f"{'.'.join(loc)}: {said}" if loc else said
        else:
            said = item["msg"][0].lower() + item["msg"][1:]
            message = f"{'.'.join(loc) or 'this entry'}: {said}, not {_brief(item['input'])}"
        problems.append(Problem(message, source.where(*path)))
    return problems


def _brief(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _allowed_keys(error: ValidationError, loc: list[str]) -> list[str]:
    specs: dict[str, type[BaseModel]] = {
        "table": TableSpec, "sensitivity_specificity": SensitivitySpecificitySpec,
    }
    if error.title == "Manifest":
        return list(Manifest.model_fields)
    if len(loc) == 1:
        return list(VariableSpec.model_fields) if error.title == "VariableSpec" else []
    if len(loc) == 2 and loc[0] in specs:
        return list(specs[loc[0]].model_fields)
    if loc[0] == "odds_ratio":
        return ["or", "studies", "expert", "spread", "note"]
    if loc[0] == "mixture":
        return ["p", "weight", "studies", "expert", "spread", "note"]
    if loc[1:2] == ["leak"]:
        return ["p", "background", "studies", "expert", "spread", "note"]
    return ["p", "studies", "expert", "spread", "note"]


def json_schema() -> dict[str, Any]:
    """JSON Schema of the variable files, for editors (`# yaml-language-server: $schema=...`)."""
    schema = VariableSpec.model_json_schema(by_alias=True, ref_template="#/$defs/{model}")
    definitions = schema.pop("$defs", {})
    for name in ("ParameterSpec", "LeakSpec", "BackgroundSpec", "ComponentSpec", "OddsRatioParameter", "PrevalenceSpec"):
        if name in definitions:
            definitions[name] = {"anyOf": [_NUMBERS, definitions[name]]}
    definitions["Variable"] = {
        **schema,
        "oneOf": [{"required": [kind]} for kind in KINDS],
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "bayesnet model part",
        "description": "Variables of a bayesnet model: one block a variable.",
        "type": "object",
        "additionalProperties": {"$ref": "#/$defs/Variable"},
        "$defs": definitions,
    }
