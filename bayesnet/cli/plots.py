"""The command that draws: plot."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bayesnet.cli.common import ModelOption, app, clear_errors, fail, write_figure
from bayesnet.cli.questions import CaseOption, ScopeOption, diagnosed, saved_interview
from bayesnet.errors import BayesnetError, did_you_mean

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bayesnet.diagnosis.result import Diagnosis
    from bayesnet.model import DiagnosticModel

__all__: list[str] = []

#: Figures of one patient, and of one cause in one patient.
OF_PATIENT: dict[str, Callable[[Diagnosis, str], Axes]] = {
    "patient": lambda d, theme: d.plot_network(theme=theme),
    "causes": lambda d, theme: d.plot(theme=theme),
    "intervals": lambda d, theme: d.plot(intervals=True, theme=theme),
    "attribution": lambda d, theme: d.attribution.plot(theme=theme),
    "next": lambda d, theme: d.plot_next(theme=theme),
}
OF_CAUSE: dict[str, Callable[[Diagnosis, str, str], Axes]] = {
    "why": lambda d, cause, theme: d.why(cause).plot(theme=theme),
    "tornado": lambda d, cause, theme: d.sensitivity(cause).plot(theme=theme),
}
KINDS = ("network", *OF_PATIENT, *OF_CAUSE, "interview", "cohort", "calibration")


@app.command(
    epilog="Examples:  bayesnet plot network -o network.svg  |  "
    "bayesnet plot network --of structural -o part.svg  |  "
    "bayesnet plot patient --case medbullets-017 -o patient.pdf --theme dark  |  "
    "bayesnet plot why patient.yaml --cause spinal_stenosis -o why.png  |  "
    "bayesnet plot cohort -o cases.png"
)
def plot(
    kind: Annotated[
        str,
        typer.Argument(
            help="network (the whole model); of a patient: patient (its part of the network), "
            "causes, intervals, attribution, next, why, tornado; interview; cohort; calibration."
        ),
    ],
    source: Annotated[
        str | None,
        typer.Argument(
            help="YAML or JSON file of findings, - for standard input; for interview, a saved one; "
            "for cohort, a CSV of probabilities, one patient a row (the published cases by "
            "default); for calibration, a CSV with the columns predicted and outcome."
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write: .svg, .pdf or .png.")
    ] = None,
    case: CaseOption = None,
    model: ModelOption = "pt_failure",
    scope: ScopeOption = "all",
    cause: Annotated[
        str | None, typer.Option(help="For why and tornado; the leading diagnosis by default.")
    ] = None,
    theme: Annotated[str, typer.Option(help="light or dark.")] = "light",
    of: Annotated[
        str | None,
        typer.Option(help="Of the network: a variable, or a family such as structural, and what is next to it."),
    ] = None,
    sheet: Annotated[str, typer.Option(help="Of the network: landscape or portrait.")] = "landscape",
) -> None:
    """Draw a figure for a paper, a report or a slide."""
    if kind not in KINDS:
        fail(f"no figure {kind!r}: expected {', '.join(KINDS)}.{did_you_mean(kind, KINDS)}")
    if output is None:
        fail("name the file to write, for example -o figure.svg")
    one = kind in OF_PATIENT or kind in OF_CAUSE
    if case is not None and not one:
        fail(f"--case goes with a figure of one patient: {', '.join((*OF_PATIENT, *OF_CAUSE))}")
    if cause is not None and kind not in OF_CAUSE:
        fail(f"--cause goes with {' and '.join(OF_CAUSE)}")

    if (of is not None or sheet != "landscape") and kind != "network":
        fail("--of and --sheet go with network")

    def draw() -> Axes:
        if kind == "network":
            return _network(source, model, of, sheet, theme)
        if not one:
            return _of_many(kind, source, model, scope, theme)
        diagnosis = diagnosed(source, case, model, scope)
        if kind in OF_PATIENT:
            return OF_PATIENT[kind](diagnosis, theme)
        return OF_CAUSE[kind](diagnosis, cause or diagnosis.ranked("diagnoses")[0].cause, theme)

    with clear_errors():
        write_figure(draw, output)


def _network(source: str | None, model: str, of: str | None, sheet: str, theme: str) -> Axes:
    import bayesnet
    from bayesnet.diagnosis.naming import known_as

    if source is not None:
        raise BayesnetError("the network takes no file of findings; name a model with --model")
    read = bayesnet.read_network(model)
    part = None if of is None else known_as(read.network, of) or of
    return read.plot(theme=theme, of=part, sheet=sheet)


def _of_many(kind: str, source: str | None, model: str, scope: str, theme: str) -> Axes:
    import bayesnet

    if kind == "calibration":
        from bayesnet.viz.calibration_figure import plot_calibration

        if source is None:
            raise BayesnetError("name a CSV file with the columns predicted and outcome")
        table = _table(source, ("predicted", "outcome"))
        return plot_calibration(table["predicted"], table["outcome"], theme=theme)
    loaded = bayesnet.load(model)
    if kind == "interview":
        from bayesnet.diagnosis.interview import Interview

        if source is None:
            raise BayesnetError("name a saved interview (bayesnet interview --save talk.json)")
        return Interview.from_dict(loaded, saved_interview(Path(source))).plot(theme=theme)
    from bayesnet.viz.cohort_figure import plot_cohort

    table = _cases(loaded, scope) if source is None else _table(source, (), True, loaded.causes)
    return plot_cohort(table, model=loaded, theme=theme)


def _table(
    source: str, columns: tuple[str, ...], index: bool = False, causes: Sequence[str] = ()
) -> Any:
    """The numbers of a CSV; of a table written by `bayesnet score` the probabilities of the causes."""
    import pandas as pd

    try:
        table = pd.read_csv(source, index_col=0 if index else None)
        wrong = [c for c in columns if c not in table]
        if wrong:
            raise BayesnetError(f"{source}: no column {wrong[0]!r}")
        if causes and set(causes) <= set(table.columns):
            table = table[list(causes)]
        return table.astype(float)
    except (OSError, ValueError) as error:
        raise BayesnetError(f"{source}: cannot be read as a table of numbers: {error}") from error


def _cases(model: DiagnosticModel, scope: str) -> Any:
    import pandas as pd

    from bayesnet.validation import shipped_cases

    cases = shipped_cases(model)
    found = {c.id: model.diagnose(c.evidence(scope)) for c in cases}
    return pd.DataFrame(
        {id: {c: d[c].posterior for c in model.causes} for id, d in found.items()}
    ).T
