"""Published results that are not parameters, beside what the model predicts for them.

A result is a rule (one finding, or so many of a list of criteria), the cause it was tested against,
the people it was tested in, and the figure that was published. The model's own value is exact: the
probability of every combination of answers that meets the rule, given the cause and the people.
"""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from bayesnet.errors import EvidenceError, ModelFileError, Problem, did_you_mean
from bayesnet.inference import likelihood_of
from bayesnet.modelfile.schema import problems_of
from bayesnet.modelfile.source import read_yaml
from bayesnet.network import Network
from bayesnet.network.factor import FloatArray
from bayesnet.validation.intervals import wilson_interval

if TYPE_CHECKING:
    import pandas as pd

    from bayesnet.model import DiagnosticModel

__all__ = ["FILE", "Comparison", "PublishedResult", "compare_with_published", "read_published"]

#: Beside model.yaml.
FILE = "published.yaml"

#: A ratio without a printed interval is matched within this factor.
FACTOR = 1.5
#: Combinations of answers that one rule may have.
MOST_COMBINATIONS = 1 << 17

Measure = Literal[
    "sensitivity", "specificity", "lr_pos", "lr_neg", "odds_ratio", "relative_risk", "probability",
    "posterior", "auc",
]
_RATIOS = ("lr_pos", "lr_neg", "odds_ratio", "relative_risk")
Answers = dict[str, Any]


class Rule(BaseModel):
    """At least so many points among some criteria (a point each by default)."""

    model_config = ConfigDict(extra="forbid")
    at_least: float = 1
    of: Annotated[list[Criterion], Field(min_length=1)]


class Criterion(BaseModel):
    """Answers that must all hold, or a rule of its own, worth some points."""

    model_config = ConfigDict(extra="forbid")
    points: float = 1
    rule: Rule | None = None
    all: Answers = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _bare(cls, data: Any) -> Any:
        if not isinstance(data, Mapping) or data.keys() & {"all", "rule"}:
            return data
        if "of" in data:
            return {"rule": data}
        answers = {k: v for k, v in data.items() if k != "points"}
        return {"all": answers, **({"points": data["points"]} if "points" in data else {})}


Rule.model_rebuild()


class PublishedResult(BaseModel):
    """One published figure and how to ask the model for it."""

    model_config = ConfigDict(extra="forbid")
    id: str = Field(min_length=1)
    title: str = Field(min_length=1)
    rule: Rule
    cause: Answers = Field(default_factory=dict, description="The disease, for accuracy measures.")
    versus: Answers = Field(
        default_factory=dict, description="The controls; by default everyone without the cause."
    )
    among: Answers = Field(default_factory=dict, description="The people studied.")
    measure: Measure
    published: float
    interval: tuple[float, float] | None = None
    n: int | None = None
    studies: list[str] = Field(min_length=1)
    note: str = ""

    @model_validator(mode="before")
    @classmethod
    def _bare_rule(cls, data: Any) -> Any:
        if isinstance(data, Mapping) and isinstance(data.get("rule"), Mapping):
            rule = data["rule"]
            if "of" not in rule:
                return {**data, "rule": {"at_least": 1, "of": [dict(rule)]}}
        return data

    @model_validator(mode="after")
    def _needs_cause(self) -> PublishedResult:
        if self.measure != "probability" and not self.cause:
            raise ValueError(f"{self.measure} needs a `cause`")
        return self

    @property
    def band(self) -> tuple[float, float]:
        """Where the model's value must lie to match."""
        if self.interval is not None:
            return self.interval
        if self.measure in _RATIOS:
            return (self.published / FACTOR, self.published * FACTOR)
        if self.n is not None:
            return wilson_interval(round(self.published * self.n), self.n)
        odds = self.published / (1 - self.published)
        return (odds / FACTOR / (1 + odds / FACTOR), odds * FACTOR / (1 + odds * FACTOR))

    @property
    def band_words(self) -> str:
        """Where the band comes from."""
        if self.interval is not None:
            return "95 % interval"
        if self.measure not in _RATIOS and self.n is not None:
            return f"95 % interval from n = {self.n}"
        return f"factor {FACTOR:g}" + ("" if self.measure in _RATIOS else " of the odds")


@dataclass(frozen=True, slots=True)
class Comparison:
    """A published figure and the model's.

    Attributes
    ----------
    result : PublishedResult
    predicted : float
        Exact, from the model.
    """

    result: PublishedResult
    predicted: float

    @property
    def matched(self) -> bool:
        """Whether the model's value lies in the band."""
        low, high = self.result.band
        return low <= self.predicted <= high


