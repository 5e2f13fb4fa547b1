"""A data frame in, a data frame out."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesnet.cohort.encode import Factor, encode, factor_of_arrow, factor_of_pandas
from bayesnet.cohort.mapping import ColumnMapping, default_mapping
from bayesnet.cohort.posteriors import Answers, answer_rows, column_names
from bayesnet.diagnosis.pathways import LEVELS
from bayesnet.errors import CohortError, MissingExtraError, Problem, did_you_mean

if TYPE_CHECKING:
    import pandas as pd

    from bayesnet.model import DiagnosticModel

__all__ = [
    "answers_frame", "check_processors", "diagnose_frame", "factors_answer", "opened", "unused_columns",
    "usable_mapping",
]

#: How like a variable's name a column must be to be taken for a misspelling of it.
NEARLY = 0.8

#: Rows that are worked on at a time.
BATCH = 20_000


def diagnose_frame(
    model: DiagnosticModel,
    frame: Any,
    *,
    mapping: ColumnMapping | None = None,
    attribution: bool = False,
    errors: str = "raise",
    progress: Callable[[int], None] | None = None,
    threads: int | None = None,
) -> Any:
    """A posterior for every row of a table.

    Parameters
    ----------
    model : DiagnosticModel
    frame : DataFrame
        pandas (also Arrow-backed), a pyarrow Table, a Dask DataFrame, or any frame that Narwhals
        knows (polars, ...). Columns are variable ids with states, booleans or numbers (age); empty
        cells are not known; several possible states are `a|b`; a column `finding__state` holds the
        likelihood of a state (virtual evidence). Other columns are passed over. PT is taken to have
        failed unless there is a column for the outcome.
    mapping : ColumnMapping, optional
        What other names and codes mean (`bayesnet.cohort.read_mapping`).
    attribution : bool
        Add `cause__necessity`: the probability that PT failed because of the cause. Half the speed.
    errors : str
        `raise`: a bad row is an error that lists the first of them; `column`: bad rows are empty,
        and a column `error` says why.
    progress : callable, optional
        Called with the number of rows done.
    threads : int, optional

    Returns
    -------
    DataFrame
        Of the kind that was given; pandas keeps its index. A column for every cause (the probability
        that it is present) and state of a graded cause (`cause__state`), `log_evidence`,
        `top_cause` (the most probable diagnosis; empty where the model has none) and `triage`.

    Raises
    ------
    CohortError
        When rows are bad, no column is of the model, or `threads` is below 1.
    """
    if errors not in ("raise", "column"):
        raise ValueError(f"errors={errors!r}: expected raise or column")
    check_processors(threads, "threads")
    if type(frame).__module__.split(".")[0] in ("dask", "dask_expr"):
        from bayesnet.cohort.cluster import diagnose_dask

        return diagnose_dask(model, frame, mapping=mapping, attribution=attribution, errors=errors)
    names, rows, factors, rebuild = opened(frame)
    used = usable_mapping(model, names, mapping)
    for said in unused_columns(model, names, used):
        warnings.warn(said, stacklevel=3)
    parts = []
    for start in range(0, max(rows, 1), BATCH):
        stop = min(start + BATCH, rows)
        parts.append(
            factors_answer(model, factors(start, stop), stop - start, used, attribution, threads)
        )
        if progress:
            progress(stop)
    if errors == "raise":
        problems = [
            Problem(said, f"row {i * BATCH + row}")
            for i, part in enumerate(parts) for row, said in sorted(part.bad.items())
        ]
        if problems:
            raise CohortError(problems)
    return rebuild(answers_frame(model, parts, attribution, errors == "column"))


def check_processors(number: int | None, name: str) -> None:
    """Refuse a number of threads or processes that is none.

    Raises
    ------
    CohortError
    """
    is_whole = isinstance(number, int | np.integer) and not isinstance(number, bool)
    if number is not None and not (is_whole and number >= 1):
        raise CohortError([
            f"{name} must be a whole number of at least 1, or None for all processors, not {number!r}"
        ])


def usable_mapping(
    model: DiagnosticModel, names: Sequence[str], mapping: ColumnMapping | None
) -> ColumnMapping:
    """The mapping of these columns: the given one, or the columns that have names of the model.

    Raises
    ------
    CohortError
        When no column is of the model.
    """
    found = (default_mapping(model.network, names) if mapping is None else mapping).restricted(names)
    if not found.columns:
        hints = [h for n in names if (h := did_you_mean(n, model.network.variables))]
        known = "the mapping" if mapping is not None else "the model"
        if not names:
            raise CohortError(["the table has no columns: expected one a finding, with a patient a row"])
        raise CohortError([
            f"none of the columns is known to {known}: {', '.join(map(str, names[:8]))}"
            f"{', ...' if len(names) > 8 else ''}.{hints[0] if hints else ''} "
            "Columns are variable ids (bayesnet model show), or a mapping says what they mean "
            "(bayesnet cohort map --suggest FILE)"
        ])
    return found


def unused_columns(
    model: DiagnosticModel, names: Sequence[str], used: ColumnMapping, keep: Sequence[str] = ()
) -> list[str]:
    """What is probably a misspelled column, and of what; other columns are passed over silently."""
    network, found = model.network, []
    for name in names:
        if name in used.columns or name in keep:
            continue
        variable, parted, state = str(name).partition("__")
        if parted and variable in network:
            states = network[variable].states
            found.append(
                f"column {name!r} is not read: {variable} has no state {state!r}; expected "
                f"{', '.join(states)}.{did_you_mean(state, states)}"
            )
            continue
        written = str(name).strip().lower().replace(" ", "_").replace("-", "_")
        close = difflib.get_close_matches(written, list(network.variables), 1, NEARLY)
        if close:
            found.append(f"column {name!r} is not read. Did you mean {close[0]}?")
    return found


def factors_answer(
    model: DiagnosticModel, factors: Sequence[Factor], rows: int, mapping: ColumnMapping,
    attribution: bool = False, threads: int | None = None,
) -> Answers:
    """Answers for one block of rows."""
    encoded = encode(model.network, tuple(model.network.variables), factors, rows, mapping)
    given = any(c.variable == model.outcome for c in mapping.columns.values())
    return answer_rows(
        model, encoded, outcome_given=given, attribution=attribution, threads=threads
    )


def answers_frame(
    model: DiagnosticModel, parts: Sequence[Answers], attribution: bool, with_errors: bool
) -> pd.DataFrame:
    """The blocks as one pandas frame, rows numbered from 0."""
    import pandas as pd

    data: dict[str, Any] = {
        name: np.concatenate([p.numbers[name] for p in parts])
        for name in column_names(model, attribution)
    }
    top = np.concatenate([p.top_cause for p in parts])
    categories: Any = pd.Categorical
    data["top_cause"] = categories.from_codes(top, list(model.causes_of("diagnoses")))
    if parts[0].triage is not None:
        level = np.concatenate([p.triage for p in parts if p.triage is not None])
        data["triage"] = categories.from_codes(level, list(LEVELS), ordered=True)
    if with_errors:
        start, said = 0, np.full(len(top), None, object)
        for p in parts:
            for row, text in p.bad.items():
                said[start + row] = text
            start += len(p.top_cause)
        data["error"] = said
    return pd.DataFrame(data)


_Opened = tuple[list[str], int, Callable[[int, int], list[Factor]], Callable[[Any], Any]]


def opened(frame: Any) -> _Opened:
    """Names, rows, a reader of row ranges, and what turns a pandas answer into the kind given."""
    import pandas as pd

    if isinstance(frame, pd.DataFrame):
        names = [str(c) for c in frame.columns]

        def of_pandas(start: int, stop: int) -> list[Factor]:
            block = frame.iloc[start:stop]
            return [factor_of_pandas(n, block.iloc[:, i]) for i, n in enumerate(names)]

        return names, len(frame), of_pandas, lambda answer: answer.set_axis(frame.index)
    try:
        import pyarrow as pa
    except ImportError as error:
        raise MissingExtraError("a table that is not of pandas", "cohort") from error
    table, back = _as_arrow(frame, pa)

    def of_arrow(start: int, stop: int) -> list[Factor]:
        block = table.slice(start, stop - start)
        return [factor_of_arrow(n, block.column(i)) for i, n in enumerate(table.column_names)]

    return list(table.column_names), table.num_rows, of_arrow, back


def _as_arrow(frame: Any, pa: Any) -> tuple[Any, Callable[[Any], Any]]:
    def to_arrow(answer: Any) -> Any:
        return pa.Table.from_pandas(answer, preserve_index=False)

    if isinstance(frame, pa.Table):
        return frame, to_arrow
    try:
        import narwhals as nw
    except ImportError as error:
        raise MissingExtraError("this kind of table", "cohort") from error
    try:
        given = nw.from_native(frame, eager_only=True)
    except TypeError as error:
        raise CohortError([
            f"expected a data frame (pandas, pyarrow, polars, Dask), not {type(frame).__name__}"
        ]) from error
    backend = given.implementation

    def back(answer: Any) -> Any:
        return nw.from_arrow(nw.from_native(to_arrow(answer), eager_only=True), backend=backend).to_native()

    return given.to_arrow(), back


