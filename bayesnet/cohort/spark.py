"""The same answers inside Spark.

    answered = patients.mapInArrow(spark.answers(model), spark.schema(model))

Each executor gets the model once a task and answers its Arrow batches; no row moves. Needs pyspark with
Arrow, and this package on the executors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from bayesnet.cohort.frame import diagnose_frame
from bayesnet.cohort.mapping import ColumnMapping
from bayesnet.cohort.posteriors import column_names

if TYPE_CHECKING:
    import pyarrow as pa

    from bayesnet.model import DiagnosticModel

__all__ = ["answers", "schema"]


def schema(
    model: DiagnosticModel, attribution: bool = False, keep: Iterable[str] = ()
) -> str:
    """The columns of the answer in Spark's words, for `mapInArrow`.

    Parameters
    ----------
    model : DiagnosticModel
    attribution : bool
    keep : iterable of str
        Columns that are copied, as text.
    """
    words = [f"`{c}` string" for c in keep]
    words += [f"`{c}` double" for c in column_names(model, attribution)]
    words.append("top_cause string")
    if not model.pathways.empty:
        words.append("triage string")
    return ", ".join([*words, "error string"])


def answers(
    model: DiagnosticModel, mapping: ColumnMapping | None = None, attribution: bool = False,
    keep: Iterable[str] = (),
) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """What `mapInArrow` calls on the batches of a partition.

    Bad rows have empty answers and say why in `error`.

    Parameters
    ----------
    model : DiagnosticModel
    mapping : ColumnMapping, optional
    attribution : bool
        As for `diagnose_frame`.
    keep : iterable of str
        Columns to copy, such as a patient's number.
    """
    kept = tuple(keep)

    def answer(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        import pyarrow

        for batch in batches:
            table = pyarrow.Table.from_batches([batch])
            found: Any = diagnose_frame(
                model, table, mapping=mapping, attribution=attribution, errors="column", threads=1
            )
            columns = {c: table.column(c).cast(pyarrow.string()) for c in kept}
            for name in found.column_names:
                column = found.column(name)
                # Spark reads words, not numbered words.
                is_number = pyarrow.types.is_floating(column.type)
                columns[name] = column.cast(pyarrow.float64() if is_number else pyarrow.string())
            yield from pyarrow.table(columns).to_batches()

    return answer
