"""Look at a table before it is scored: what is understood, what is missing, what looks different."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesnet.cohort.encode import encode
from bayesnet.cohort.frame import usable_mapping
from bayesnet.cohort.mapping import ColumnMapping
from bayesnet.cohort.posteriors import answer_rows
from bayesnet.cohort.source import Block, open_table

if TYPE_CHECKING:
    import pandas as pd

    from bayesnet.model import DiagnosticModel

__all__ = ["CohortCheck", "check_table"]

BLOCK = 20_000
#: Reasons are counted by their first words, without the row's own numbers.
MOST_REASONS = 20


@dataclass(frozen=True, eq=False)
class CohortCheck:
    """What `check_table` found.

    Attributes
    ----------
    rows, bad, impossible : int
        Rows looked at; rows that cannot be read; rows that the model holds to be impossible.
    variables : DataFrame
        One row a variable that a column speaks of: `column`, `known` (share of rows), `shift`
        (total variation distance, 0 to 1, between the states of the known rows and the model's own
        among people in whom PT failed), `state` (the state that differs most), `here`, `model`.
    ignored : tuple of str
        Columns that mean nothing to the model.
    reasons : dict str -> int
        Why rows are bad, and how many.
    notes : tuple of str
    """

    rows: int
    bad: int
    impossible: int
    variables: pd.DataFrame
    ignored: tuple[str, ...]
    reasons: Mapping[str, int]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        table = self.variables.astype(object).where(self.variables.notna(), None)
        return {
            "rows": self.rows, "bad": self.bad, "impossible": self.impossible,
            "variables": table.to_dict("records"), "ignored": list(self.ignored),
            "reasons": dict(self.reasons), "notes": list(self.notes),
        }


def check_table(
    model: DiagnosticModel, path: str | Path, mapping: ColumnMapping | None = None,
    limit: int = 200_000,
) -> CohortCheck:
    """Check a table on disk.

    Parameters
    ----------
    model : DiagnosticModel
    path : path
    mapping : ColumnMapping, optional
    limit : int
        At most so many rows from the start.

    Raises
    ------
    CohortError
        When the table cannot be read, or no column is of the model.
    """
    source = open_table(path)
    used = usable_mapping(model, source.names, mapping)
    network = model.network
    sizes = network.sizes(network.variables)
    given = any(c.variable == model.outcome for c in used.columns.values())
    counts = [np.zeros(size, int) for size in sizes]
    reasons: Counter[str] = Counter()
    rows = bad = impossible = 0
    for piece in source.pieces:
        for read in source.blocks(piece, min(BLOCK, limit), used.columns):
            block = _first(read, limit)
            n = len(block.numbers)
            encoded = encode(network, tuple(network.variables), block.factors, n, used)
            answers = answer_rows(model, encoded, outcome_given=given)
            for i, size in enumerate(sizes):
                code = encoded.codes[:, i]
                counts[i] += np.bincount(code[code >= 0], minlength=size)
            rows += n + len(block.unreadable)
            bad += len(encoded.bad) + len(block.unreadable)
            impossible += len(answers.bad) - len(encoded.bad)
            reasons.update(block.unreadable.values())
            reasons.update(
                part for row, said in answers.bad.items() for part in said.split("; ")
                if row in encoded.bad
            )
            if rows >= limit:
                break
        if rows >= limit:
            break
    return CohortCheck(
        rows, bad, impossible, _variables(model, used, counts, rows),
        tuple(n for n in source.names if n not in used.columns),
        dict(reasons.most_common(MOST_REASONS)), source.notes,
    )


def _first(block: Block, limit: int) -> Block:
    """The rows of a block that are among the first `limit` of the table."""
    n = int(np.searchsorted(block.numbers, limit))
    return Block(
        tuple(replace(f, index=f.index[:n]) for f in block.factors), block.table.slice(0, n),
        block.numbers[:n], {row: said for row, said in block.unreadable.items() if row < limit},
    )


def _variables(
    model: DiagnosticModel, used: ColumnMapping, counts: list[Any], rows: int
) -> pd.DataFrame:
    import pandas

    outcome = {model.outcome: True} if model.outcome else {}
    expected = model.posterior(None, outcome)
    found = []
    for i, v in enumerate(model.network.variables):
        columns = [name for name, c in used.columns.items() if c.variable == v]
        if not columns:
            continue
        total = int(counts[i].sum())
        wanted = np.array(list(expected[v].values()))
        entry: dict[str, Any] = {
            "variable": v, "column": ", ".join(columns), "known": total / rows if rows else 0.0,
            "shift": None, "state": None, "here": None, "model": None,
        }
        if total:
            here = counts[i] / total
            k = int(np.abs(here - wanted).argmax())
            entry |= {
                "shift": float(np.abs(here - wanted).sum() / 2),
                "state": model.network[v].states[k], "here": float(here[k]), "model": float(wanted[k]),
            }
        found.append(entry)
    frame: pd.DataFrame = pandas.DataFrame(found)
    return frame.sort_values("shift", ascending=False, ignore_index=True)
