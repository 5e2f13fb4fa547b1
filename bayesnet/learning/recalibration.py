"""A model moved to a clinic's own frequencies, everything else kept.

A frequency is matched by the number that says how common something is when nothing explains it: the
prevalence of a cause (its log odds shift by the same amount in every stratum, so that odds ratios and
the age profile stay), the rows of a table, the leak of a noisy finding, `none` of a mixture. All are
solved together, because a commoner cause makes its findings commoner too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Real
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from bayesnet.diagnosis.naming import closest, finding_ids, known_as
from bayesnet.errors import EvidenceError, Problem, did_you_mean
from bayesnet.inference import compile_program, likelihoods_of, run, stack_rows
from bayesnet.learning.rewrite import derived, values_of
from bayesnet.learning.selection import LearningError, label_of
from bayesnet.modelfile.reader import Parameter
from bayesnet.network import (
    Distribution,
    Mixture,
    Network,
    NoisyMax,
    OddsRatio,
    SensitivitySpecificity,
    Table,
)
from bayesnet.network.factor import FloatArray

if TYPE_CHECKING:
    from bayesnet.model import Model

__all__ = ["recalibrate"]

ModelT = TypeVar("ModelT", bound="Model")
#: Log odds beyond which a frequency is held to be out of reach.
FARTHEST = 25.0
STEP = 1e-4


@dataclass(frozen=True, eq=False)
class _Target:
    variable: str
    wanted: FloatArray
    states: tuple[int, ...]


def recalibrate(
    model: ModelT,
    frequencies: Mapping[str, Any],
    given: Mapping[str, Any] | None = None,
    source: str = "local frequencies",
) -> ModelT:
    """A new model in which some things are as common as stated.

    Parameters
    ----------
    model : Model or DiagnosticModel
    frequencies : mapping
        Variable id or label -> how often it is present, or `{state: share}` for its states. Those left
        out share what remains as they did before: exactly so where nothing acts on the variable and
        nothing is given, else nearly, because what moves is how common its states are when nothing
        explains them.
    given : mapping, optional
        Among whom: findings as for `diagnose`, for example `{"pt_failure": True}` for a clinic that
        counts those who come back. Everybody by default.
    source : str
        What to name where the numbers are cited.

    Returns
    -------
    Model or DiagnosticModel

    Raises
    ------
    EvidenceError
        For unknown variables and states, shares outside 0 to 1, or one variable named twice.
    ImpossibleEvidenceError
        When nobody can be as `given` says.
    LearningError
        When a frequency cannot be reached by its own number; the message says how far it goes.
    """
    network = model.network
    given = finding_ids(network, {} if given is None else given)
    vectors = likelihoods_of(network, given)
    targets = _targets(model, frequencies, given)
    moving = [t.variable for t in targets]
    # An odds-ratio variable below one that moves keeps its prevalence: its intercepts move.
    below = [
        v for v, d in network.distributions.items()
        if isinstance(d, OddsRatio) and v not in moving and network.ancestors([v]).intersection(moving)
    ]
    observed = list(dict.fromkeys([*vectors, *moving]))
    program = compile_program(
        network, observed, free=[*moving, *below], order=model.strata.order
    )
    row = stack_rows(program, [vectors])
    if not np.isfinite(run(program, row, ()).log_evidence[0]):
        raise model.impossible(vectors)

    def at(shifts: FloatArray) -> Network:
        new = {}
        start = 0
        for t in targets:
            shift = np.zeros(len(network[t.variable]))
            shift[list(t.states)] = shifts[start : start + len(t.states)]
            new[t.variable] = _tilted(network.distributions[t.variable], shift)
            start += len(t.states)
        return network.replace(new)

    def gaps(points: Sequence[FloatArray]) -> FloatArray:
        """Log odds found minus log odds wanted, shape (points, states that are stated)."""
        networks = [at(p) for p in points]
        tables = {
            v: [np.stack(parts) for parts in zip(*([f.values for f in n.factors_of(v)] for n in networks), strict=True)]
            for v in (*moving, *below) if v in program.table_nodes
        }
        found = run(program, np.repeat(row, len(points), axis=0), moving, tables)
        columns = []
        for t in targets:
            p = found.posteriors[t.variable]
            for s in t.states:
                with np.errstate(divide="ignore"):
                    columns.append(np.log(p[:, s] / (1 - p[:, s])) - np.log(t.wanted[s] / (1 - t.wanted[s])))
        return np.stack(columns, axis=1)

    point = np.zeros(sum(len(t.states) for t in targets))
    size = len(point)
    gap = gaps([point])[0]
    if not np.isfinite(gap).all():
        raise _settled(network, targets, gap)
    for _ in range(100):
        if np.abs(gap).max() < 1e-11:
            break
        slope = ((gaps([point + STEP * e for e in np.eye(size)]) - gap) / STEP).T
        step = -np.linalg.lstsq(slope, gap, rcond=1e-12)[0]
        step *= min(1.0, 4.0 / max(np.abs(step).max(), 1e-300))
        now = np.abs(gap).sum()
        # The whole step is nearly always good; shorter ones are looked at where it is not.
        for scales in ([1.0], 0.5 ** np.arange(12)):
            tried = [np.clip(point + a * step, -FARTHEST, FARTHEST) for a in scales]
            reached = gaps(tried)
            errors = np.abs(reached).sum(axis=1)
            best = int(np.argmin(np.where(np.isnan(errors), np.inf, errors)))
            if errors[best] < now / 2:
                break
        if not errors[best] < now * (1 - 1e-12):
            break
        point, gap = tried[best], reached[best]
    if np.abs(gap).max() > 1e-6:
        raise _unreached(network, targets, gap)
    return _rebuilt(model, at(point), moving, source, given)


def _targets(
    model: Model, frequencies: Mapping[str, Any], given: Mapping[str, Any] | None
) -> list[_Target]:
    network = model.network
    problems: list[Problem | str] = []
    found: list[_Target] = []
    named_as: dict[str, str] = {}
    if not isinstance(frequencies, Mapping):
        raise EvidenceError([
            "frequencies must be a mapping such as {'osteoporosis': 0.1}, "
            f"not {type(frequencies).__name__}"
        ])
    if not frequencies:
        raise LearningError("no frequencies: give at least one, for example {'osteoporosis': 0.1}")
    for name, value in frequencies.items():
        v = known_as(network, name)
        if v is None:
            problems.append(f"unknown variable {name!r}.{closest(network, network.variables, name)}")
            continue
        if v in named_as:
            problems.append(f"{named_as[v]!r} and {name!r} are the same variable: write one of them")
            continue
        named_as[v] = name
        if given and v in given:
            problems.append(f"{v} is both a frequency and given")
            continue
        variable = network[v]
        if isinstance(network.distributions[v], SensitivitySpecificity):
            problems.append(f"{v} is a test: state how common what it tests for is, not its result")
            continue
        if isinstance(value, Mapping):
            if not value:
                problems.append(f"{v}: no shares; give one for a state, of {', '.join(variable.states)}")
                continue
            unknown = [s for s in value if s not in variable.states]
            problems += [f"{v}: unknown state {s!r}.{did_you_mean(s, variable.states)}" for s in unknown]
            stated = {s: value[s] for s in value if s not in unknown}
        elif len(variable) == 2:
            stated = {variable.states[1]: value}
        else:
            problems.append(f"{v} has the states {', '.join(variable.states)}: give a share for each but one")
            continue
        shares = {}
        for s, x in stated.items():
            if isinstance(x, bool) or not isinstance(x, Real) or not 0 < float(x) < 1:
                problems.append(f"{v}: a share lies between 0 and 1 (both excluded), not {x!r}")
            else:
                shares[s] = float(x)
        if len(shares) < len(stated) or not shares:
            continue
        total = sum(shares.values())
        if total > 1 + 1e-9 or (len(shares) < len(variable) and total >= 1):
            problems.append(f"{v}: the shares add up to {total:g}")
            continue
        if len(shares) == len(variable) and abs(total - 1) > 1e-9:
            problems.append(f"{v}: the shares of all states add up to {total:g} instead of 1")
            continue
        named = [variable.states.index(s) for s in shares]
        if len(named) == len(variable):
            named = named[1:]
        wanted = np.full(len(variable), np.nan)
        for s in named:
            wanted[s] = shares[variable.states[s]]
        found.append(_Target(v, wanted, tuple(named)))
    if problems:
        raise EvidenceError(problems)
    return found


def _tilted(d: Distribution, shift: FloatArray) -> Distribution:
    """The distribution with log odds moved where nothing explains the variable."""

    def tilt(rows: FloatArray) -> FloatArray:
        moved = rows * np.exp(shift - shift.max())
        out: FloatArray = moved / moved.sum(axis=-1, keepdims=True)
        return out

    if isinstance(d, Table):
        return Table(d.parents, tilt(d.probabilities))
    if isinstance(d, NoisyMax):
        return replace(d, leak=tilt(d.leak))
    if isinstance(d, Mixture):
        return replace(d, none=tilt(d.none))
    assert isinstance(d, OddsRatio)
    return replace(d, prevalence=tilt(d.prevalence))


def _settled(network: Network, targets: Sequence[_Target], gap: FloatArray) -> LearningError:
    """A state that is impossible or certain stays so: no log odds can be moved."""
    i = int(np.flatnonzero(~np.isfinite(gap))[0])
    t, s = [(t, s) for t in targets for s in t.states][i]
    is_so = "certain" if gap[i] > 0 else "impossible"
    return LearningError(
        f"{t.variable}={network[t.variable].states[s]} is {is_so} under the model among those asked "
        f"about, so that it cannot be {t.wanted[s]:.4g} of them: leave it out, or change what is given"
    )


def _unreached(network: Network, targets: Sequence[_Target], gap: FloatArray) -> LearningError:
    worst = int(np.abs(gap).argmax())
    names = [(t, s) for t in targets for s in t.states]
    t, s = names[worst]
    odds = float(np.exp(gap[worst]) * t.wanted[s] / (1 - t.wanted[s]))
    state = network[t.variable].states[s]
    what = "lowered" if gap[worst] > 0 else "raised"
    return LearningError(
        f"{t.variable}={state} cannot be {what} to {t.wanted[s]:.4g}: what the model's causes do to it "
        f"leaves it at {odds / (1 + odds):.4g} whatever its own number is. State the frequency of "
        "those causes too, or learn the links from patients (model.fit)"
    )


def _rebuilt(
    model: ModelT, network: Network, moving: Sequence[str], source: str, given: Mapping[str, Any] | None
) -> ModelT:
    document = getattr(model, "document", None)
    if document is None:
        return type(model)(network)
    from bayesnet.learning.fit import local_study

    among = ", ".join(f"{k}={v}" for k, v in (given or {}).items())
    study = local_study(
        document.studies, source, "Frequencies stated by the user", among or "everybody",
        f"sets {', '.join(moving)}",
    )
    values = values_of(network, document.parameters)
    parameters: list[Parameter] = []
    for p in document.parameters:
        new = values[label_of(p)]
        changed = p.variable in moving and new != p.value
        parameters.append(
            replace(
                p, value=new, studies=(*p.studies, study.id), background=None,
                spread=None if isinstance(p.spread, tuple) else p.spread,
                note=" ".join(x for x in (p.note, f"Recalibrated to {source}.") if x),
            )
            if changed else p
        )
    made: Any = derived(
        document, "recalibrated", network=network, parameters=tuple(parameters), added=(*document.added, study),
    )
    return type(model)(made)
