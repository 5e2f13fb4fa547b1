"""A table's cells as state indices, column by column: every distinct value is read once."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bayesnet.cohort.mapping import Column, ColumnMapping
from bayesnet.errors import CohortError, Problem
from bayesnet.network import Network, Variable
from bayesnet.network.factor import FloatArray

__all__ = ["Encoded", "Factor", "check_states", "encode", "factor_of_arrow", "factor_of_pandas"]

CodeArray = npt.NDArray[np.int8]
#: States are numbered from 0 in a signed byte.
MOST_STATES = 128
#: Bad cells are quoted to so many characters.
QUOTED = 40


@dataclass(frozen=True, eq=False)
class Factor:
    """A column as indices into its distinct values.

    Attributes
    ----------
    name : str
    index : ndarray of int
        Shape `(rows,)`; -1 where the cell is empty.
    values : sequence
    unread : str
        The kind of column, where cells of that kind cannot be read.
    """

    name: str
    index: npt.NDArray[np.signedinteger[Any]]
    values: Sequence[Any]
    unread: str = ""


@dataclass(frozen=True, eq=False)
class Encoded:
    """A table in the engine's terms.

    Attributes
    ----------
    codes : ndarray of int8
        Shape `(rows, variables)` in the order asked for: the index of the known state, or -1.
    likelihoods : dict int -> ndarray
        For variables (by position) with uncertain evidence: shape `(rows, states)`, ones where
        nothing is uncertain.
    uncertain : ndarray of bool
        Shape `(rows,)`: rows that need `likelihoods`.
    bad : dict int -> str
        Row -> what is wrong with it.
    """

    codes: CodeArray
    likelihoods: dict[int, FloatArray]
    uncertain: npt.NDArray[np.bool_]
    bad: dict[int, str]


def factor_of_pandas(name: str, series: Any) -> Factor:
    """A pandas column: object, category, number, boolean or Arrow."""
    import pandas as pd

    if isinstance(series.dtype, pd.CategoricalDtype):
        return Factor(name, series.cat.codes.to_numpy(), series.cat.categories.tolist())
    try:
        index, values = pd.factorize(series, use_na_sentinel=True)
    except TypeError:
        # Lists and mappings cannot be compared: every cell is its own value.
        cells = series.tolist()
        known = [not (x is None or (isinstance(x, float) and math.isnan(x))) for x in cells]
        return Factor(name, np.where(known, np.arange(len(cells)), -1), cells)
    distinct = values.tolist()
    if series.dtype == object and pd.api.types.infer_dtype(series).startswith("mixed"):
        # True equals 1, so pandas takes them for one value, but they are different codes.
        is_bool = np.array([isinstance(x, bool | np.bool_) for x in series], bool)
        index = np.where(is_bool, index + len(distinct), index)
        plain = [int(x) if isinstance(x, bool | np.bool_) else x for x in distinct]
        distinct = [*plain, *(bool(x) for x in distinct)]
    return Factor(name, index, distinct)


def factor_of_arrow(name: str, array: Any) -> Factor:
    """A pyarrow array or chunked array."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if isinstance(array, pa.ChunkedArray):
        if pa.types.is_dictionary(array.type):
            array = array.unify_dictionaries()
        array = array.combine_chunks()
    if isinstance(array, pa.ChunkedArray):
        array = array.chunk(0) if array.num_chunks else pa.array([], array.type)
    if pa.types.is_null(array.type):
        return Factor(name, np.full(len(array), -1), [])
    if not pa.types.is_dictionary(array.type):
        try:
            array = pc.dictionary_encode(array)
        except pa.ArrowNotImplementedError:
            # Only an error where the column means something to the model.
            return Factor(name, np.full(len(array), -1), [], str(array.type))
    index = array.indices
    if index.null_count:
        # Signed: some libraries number their dictionaries without a sign.
        index = pc.fill_null(index.cast(pa.int64()), -1)
    return Factor(name, index.to_numpy(zero_copy_only=False), array.dictionary.to_pylist())


