"""Model folder -> network, with the provenance of every parameter.

The folder holds `model.yaml` (the manifest) and the files it lists, each a mapping of variable ids
to blocks. All problems of all files are collected before anything is raised.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from bayesnet.errors import ModelFileError, Problem, did_you_mean
from bayesnet.modelfile.schema import (
    KINDS,
    Manifest,
    MixtureSpec,
    NoisySpec,
    OddsRatioSpec,
    ParameterSpec,
    Provenance,
    SensitivitySpecificitySpec,
    TableSpec,
    VariableSpec,
    problems_of,
)
from bayesnet.modelfile.source import Source, read_yaml
from bayesnet.network import (
    TWO_STATES,
    Bins,
    Distribution,
    Mixture,
    Network,
    NoisyMax,
    OddsRatio,
    SensitivitySpecificity,
    Table,
    Variable,
)
from bayesnet.network.factor import FloatArray
from bayesnet.network.network import network_problems
from bayesnet.studies import StudyFigure, read_studies

__all__ = [
    "ORDER_FILE", "SHORTCUTS_FILE", "Background", "ModelDocument", "Parameter", "read_model",
]

#: Beside model.yaml: a good elimination order. It changes the speed, never the numbers.
ORDER_FILE = "elimination_order.txt"
#: Beside it: programs for patients in whom some findings are absent or unknown; speed too.
SHORTCUTS_FILE = "shortcuts.json"


@dataclass(frozen=True, slots=True)
class Background:
    """A published rate of a finding that a leak is solved from.

    Attributes
    ----------
    rates : dict state -> float
        How often the finding is in that state, whatever the reason.
    without : tuple of str
        Causes that the people counted did not have.
    """

    rates: Mapping[str, float]
    without: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of the model and where it comes from.

    Attributes
    ----------
    variable : str
    key : tuple of str
        Where in the variable's block: a parent, `leak`, `prevalence`, the states of a row.
    value : float or nested dict
        As written in the file.
    studies : tuple of str
        Ids of rows of the evidence table.
    expert : str
        The reason, where the value is (also) a judgement.
    spread : float, (float, float) or None
        Effective sample size, or 95 % interval.
    note, where : str
        `where` is file:line.
    background : Background or None
        For a leak: the published rate that it reproduces.
    """

    variable: str
    key: tuple[str, ...]
    value: Any
    studies: tuple[str, ...]
    expert: str
    spread: float | tuple[float, float] | None
    note: str
    where: str
    background: Background | None = None

    @property
    def is_by_definition(self) -> bool:
        """Whether every number is 0 or 1: what cannot be otherwise needs no study."""
        return set(_leaves(self.value)) <= {0.0, 1.0}

    def is_read(self, studies: Mapping[str, StudyFigure]) -> bool:
        """Whether a study row backs it that was read, not recalled."""
        return any(studies[s].was_read for s in self.studies)


def _leaves(value: Any) -> Iterator[float]:
    if isinstance(value, Mapping):
        for inner in value.values():
            yield from _leaves(inner)
    else:
        yield value


@dataclass(frozen=True, eq=False)
class ModelDocument:
    """A model as read from its folder.

    Attributes
    ----------
    manifest : Manifest
        Name, version, population, licence, disclaimer, outcome.
    network : Network
    parameters : tuple of Parameter
    folder : Path
    added : tuple of StudyFigure
        Data that parameters were learned from since the files were read.
    """

    manifest: Manifest
    network: Network
    parameters: tuple[Parameter, ...]
    folder: Path
    added: tuple[StudyFigure, ...] = ()

    @cached_property
    def elimination_order(self) -> tuple[str, ...] | None:
        """The order that `bayesnet model optimise` found, unless the arcs have changed since."""
        try:
            text = (self.folder / ORDER_FILE).read_text(encoding="utf-8")
        except OSError:
            return None
        first, _, rest = text.partition("\n")
        return tuple(rest.split()) if first.split()[-1:] == [self.network.structure] else None

    @cached_property
    def shortcuts(self) -> tuple[tuple[frozenset[str], tuple[str, ...]], ...]:
        """What each of those that `bayesnet model optimise` found leaves out, and its order."""
        try:
            data = json.loads((self.folder / SHORTCUTS_FILE).read_text(encoding="utf-8"))
        except OSError:
            return ()
        if data["structure"] != self.network.structure:
            return ()
        return tuple((frozenset(x["without"]), tuple(x["order"])) for x in data["shortcuts"])

    @cached_property
    def studies(self) -> Mapping[str, StudyFigure]:
        """The evidence table that the parameters cite; empty if the model names none."""
        named = self.manifest.studies
        read = {} if named is None else read_studies(self.folder / named)
        return {**read, **{s.id: s for s in self.added}}


