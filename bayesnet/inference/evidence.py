"""What is known about a patient, as a likelihood for every state of every variable."""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from bayesnet.errors import EvidenceError, Problem, did_you_mean
from bayesnet.network import Network, Variable
from bayesnet.network.factor import FloatArray

__all__ = ["Findings", "likelihood_of", "likelihood_row", "likelihoods_of", "stack_rows"]

Findings = Mapping[str, Any]


class EvidenceAxis(Protocol):
    """Where the states of each variable stand in a row of likelihoods."""

    @property
    def width(self) -> int:
        """Length of a row."""

    @property
    def position(self) -> Mapping[str, int]:
        """The column of each variable's first state."""


_TRUE, _FALSE = ("true", "yes"), ("false", "no")


def likelihood_of(variable: Variable, value: Any) -> FloatArray | None:
    """The likelihood of each state that `value` stands for.

    Parameters
    ----------
    variable : Variable
    value : state, list of states, mapping, bool, number or None
        A state; the list of states it may be in; `{state: likelihood}` for virtual evidence; true
        or false for a two-state variable; a number where the variable has bins; None or NaN for
        not known.

    Returns
    -------
    ndarray or None
        Shape `(states,)`; None when nothing is known.

    Raises
    ------
    ValueError
        Saying what was expected.
    """
    states = variable.states
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, Mapping):
        return _virtual(variable, value)
    if isinstance(value, list | tuple | set | frozenset):
        if not value:
            raise ValueError(f"an empty list; {_expected(variable)}")
        total = np.zeros(len(states))
        for item in value:
            one = None if isinstance(item, list | tuple | Mapping) else likelihood_of(variable, item)
            if one is None:
                raise ValueError(f"{item!r} in a list of states; {_expected(variable)}")
            total = np.maximum(total, one)
        return total
    vector: FloatArray = np.eye(len(states))[_state_index(variable, value)]
    return vector


def _state_index(variable: Variable, value: Any) -> int:
    states = variable.states
    if isinstance(value, bool):
        if variable.is_two_state:
            return int(value)
        for word in _TRUE if value else _FALSE:
            for i, state in enumerate(states):
                if state.lower() == word:
                    return i
        raise ValueError(f"true or false does not say which state; {_expected(variable)}")
    if isinstance(value, str):
        if value in states:
            return states.index(value)
        if variable.is_two_state and value.lower() in _TRUE + _FALSE:
            return int(value.lower() in _TRUE)
        number = _as_number(value)
        if variable.bins is None or number is None:
            raise ValueError(
                f"{_brief(value)} is not a state; {_expected(variable)}.{did_you_mean(value, states)}"
            )
        value = number
    if isinstance(value, numbers.Real):
        if variable.bins is not None:
            index = variable.bins.index(float(value))
            if index is None:
                low, high = variable.bins.edges[0], variable.bins.edges[-1]
                raise ValueError(
                    f"{value:g} is outside {low:g} to {high:g} {variable.bins.unit}".rstrip()
                    + "; the model does not speak of such patients"
                )
            return index
        text = f"{value:g}"
        if text in states:
            return states.index(text)
        raise ValueError(f"expected a state, not the number {value!r}; {_expected(variable)}")
    raise ValueError(f"expected a state, not {type(value).__name__}; {_expected(variable)}")


def _virtual(variable: Variable, value: Mapping[Any, Any]) -> FloatArray:
    vector = np.zeros(len(variable))
    left = dict.fromkeys(variable.states)
    for state, likelihood in value.items():
        index = _state_index(variable, state)
        if variable.states[index] not in left:
            raise ValueError(f"virtual evidence names {variable.states[index]} twice")
        if (
            isinstance(likelihood, bool)
            or not isinstance(likelihood, numbers.Real)
            or not math.isfinite(likelihood)
            or likelihood < 0
        ):
            raise ValueError(
                f"the likelihood of {state} must be a number of at least 0, not {likelihood!r}"
            )
        vector[index] = float(likelihood)
        del left[variable.states[index]]
    if left:
        raise ValueError(f"virtual evidence needs a likelihood for {', '.join(left)} too")
    if not vector.any():
        raise ValueError("virtual evidence gives every state likelihood 0")
    return vector


def _as_number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _brief(value: str) -> str:
    return repr(value if len(value) <= 40 else value[:37] + "...")


def _expected(variable: Variable) -> str:
    listed = ", ".join(variable.states)
    if variable.is_two_state:
        listed += " (or false, true)"
    if variable.bins is not None:
        low, high = variable.bins.edges[0], variable.bins.edges[-1]
        listed += f" (or a number from {low:g} to {high:g})"
    return f"expected {listed}"


def likelihoods_of(network: Network, findings: Findings) -> dict[str, FloatArray]:
    """Likelihood vectors of all findings that are known.

    Raises
    ------
    EvidenceError
        Listing everything that is wrong with the findings: unknown ids and states (with the close
        matches), values of the wrong type, numbers out of range.
    """
    if not isinstance(findings, Mapping):
        raise EvidenceError(
            [f"findings must be a mapping of variable to state, not {type(findings).__name__}"]
        )
    problems: list[Problem] = []
    found: dict[str, FloatArray] = {}
    for id, value in findings.items():
        if id not in network:
            hint = did_you_mean(id, network.variables)
            problems.append(Problem(f"unknown variable {id!r}.{hint}"))
            continue
        try:
            vector = likelihood_of(network[id], value)
        except ValueError as error:
            problems.append(Problem(str(error), id))
            continue
        if vector is not None:
            found[id] = vector
    if problems:
        raise EvidenceError(problems)
    return found


def likelihood_row(
    axis: EvidenceAxis, vectors: Mapping[str, FloatArray] | Iterable[tuple[str, FloatArray]]
) -> FloatArray:
    """One row for `run`: ones, with `vectors` at their places.

    Shape `(axis.width,)`; the axis is that of a `Program` or of `Strata`.
    """
    row = np.ones(axis.width)
    at = axis.position
    for id, vector in dict(vectors).items():
        offset = at[id]
        row[offset : offset + len(vector)] = vector
    return row


def stack_rows(axis: EvidenceAxis, rows: Sequence[Mapping[str, FloatArray]]) -> FloatArray:
    """Several patients for `run`, shape `(len(rows), axis.width)`."""
    return np.stack([likelihood_row(axis, r) for r in rows])
