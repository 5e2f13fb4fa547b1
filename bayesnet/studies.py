"""The table of published figures that parameters cite."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from bayesnet.errors import ModelFileError, Problem

__all__ = ["StudyFigure", "read_studies", "write_studies"]


@dataclass(frozen=True, slots=True)
class StudyFigure:
    """One published figure (a row of data/evidence.csv).

    Attributes
    ----------
    id, cause, item, item_state, measure : str
        What was measured: `measure` of `item` (in `item_state`) for `cause`.
    value, ci_low, ci_high : float or None
        Proportions are 0 to 1.
    n, n_cause : str
        Sample size, and how many of them had the cause, as printed.
    population, study, title, journal, doi, pmid, design, url, note : str
    read_in : str
        How the figure was read; `recalled` means from memory, not seen.
    """

    id: str
    cause: str
    item: str
    item_state: str
    measure: str
    value: float | None
    ci_low: float | None
    ci_high: float | None
    n: str
    n_cause: str
    population: str
    study: str
    title: str
    journal: str
    doi: str
    pmid: str
    design: str
    read_in: str
    url: str
    note: str

    @property
    def was_read(self) -> bool:
        """False for a figure that was written down from memory."""
        return self.read_in != "recalled"

    @property
    def interval(self) -> tuple[float, float] | None:
        """The printed 95 % interval; None where the two columns hold a range of studies instead."""
        note = self.note.lower()
        if self.ci_low is None or self.ci_high is None or "range" in note or "midpoint" in note:
            return None
        return (self.ci_low, self.ci_high)

    @property
    def citation(self) -> str:
        """Study, title, journal and identifier in a line."""
        parts = [self.study, self.title, self.journal]
        if self.doi:
            parts.append(f"doi:{self.doi}")
        elif self.pmid:
            parts.append(f"PMID {self.pmid}")
        return ". ".join(p.strip(" .") for p in parts if p)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def read_studies(path: Path) -> Mapping[str, StudyFigure]:
    """Read the table.

    Raises
    ------
    ModelFileError
        If the file is missing, lacks columns, or repeats an id.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        raise ModelFileError([Problem(f"cannot be read: {error.strerror}", str(path))]) from error
    names = list(StudyFigure.__slots__)
    missing = [n for n in names if rows and n not in rows[0]]
    if not rows or missing:
        raise ModelFileError([Problem(f"lacks the columns {', '.join(missing or names)}", str(path))])
    numeric = {"value", "ci_low", "ci_high"}
    table: dict[str, StudyFigure] = {}
    problems = []
    for line, row in enumerate(rows, start=2):
        if row["id"] in table:
            problems.append(Problem(f"id {row['id']} is used twice", f"{path}:row {line}"))
        table[row["id"]] = StudyFigure(
            **{n: _number(row[n]) if n in numeric else row[n] for n in names}  # type: ignore[arg-type]
        )
    if problems:
        raise ModelFileError(problems)
    return table


def write_studies(studies: Iterable[StudyFigure], path: Path) -> None:
    """Write rows as the table that `read_studies` reads."""
    names = list(StudyFigure.__slots__)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(names)
        for s in studies:
            values = (getattr(s, n) for n in names)
            writer.writerow("" if x is None else x for x in values)
