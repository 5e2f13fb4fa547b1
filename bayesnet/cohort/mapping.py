"""A registry's own columns, codes and units, in the words of the model.

    columns:
      Alter: age
      geschlecht: {variable: sex, values: {m: male, w: female}}
      tsk_total: {variable: tampa_scale, thresholds: {high: ">= 38", normal: "< 38"}}
      temp_c: {variable: fever, thresholds: {present: ">= 38", absent: "< 38"}}
      p_fever: {variable: fever, state: present}
    not_known: ["", NA, -9]

A number may be brought to other units before it is read: `scale` and `offset` (x * scale + offset).
Several columns may name one variable; where they differ the row is refused, unless one of them says
`combine: worst`: then the higher state is taken, and of cells with several possible states every
state that can be the higher of the two.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from bayesnet.cohort.codes import code_text, is_missing_code, state_like
from bayesnet.errors import CohortError, Problem, did_you_mean
from bayesnet.inference import likelihood_of
from bayesnet.modelfile.source import read_yaml
from bayesnet.network import Network, Variable
from bayesnet.network.factor import FloatArray

__all__ = ["NOT_KNOWN", "Column", "ColumnMapping", "default_mapping", "read_mapping"]

#: Words for "not known", unless a variable has such a state.
NOT_KNOWN = ("", "na", "n/a", "nan", "null", "none", "nil", "unknown", "missing", "not known", "?")
_BOUND = re.compile(r"\s*(>=|<=|>|<|==?)\s*(-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)\s*")
_COMPARE: Mapping[str, Callable[[float, float], bool]] = {
    ">=": lambda x, y: x >= y, "<=": lambda x, y: x <= y, ">": lambda x, y: x > y,
    "<": lambda x, y: x < y, "=": lambda x, y: x == y, "==": lambda x, y: x == y,
}


@dataclass(frozen=True)
class Column:
    """What one column of a table means.

    Attributes
    ----------
    variable : str
    state : str or None
        When set, the column holds the likelihood of this state (virtual evidence), a number from 0
        to 1 once `scale` and `offset` are applied.
    values : mapping str -> object
        The registry's code (as `code_text` spells it) -> a value as `model.diagnose` takes it; None for not known.
    thresholds : mapping str -> tuple of (operator, number)
        State -> bounds that must all hold; the first state that fits is taken.
    scale, offset : float
        Applied to numbers first: x * scale + offset.
    worst : bool
        Whether, where several columns name the variable, the one with the higher state is taken.
        It is enough that one of them says so.
    """

    variable: str
    state: str | None = None
    values: Mapping[str, Any] = field(default_factory=dict)
    thresholds: Mapping[str, tuple[tuple[str, float], ...]] = field(default_factory=dict)
    scale: float = 1.0
    offset: float = 0.0
    worst: bool = False

    def likelihood(self, variable: Variable, value: Any, not_known: Sequence[str]) -> FloatArray | None:
        """The likelihood of each state that a cell stands for; None for not known.

        Raises
        ------
        ValueError
            Saying what was expected.
        """
        if isinstance(value, str):
            value = value.strip()
        if isinstance(value, Decimal):
            value = float(value)
        text = code_text(value)
        try:
            return self._of(variable, value, text, not_known)
        except ValueError as error:
            shown = value if isinstance(value, str) else text
            raise ValueError(self._instead(variable, shown) or str(error)) from error

    def probability(self, value: Any, not_known: Sequence[str]) -> float:
        """The likelihood of `state` that a cell gives; NaN for not known.

        Raises
        ------
        ValueError
        """
        text = code_text(value)
        if text in not_known or text.lower() in NOT_KNOWN:
            return math.nan
        with contextlib.suppress(TypeError, ValueError):
            number = float(value) * self.scale + self.offset
            if 0 <= number <= 1 or math.isnan(number):
                return number
        shown = value if isinstance(value, str) else text
        raise ValueError(f"{shown!r}: expected a probability from 0 to 1")

    def _of(
        self, variable: Variable, value: Any, text: str, not_known: Sequence[str]
    ) -> FloatArray | None:
        if text in self.values:
            value = self.values[text]
            return likelihood_of(variable, value)
        if text in not_known:
            return None
        if text.lower() in NOT_KNOWN and text.lower() not in variable.states:
            return None
        if isinstance(value, bool) or not self._is_numeric:
            if isinstance(value, str) and "|" in value:
                value = [part.strip() for part in value.split("|")]
            elif text in variable.states and value not in variable.states:
                value = text
            return likelihood_of(variable, value)
        try:
            number = float(value)
        except (TypeError, ValueError):
            return likelihood_of(variable, value)
        if math.isnan(number):
            return None
        number = number * self.scale + self.offset
        if not self.thresholds:
            return likelihood_of(variable, number)
        for state, bounds in self.thresholds.items():
            if all(_COMPARE[op](number, y) for op, y in bounds):
                return likelihood_of(variable, state)
        raise ValueError(f"{number:g} is within no threshold ({', '.join(self.thresholds)})")

    def _instead(self, variable: Variable, text: str) -> str:
        """What to write for a code that is refused, where that can be guessed."""
        state = None if self._is_numeric or "|" in text else state_like(variable, text)
        if state is not None:
            right = state if isinstance(state, str) else "|".join(state)
            return f"{text!r} is not a state: write {right!r}, or a mapping file (bayesnet cohort map)"
        if is_missing_code(text):
            return (
                f"{text!r} is not a value: leave the cell empty where it is not known, or list it "
                "under not_known in a mapping file (bayesnet cohort map)"
            )
        return ""

    @property
    def _is_numeric(self) -> bool:
        return bool(self.thresholds) or (self.scale, self.offset) != (1.0, 0.0)


@dataclass(frozen=True)
class ColumnMapping:
    """What every column means, and which words stand for not known.

    Attributes
    ----------
    columns : mapping name -> Column
    not_known : tuple of str
    """

    columns: Mapping[str, Column]
    not_known: tuple[str, ...] = ()

    def restricted(self, names: Iterable[str]) -> ColumnMapping:
        """Only the columns that a table has."""
        have = set(names)
        return ColumnMapping({c: x for c, x in self.columns.items() if c in have}, self.not_known)

    def to_yaml(self) -> str:
        """The file that `read_mapping` reads."""
        import yaml

        columns: dict[str, Any] = {}
        for name, c in self.columns.items():
            entry: dict[str, Any] = {"variable": c.variable}
            if c.state:
                entry["state"] = c.state
            if c.values:
                entry["values"] = dict(c.values)
            if c.thresholds:
                entry["thresholds"] = {
                    s: ", ".join(f"{op} {x:g}" for op, x in b) for s, b in c.thresholds.items()
                }
            if (c.scale, c.offset) != (1.0, 0.0):
                entry |= {"scale": c.scale, "offset": c.offset}
            if c.worst:
                entry["combine"] = "worst"
            columns[name] = c.variable if len(entry) == 1 else entry
        data = {"columns": columns, "not_known": list(self.not_known)}
        return yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=100)


def default_mapping(network: Network, names: Iterable[str]) -> ColumnMapping:
    """Columns named by variable ids, or `finding__state` for the likelihood of a state."""
    found: dict[str, Column] = {}
    for name in names:
        variable, _, state = str(name).partition("__")
        if name in network:
            found[str(name)] = Column(str(name))
        elif state and variable in network and state in network[variable].states:
            found[str(name)] = Column(variable, state)
    return ColumnMapping(found)


def read_mapping(path: str | os.PathLike[str], network: Network) -> ColumnMapping:
    """Read a mapping file.

    Raises
    ------
    CohortError
        With every problem, each with file and line.
    """
    file = Path(path)
    try:
        source = read_yaml(file, os.fspath(file))
    except OSError as error:
        raise CohortError([Problem(f"cannot be read: {error.strerror}", str(file))]) from error
    except UnicodeDecodeError as error:
        raise CohortError([Problem("is not UTF-8 text", str(file))]) from error
    if source.problems:
        raise CohortError(list(source.problems))
    data = source.data
    if not isinstance(data, dict) or not isinstance(data.get("columns"), dict):
        raise CohortError([Problem("expected `columns:` with an entry for each column", str(file))])
    problems = [
        Problem(f"unknown key {k!r}.{did_you_mean(k, ('columns', 'not_known'))}", source.where(k))
        for k in data if k not in ("columns", "not_known")
    ]
    columns: dict[str, Column] = {}
    for name, entry in data["columns"].items():
        where = source.where("columns", name)
        try:
            columns[name] = _column(entry, network)
        except ValueError as error:
            problems.append(Problem(f"{name}: {error}", where))
    given = data.get("not_known")
    listed = given if isinstance(given, list) else [] if given is None else [given]
    if any(isinstance(x, dict | list) for x in listed):
        problems.append(Problem("not_known must be a code, or a list such as [NA, -9]", source.where("not_known")))
    if problems:
        raise CohortError(problems)
    return ColumnMapping(columns, tuple(code_text(x) for x in listed))


_KEYS = ("variable", "state", "values", "thresholds", "scale", "offset", "combine")


def _column(entry: Any, network: Network) -> Column:
    if isinstance(entry, str):
        entry = {"variable": entry}
    if not isinstance(entry, dict) or "variable" not in entry:
        raise ValueError("expected a variable, or a mapping with `variable:`")
    unknown = [k for k in entry if k not in _KEYS]
    if unknown:
        raise ValueError(f"unknown key {unknown[0]!r}.{did_you_mean(unknown[0], _KEYS)}")
    for key in ("values", "thresholds"):
        if not isinstance(entry.get(key) or {}, dict):
            raise ValueError(f"{key} must be a mapping, not {entry[key]!r}")
    id = entry["variable"]
    if not isinstance(id, str) or id not in network:
        raise ValueError(f"unknown variable {id!r}.{did_you_mean(str(id), network.variables)}")
    variable = network[id]
    state = entry.get("state")
    for s in [*([state] if state is not None else []), *(entry.get("thresholds") or {})]:
        if s not in variable.states:
            raise ValueError(f"{s!r} is not a state of {id}; expected {', '.join(variable.states)}")
    refused = [k for k in ("values", "thresholds", "combine") if entry.get(k)]
    if state is not None and refused:
        raise ValueError(
            f"{refused[0]} is not for a column that holds the likelihood of a state: leave out "
            f"{refused[0]}, or leave out state"
        )
    values = {}
    for code, value in (entry.get("values") or {}).items():
        likelihood_of(variable, value)
        values[code_text(code)] = value
    numbers = {}
    for key in ("scale", "offset"):
        x = entry.get(key, 1.0 if key == "scale" else 0.0)
        if isinstance(x, bool) or not isinstance(x, int | float):
            raise ValueError(f"{key} must be a number, not {x!r}")
        numbers[key] = float(x)
    if entry.get("combine", "agree") not in ("agree", "worst"):
        raise ValueError("combine must be agree or worst")
    return Column(
        id, state, values,
        {s: _bounds(str(text)) for s, text in (entry.get("thresholds") or {}).items()},
        numbers["scale"], numbers["offset"], entry.get("combine") == "worst",
    )


def _bounds(text: str) -> tuple[tuple[str, float], ...]:
    found = []
    for part in text.split(","):
        match = _BOUND.fullmatch(part)
        if match is None:
            raise ValueError(f"threshold {text!r}: expected such as '>= 38' or '>= 20, < 38'")
        found.append((match[1], float(match[2])))
    return tuple(found)