class _Unusable(Exception):
    """The block has problems (already noted) and gives no distribution."""


class _Block:
    """Reads the distribution of one variable; notes every problem in `problems`."""

    def __init__(
        self,
        variable: Variable,
        spec: VariableSpec,
        variables: Mapping[str, Variable],
        source: Source,
        studies: Mapping[str, StudyFigure],
        problems: list[Problem],
        parameters: list[Parameter],
    ) -> None:
        self.variable = variable
        self.variables = variables
        self.source = source
        self.studies = studies
        self.problems = problems
        self.parameters = parameters
        self.kind = next(k for k in KINDS if getattr(spec, k) is not None)
        self.spec = getattr(spec, self.kind)
        self.failed = False

    def where(self, *keys: str) -> str:
        return self.source.where(self.variable.id, self.kind, *keys)

    def problem(self, message: str, *keys: str) -> None:
        self.failed = True
        self.problems.append(Problem(f"{self.variable.id}: {message}", self.where(*keys)))

    def distribution(self) -> Distribution:
        if self.spec.studies:
            self._check_studies(self.spec.studies, "studies")
        made: Distribution = getattr(self, f"_{type(self.spec).__name__}")(self.spec)
        if self.failed:
            raise _Unusable
        return made

    # -- one method per kind -------------------------------------------------------------------

    def _TableSpec(self, spec: TableSpec) -> Distribution:
        if spec.rows is None:
            self._note(spec, spec.p, (), ())
            return Table((), self._row(spec.p, ("p",), full=True))
        parents = tuple(spec.given or ())
        known = [self._parent(p, "given") for p in parents]
        if self.failed:
            raise _Unusable
        sizes = [len(p) for p in known if p]
        table = np.full((*sizes, len(self.variable)), np.nan)

        def fill(rows: Any, depth: int, index: tuple[int, ...], path: tuple[str, ...]) -> None:
            if depth == len(parents):
                entry = self._parse(ParameterSpec, rows, ("rows", *path))
                if entry is not None:
                    self._note(entry, entry.p, path, ("rows", *path))
                    table[index] = self._row(entry.p, ("rows", *path), full=True)
                return
            parent = self.variables[parents[depth]]
            if not isinstance(rows, Mapping):
                self.problem(
                    f"expected one row for each state of {parent.id}: {', '.join(parent.states)}",
                    "rows", *path,
                )
                return
            self._known_states(rows, parent, ("rows", *path))
            for i, state in enumerate(parent.states):
                if state in rows:
                    fill(rows[state], depth + 1, (*index, i), (*path, state))
                else:
                    self.problem(f"no row for {parent.id} = {state}", "rows", *path)

        fill(spec.rows, 0, (), ())
        return Table(parents, table)

    def _NoisySpec(self, spec: NoisySpec) -> Distribution:
        nor = self.kind == "noisy_nor"
        if self.kind in ("noisy_or", "noisy_nor") and len(self.variable) != 2:
            self.problem(f"{self.kind} is for two states; use noisy_max")
        parents, links = [], []
        for parent_id, entry in (spec.__pydantic_extra__ or {}).items():
            parent = self._parent(parent_id, parent_id)
            self._note(entry, entry.p, (parent_id,), (parent_id,))
            if parent is None:
                continue
            link = np.zeros((len(parent), len(self.variable)))
            link[:, -1 if nor else 0] = 1
            for i, value, path in self._by_state(parent, entry.p, (parent_id, "p")):
                link[i] = self._row(value, path, full=False, nor=nor)
            parents.append(parent_id)
            links.append(link)
        self._note(spec.leak, spec.leak.p, ("leak",), ("leak",), background=self._background(spec))
        leak = self._row(spec.leak.p, ("leak", "p"), full=False, nor=nor)
        return NoisyMax(tuple(parents), tuple(links), leak, nor)

    def _background(self, spec: NoisySpec) -> Background | None:
        stated = spec.leak.background
        if stated is None:
            return None
        at = ("leak", "background")
        for cause in stated.without:
            self._parent(cause, *at, "without")
        row = self._row(stated.p, (*at, "p"), full=False)
        if self.failed:
            return None
        names = self.variable.states[1:]
        return Background(dict(zip(names, row[1:].tolist(), strict=True)), tuple(stated.without))

    def _OddsRatioSpec(self, spec: OddsRatioSpec) -> Distribution:
        given = spec.prevalence
        by = None
        if given.by is None:
            if given.__pydantic_extra__:
                self.problem(
                    "a prevalence by states needs `by: <parent>`", "prevalence"
                )
            self._note(given, given.p, ("prevalence",), ("prevalence",))
            prevalence = [self._row(given.p, ("prevalence", "p"), full=False)]
        else:
            by = self._parent(given.by, "prevalence", "by")
            strata = given.__pydantic_extra__ or {}
            prevalence = []
            if by is not None:
                self._known_states(strata, by, ("prevalence",))
                for state in by.states:
                    if state not in strata:
                        self.problem(f"no prevalence for {by.id} = {state}", "prevalence")
                        continue
                    entry = strata[state]
                    self._note(entry, entry.p, ("prevalence", state), ("prevalence", state), given)
                    prevalence.append(self._row(entry.p, ("prevalence", state, "p"), full=False))
        parents, ratios = [], []
        for parent_id, risk in (spec.__pydantic_extra__ or {}).items():
            parent = self._parent(parent_id, parent_id)
            self._note(risk, risk.odds, (parent_id,), (parent_id,))
            if parent is None:
                continue
            ratio = np.ones((len(parent), len(self.variable)))
            for i, value, path in self._by_state(parent, risk.odds, (parent_id, "or")):
                if isinstance(value, Mapping):
                    self._known_states(value, self.variable, path, but_first=True)
                    for k, state in enumerate(self.variable.states):
                        if k and state in value:
                            ratio[i, k] = value[state]
                else:
                    ratio[i, 1:] = value
            parents.append(parent_id)
            ratios.append(ratio)
        if self.failed:
            raise _Unusable
        ids = ((by.id,) if by else ()) + tuple(parents)
        return OddsRatio(ids, np.array(prevalence), tuple(ratios), by.id if by else None)

    def _MixtureSpec(self, spec: MixtureSpec) -> Distribution:
        parents, components, weights = [], [], []
        for parent_id, entry in (spec.__pydantic_extra__ or {}).items():
            parent = self._parent(parent_id, parent_id)
            self._note(entry, entry.p, (parent_id,), (parent_id,))
            if parent is None:
                continue
            component = np.zeros((len(parent), len(self.variable)))
            weight = np.zeros(len(parent))
            for i, value, path in self._by_state(parent, entry.p, (parent_id, "p"), every=True):
                component[i] = self._row(value, path, full=True)
                weight[i] = entry.weight
            parents.append(parent_id)
            components.append(component)
            weights.append(weight)
        self._note(spec.none, spec.none.p, ("none",), ("none",))
        none = self._row(spec.none.p, ("none", "p"), full=True)
        return Mixture(tuple(parents), tuple(components), tuple(weights), none)

    def _SensitivitySpecificitySpec(self, spec: SensitivitySpecificitySpec) -> Distribution:
        parent = self._parent(spec.of, "of")
        if len(self.variable) != 2:
            self.problem("sensitivity and specificity are for a test with two states")
        for name in ("sensitivity", "specificity"):
            entry = getattr(spec, name)
            self._note(entry, entry.p, (name,), (name,))
        if not isinstance(spec.specificity.p, float):
            self.problem("expected one number", "specificity", "p")
        if parent is None or self.failed:
            raise _Unusable
        sensitivity = np.zeros(len(parent) - 1)
        for i, value, path in self._by_state(
            parent, spec.sensitivity.p, ("sensitivity", "p"), every=True
        ):
            if isinstance(value, Mapping):
                self.problem("expected one number a state", *path)
            else:
                sensitivity[i - 1] = value
        return SensitivitySpecificity((parent.id,), sensitivity, spec.specificity.p)

    # -- parts ---------------------------------------------------------------------------------

    def _parse(
        self, model: type[ParameterSpec], data: Any, path: tuple[str, ...]
    ) -> ParameterSpec | None:
        try:
            return model.model_validate(data)
        except ValidationError as error:
            self.failed = True
            self.problems += problems_of(
                error, self.source, (self.variable.id, self.kind, *path)
            )
            return None

    def _parent(self, parent: str, *keys: str) -> Variable | None:
        if parent not in self.variables:
            self.problem(
                f"unknown parent {parent!r}.{did_you_mean(parent, self.variables)}", *keys
            )
            return None
        return self.variables[parent]

    def _known_states(
        self, given: Mapping[str, Any], of: Variable, path: Sequence[str], but_first: bool = False
    ) -> None:
        allowed = of.states[1:] if but_first else of.states
        for state in given:
            if state not in allowed:
                extra = (
                    " (the first state is the baseline and has no entry)"
                    if state in of.states
                    else did_you_mean(state, allowed)
                )
                self.problem(
                    f"{state!r} is not a state of {of.id} here; expected "
                    f"{', '.join(allowed)}.{extra}",
                    *path, state,
                )

    def _by_state(
        self, parent: Variable, value: Any, path: tuple[str, ...], every: bool = False
    ) -> Iterator[tuple[int, Any, tuple[str, ...]]]:
        """(state index, value, path) for the non-baseline states of a parent."""
        if len(parent) == 2:
            named = isinstance(value, Mapping) and list(value) == [parent.states[1]]
            yield 1, value[parent.states[1]] if named else value, path
            return
        if not isinstance(value, Mapping):
            self.problem(
                f"{parent.id} has several states: give one value for each of "
                f"{', '.join(parent.states[1:])}",
                *path,
            )
            return
        self._known_states(value, parent, path, but_first=True)
        for i, state in enumerate(parent.states[1:], start=1):
            if state in value:
                yield i, value[state], (*path, state)
            elif every:
                self.problem(f"nothing for {parent.id} = {state}", *path)

    def _row(
        self, value: Any, path: Sequence[str], full: bool, nor: bool = False
    ) -> FloatArray:
        """The distribution over the variable's states that `value` stands for."""
        states = self.variable.states
        row = np.zeros(len(states))
        if isinstance(value, Mapping):
            allowed = states if full else (states[:-1] if nor else states[1:])
            for state, p in value.items():
                if state not in allowed:
                    self.problem(
                        f"{state!r} is not a state here; expected {', '.join(allowed)}."
                        f"{did_you_mean(state, allowed)}",
                        *path, state,
                    )
                elif isinstance(p, Mapping):
                    self.problem(f"expected a number for {state}", *path, state)
                else:
                    row[states.index(state)] = p
            if self.failed:
                return row
            total = row.sum()
            if full:
                if abs(total - 1) > 1e-6:
                    self.problem(f"the probabilities sum to {total:.6g} instead of 1", *path)
                elif (row >= 0).all():
                    row = row / total
            else:
                if total > 1 + 1e-9:
                    self.problem(f"the probabilities sum to {total:.6g}, more than 1", *path)
                row[-1 if nor else 0] = max(0.0, 1 - total)
        elif len(states) == 2:
            row[:] = (value, 1 - value) if nor else (1 - value, value)
        else:
            self.problem(
                f"has {len(states)} states: give one probability for each of {', '.join(states)}",
                *path,
            )
            return row
        if (row < 0).any() or (row > 1).any():
            bad = row[(row < 0) | (row > 1)]
            shown = value if isinstance(value, float) else float(bad[0])
            self.problem(f"probability {shown:g} is outside [0, 1]", *path)
        return row

    def _check_studies(self, ids: Sequence[str], *path: str) -> None:
        for study in ids:
            if study not in self.studies:
                self.problem(
                    f"no study {study!r} in the evidence table."
                    f"{did_you_mean(study, self.studies)}",
                    *path,
                )

    def _note(
        self,
        entry: Provenance,
        value: Any,
        key: tuple[str, ...],
        path: tuple[str, ...],
        *outer: Provenance,
        background: Background | None = None,
    ) -> None:
        """Record a parameter; provenance that it lacks is inherited from its block."""
        if entry.studies and entry is not self.spec:
            self._check_studies(entry.studies, *path, "studies")
        sources = [entry, *outer, self.spec]
        owner = next((s for s in sources if s.studies or s.expert), None)
        if owner is None:
            self.problem(
                f"{' '.join(key) or 'the prior'} has no source: add `studies: [ids]` or "
                '`expert: "why this value"`',
                *path,
            )
            return
        spread = next((s.spread for s in sources if s.spread is not None), None)
        if isinstance(spread, tuple) and hasattr(entry, "p") and _count(value) > 1:
            self.problem(
                f"{' '.join(key) or 'the prior'}: an interval is of one number, and {_count(value)} are given; "
                "write as how many patients they weigh, for example `spread: 100`",
                *path,
            )
        self.parameters.append(
            Parameter(
                self.variable.id, key, value, tuple(owner.studies or ()), owner.expert or "",
                spread, entry.note or "", self.where(*path), background,
            )
        )


