"""Parameters from data, with the literature as the prior."""

from __future__ import annotations

import html
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from numbers import Real
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from bayesnet.cohort.mapping import ColumnMapping
from bayesnet.diagnosis.words import parameter_words
from bayesnet.errors import did_you_mean
from bayesnet.inference import likelihood_of
from bayesnet.inference.counts import EncodedRows, StratifiedCounts
from bayesnet.learning.data import encode_frame, rows_seen, with_selection, without
from bayesnet.learning.em import Patients, Progress, Trace, climb
from bayesnet.learning.information import learned_intervals
from bayesnet.learning.local import Local, local_of, parameters_of
from bayesnet.learning.rewrite import changed_numbers, derived, network_of, values_of
from bayesnet.learning.selection import LearningError, chosen_parameters, label_of
from bayesnet.modelfile.reader import Parameter
from bayesnet.network import Network, OddsRatio, Variable
from bayesnet.network.factor import FloatArray
from bayesnet.studies import StudyFigure

if TYPE_CHECKING:
    import pandas as pd

    from bayesnet.model import Model

__all__ = ["Learning", "fit", "local_study"]

#: Expected people below which the data are said to be silent on a parameter.
SILENT = 1.0
ModelT = TypeVar("ModelT", bound="Model")


@dataclass(frozen=True, eq=False)
class Learning:
    """What was learned from which data.

    Attributes
    ----------
    source : str
        The name of the data.
    rows : int
    people : float
        Sum of the weights.
    changes : DataFrame
        One row a number: `parameter`, `states`, `before`, `after`, `low`, `high` (95 % interval,
        empty unless asked for), `people` (the expected number who speak of it), `known` (how many of
        them with nothing hidden; 0 for odds ratios).
    trace : Trace
        Of EM.
    silent : tuple of str
        Parameters on which the data say nothing; they stay as they were.
    unused : tuple of str
        Columns that are no variable of the model.
    selected : str
        What everybody was selected for, or empty.
    bad : dict int -> str
        Rows that were not understood and left out, and why.
    network : Network
        What came out.
    """

    source: str
    rows: int
    people: float
    changes: pd.DataFrame
    trace: Trace
    silent: tuple[str, ...]
    unused: tuple[str, ...]
    selected: str
    bad: Mapping[int, str]
    network: Network = field(repr=False)

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences on what was not learned, or not used."""
        found = []
        if self.silent:
            more = f" and {len(self.silent) - 5} more" if len(self.silent) > 5 else ""
            found.append(
                f"The data say nothing about {', '.join(self.silent[:5])}{more}; kept as they were."
            )
        if not self.trace.converged:
            found.append("Stopped before the gain was small; allow more iterations.")
        if len(self.trace.impossible):
            found.append(
                f"{len(self.trace.impossible)} rows are impossible under the model and were left "
                f"out, the first is row {self.trace.impossible[0]}."
            )
        if self.bad:
            row, said = next(iter(self.bad.items()))
            found.append(f"{len(self.bad)} rows were not understood and left out; row {row}: {said}.")
        if self.unused:
            found.append(f"Columns not used: {', '.join(self.unused[:8])}.")
        return tuple(found)

    @property
    def moved(self) -> pd.DataFrame:
        """The numbers that changed; first what changed for most people.

        A probability's change times the people it speaks of; of an odds ratio, a tenth of the change
        of its logarithm.
        """
        changed = self.changes[self.changes["before"] != self.changes["after"]]
        a, b = (changed[c].to_numpy(float) for c in ("before", "after"))
        ratio = (a > 1) | (b > 1)
        safe = [np.where(ratio, np.maximum(x, 1e-300), 1.0) for x in (a, b)]
        far = np.where(ratio, 0.1 * np.abs(np.log(safe[1] / safe[0])), np.abs(b - a))
        order = np.argsort(-far * changed["people"].to_numpy(float), kind="stable")
        return changed.iloc[order].reset_index(drop=True)

    def __str__(self) -> str:
        t = self.trace
        likelihood = t.log_likelihood
        lines = [
            f"Learned from {self.source}: {self.rows:,} rows, {self.people:,.6g} people"
            + (f", all selected for {self.selected}" if self.selected else ""),
            f"{len(likelihood) - 1} iterations{'' if t.converged else ' (not converged)'}; log "
            f"likelihood a person {likelihood[0] / t.people:.5f} -> "
            f"{likelihood[-1] / t.people:.5f}",
            f"{len(self.moved)} of {len(self.changes)} numbers changed; for most people:",
        ]
        for r in self.moved.head(10).to_dict("records"):
            name = r["parameter"] + (f" [{r['states']}]" if r["states"] else "")
            sure = f"  ({r['low']:.3g} to {r['high']:.3g})" if np.isfinite(r["low"]) else ""
            lines.append(f"  {name}: {r['before']:.3g} -> {r['after']:.3g}{sure}")
        return "\n".join([*lines, *self.warnings])

    def __repr__(self) -> str:
        return str(self)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        shown = self.changes.astype(object).where(self.changes.notna(), None)
        return {
            "source": self.source, "rows": self.rows, "people": self.people,
            "selected": self.selected, "iterations": len(self.trace.log_likelihood) - 1,
            "converged": self.trace.converged,
            "log_likelihood": self.trace.log_likelihood.tolist(),
            "log_posterior": self.trace.log_posterior.tolist(),
            "changes": shown.to_dict("records"), "warnings": list(self.warnings),
        }

    def _repr_html_(self) -> str:
        head, *_ = str(self).split("for most people:")
        shown = self.moved.head(15).drop(columns=["known"])
        # A number by its state, where it is one of several.
        paths = shown["parameter"] + shown.pop("states").map(lambda s: f": {s}" if s else "")
        shown["parameter"] = [parameter_words(self.network, p) for p in paths]
        shown = shown.rename(columns={"parameter": "number of the model"})
        if not np.isfinite(shown["low"]).any():
            shown = shown.drop(columns=["low", "high"])
        warned = "".join(f"<br>{html.escape(w)}" for w in self.warnings)
        table = shown.to_html(index=False, float_format=lambda x: f"{x:,.0f}" if x >= 1000 else f"{x:.3g}")
        return f"{html.escape(head).replace(chr(10), '<br>')}for most people:<br>{table}<small>{warned}</small>"


def fit(
    model: ModelT,
    data: Any,
    *,
    learn: str | Iterable[str] = "all",
    keep: str | Iterable[str] = (),
    strength: float = 1.0,
    weights: str | Iterable[float] | None = None,
    mapping: ColumnMapping | None = None,
    selected: Mapping[str, Any] | None = None,
    errors: str = "raise",
    most_bad: float = 1.0,
    name: str = "local data",
    iterations: int = 200,
    tolerance: float = 1e-6,
    intervals: bool = False,
    starts: int = 1,
    seed: int = 0,
    threads: int | None = None,
    progress: bool | Progress = False,
) -> ModelT:
    """A new model whose parameters are learned from data, the old ones being the prior.

    Maximum a posteriori by EM over everything that is not in the data: causes, mechanisms, empty
    cells, the inhibitors of noisy links (`bayesnet.learning.em`, `bayesnet.learning.local`).

    Parameters
    ----------
    model : Model or DiagnosticModel
    data : DataFrame
        As for `diagnose_frame`: columns are variable ids, empty cells are not known.
    learn, keep : str or iterable of str
        What may change, and what of that may not: `all`, `prevalences`, `odds_ratios`, `links`,
        `leaks`, `tables`, ids of variables, or labels such as `fever/kidney_infection`.
    strength : float
        How much the old numbers weigh: 1 is as much as their stated spread, 0 is nothing (maximum
        likelihood).
    weights : str or array, optional
        How many people each row stands for (case or survey weights). They should add up to the
        number of people who were really asked, or the data count for more than they are.
    mapping : ColumnMapping, optional
    selected : mapping, optional
        What all these people were selected for, one variable. In a clinical model it is the outcome
        (PT failed) unless the table has a column for it in which people differ; `{}` for people who
        were not selected. Empty cells do not differ: where all others say that therapy failed, or all
        are empty, it is taken to have failed in those people too.
    errors : str
        `raise`: a row that is not understood is an error that lists all of them; `drop`: such rows
        are left out and counted.
    most_bad : float
        With `drop`: it is an error when more than this share of the rows would be left out, or all.
    name : str
        What to call the data; cited by the parameters they changed.
    iterations, tolerance
        EM stops when an iteration gains less log posterior a person than `tolerance`.
    intervals : bool
        Also 95 % intervals of all learned numbers; two passes over the data for each of them.
    starts, seed : int
        EM climbs to a local maximum. The first start is the old numbers; more start from random ones
        (same seed, same ones), and the best end is taken.
    threads : int, optional
        All processors by default. The numbers are the same to the last bit either way.
    progress : bool or callable
        A progress bar, or a function of iteration, log posterior and gain a person.

    Returns
    -------
    Model or DiagnosticModel
        As given, with the new numbers; `.learning` says what changed.

    Raises
    ------
    CohortError, LearningError
    """
    if isinstance(strength, bool) or not isinstance(strength, Real) or not 0 <= strength < np.inf:
        raise LearningError(f"strength={strength!r}: expected a number of at least 0 (1: as published)")
    if iterations < 1 or starts < 1:
        raise LearningError("iterations and starts must be at least 1")
    network = model.network
    document = getattr(model, "document", None)
    parameters = document.parameters if document is not None else parameters_of(network)
    learned = chosen_parameters(network, parameters, learn, keep)
    if errors not in ("raise", "drop"):
        raise LearningError(f"errors={errors!r}: expected raise or drop")
    rows, bad = encode_frame(network, data, weights, mapping, drop_bad=errors == "drop", most_bad=most_bad)
    given, rows = _selection(model, selected, rows)
    columns = mapping.columns if mapping is not None else network.variables
    named = {weights} if isinstance(weights, str) else set()
    names = getattr(data, "column_names", None) or list(getattr(data, "columns", ()))
    unused = tuple(str(c) for c in names if c not in columns and c not in named)
    what = (selected or {}).get(given, True) if given else None
    if given is not None and given not in rows.variables:
        rows = with_selection(network, rows, given, _chosen(network[given], what))
    patients = Patients.of(rows, given)

    by_variable: dict[str, list[Parameter]] = {}
    for p in parameters:
        by_variable.setdefault(p.variable, []).append(p)
    wanted: dict[str, list[Parameter]] = {}
    for p in learned:
        wanted.setdefault(p.variable, []).append(p)
    state = {
        v: x for v in wanted
        if (x := local_of(network, v, by_variable[v], wanted[v], strength)).moves
    }
    plan = StratifiedCounts(
        network, rows.variables, tuple(state), model.strata.order, model.strata.by
    )
    best: tuple[dict[str, Local], dict[str, Any], Trace] | None = None
    generator = np.random.default_rng(seed)
    for start in range(starts):
        with _shown(progress, "Learning" if starts == 1 else f"Learning, start {start + 1}", iterations) as tell:
            begin = state if start == 0 else {v: _shaken(x, generator) for v, x in state.items()}
            found = climb(
                plan, patients, begin, iterations=iterations, tolerance=tolerance, threads=threads,
                on_progress=tell,
            )
        if best is None or found[2].log_posterior[-1] > best[2].log_posterior[-1]:
            best = found
    assert best is not None
    end, counts, trace = best
    sure = {}
    if intervals:
        with _shown(progress, "Intervals", None) as tell:
            sure = learned_intervals(
                network, plan, patients, end, [p for p in learned if p.variable in end], threads=threads,
                on_progress=None if tell is None else (lambda i, n: tell(i, float(n), 0.0)),
            )
    new = network_of(network, end)
    table, silent = _changes(network, new, learned, end, counts, rows, sure)
    report = Learning(
        name, len(rows), patients.people, table, trace, silent, unused,
        f"{given}={what}" if given else "", bad, new,
    )
    return _rebuilt(model, new, report, learned, strength)


def _selection(
    model: Model, selected: Mapping[str, Any] | None, rows: EncodedRows
) -> tuple[str | None, EncodedRows]:
    """What everybody was selected by, and the rows: a column for it then says the same of everybody."""
    outcome = getattr(model, "outcome", None)
    if selected is None:
        if outcome is None or outcome not in rows.variables:
            return outcome, rows
        column = rows.variables.index(outcome)
        levels, codes = rows.levels[column], rows.codes[:, column]
        says = (levels != levels[:, :1]).any(axis=1) | ~levels.any(axis=1)
        known = np.unique(codes[(rows.people > 0) & says[codes]])
        if not len(known):
            return str(outcome), without(rows, outcome)
        # A column that says of everybody that therapy failed says how they were chosen.
        if len(known) > 1 or levels[known[0], 0] != 0:
            return None, rows
        filled = rows.codes.copy()
        filled[~says[codes], column] = known[0]
        return str(outcome), replace(rows, codes=filled)
    if not selected:
        return None, rows
    if len(selected) > 1:
        raise LearningError("selected: name one variable that everybody was selected by")
    (variable,) = selected
    if variable not in model.network:
        raise LearningError(
            f"selected: unknown variable {variable!r}.{did_you_mean(variable, model.network.variables)}"
        )
    if variable in rows.variables:
        raise LearningError(f"selected: the table has a column {variable}; drop one of the two")
    return str(variable), rows


def _chosen(variable: Variable, what: Any) -> FloatArray:
    try:
        vector = likelihood_of(variable, what)
    except ValueError as error:
        raise LearningError(f"selected: {variable.id}: {error}") from error
    if vector is None or vector.all():
        raise LearningError(f"selected: say which state of {variable.id} everybody had")
    return (vector > 0).astype(float)


def _shaken(local: Local, generator: np.random.Generator) -> Local:
    x = local.coordinates()
    return local.at(x + generator.normal(0, 1, len(x)))


@contextmanager
def _shown(progress: bool | Progress, what: str, total: int | None) -> Iterator[Progress | None]:
    """A progress function: the caller's own, a bar on the error stream, or none."""
    if not progress:
        yield None
        return
    if not isinstance(progress, bool):
        yield progress
        return
    from rich.console import Console
    from rich.progress import Progress as Bar
    from rich.progress import TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), TextColumn("{task.fields[said]}"), TimeElapsedColumn())
    with Bar(*columns, console=Console(file=sys.stderr), transient=True) as bar:
        task = bar.add_task(what, total=total, said="")

        def tell(iteration: int, value: float, gain: float) -> None:
            said = (
                f"iteration {iteration}, log posterior {value:,.2f}, gain a person {gain:.2g}"
                if total is not None else f"{iteration} of {value:.0f}"
            )
            bar.update(task, completed=iteration, said=said)

        yield tell


