"""Commands that make a new model: fit, recalibrate."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from bayesnet.cli.common import (
    JsonFlag,
    ModelOption,
    app,
    clear_errors,
    console,
    each_once,
    empty_folder,
    fail,
    print_json,
)

if TYPE_CHECKING:
    from bayesnet.model import DiagnosticModel

__all__: list[str] = []

OutputOption = Annotated[Path, typer.Option("--output", "-o", help="Folder for the new model.")]
OverwriteOption = Annotated[
    bool, typer.Option("--overwrite", help="Write over what is in that folder.")
]


@app.command(
    epilog="Examples:  bayesnet fit clinic.csv -o clinic_model --learn prevalences --name 'Our clinic 2026'  |  "
    "bayesnet fit clinic.parquet -o clinic_model --mapping clinic.yaml --strength 0.5 --intervals --all-failed  |  "
    "bayesnet diagnose patient.yaml --model clinic_model"
)
def fit(
    source: Annotated[Path, typer.Argument(help="CSV or Parquet, one patient a row.")],
    output: OutputOption,
    model: ModelOption = "pt_failure",
    mapping: Annotated[
        Path | None, typer.Option("--mapping", help="YAML: what the table's columns and codes mean.")
    ] = None,
    learn: Annotated[
        list[str] | None,
        typer.Option(help="all, prevalences, odds_ratios, links, leaks, tables, a variable, or variable/parent; repeat for more."),
    ] = None,
    keep: Annotated[list[str] | None, typer.Option(help="What stays as it is; repeat for more.")] = None,
    strength: Annotated[float, typer.Option(min=0, help="Weight of the old numbers; 1: their stated spread.")] = 1.0,
    weights: Annotated[str | None, typer.Option(help="Column with case or survey weights.")] = None,
    all_failed: Annotated[
        bool,
        typer.Option("--all-failed", help="PT failed in all of these people (a table without a column for it)."),
    ] = False,
    unselected: Annotated[
        bool, typer.Option("--unselected", help="These people were not selected for failed PT.")
    ] = False,
    most_bad: Annotated[
        float,
        typer.Option(min=0, max=1, help="Learn nothing when more than this share of the rows cannot be read."),
    ] = 0.5,
    name: Annotated[str | None, typer.Option(help="What to call the data; the file's name by default.")] = None,
    iterations: Annotated[int, typer.Option(min=1, help="The most steps of EM.")] = 200,
    intervals: Annotated[bool, typer.Option("--intervals", help="Also 95 % intervals (slow).")] = False,
    seed: Annotated[int, typer.Option(help="For --starts.")] = 0,
    starts: Annotated[int, typer.Option(min=1, help="Climb from so many beginnings.")] = 1,
    jobs: Annotated[int | None, typer.Option(min=1, help="Processors; all by default.")] = None,
    overwrite: OverwriteOption = False,
    as_json: JsonFlag = False,
) -> None:
    """Learn the model's numbers from your patients, beginning from the published ones."""
    import bayesnet
    from bayesnet.cohort import read_mapping
    from bayesnet.cohort.frame import usable_mapping
    from bayesnet.cohort.source import read_whole

    if all_failed and unselected:
        fail("--all-failed or --unselected: only one can be true")
    with clear_errors():
        empty_folder(output, overwrite)
        loaded = bayesnet.load(model)
        used = None if mapping is None else read_mapping(mapping, loaded.network)
        table, unreadable = read_whole(source)
        if len(unreadable) > most_bad * (len(unreadable) + table.num_rows):
            fail(f"{source}: {len(unreadable):,} of {len(unreadable) + table.num_rows:,} lines cannot be read, "
                 f"so nothing was learned; the first: {next(iter(unreadable.values()))}")
        meant = usable_mapping(loaded, table.column_names, used).columns.values()
        _outcome_said(loaded, source, any(c.variable == loaded.outcome for c in meant), all_failed, unselected)
        new = loaded.fit(
            table, errors="drop", most_bad=most_bad, learn=learn or "all", keep=keep or (), strength=strength,
            weights=weights, mapping=used, selected={} if unselected else None,
            name=name or source.stem, iterations=iterations, intervals=intervals, seed=seed,
            starts=starts, threads=jobs, progress=True,
        )
        new.write(output)
    learned = new.learning
    assert learned is not None
    if as_json:
        print_json(learned.to_dict())
        return
    console().print(escape(str(learned)), soft_wrap=True)
    if loaded.outcome is not None:
        console().print(f"Taken for granted: {_assumed(loaded.network[loaded.outcome].name, learned.selected)}")
    if unreadable:
        console().print(f"{len(unreadable)} lines of the file cannot be read and were left out.")
    console().print(f"Written to {escape(str(output))}: bayesnet diagnose PATIENT.yaml --model {escape(str(output))}")


def _outcome_said(
    model: DiagnosticModel, source: Path, column: bool, all_failed: bool, unselected: bool
) -> None:
    """Refuse a table that leaves open in whom PT failed: what is learned depends on it."""
    outcome = model.outcome
    if outcome is None:
        return
    words = model.network[outcome].name
    if column and all_failed:
        fail(f"--all-failed: {source} has a column for {outcome}, which says it itself; leave one of them out")
    if not column and not all_failed and not unselected:
        fail(
            f"{source} has no column for {outcome} ({words}). Add --all-failed if it is true of all of these "
            "people, --unselected if they were not chosen for it, or such a column with "
            f"{' and '.join(model.network[outcome].states)}"
        )


def _assumed(outcome: str, selected: str) -> str:
    if selected:
        return f"{outcome} in all of these people, who were seen because of it."
    return f"nobody was chosen by whether {outcome[0].lower()}{outcome[1:]}."


@app.command(
    epilog="Example:  bayesnet recalibrate axial_spondyloarthritis=0.1 spinal_stenosis=moderate:0.1,severe:0.05 "
    "--given pt_failure=present -o clinic_model"
)
def recalibrate(
    frequencies: Annotated[
        list[str], typer.Argument(help="variable=share, or variable=state:share,state:share")
    ],
    output: OutputOption,
    model: ModelOption = "pt_failure",
    given: Annotated[
        list[str] | None, typer.Option(help="Among whom: a finding such as pt_failure=present.")
    ] = None,
    name: Annotated[str, typer.Option(help="Where the numbers are from.")] = "local frequencies",
    overwrite: OverwriteOption = False,
) -> None:
    """Make some things as common as they are in your clinic; everything else is kept."""
    import bayesnet

    stated = each_once("frequencies", map(_frequency, frequencies))
    among = each_once("--given", map(_finding, given or ()))
    with clear_errors():
        empty_folder(output, overwrite)
        loaded = bayesnet.load(model)
        new = loaded.recalibrate(stated, among, name)
        new.write(output)
    console().print(f"Written to {escape(str(output))}: bayesnet diagnose PATIENT.yaml --model {escape(str(output))}")


def _frequency(text: str) -> tuple[str, Any]:
    variable, sign, value = text.partition("=")
    try:
        if not sign:
            raise ValueError
        if ":" not in value:
            return variable.strip(), float(value)
        pairs = (part.rpartition(":") for part in value.split(","))
        shares = each_once(variable.strip(), ((state.strip(), float(x)) for state, _, x in pairs))
        return variable.strip(), shares
    except ValueError:
        fail(f"{text!r}: expected variable=share, or variable=state:share,state:share")


def _finding(text: str) -> tuple[str, str]:
    variable, sign, state = text.partition("=")
    if not sign:
        fail(f"--given {text}: expected variable=state")
    return variable.strip(), state.strip()