def _count(value: Any) -> int:
    """How many numbers a value holds."""
    return sum(map(_count, value.values())) if isinstance(value, Mapping) else 1


def _read_variable(
    id: str, data: Any, role: str, source: Source, problems: list[Problem]
) -> tuple[Variable, VariableSpec] | None:
    try:
        spec = VariableSpec.model_validate(data)
    except ValidationError as error:
        found = problems_of(error, source, (id,))
        problems += [Problem(f"{id}: {p.message}", p.where) for p in found]
        return None
    states = tuple(spec.states) if spec.states else TWO_STATES
    bins = Bins(tuple(spec.bins), spec.unit) if spec.bins else None
    return (
        Variable(
            id, states, spec.label, spec.ask, role, spec.group, bins, spec.note,
            {system: tuple(codes) for system, codes in spec.codes.items()},
        ),
        spec,
    )


def _read_manifest(path: Path, shown: str) -> tuple[Manifest, Source]:
    try:
        source = read_yaml(path, shown)
    except OSError as error:
        raise ModelFileError(
            [Problem(f"cannot be read ({error.strerror}); a model is a folder with model.yaml", shown)]
        ) from error
    if source.problems:
        raise ModelFileError(source.problems)
    try:
        return Manifest.model_validate(source.data or {}), source
    except ValidationError as error:
        raise ModelFileError(problems_of(error, source)) from error


