"""A mapping proposed from a table's column names and some of their values."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bayesnet.cohort.codes import ALIKE, code_text, is_missing_code, legend, plain, state_like
from bayesnet.cohort.mapping import Column, ColumnMapping, default_mapping
from bayesnet.network import Network, Variable

__all__ = ["suggest_mapping", "unread_values"]

#: What registries call a variable whose id and label are quite other words.
_ALSO = {"gender": "sex"}
_UNITS = ("years", "year", "yrs", "yr", "y")


@dataclass
class _Reading:
    """The values of one column, by what could be made of them."""

    understood: set[str] = field(default_factory=set)
    values: dict[str, Any] = field(default_factory=dict)
    missing: set[str] = field(default_factory=set)
    unread: list[str] = field(default_factory=list)


def suggest_mapping(network: Network, columns: Mapping[str, Sequence[Any]]) -> ColumnMapping:
    """A mapping proposed from the names of columns and some of their values.

    Parameters
    ----------
    network : Network
    columns : mapping name -> sequence
        Distinct values of each column; a few hundred are enough.

    Returns
    -------
    ColumnMapping
        Columns whose name is a variable's id or label, or alike (difflib's ratio of at least 0.75),
        with codes brought to states where they are alike: 0/1, yes/no, M/F, 1 and 2 where they are
        labelled. Codes such as -9 and 999 are not known, unless they are a value of some column. To
        be read and corrected by a person.
    """
    found: dict[str, Column] = {}
    readings: dict[str, _Reading] = {}
    for column, seen in columns.items():
        direct = default_mapping(network, [column]).columns
        if direct and direct[column].state is not None:
            found |= direct
            continue
        id = _variable_named(network, column)
        if id is None:
            continue
        read = _read(network[id], column, seen)
        if direct or read.understood or read.values:
            found[column] = Column(id)
            readings[column] = read
    meant = {text for r in readings.values() for text in (*r.understood, *r.values)}
    everywhere = Counter(text for r in readings.values() for text in r.missing - meant)
    for column, r in readings.items():
        values = r.values | dict.fromkeys(sorted(r.missing & meant))
        if values:
            found[column] = Column(found[column].variable, values=values)
    return ColumnMapping(found, tuple(sorted(everywhere)))


def unread_values(
    network: Network, columns: Mapping[str, Sequence[Any]], mapping: ColumnMapping
) -> dict[str, list[str]]:
    """Values that a mapping makes nothing of, by column: for a person to say what they mean."""
    found = {}
    for name, column in mapping.columns.items():
        if column.state is None:
            read = _read(network[column.variable], name, columns.get(name, ()))
            if read.unread:
                found[name] = read.unread
    return found


def _variable_named(network: Network, column: str) -> str | None:
    """The variable that a column's name is alike: `Age (years)`, `age_years`, `Morning stiffnes`."""
    names = {plain(v.name): v.id for v in network.variables.values() if v.label}
    names |= {plain(v.id): v.id for v in network.variables.values()}
    names |= {other: id for other, id in _ALSO.items() if id in network and other not in names}
    bare = plain(re.sub(r"[\(\[{].*", "", column)) or plain(column)
    without = " ".join(w for w in bare.split() if w not in _UNITS)
    for name in (column, plain(column), bare, without):
        if name in network:
            return name
        if name in names:
            return names[name]
    close = difflib.get_close_matches(bare, names, 1, ALIKE)
    return names[close[0]] if close else None


def _read(variable: Variable, column: str, seen: Sequence[Any]) -> _Reading:
    read = _Reading()
    explained = legend(column)
    for value in seen:
        text = code_text(value.strip() if isinstance(value, str) else value)
        likely = state_like(variable, explained[text]) if text in explained else None
        if likely is None:
            try:
                known = Column(variable.id).likelihood(variable, value, ()) is not None
            except ValueError:
                likely = state_like(variable, text)
            else:
                if known:
                    read.understood.add(text)
                continue
        if likely is not None:
            read.values[text] = list(likely) if isinstance(likely, tuple) else likely
        elif is_missing_code(text):
            read.missing.add(text)
        else:
            read.unread.append(text)
    return read