def check_states(network: Network, variables: Iterable[str]) -> None:
    """Refuse variables with more states than a table's codes can number.

    Raises
    ------
    CohortError
    """
    large = [v for v in dict.fromkeys(variables) if len(network[v]) > MOST_STATES]
    if large:
        raise CohortError([
            f"{v} has {len(network[v])} states, and in tables a variable may have at most {MOST_STATES}: "
            "join some of its states" for v in large
        ])


def encode(
    network: Network,
    variables: Sequence[str],
    columns: Iterable[Factor],
    rows: int,
    mapping: ColumnMapping,
) -> Encoded:
    """Encode a table.

    Parameters
    ----------
    network : Network
    variables : sequence of str
        Order of the code columns (`network.variables`).
    columns : iterable of Factor
        Names not in `mapping` are passed over. The same name may come twice.
    rows : int
    mapping : ColumnMapping

    Returns
    -------
    Encoded

    Raises
    ------
    CohortError
        When a column is of a variable with more states than can be numbered, or has cells of a
        kind that cannot be read (lists).
    """
    check_states(network, (c.variable for c in mapping.columns.values()))
    at = {v: i for i, v in enumerate(variables)}
    codes = np.full((len(variables), rows), -1, np.int8)
    likelihoods: dict[int, FloatArray] = {}
    uncertain = np.zeros(rows, bool)
    bad: dict[int, str] = {}
    virtual: dict[str, dict[str, tuple[Factor, Column]]] = {}
    filled: set[int] = set()
    worst = {c.variable for c in mapping.columns.values() if c.worst}
    for factor in columns:
        column = mapping.columns.get(factor.name)
        if column is None:
            continue
        if factor.unread:
            raise CohortError([Problem(
                f"expected a column of words, numbers or true and false, not {factor.unread}; write "
                "several possible states as 'a|b', likelihoods in columns 'finding__state'",
                f"column {factor.name!r}",
            )])
        if column.state is not None:
            virtual.setdefault(column.variable, {})[column.state] = factor, column
            continue
        variable, i = network[column.variable], at[column.variable]
        table, vectors, errors = _read(factor, column, variable, mapping.not_known)
        if errors:
            _note(bad, factor, errors)
        new, given = table[factor.index], None
        if vectors:
            given = np.ones((rows, len(variable)))
            for k, vector in vectors.items():
                given[factor.index == k] = vector
            uncertain |= np.isin(factor.index, list(vectors))
        if i in filled and column.variable in worst:
            if given is None and i not in likelihoods:
                codes[i] = np.maximum(codes[i], new)
                continue
            size = len(variable)
            both = _worst_of(
                _dense(codes[i], likelihoods.get(i), size), _dense(new, given, size)
            )
            certain = np.count_nonzero(both, axis=1) == 1
            codes[i] = np.where(certain, both.argmax(axis=1), -1)
            likelihoods[i] = np.where(certain[:, None], 1.0, both)
            continue
        codes[i] = _agreed(codes[i], new, column.variable, bad) if i in filled else new
        filled.add(i)
        if given is not None:
            likelihoods[i] = likelihoods.get(i, 1.0) * given
    for id, given_states in virtual.items():
        i, variable = at[id], network[id]
        vector, known = _virtual(variable, given_states, rows, mapping.not_known, bad)
        likelihoods[i] = likelihoods.get(i, 1.0) * vector
        uncertain |= known
    for i, vector in likelihoods.items():
        left = _dense(codes[i], vector, len(network[variables[i]]))
        for row in np.flatnonzero(~(left > 0).any(axis=1)).tolist():
            bad.setdefault(row, f"{variables[i]}: two columns exclude each other")
    return Encoded(np.ascontiguousarray(codes.T), likelihoods, uncertain, bad)