def read_published(model: DiagnosticModel, path: str | os.PathLike[str] | None = None) -> list[PublishedResult]:
    """Read the results listed beside a model.

    Parameters
    ----------
    model : DiagnosticModel
        Its ids, states and study rows are checked against.
    path : path, optional
        The model's own `published.yaml` by default.

    Raises
    ------
    ModelFileError
        With every problem, each with file and line.
    """
    file = Path(path) if path is not None else model.document.folder / FILE
    if path is None and not file.exists():
        raise ModelFileError([Problem(
            f"there is no {FILE} beside the model, so there are no published results to compare it with; "
            "write one (CONTRIBUTING.md) or copy it from the model this one was made from",
            os.fspath(model.document.folder),
        )])
    try:
        source = read_yaml(file, os.fspath(file))
    except OSError as error:
        raise ModelFileError([Problem(f"cannot be read: {error.strerror}", str(file))]) from error
    problems = list(source.problems)
    entries = source.data if isinstance(source.data, list) else []
    if not entries and not problems:
        problems.append(Problem("expected a list of published results", str(file)))
    results: list[PublishedResult] = []
    for i, entry in enumerate(entries):
        try:
            result = PublishedResult.model_validate(entry)
        except ValidationError as error:
            problems += problems_of(error, source, (str(i),))
            continue
        where = source.where(str(i))
        if result.id in {r.id for r in results}:
            problems.append(Problem(f"{result.id}: is listed twice", where))
        for study in result.studies:
            if study not in model.document.studies:
                hint = did_you_mean(study, model.document.studies)
                problems.append(Problem(f"{result.id}: no study {study!r}.{hint}", where))
        asked: list[Answers] = [result.cause, result.versus, result.among]
        for answers in [*asked, *_answers_of(result.rule)]:
            try:
                _vectors(model.network, answers)
            except EvidenceError as error:
                problems += [Problem(f"{result.id}: {p.message}", where) for p in error.problems]
        results.append(result)
    if problems:
        raise ModelFileError(problems)
    return results


def _answers_of(rule: Rule) -> Iterator[Answers]:
    for criterion in rule.of:
        if criterion.rule is not None:
            yield from _answers_of(criterion.rule)
        else:
            yield criterion.all


def _vectors(network: Network, answers: Answers) -> dict[str, FloatArray]:
    found = {}
    problems = []
    for v, value in answers.items():
        if v not in network:
            problems.append(Problem(f"unknown variable {v!r}.{did_you_mean(v, network.variables)}"))
            continue
        try:
            vector = likelihood_of(network[v], value)
        except ValueError as error:
            problems.append(Problem(f"{v}: {error}"))
            continue
        if vector is not None:
            found[v] = vector
    if problems:
        raise EvidenceError(problems)
    return found


def compare_with_published(
    model: DiagnosticModel, results: Sequence[PublishedResult] | None = None
) -> list[Comparison]:
    """The model's exact value for every published result.

    Parameters
    ----------
    model : DiagnosticModel
    results : sequence, optional
        The model's own list by default.
    """
    listed = read_published(model) if results is None else results
    return [Comparison(r, _predict(model, r)) for r in listed]


def to_frame(comparisons: Iterable[Comparison]) -> pd.DataFrame:
    """One row a result: id, title, measure, published, low, high, predicted, matched, studies, note."""
    import pandas as pd

    return pd.DataFrame(
        [
            {
                "id": c.result.id, "title": c.result.title, "measure": c.result.measure,
                "published": c.result.published, "low": c.result.band[0],
                "high": c.result.band[1], "band": c.result.band_words,
                "predicted": c.predicted, "matched": c.matched,
                "studies": c.result.studies, "note": c.result.note,
            }
            for c in comparisons
        ]
    )


def _predict(model: DiagnosticModel, r: PublishedResult) -> float:
    network = model.network
    among = _vectors(network, r.among)
    if r.measure == "probability":
        return _share(model, r.rule, [among])[0]
    case = _both(among, _vectors(network, r.cause))
    if r.versus:
        control = _both(among, _vectors(network, r.versus))
    else:
        if len(r.cause) != 1:
            raise EvidenceError([f"{r.id}: with several causes say who the controls are (`versus`)"])
        (cause, vector), = _vectors(network, r.cause).items()
        control = _both(among, {cause: (vector == 0).astype(float)})
    if r.measure == "auc":
        return _auc(model, r.rule, case, control)
    hit, false = _share(model, r.rule, [case, control])
    if r.measure == "sensitivity":
        return hit
    if r.measure == "specificity":
        return 1 - false
    if r.measure in ("lr_pos", "relative_risk"):
        return hit / false
    if r.measure == "lr_neg":
        return (1 - hit) / (1 - false)
    if r.measure == "odds_ratio":
        return hit / (1 - hit) / (false / (1 - false))
    weights = np.exp(_log_evidence(model, [case, control]))
    return float(hit * weights[0] / (hit * weights[0] + false * weights[1]))


