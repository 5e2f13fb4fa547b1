"""The same answers from the workers of a Dask cluster.

The model is sent once to each worker, which compiles it; every part of the table is scored where it is, no
row moves. A part that was lost with its worker is computed again by Dask.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesnet.errors import CohortError, MissingExtraError

if TYPE_CHECKING:
    import pandas as pd

    from bayesnet.cohort.mapping import ColumnMapping
    from bayesnet.cohort.stream import Job
    from bayesnet.model import DiagnosticModel

__all__ = ["diagnose_dask", "score_on_cluster"]


def diagnose_dask(
    model: DiagnosticModel, frame: Any, *, mapping: ColumnMapping | None, attribution: bool, errors: str
) -> Any:
    """`diagnose_frame` over the partitions of a Dask DataFrame; lazy, like everything of Dask."""
    from dask.delayed import delayed

    empty = frame._meta.iloc[:0]
    meta = _part(empty, model, mapping, attribution, errors)
    sent = delayed(model, pure=False, traverse=False)
    return frame.map_partitions(_part, sent, mapping, attribution, errors, meta=meta)


def _part(
    part: pd.DataFrame, model: DiagnosticModel, mapping: ColumnMapping | None, attribution: bool,
    errors: str,
) -> pd.DataFrame:
    from bayesnet.cohort.frame import diagnose_frame

    try:
        # Dask runs one task a processor.
        found: pd.DataFrame = diagnose_frame(
            model, part, mapping=mapping, attribution=attribution, errors=errors, threads=1
        )
    except CohortError as error:
        # How many rows the partitions before this one have is not known here.
        raise CohortError([
            replace(p, where=f"{p.where} of its partition") if p.where.startswith("row ") else p
            for p in error.problems
        ]) from error
    if "error" in found:
        found["error"] = found["error"].astype("string")
    return found


def score_on_cluster(job: Job, dask: str | Any, tell: Callable[[int], None]) -> None:
    """Score every piece of a table on the workers of a cluster.

    Raises
    ------
    CohortError
        When there is no scheduler at the address, or a piece failed on three workers.
    MissingExtraError
    """
    try:
        from distributed import Client, KilledWorker, as_completed
    except ImportError as error:
        raise MissingExtraError("a cluster", "cluster") from error
    connect: Any = Client
    finished: Any = as_completed
    own: Any = None
    if isinstance(dask, str):
        try:
            own = connect(dask, timeout="10s")
        except (OSError, ValueError) as error:
            raise CohortError([f"no Dask scheduler answers at {dask}: {error}"]) from error
    client: Any = own or dask
    try:
        sent = client.scatter(job, broadcast=True, hash=False)
        futures = client.map(
            _score_one, range(len(job.source.pieces)), job=sent, pure=False, retries=2
        )
        for _, rows in finished(futures, with_results=True):
            tell(int(rows))
    except KilledWorker as error:
        raise CohortError([f"a part of the table ended its worker again and again: {error}"]) from error
    finally:
        if own is not None:
            own.close()


def _score_one(i: int, job: Job) -> int:
    from bayesnet.cohort.stream import score_piece

    return int(np.sum(list(score_piece(replace(job, threads=1), i)), dtype=int))
