"""What to do: the expected utility of every action, its threshold, the regret of waiting.

An action addresses some causes. With G(c, s) the gain when cause c is present in state s and K the
cost in everyone, its expected net benefit is

    sum over c, s of P(c = s | findings, PT failed) G(c, s)  -  K.

For one cause alone it is right from the probability K / G on, the treatment threshold of Pauker &
Kassirer (1975, N Engl J Med 293:229, equation 3, with the harm counted in everyone). The regret of
waiting is the part of the expected gain that is lost when the same is done some weeks later.
"""

from __future__ import annotations

import html
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from bayesnet.errors import EvidenceError, ModelFileError, Problem, did_you_mean
from bayesnet.inference import likelihoods_of
from bayesnet.modelfile.schema import problems_of
from bayesnet.modelfile.source import Source, read_yaml
from bayesnet.network.factor import FloatArray

if TYPE_CHECKING:
    import pandas as pd

    from bayesnet.diagnosis.result import Diagnosis
    from bayesnet.model import DiagnosticModel

__all__ = [
    "LEVELS", "ActionResult", "Pathway", "Pathways", "TriageRule", "actions_frame", "decide",
    "Triage", "fires", "gain_matrix", "leading_actions", "levels_by_benefit", "read_pathways", "triage",
]

#: Beside model.yaml.
FILE = "pathways.yaml"
Level = Literal["emergency", "urgent", "routine"]
LEVELS: tuple[Level, ...] = ("emergency", "urgent", "routine")