def _both(a: Mapping[str, FloatArray], b: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
    return {**a, **{v: x * a.get(v, 1.0) for v, x in b.items()}}


def _log_evidence(model: DiagnosticModel, rows: Sequence[Mapping[str, FloatArray]]) -> FloatArray:
    found: FloatArray = model.run(rows, ()).log_evidence
    return found


def _auc(
    model: DiagnosticModel,
    rule: Rule,
    case: Mapping[str, FloatArray],
    control: Mapping[str, FloatArray],
) -> float:
    """P(a case scores more points than a control), ties counted half."""
    scored: dict[float, list[dict[str, FloatArray]]] = {}
    for points, answers in _combinations(model.network, rule):
        scored.setdefault(points, []).append(answers)
    below, total = 0.0, 0.0
    for points in sorted(scored):
        (with_cause,), (without,) = (_shares(model, scored[points], [g]) for g in (case, control))
        total += with_cause * (below + without / 2)
        below += without
    return total


def _share(
    model: DiagnosticModel, rule: Rule, groups: Sequence[Mapping[str, FloatArray]]
) -> list[float]:
    """P(rule is met) in each group of people."""
    network = model.network
    if rule.at_least == 1 and all(c.rule is None and c.points == 1 and len(c.all) == 1 for c in rule.of):
        return [1 - p for p in _shares(model, [_none_of(network, rule)], groups)]
    meets = [answers for points, answers in _combinations(network, rule) if points >= rule.at_least]
    return _shares(model, meets, groups)


def _combinations(network: Network, rule: Rule) -> Iterator[tuple[float, dict[str, FloatArray]]]:
    """Every combination of answers that the rule tells apart, with its points."""
    pieces = _pieces(network, rule)
    total = math.prod(len(p) for p in pieces.values())
    if total > MOST_COMBINATIONS:
        raise EvidenceError([f"a rule with {total:,} combinations of answers is too large"])
    for combination in itertools.product(*pieces.values()):
        at = dict(zip(pieces, combination, strict=True))
        yield _points(rule, at, network), {
            v: np.isin(np.arange(len(network[v])), states).astype(float)
            for v, states in at.items()
        }


def _none_of(network: Network, rule: Rule) -> dict[str, FloatArray]:
    """The answers with which a rule of single findings is not met."""
    left: dict[str, FloatArray] = {}
    for answers in _answers_of(rule):
        for v, vector in _vectors(network, answers).items():
            left[v] = left.get(v, np.ones(len(network[v]))) * (vector == 0)
    return left


def _shares(
    model: DiagnosticModel,
    meets: Sequence[Mapping[str, FloatArray]],
    groups: Sequence[Mapping[str, FloatArray]],
) -> list[float]:
    """Total probability of `meets` in each group of people."""
    shares = []
    for group in groups:
        base = _log_evidence(model, [group])[0]
        if not np.isfinite(base):
            raise EvidenceError(["the model holds the people of a published result to be impossible"])
        rows = [_both(group, m) for m in meets]
        shares.append(float(np.exp(_log_evidence(model, rows) - base).sum()) if rows else 0.0)
    return shares


def _pieces(network: Network, rule: Rule) -> dict[str, list[tuple[int, ...]]]:
    """The variables of a rule, each with its states grouped as the rule tells them apart."""
    marks: dict[str, list[FloatArray]] = {}
    for answers in _answers_of(rule):
        for v, vector in _vectors(network, answers).items():
            marks.setdefault(v, []).append(vector)
    pieces = {}
    for v, vectors in marks.items():
        groups: dict[tuple[float, ...], list[int]] = {}
        for i in range(len(network[v])):
            groups.setdefault(tuple(float(x[i]) for x in vectors), []).append(i)
        pieces[v] = [tuple(g) for g in groups.values()]
    return pieces


def _points(rule: Rule, at: Mapping[str, tuple[int, ...]], network: Network) -> float:
    total = 0.0
    for criterion in rule.of:
        if criterion.rule is not None:
            met = _points(criterion.rule, at, network) >= criterion.rule.at_least
        else:
            met = all(
                vector[at[v][0]] > 0 for v, vector in _vectors(network, criterion.all).items()
            )
        total += criterion.points * met
    return total
