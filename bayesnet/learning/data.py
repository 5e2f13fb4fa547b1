"""A data frame of patients as rows for the engine."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from bayesnet.errors import EvidenceError, Problem, did_you_mean
from bayesnet.inference import likelihood_of
from bayesnet.inference.counts import EncodedRows
from bayesnet.network import Network
from bayesnet.network.factor import FloatArray

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["encode_frame", "rows_seen"]


def encode_frame(
    network: Network, frame: pd.DataFrame, weights: str | Iterable[float] | None = None
) -> EncodedRows:
    """Rows for `expected_counts` from a frame with one patient a row.

    Parameters
    ----------
    network : Network
    frame : DataFrame
        Columns are variable ids; a cell is what `likelihood_of` takes (a state, true or false, a
        number where the variable has bins, a list of possible states), or missing.
    weights : str or array, optional
        How many people each row stands for: a column of the frame, or one number a row.

    Raises
    ------
    EvidenceError
        Naming every column and value that is not understood, with the first row that has it.
    """
    import pandas as pd

    problems: list[Problem] = []
    people = np.ones(len(frame))
    named = weights if isinstance(weights, str) else None
    if named is not None and named not in frame:
        problems.append(Problem(f"no weight column {named!r}.{did_you_mean(named, frame.columns)}"))
    elif weights is not None:
        given = frame[named] if named is not None else np.asarray(list(weights))
        people = np.asarray(pd.to_numeric(given, errors="coerce"), dtype=float)
        if people.shape != (len(frame),):
            problems.append(Problem(f"{len(people)} weights for {len(frame)} rows"))
        elif not (np.isfinite(people) & (people >= 0)).all():
            bad = int(np.flatnonzero(~(np.isfinite(people) & (people >= 0)))[0])
            problems.append(Problem("a weight must be a number of at least 0", f"row {bad + 1}"))
    columns = [c for c in frame.columns if c != named]
    codes = np.zeros((len(frame), len(columns)), np.int16)
    levels: list[FloatArray] = []
    for at, column in enumerate(columns):
        if column not in network:
            hint = did_you_mean(column, network.variables)
            problems.append(Problem(f"unknown variable {column!r}.{hint}", "column"))
            continue
        variable = network[column]
        known: list[FloatArray] = [np.ones(len(variable))]
        series = frame[column].astype(object)
        try:
            number, _ = pd.factorize(series)
        except TypeError:  # lists of possible states cannot be hashed
            number, _ = pd.factorize(series.map(repr).where(series.map(_is_known)))
        first = dict(zip(*np.unique(number, return_index=True), strict=True))
        first.pop(-1, None)
        code_of = np.zeros(len(first) + 1, np.int16)  # the last entry is that of -1, not known
        for n, row in first.items():
            try:
                vector = likelihood_of(variable, series.iloc[row])
            except ValueError as error:
                problems.append(Problem(str(error), f"{column}, row {row + 1}"))
                continue
            if vector is not None:
                code_of[n] = len(known)
                known.append(vector)
        codes[:, at] = code_of[number]
        levels.append(np.stack(known))
    if problems:
        raise EvidenceError(problems)
    return EncodedRows(tuple(columns), codes, tuple(levels), people)


def _is_known(value: object) -> bool:
    return value is not None and not (isinstance(value, float) and np.isnan(value))


def rows_seen(rows: EncodedRows, family: Sequence[str], sizes: Sequence[int]) -> FloatArray:
    """How many people have every variable of `family` known, by their states; shape `sizes`."""
    out = np.zeros(sizes)
    column = {v: i for i, v in enumerate(rows.variables)}
    if any(v not in column for v in family):
        return out
    states = []
    known = np.ones(len(rows), bool)
    for v in family:
        levels = rows.levels[column[v]]
        certain = np.count_nonzero(levels, axis=1) == 1
        state = np.where(certain, levels.argmax(axis=1), -1)[rows.codes[:, column[v]]]
        known &= state >= 0
        states.append(state)
    np.add.at(out, tuple(s[known] for s in states), rows.people[known])
    return out