class Pathway(BaseModel):
    """One action, as in `pathways.yaml`."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)
    label: str
    urgency: Level
    gains: dict[str, float | dict[str, float]] = Field(alias="for")
    delay: float = Field(default=0.0, ge=0, le=1)
    cost: float = Field(gt=0)
    needs: dict[str, Any] = Field(default_factory=dict)
    after: list[str] = Field(default_factory=list)
    studies: list[str] = Field(default_factory=list)
    expert: str = ""

    @model_validator(mode="after")
    def _has_a_source(self) -> Pathway:
        if not self.studies and not self.expert:
            raise ValueError("has no source: add `studies: [ids]` or `expert: why these values`")
        return self


class TriageRule(BaseModel):
    """Findings that decide the urgency by themselves."""

    model_config = ConfigDict(extra="forbid")
    level: Level
    when: dict[str, Any]
    because: str
    studies: list[str] = Field(min_length=1)


class _Burdens(BaseModel):
    model_config = ConfigDict(extra="allow")
    findings: dict[str, float] = Field(default_factory=dict)


class Pathways(BaseModel):
    """The actions, the burdens of asking, and the rules of one model."""

    model_config = ConfigDict(extra="forbid")
    unit: str
    unit_note: str = ""
    burdens: _Burdens
    actions: dict[str, Pathway]
    rules: list[TriageRule] = Field(default_factory=list)

    def burden(self, finding: str, role: str) -> float:
        """What it costs to ask for or test one finding."""
        own = self.burdens.findings.get(finding)
        if own is not None:
            return own
        extra = self.burdens.model_extra or {}
        return float(extra.get(role, 0.05))

    @property
    def urgency(self) -> npt.NDArray[np.int_]:
        """How soon each action is, as its place in `LEVELS`."""
        return np.array([LEVELS.index(a.urgency) for a in self.actions.values()], int)

    @property
    def empty(self) -> bool:
        """Whether nothing can be said about what to do: the model has no pathways."""
        return not self.actions and not self.rules


#: Of a model without a pathways file: every finding costs the same, and there is nothing to do.
NO_PATHWAYS = Pathways(unit="", burdens=_Burdens(), actions={})


def _needed(pathways: Pathways, model: DiagnosticModel) -> Pathways:
    if pathways.empty:
        raise ModelFileError([Problem(
            f"the model {model.name} does not say what can be done: write {FILE} beside its "
            "model.yaml, or give a file of your own (read_pathways(model, path); --pathways FILE)"
        )])
    return pathways


def read_pathways(model: DiagnosticModel, path: str | os.PathLike[str] | None = None) -> Pathways:
    """Read the pathways of a model, its own by default.

    Raises
    ------
    ModelFileError
        With every problem, each with file and line.
    """
    file = Path(path) if path is not None else model.document.folder / FILE
    try:
        source = read_yaml(file, os.fspath(file))
    except OSError as error:
        raise ModelFileError([Problem(f"cannot be read: {error.strerror}", str(file))]) from error
    if source.problems:
        raise ModelFileError(list(source.problems))
    try:
        found = Pathways.model_validate(source.data)
    except ValidationError as error:
        raise ModelFileError(problems_of(error, source, ())) from error
    problems = _problems(model, found, source)
    if problems:
        raise ModelFileError(problems)
    return found


def _problems(model: DiagnosticModel, found: Pathways, source: Source) -> list[Problem]:
    network = model.network
    problems: list[Problem] = []
    studies = model.document.studies

    def check_findings(answers: Mapping[str, Any], name: str, where: str) -> None:
        try:
            likelihoods_of(network, answers)
        except EvidenceError as error:
            problems.extend(Problem(f"{name}: {p.message}", where) for p in error.problems)

    for finding in found.burdens.findings:
        if finding not in network:
            problems.append(Problem(
                f"burdens: unknown variable {finding!r}.{did_you_mean(finding, network.variables)}",
                source.where("burdens", "findings", finding),
            ))
    for id, action in found.actions.items():
        where = source.where("actions", id)
        for cause, gain in action.gains.items():
            if cause not in model.causes:
                problems.append(Problem(
                    f"{id}: unknown cause {cause!r}.{did_you_mean(cause, model.causes)}",
                    source.where("actions", id, "for", cause),
                ))
                continue
            present = network[cause].states[1:]
            if isinstance(gain, dict) and set(gain) != set(present):
                problems.append(Problem(
                    f"{id}: give one gain for each of {', '.join(present)}",
                    source.where("actions", id, "for", cause),
                ))
        for other in action.after:
            if other not in found.actions:
                problems.append(Problem(
                    f"{id}: unknown action {other!r}.{did_you_mean(other, found.actions)}", where
                ))
        check_findings(action.needs, id, where)
        problems += [
            Problem(f"{id}: no study {s!r}.{did_you_mean(s, studies)}", where)
            for s in action.studies if s not in studies
        ]
    for i, rule in enumerate(found.rules):
        where = source.where("rules", str(i))
        check_findings(rule.when, f"rule {i + 1}", where)
        problems += [
            Problem(f"rule {i + 1}: no study {s!r}.{did_you_mean(s, studies)}", where)
            for s in rule.studies if s not in studies
        ]
    return problems


@dataclass(frozen=True, slots=True)
class ActionResult:
    """One action for one patient.

    Attributes
    ----------
    action, label, urgency : str
    net_benefit : float
        Expected gain less cost; the action is worth it above zero.
    gain, cost : float
    regret_of_waiting : float
        Expected loss if it is done some weeks later.
    reasons : tuple of (cause, expected gain)
        The causes it is for, largest part first.
    thresholds : dict cause -> probability
        From which on the action is right for that cause alone; above one: never for it alone.
    open : tuple of str
        What stands in the way: findings to be known and steps to be tried first.
    """

    action: str
    label: str
    urgency: Level
    net_benefit: float
    gain: float
    cost: float
    regret_of_waiting: float
    reasons: tuple[tuple[str, float], ...]
    thresholds: Mapping[str, float]
    open: tuple[str, ...]

    @property
    def worthwhile(self) -> bool:
        """Whether the expected gain exceeds the cost."""
        return self.net_benefit > 0

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return {
            "action": self.action, "label": self.label, "urgency": self.urgency,
            "net_benefit": self.net_benefit, "gain": self.gain, "cost": self.cost,
            "regret_of_waiting": self.regret_of_waiting,
            "reasons": [{"cause": c, "gain": g} for c, g in self.reasons],
            "thresholds": dict(self.thresholds), "open": list(self.open),
        }


def gain_matrix(model: DiagnosticModel, pathways: Pathways) -> tuple[FloatArray, FloatArray]:
    """Gains by action and cause state, and costs by action.

    Returns
    -------
    ndarray, ndarray
        Shapes `(actions, states of all causes one after the other)` and `(actions,)`.
    """
    network = model.network
    width = sum(len(network[c]) for c in model.causes)
    gains = np.zeros((len(pathways.actions), width))
    for i, action in enumerate(pathways.actions.values()):
        at = 0
        for c in model.causes:
            states = network[c].states
            if c in action.gains:
                gain = action.gains[c]
                for k, s in enumerate(states[1:], 1):
                    gains[i, at + k] = gain[s] if isinstance(gain, dict) else gain
            at += len(states)
    return gains, np.array([a.cost for a in pathways.actions.values()])


def _standing_in_the_way(
    action: Pathway, pathways: Pathways, vectors: Mapping[str, FloatArray], model: DiagnosticModel
) -> tuple[str, ...]:
    found = []
    for finding, wanted in action.needs.items():
        allowed = likelihoods_of(model.network, {finding: wanted})[finding]
        variable = model.network[finding]
        known = vectors.get(finding)
        if known is None:
            found.append(f"first: {variable.name}")
        elif (known * (allowed == 0)).any():
            found.append(f"not with this result: {variable.name}")
    found += [f"after: {pathways.actions[a].label}" for a in action.after]
    return tuple(found)


def decide(diagnosis: Diagnosis, pathways: Pathways | None = None) -> tuple[ActionResult, ...]:
    """Every action with its expected net benefit: those worth it first, the most urgent of them before.

    An action that a slower one outdoes (`triage`) comes after those that none does.

    Raises
    ------
    ModelFileError
        When the model has no pathways.
    """
    model = diagnosis.model
    paths = _needed(pathways or model.pathways, model)
    vectors = likelihoods_of(model.network, diagnosis.findings)
    results = []
    for id, action in paths.actions.items():
        parts, thresholds = [], {}
        for cause, gain in action.gains.items():
            states = diagnosis[cause].states
            by_state = {
                s: gain[s] if isinstance(gain, dict) else gain for s in list(states)[1:]
            }
            parts.append((cause, sum(states[s] * g for s, g in by_state.items())))
            best = max(by_state.values())
            thresholds[cause] = action.cost / best if best > 0 else float("inf")
        parts.sort(key=lambda p: -p[1])
        total = sum(g for _, g in parts)
        results.append(ActionResult(
            id, action.label, action.urgency, total - action.cost, total, action.cost,
            action.delay * total, tuple(parts), {c: t for c, t in thresholds.items() if t <= 1},
            _standing_in_the_way(action, paths, vectors, model),
        ))
    stands = dict(zip(paths.actions, _standing(*_benefits(diagnosis, paths))[0].tolist(), strict=True))
    results.sort(key=lambda r: (
        not r.worthwhile, not stands[r.action], LEVELS.index(r.urgency), -r.net_benefit
    ))
    return tuple(results)


def _benefits(
    diagnosis: Diagnosis, paths: Pathways
) -> tuple[FloatArray, FloatArray, npt.NDArray[np.int_], FloatArray]:
    """Gains, costs and urgency of the actions, and the states of all causes of one patient."""
    model = diagnosis.model
    gains, costs = gain_matrix(model, paths)
    states = [p for c in model.causes for p in diagnosis[c].states.values()]
    return gains, costs, paths.urgency, np.array([states])


def actions_frame(results: tuple[ActionResult, ...]) -> pd.DataFrame:
    """One row an action."""
    import pandas as pd

    return pd.DataFrame(
        [
            [r.action, r.urgency, r.net_benefit, r.gain, r.cost, r.regret_of_waiting,
             ", ".join(c for c, g in r.reasons[:3] if g > 0.05 * max(r.gain, 1e-12)),
             "; ".join(r.open)]
            for r in results
        ],
        columns=["action", "urgency", "net_benefit", "gain", "cost", "regret_of_waiting",
                 "because_of", "open"],
    )


@dataclass(frozen=True, eq=False)
class Triage:
    """How soon a person must be seen, and why.

    Attributes
    ----------
    level : str
        `emergency`, `urgent` or `routine`.
    reasons : tuple of str
        The rules and probabilities that decided it.
    missing : tuple of str
        Findings not yet known that could raise the level, by a rule.
    disclaimer : str
    """

    level: Level
    reasons: tuple[str, ...]
    missing: tuple[str, ...]
    disclaimer: str = field(repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return {
            "level": self.level, "reasons": list(self.reasons), "missing": list(self.missing),
            "disclaimer": self.disclaimer,
        }

    def __repr__(self) -> str:
        lines = [f"{self.level.capitalize()}."]
        lines += [f"- {r}" for r in self.reasons]
        if self.missing:
            lines.append("Not yet known, and could make it more urgent: " + "; ".join(self.missing))
        lines.append(self.disclaimer)
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        reasons = "".join(f"<li>{html.escape(r)}</li>" for r in self.reasons)
        missing = (
            f"<p>Not yet known, and could make it more urgent: {html.escape('; '.join(self.missing))}.</p>"
            if self.missing else ""
        )
        return (
            f"<p><strong>{self.level.capitalize()}.</strong></p><ul>{reasons}</ul>{missing}"
            f"<p><small>{html.escape(self.disclaimer)}</small></p>"
        )


def _outdone(
    gains: FloatArray, costs: FloatArray, states: FloatArray, i: int, j: int
) -> npt.NDArray[np.bool_]:
    """Where action `i` gains less over a slower action `j` than it costs more.

    The two do the same work at different times, and the faster one also finds what the slower one
    would, so that its gain over it is the sum of P(c = s) max(G_i(c, s) - G_j(c, s), 0): what is lost
    by waiting.

    Parameters
    ----------
    gains, costs : ndarray
        As `gain_matrix` gives them.
    states : ndarray
        Shape `(patients, states of all causes)`: their probabilities.
    i, j : int
        Rows of `gains`.
    """
    found: npt.NDArray[np.bool_] = (
        states @ np.maximum(gains[i] - gains[j], 0) <= costs[i] - costs[j]
    )
    return found


def levels_by_benefit(
    gains: FloatArray, costs: FloatArray, urgency: npt.NDArray[np.int_], states: FloatArray
) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.bool_]]:
    """How soon, by expected net benefit alone, and which actions speak for it.

    An action speaks where its expected gain exceeds its cost (Pauker & Kassirer 1975) and no slower
    action that is also worth its cost outdoes it (`_outdone`).

    Parameters
    ----------
    gains, costs : ndarray
        As `gain_matrix` gives them.
    urgency : ndarray of int
        Of every action: its place in `LEVELS`.
    states : ndarray
        Shape `(patients, states of all causes)`.

    Returns
    -------
    ndarray of int, ndarray of bool
        Shapes `(patients,)` (places in `LEVELS`) and `(patients, actions)`.
    """
    routine = LEVELS.index("routine")
    speaks = _standing(gains, costs, urgency, states) & (urgency < routine)
    level = np.where(speaks, urgency, routine).min(axis=1, initial=routine).astype(np.int8)
    return level, speaks


def _standing(
    gains: FloatArray, costs: FloatArray, urgency: npt.NDArray[np.int_], states: FloatArray
) -> npt.NDArray[np.bool_]:
    """Which actions are worth their cost and not outdone by a slower one, `(patients, actions)`."""
    routine = LEVELS.index("routine")
    worthwhile = states @ gains.T > costs
    stands = worthwhile.copy()
    for i in np.flatnonzero(urgency < routine).tolist():
        for j in np.flatnonzero((urgency > urgency[i]) & (urgency < routine)).tolist():
            stands[:, i] &= ~(worthwhile[:, j] & _outdone(gains, costs, states, i, j))
    return stands


def leading_actions(
    gains: FloatArray, costs: FloatArray, urgency: npt.NDArray[np.int_], states: FloatArray
) -> npt.NDArray[np.intp]:
    """The first of `decide` for each patient, by its place; -1 where none is worth its cost."""
    if not len(costs):
        return np.full(len(states), -1)
    stands = _standing(gains, costs, urgency, states)
    soonest = np.where(stands, urgency, len(LEVELS)).min(axis=1, keepdims=True)
    among = stands & (urgency == soonest)
    first = np.where(among, states @ gains.T - costs, -np.inf).argmax(axis=1)
    return np.where(stands.any(axis=1), first, -1)


def fires(when: Mapping[str, FloatArray], known: Mapping[str, FloatArray]) -> bool:
    """Whether a rule's findings, as likelihoods of what it allows, are all known to be met."""
    return all(v in known and not (known[v] * (x == 0)).any() for v, x in when.items())