def _outcome_problems(
    outcome: str | None, known: Mapping[str, Variable], distributions: Mapping[str, Distribution]
) -> Iterator[tuple[str, str]]:
    """What keeps a model from saying why the outcome came about (`diagnosis.necessity`)."""
    if outcome is None or outcome not in distributions:
        return
    if not isinstance(distributions[outcome], NoisyMax) or len(known[outcome]) != 2:
        yield outcome, (
            f"{outcome} is the outcome: give it two states and a noisy_or of the causes, so that the "
            "share of each cause in it can be told"
        )
    for id, d in distributions.items():
        if outcome in d.parents:
            yield id, (
                f"{id}: depends on the outcome {outcome}, which is to be explained by what was found; "
                "make it depend on the causes"
            )


def _read_parts(
    manifest: Manifest, source: Source, root: Path, shown: str, problems: list[Problem]
) -> Iterator[tuple[str, Source | None]]:
    """Role and source of every part; None for a file that cannot be read."""
    for role, part in manifest.parts.items():
        if isinstance(part, Mapping):
            yield role, source.part("parts", role)
            continue
        for i, file in enumerate(part):
            try:
                yield role, read_yaml(root / file, os.path.join(shown, file))
            except OSError as error:
                problems.append(
                    Problem(
                        f"cannot read {file}: {error.strerror}", source.where("parts", role, str(i))
                    )
                )
                yield role, None