def _read(
    factor: Factor, column: Column, variable: Variable, not_known: Sequence[str]
) -> tuple[CodeArray, dict[int, FloatArray], dict[int, str]]:
    """State index of every distinct value (and -1 at the end, for empty cells); uncertain ones; errors."""
    table = np.full(len(factor.values) + 1, -1, np.int8)
    vectors: dict[int, FloatArray] = {}
    errors: dict[int, str] = {}
    for k, value in enumerate(factor.values):
        try:
            vector = column.likelihood(variable, value, not_known)
        except ValueError as error:
            errors[k] = _shortened(str(error), value)
            continue
        if vector is None:
            continue
        open_ = np.flatnonzero(vector)
        if len(open_) == 1:
            table[k] = open_[0]
        else:
            vectors[k] = vector
    return table, vectors, errors


def _shortened(message: str, value: Any) -> str:
    text = str(value)
    return message.replace(text, text[:QUOTED] + "...") if len(text) > QUOTED else message


def _note(bad: dict[int, str], factor: Factor, errors: Mapping[int, str]) -> None:
    for row in np.flatnonzero(np.isin(factor.index, list(errors))).tolist():
        said = f"{factor.name}: {errors[int(factor.index[row])]}"
        bad[row] = f"{bad[row]}; {said}" if row in bad else said


def _agreed(old: CodeArray, new: CodeArray, variable: str, bad: dict[int, str]) -> CodeArray:
    """Two columns of one variable: what either knows; where they differ, a bad row."""
    for row in np.flatnonzero((old >= 0) & (new >= 0) & (old != new)).tolist():
        said = f"{variable}: two columns give different values"
        bad[row] = f"{bad[row]}; {said}" if row in bad else said
    return np.where(old >= 0, old, new)


def _dense(codes: CodeArray, given: FloatArray | None, size: int) -> FloatArray:
    """Likelihoods, a row each, of known states and what else is said of the variable."""
    found = np.where((codes >= 0)[:, None], np.eye(size)[codes], 1.0)
    return found if given is None else found * given


def _worst_of(a: FloatArray, b: FloatArray) -> FloatArray:
    """Likelihoods of the worse of two cells: of sets, every state that can be the worse of the two.

    Where one cell says nothing, it is what the other says.
    """
    worst = np.maximum(
        a * np.maximum.accumulate(b, axis=1), b * np.maximum.accumulate(a, axis=1)
    )
    silent = (a == 1).all(axis=1) | (b == 1).all(axis=1)
    return np.where(silent[:, None], a * b, worst)


def _virtual(
    variable: Variable, given: Mapping[str, tuple[Factor, Column]], rows: int,
    not_known: Sequence[str], bad: dict[int, str],
) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
    """Likelihoods from one column a state; a state without a column gets what is left of one.

    A row whose columns are all empty says nothing.
    """
    found = np.full((rows, len(variable)), np.nan)
    for state, (factor, column) in given.items():
        numbers = np.full(len(factor.values) + 1, np.nan)
        wrong: dict[int, str] = {}
        for k, value in enumerate(factor.values):
            try:
                numbers[k] = column.probability(value, not_known)
            except ValueError as error:
                wrong[k] = _shortened(str(error), value)
        if wrong:
            _note(bad, factor, wrong)
        found[:, variable.states.index(state)] = numbers[factor.index]
    known = ~np.isnan(found).all(axis=1)
    given_sum = np.nansum(found, axis=1)
    left = np.isnan(found).sum(axis=1)
    share = np.where(left > 0, np.maximum(1 - given_sum, 0) / np.maximum(left, 1), 0.0)
    found = np.where(np.isnan(found), share[:, None], found)
    for row in np.flatnonzero(known & ~(found.max(axis=1) > 0)).tolist():
        bad.setdefault(row, f"{variable.id}: every state has likelihood 0")
    found[~known] = 1.0
    return found, known
