"""A table of an answer in plain words: labels for ids, headings that explain themselves, percentages.

The tables of a result are for programs: columns that keep their names, cells that hold ids and
numbers. `named` writes such a table, or a part of it, for a reader.
"""

from __future__ import annotations

import html
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesnet.diagnosis.words import amount, parameter_words, percent, ratio
from bayesnet.errors import BayesnetError

if TYPE_CHECKING:
    import pandas as pd

    from bayesnet.model import Model
    from bayesnet.network import Network

__all__ = ["NamedTable", "named"]

#: Column -> its heading, where the column's own name does not read well.
HEADINGS = {
    "posterior": "probability", "prior": "before", "likelihood_ratio": "LR", "necessity": "because of it",
    "posterior_then": "probability then", "necessity_then": "because of it then",
    "posterior_low": "probability, from", "posterior_high": "to",
    "necessity_low": "because of it, from", "necessity_high": "to",
    "probability_then": "then", "ask": "how to ask", "information": "bits",
    "net_benefit": "worth", "regret_of_waiting": "lost by waiting", "because_of": "mostly for",
    "open": "before that", "parameter": "number of the model", "states": "state", "auc": "AUC",
    "words": "what was found", "weight": "decibans",
}
#: Names of measures, as cells.
MEASURES = {
    "lr_pos": "LR if positive", "lr_neg": "LR if negative", "auc": "AUC", "or": "odds ratio",
}
PERCENTAGES = frozenset({
    "posterior", "posterior_then", "posterior_low", "posterior_high", "prior", "necessity",
    "necessity_then", "necessity_low", "necessity_high", "probability", "probability_then",
    "same_decision", "share", "total_effect", "sufficiency", "swing",
})
#: Numbers of the model, of every size.
AMOUNTS = frozenset({"value", "low", "high", "before", "after", "flips_at"})
#: Between two parts of an id.
_UNDERSCORE = re.compile(r"(?<=[a-z0-9])_(?=[a-z0-9])")


@dataclass(frozen=True)
class NamedTable:
    """A table to read: prints as aligned text, shows as a table in a notebook.

    Attributes
    ----------
    headings : tuple of str
    rows : tuple of tuple of str
    words : tuple of bool
        Which columns hold words, which stand left; numbers stand right.
    """

    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    words: tuple[bool, ...] = field(repr=False)

    def __repr__(self) -> str:
        lines = [self.headings, *self.rows]
        widths = [max(len(line[i]) for line in lines) for i in range(len(self.headings))]
        return "\n".join(
            "  ".join(
                x.ljust(w) if left else x.rjust(w)
                for x, w, left in zip(line, widths, self.words, strict=True)
            ).rstrip()
            for line in lines
        )

    def _repr_html_(self) -> str:
        def line(tag: str, cells: Sequence[str]) -> str:
            return "<tr>" + "".join(
                f"<{tag} style='text-align:{'left' if left else 'right'}'>{html.escape(x)}</{tag}>"
                for x, left in zip(cells, self.words, strict=True)
            ) + "</tr>"

        body = "".join(line("td", row) for row in self.rows)
        return f"<table><thead>{line('th', self.headings)}</thead><tbody>{body}</tbody></table>"


def named(model: Model, table: pd.DataFrame) -> NamedTable:
    """A table of an answer in plain words (see `Model.named`).

    Raises
    ------
    BayesnetError
        When `table` is no data frame.
    """
    import pandas as pd

    if not isinstance(table, pd.DataFrame):
        raise BayesnetError(
            f"expected a table such as result.causes or result.next(), not {type(table).__name__}; "
            "other answers read well by themselves: print them, or let a cell end with them"
        )
    if not isinstance(table.index, pd.RangeIndex) and not pd.api.types.is_numeric_dtype(table.index):
        table = table.rename_axis(str(table.index.name or "")).reset_index()
    labels = _labels(model)
    columns = [str(c) for c in table.columns]
    words = tuple(not _is_number(table.iloc[:, i]) for i in range(len(columns)))
    cells = []
    for i, c in enumerate(columns):
        values = list(table.iloc[:, i])
        write = _written_as(c, values)
        cells.append([
            "-" if _missing(x) else _in_words(model.network, labels, c, x) if words[i] else write(x)
            for x in values
        ])
    return NamedTable(
        tuple(labels.get(c) or HEADINGS.get(c, c.replace("_", " ")) for c in columns),
        tuple(zip(*cells, strict=True)), words,
    )


def _labels(model: Model) -> Mapping[str, str]:
    """Labels of variables and of actions."""
    labels = {v.id: v.name for v in model.network.variables.values()}
    pathways = getattr(model, "pathways", None)
    return labels | ({a: x.label for a, x in pathways.actions.items()} if pathways else {})


def _is_number(column: pd.Series[Any]) -> bool:
    return all(
        isinstance(x, int | float | np.number) and not isinstance(x, bool) for x in column if x is not None
    )


def _missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _in_words(network: Network, labels: Mapping[str, str], column: str, value: Any) -> str:
    """A cell of a column that does not hold numbers alone."""
    if isinstance(value, tuple | list):
        if value and all(isinstance(x, int | float) for x in value):
            return ", ".join(map(_written_as(column, value), value))
        return ", ".join(_in_words(network, labels, column, x) for x in value) or "none"
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, int | float | np.number):
        return _written_as(column, [value])(value)
    text = str(value)
    if text in MEASURES:
        return MEASURES[text]
    if column == "parameter":
        return parameter_words(network, text)
    if column in ("state", "states") or column in network:
        return text.replace("_", " ")
    for between in (", ", " > "):
        parts = text.split(between)
        if all(part in labels for part in parts):
            return between.join(labels[part] for part in parts)
    # A grade in brackets, as in the sets of `most_probable_sets`.
    name, _, grade = text.partition(" (")
    if grade and name in labels:
        return f"{labels[name]} ({grade.replace('_', ' ')}"
    return text if "/" in text else _UNDERSCORE.sub(" ", text)


def _written_as(column: str, values: Sequence[Any]) -> Callable[[Any], str]:
    """How the numbers of a column are written: all in the same way."""
    if column in PERCENTAGES:
        return percent
    if column == "change":
        return lambda x: f"{100 * x:+z.1f} points"
    if column == "likelihood_ratio":
        return ratio
    numbers = [float(x) for x in values if isinstance(x, int | float | np.number) and not _missing(x)]
    if any(0 < abs(x) < (0.1 if column in AMOUNTS else 0.005) for x in numbers):
        return amount
    whole = all(x.is_integer() for x in numbers) or any(abs(x) >= 1000 for x in numbers)
    return lambda x: f"{x:z,.0f}" if whole else f"{x:z.2f}"
