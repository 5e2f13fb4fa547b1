"""A table of patients as rows for the expected counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesnet.cohort.encode import Encoded, encode
from bayesnet.cohort.frame import opened
from bayesnet.cohort.mapping import ColumnMapping, default_mapping
from bayesnet.errors import CohortError, Problem, did_you_mean
from bayesnet.inference.counts import EncodedRows, expected_counts
from bayesnet.network import Network
from bayesnet.network.factor import FloatArray

if TYPE_CHECKING:
    from bayesnet.model import Model

__all__ = ["encode_frame", "log_probability", "rows_seen", "with_selection", "without"]

#: Reasons that an error names when too many rows cannot be read.
MOST_REASONS = 5


def encode_frame(
    network: Network,
    frame: Any,
    weights: str | Iterable[float] | None = None,
    mapping: ColumnMapping | None = None,
    drop_bad: bool = False,
    most_bad: float = 1.0,
) -> tuple[EncodedRows, dict[int, str]]:
    """Rows for `expected_counts` from a table with one patient a row.

    Parameters
    ----------
    network : Network
    frame : DataFrame
        As for `diagnose_frame`.
    weights : str or array, optional
        How many people each row stands for: a column of the frame, or one number a row.
    mapping : ColumnMapping, optional
    drop_bad : bool
        Rows that are not understood count for nobody, instead of being an error.
    most_bad : float
        The largest share of the rows that may be left out so.

    Returns
    -------
    rows, bad
        `bad`: row -> what is wrong with it.

    Raises
    ------
    CohortError
        Naming every row and column that is not understood.
    """
    names, rows, factors, _ = opened(frame)
    people = _people(frame, names, rows, weights)
    used = (default_mapping(network, names) if mapping is None else mapping).restricted(names)
    if isinstance(weights, str):
        used = used.restricted([n for n in names if n != weights])
    if not used.columns:
        hints = [h for n in names if (h := did_you_mean(n, network.variables))]
        raise CohortError([
            f"none of the columns is a variable of the model: {', '.join(names[:8])}."
            f"{hints[0] if hints else ''}"
        ])
    if not rows:
        raise CohortError(["the table has no rows, so there is nothing to learn from"])
    known = {c.variable for c in used.columns.values()}
    variables = tuple(v for v in network.variables if v in known)
    encoded = encode(network, variables, factors(0, rows), rows, used)
    if encoded.bad and not drop_bad:
        raise CohortError([Problem(said, f"row {row}") for row, said in sorted(encoded.bad.items())])
    if encoded.bad and (len(encoded.bad) == rows or len(encoded.bad) > most_bad * rows):
        reasons = Counter(encoded.bad.values()).most_common(MOST_REASONS)
        raise CohortError(["\n".join([
            f"{len(encoded.bad):,} of {rows:,} rows cannot be read, so nothing was learned; most often:",
            *(f"  - {count:,} x {said}" for said, count in reasons),
        ])])
    dropped = list(encoded.bad)
    people[dropped] = 0.0
    found = _rows(network, variables, encoded, people)
    found.codes[dropped] = 0
    return found, encoded.bad


def log_probability(model: Model, data: Any, mapping: ColumnMapping | None = None) -> FloatArray:
    """Natural log of the probability of every row: the log score of the model, with its sign turned.

    Nothing is taken for granted of the outcome. Minus infinity for impossible rows.
    """
    rows, _ = encode_frame(model.network, data, None, mapping)
    merged, where = rows.distinct()
    return expected_counts(model.row_plan(rows.variables), merged).log_evidence[where]


def _people(
    frame: Any, names: Sequence[str], rows: int, weights: str | Iterable[float] | None
) -> FloatArray:
    if weights is None:
        return np.ones(rows)
    if isinstance(weights, str):
        if weights not in names:
            raise CohortError([f"no weight column {weights!r}.{did_you_mean(weights, names)}"])
        given = np.asarray(frame[weights], dtype=object)
    elif isinstance(weights, Iterable):
        given = np.asarray(list(weights), dtype=object)
    else:
        raise CohortError([
            f"weights={weights!r}: expected the name of a column, or one number for each of the {rows} rows"
        ])
    try:
        people = given.astype(float)
    except (TypeError, ValueError) as error:
        raise CohortError([f"weights must be numbers: {error}"]) from error
    if people.shape != (rows,):
        raise CohortError([f"{people.size} weights for {rows} rows"])
    bad = np.flatnonzero(~(np.isfinite(people) & (people >= 0)))
    if len(bad):
        raise CohortError(
            [Problem(f"the weight {people[bad[0]]:g} is not a number of at least 0", f"row {bad[0]}")]
        )
    if not people.sum() > 0:
        raise CohortError(["all weights are 0, so there is nothing to learn from"])
    return people


def _rows(
    network: Network, variables: Sequence[str], encoded: Encoded, people: FloatArray
) -> EncodedRows:
    """Level 0 is not known, then one level a state, then one for each distinct likelihood."""
    codes = np.empty((len(people), len(variables)), np.int32)
    levels = []
    for i, v in enumerate(variables):
        size = len(network[v])
        level = np.concatenate([np.ones((1, size)), np.eye(size)])
        code = encoded.codes[:, i].astype(np.int32) + 1
        if i in encoded.likelihoods:
            vectors = encoded.likelihoods[i].copy()
            known = code > 0
            vectors[known] *= level[code[known]]
            distinct, index = np.unique(vectors, axis=0, return_inverse=True)
            level, code = np.concatenate([np.ones((1, size)), distinct]), (index.ravel() + 1).astype(np.int32)
        codes[:, i] = code
        levels.append(level)
    return EncodedRows(tuple(variables), codes, tuple(levels), people)


def with_selection(network: Network, rows: EncodedRows, variable: str, chosen: FloatArray) -> EncodedRows:
    """The rows with what is known of everybody: `variable` is among the `chosen` states."""
    level = np.stack([np.ones(len(chosen)), chosen])
    codes = np.concatenate([rows.codes, np.ones((len(rows), 1), np.int32)], axis=1)
    return EncodedRows((*rows.variables, variable), codes, (*rows.levels, level), rows.people)


def without(rows: EncodedRows, variable: str) -> EncodedRows:
    """The rows without the column of `variable`."""
    keep = [i for i, v in enumerate(rows.variables) if v != variable]
    return EncodedRows(
        tuple(rows.variables[i] for i in keep), rows.codes[:, keep],
        tuple(rows.levels[i] for i in keep), rows.people,
    )


def rows_seen(
    network: Network, rows: EncodedRows, family: Sequence[str], scopes: Sequence[Sequence[str]]
) -> list[FloatArray] | None:
    """How many people have every variable of `family` known, by the states of each of `scopes`.

    None when a variable of the family is no column at all.
    """
    column = {v: i for i, v in enumerate(rows.variables)}
    if any(v not in column for v in family):
        return None
    state = {}
    known = np.ones(len(rows), bool)
    for v in family:
        levels = rows.levels[column[v]]
        certain = np.count_nonzero(levels, axis=1) == 1
        state[v] = np.where(certain, levels.argmax(axis=1), -1)[rows.codes[:, column[v]]]
        known &= state[v] >= 0
    found = []
    for scope in scopes:
        out = np.zeros(network.sizes(scope))
        np.add.at(out, tuple(state[v][known] for v in scope), rows.people[known])
        found.append(out)
    return found