def read_model(path: str | os.PathLike[str]) -> ModelDocument:
    """Read a model folder, or a model in a single file.

    Parameters
    ----------
    path : path
        A folder that holds `model.yaml` and the files it lists, or one YAML file whose `parts` hold
        the variables themselves.

    Raises
    ------
    ModelFileError
        With every problem of every file, each with file and line.
    """
    shown = os.fspath(path)
    root = Path(path)
    if root.is_file():
        manifest, manifest_source = _read_manifest(root, shown)
        root, shown = root.parent, os.path.dirname(shown)
    else:
        manifest, manifest_source = _read_manifest(
            root / "model.yaml", os.path.join(shown, "model.yaml")
        )
    problems: list[Problem] = []
    studies: Mapping[str, StudyFigure] = {}
    if manifest.studies is not None:
        try:
            studies = read_studies(root / manifest.studies)
        except ModelFileError as error:
            raise ModelFileError(
                [Problem(str(error), manifest_source.where("studies"))]
            ) from error
    specs: dict[str, tuple[Variable, VariableSpec, Source]] = {}
    broken: set[str] = set()
    unreadable = False
    for role, source in _read_parts(manifest, manifest_source, root, shown, problems):
        if source is None:
            unreadable = True
            continue
        problems += source.problems
        unreadable |= bool(source.problems) and not isinstance(source.data, Mapping)
        if source.data is None and not source.problems:
            problems.append(Problem("is empty", source.path))
        if not isinstance(source.data, Mapping):
            if source.data is not None:
                problems.append(Problem("must be a mapping of variable ids", source.path))
            continue
        for id, data in source.data.items():
            if id in specs or id in broken:
                problems.append(
                    Problem(f"{id}: is defined twice", source.where(id))
                )
                continue
            found = _read_variable(id, data, role, source, problems)
            if found is None:
                broken.add(id)
            else:
                specs[id] = (*found, source)
    if unreadable:
        # Everything defined in the missing parts would look unknown.
        raise ModelFileError(problems)
    variables = {id: v for id, (v, _, _) in specs.items()}
    # A variable whose own block is broken is still a known parent for the others.
    known = {**variables, **{b: Variable(b) for b in broken}}
    parameters: list[Parameter] = []
    distributions: dict[str, Distribution] = {}
    for id, (variable, spec, source) in specs.items():
        try:
            distributions[id] = _Block(
                variable, spec, known, source, studies, problems, parameters
            ).distribution()
        except _Unusable:
            broken.add(id)
    if manifest.outcome is not None and manifest.outcome not in known:
        problems.append(
            Problem(
                f"unknown outcome {manifest.outcome!r}.{did_you_mean(manifest.outcome, known)}",
                manifest_source.where("outcome"),
            )
        )
    problems += [
        Problem(message, specs[id][2].where(id))
        for id, message in _outcome_problems(manifest.outcome, known, distributions)
    ]
    problems += [
        Problem(
            f"unknown variable {v!r} in strata.{did_you_mean(v, known)}",
            manifest_source.where("strata"),
        )
        for v in manifest.strata if v not in known
    ]
    usable = [v for v in variables.values() if v.id not in broken]
    if not broken:
        for p in network_problems(usable, distributions):
            at = specs[p.where][2].where(p.where) if p.where in specs else p.where
            problems.append(Problem(f"{p.where}: {p.message}", at))
    if problems:
        raise ModelFileError(problems)
    network = Network(usable, distributions, manifest.name)
    return ModelDocument(manifest, network, tuple(parameters), root)