def triage(diagnosis: Diagnosis, pathways: Pathways | None = None) -> Triage:
    """The urgency by the rules and by expected net benefit, whichever is higher.

    A rule fires only on findings that are known; no probability lowers what a rule has said. By
    benefit, today is called for only where it gains more over the work-up within weeks than it costs
    more (`levels_by_benefit`). The answer never says that a person is safe: a level of routine lists
    what is still unknown.

    Raises
    ------
    ModelFileError
        When the model has no pathways.
    """
    from bayesnet.diagnosis.words import percent

    model = diagnosis.model
    network = model.network
    paths = _needed(pathways or model.pathways, model)
    vectors = likelihoods_of(network, diagnosis.findings)
    fired: list[tuple[int, str]] = []
    missing: dict[str, int] = {}
    for rule in paths.rules:
        allowed = likelihoods_of(network, rule.when)
        unknown = [v for v in allowed if v not in vectors]
        known = [v for v in allowed if v in vectors]
        possible = all((vectors[v] * allowed[v]).any() for v in known)
        rank = LEVELS.index(rule.level)
        if fires(allowed, vectors):
            fired.append((rank, rule.because))
        elif possible:
            for v in unknown:
                # Common context is no gap: only what one would ask or examine.
                if network[v].role in ("history", "examination") and len(allowed) <= 2:
                    missing[v] = min(rank, missing.get(v, rank))
    _, speaks = levels_by_benefit(*_benefits(diagnosis, paths))
    speaking = {a for a, said in zip(paths.actions, speaks[0].tolist(), strict=True) if said}
    for r in decide(diagnosis, paths):
        if r.action in speaking:
            cause, _ = r.reasons[0]
            fired.append((
                LEVELS.index(r.urgency),
                f"{r.label}, mostly for {network[cause].name} "
                f"({percent(diagnosis[cause].posterior)}): expected to gain more than it costs.",
            ))
    rank = min((k for k, _ in fired), default=LEVELS.index("routine"))
    reasons = [text for k, text in sorted(fired, key=lambda f: f[0]) if k == rank]
    if not fired:
        reasons = ["No rule fired and no urgent action is worth its cost on what is known. "
                   "An emergency is not ruled out."]
    gaps = sorted((k, v) for v, k in missing.items() if k < rank)
    return Triage(
        LEVELS[rank], tuple(dict.fromkeys(reasons)),
        tuple(network[v].name for _, v in gaps), model.disclaimer,
    )