def _changes(
    before: Network, after: Network, learned: Sequence[Parameter], state: Mapping[str, Local],
    counts: Mapping[str, Any], rows: EncodedRows, sure: Mapping[tuple[str, str], tuple[float, float]],
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    import pandas as pd

    people: dict[str, float] = {}
    known: dict[str, float] = {}
    for v, x in state.items():
        d = before.distributions[v]
        own = [p for p in learned if p.variable == v]
        seen = None
        if not isinstance(d, OddsRatio):
            scopes = [f.scope for f in before.factors_of(v)]
            seen = rows_seen(before, rows, (*d.parents, v), scopes)
        for p in own:
            label = label_of(p)
            people[label] = x.people(before, p, counts[v]) if v in counts else 0.0
            known[label] = 0.0 if seen is None else x.people(before, p, seen)
    silent = tuple(
        label for p in learned if people.get(label := label_of(p), 0.0) < SILENT and not p.is_by_definition
    )
    numbers = changed_numbers(values_of(before, learned), values_of(after, learned))
    frame = pd.DataFrame(
        [
            (label, states, a, b, *sure.get((label, states), (np.nan, np.nan)),
             people.get(label, 0.0), known.get(label, np.nan))
            for label, states, a, b in numbers
        ],
        columns=["parameter", "states", "before", "after", "low", "high", "people", "known"],
    )
    return frame, silent


def _rebuilt(
    model: ModelT, network: Network, report: Learning, learned: Sequence[Parameter], strength: float
) -> ModelT:
    document = getattr(model, "document", None)
    if document is None:
        return type(model)(network, learning=report)
    study = local_study(
        document.studies, report.source,
        "Parameters learned from patients' data with the literature as the prior",
        f"{report.rows} rows" + (f"; {report.selected}" if report.selected else ""),
        f"{len(report.moved)} numbers changed, {len(report.trace.log_likelihood) - 1} iterations of EM",
        f"{report.people:g}",
    )
    values = values_of(network, document.parameters)
    moved = set(report.moved["parameter"])
    by_label: dict[str, Mapping[Any, Any]] = {
        r["parameter"]: r for r in report.changes.to_dict("records")
    }
    parameters = []
    for p in document.parameters:
        label = label_of(p)
        if label not in moved:
            parameters.append(replace(p, value=values[label]) if values[label] != p.value else p)
            continue
        row = by_label[label]
        parameters.append(replace(
            p, value=values[label], studies=(*p.studies, study.id), background=None,
            spread=_new_spread(p, row, strength),
            note=" ".join(x for x in (p.note, f"Learned from {report.source}.") if x),
        ))
    made: Any = derived(
        document, "fitted", network=network, parameters=tuple(parameters), added=(*document.added, study),
    )
    return type(model)(made, learning=report)


def _new_spread(p: Parameter, row: Mapping[Any, Any], strength: float) -> Any:
    """The interval where there is one; else the old weight and the people with nothing hidden."""
    if np.isfinite(row["low"]) and not isinstance(p.value, Mapping):
        low, high, value = (float(row[k]) for k in ("low", "high", "after"))
        at_low, at_high = np.isclose(low, value, rtol=1e-6), np.isclose(1 - high, 1 - value, rtol=1e-6)
        if low < high and (at_low or at_high):
            # Next to 0 or 1 an interval has one side only; so many people nobody of whom was affected.
            far = high if at_low else 1 - low
            return round(float(np.log(0.025) / np.log1p(-far)) - 1, 1)
        return (low, high)
    if isinstance(p.spread, int | float) and np.isfinite(row["known"]):
        return round(strength * float(p.spread) + float(row["known"]), 1)
    return None if isinstance(p.spread, tuple) and not _within(p.spread, row["after"]) else p.spread


def _within(spread: tuple[float, float], value: float) -> bool:
    return spread[0] <= value <= spread[1]


def local_study(
    taken: Mapping[str, Any], source: str, title: str, population: str, note: str, n: str = ""
) -> StudyFigure:
    """A row of the evidence table for data of the user's own."""
    number = 1
    while (id := f"LOCAL{number:04d}") in taken:
        number += 1
    return StudyFigure(
        id=id, cause="", item="", item_state="", measure="parameters", value=None, ci_low=None,
        ci_high=None, n=n, n_cause="", population=population, study=source, title=title, journal="",
        doi="", pmid="", design="own data", read_in="own data", url="", note=note,
    )
