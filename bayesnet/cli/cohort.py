"""Commands about many patients: score, simulate, cohort map, cohort check."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from bayesnet.cli.common import (
    JsonFlag,
    ModelOption,
    app,
    clear_errors,
    console,
    each_once,
    fail,
    print_json,
)

if TYPE_CHECKING:
    from bayesnet.cohort import ColumnMapping
    from bayesnet.model import DiagnosticModel

__all__: list[str] = []

cohort_app = typer.Typer(
    help="Look at a table of patients before it is scored.", no_args_is_help=True,
    epilog="Examples:  bayesnet cohort check data/sample_cohort.csv  |  bayesnet cohort map --suggest data/sample_cohort.csv",
)
app.add_typer(cohort_app, name="cohort")

MappingOption = Annotated[
    Path | None, typer.Option("--mapping", help="YAML: what the table's columns and codes mean.")
]
#: Rows are refused: the run is complete, but not everything was scored.
SOME_REJECTED = 3


def _mapping(path: Path | None, model: DiagnosticModel) -> ColumnMapping | None:
    from bayesnet.cohort import read_mapping

    return None if path is None else read_mapping(path, model.network)


@app.command(
    epilog="Examples:  bayesnet score data/sample_cohort.csv -o scored.csv  |  "
    "bayesnet score registry/ -o scored.parquet --mapping registry.yaml --keep id --memory 2GiB  |  "
    "bayesnet score big.parquet -o scored --dask tcp://scheduler:8786. An interrupted run goes on "
    "where it stopped when the same command is given again."
)
def score(
    source: Annotated[Path, typer.Argument(help="CSV, Parquet, or a folder of Parquet files.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help=".csv, .parquet, or a folder of Parquet files.")
    ],
    model: ModelOption = "pt_failure",
    mapping: MappingOption = None,
    keep: Annotated[
        list[str] | None, typer.Option(help="A column to copy to the output, such as an identifier; repeat for more.")
    ] = None,
    attribution: Annotated[
        bool, typer.Option(help="Add the probability that PT failed because of each cause.")
    ] = False,
    memory: Annotated[str, typer.Option(help="Memory budget.")] = "1GiB",
    jobs: Annotated[int | None, typer.Option(min=1, help="Processors; all by default.")] = None,
    dask: Annotated[str | None, typer.Option(help="Address of a Dask scheduler.")] = None,
) -> None:
    """The probability of every cause for every row of a table, however large.

    Exit code 3 when rows were rejected.
    """
    import bayesnet
    from bayesnet.cohort import score as run

    with clear_errors():
        loaded = bayesnet.load(model)
        used = _mapping(mapping, loaded)
        with _rows_bar() as tell:
            done = run(
                loaded, source, output, mapping=used, keep=keep or (), attribution=attribution,
                memory=memory, jobs=jobs, dask=dask, progress=tell,
            )
    out = console()
    for note in done.notes:
        out.print(f"note: {source.name} {escape(note)}", soft_wrap=True)
    if done.resumed:
        out.print(f"{done.resumed:,} rows were already done by an interrupted run.")
    out.print(f"[dim]{escape(loaded.disclaimer)}[/]", soft_wrap=True)
    last = f"{done.good:,} of {done.rows:,} rows scored: {done.output}"
    if done.rejects is not None:
        last += f"; {done.bad:,} rejected, with reasons: {done.rejects}"
    out.print(escape(last), soft_wrap=True)
    if done.bad:
        raise typer.Exit(SOME_REJECTED)


@contextmanager
def _rows_bar() -> Iterator[Callable[[int, int | None], None]]:
    """Rows done, rows a second, time left."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.completed:,.0f} rows"), BarColumn(), TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("rows", total=None, rate="")

        def tell(done: int, total: int | None) -> None:
            speed = bar.tasks[0].speed
            bar.update(task, completed=done, total=total, rate=f"{speed:,.0f} rows/s" if speed else "")

        yield tell


@app.command(
    epilog="Examples:  bayesnet simulate -n 1000 -o patients.csv --missing 0.5  |  bayesnet simulate "
    "-n 100000 -o women.parquet --given sex=female --given age=70 --given pt_failure=present "
    "--missing test=0.9 --missing history=0.2 --seed 7"
)
def simulate(
    n: Annotated[int, typer.Option("-n", min=0, help="How many patients.")],
    output: Annotated[Path, typer.Option("--output", "-o", help=".csv or .parquet.")],
    model: ModelOption = "pt_failure",
    given: Annotated[
        list[str] | None, typer.Option(help="variable=state that holds for all of them; repeat for more.")
    ] = None,
    missing: Annotated[
        list[str] | None,
        typer.Option(help="Share of empty cells, or variable=share, role=share; repeat for more."),
    ] = None,
    hidden: Annotated[bool, typer.Option(help="Add the true causes.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same patients.")] = 0,
) -> None:
    """Draw simulated patients from the model, into a table."""
    import bayesnet
    from bayesnet.cohort import simulate as draw
    from bayesnet.cohort.source import write_frame

    shares: dict[str, float] | float = {}
    everywhere = [m for m in missing or () if "=" not in m]
    with clear_errors():
        loaded = bayesnet.load(model)
        if output.suffix not in (".csv", ".parquet"):
            fail(f"{output}: expected .csv or .parquet")
        try:
            parts = (m.partition("=") for m in missing or () if "=" in m)
            named = each_once("--missing", ((k, float(x)) for k, _, x in parts))
            shares = float(everywhere[0]) if everywhere and not named else named
        except ValueError:
            fail("--missing: expected a share from 0 to 1, or name=share")
        if len(everywhere) > 1 or (everywhere and named):
            fail("--missing: give one share for everything, or shares by name")
        stated = [text.partition("=") for text in given or ()]
        for name, eq, _ in stated:
            if not eq:
                fail(f"--given {name}: expected variable=state")
        facts = each_once("--given", ((name, value) for name, _, value in stated))
        with _rows_bar() as tell:
            frame = draw(
                loaded, n, seed, facts, shares, hidden, progress=lambda done: tell(done, n)
            )
        write_frame(frame, output)
    console().print(f"{n:,} simulated patients: {escape(str(output))}", soft_wrap=True)


@cohort_app.command(
    "map",
    epilog="Example:  bayesnet cohort map --suggest registry.csv > registry.yaml",
)
def map_(
    suggest: Annotated[Path, typer.Option("--suggest", help="The table to propose a mapping for.")],
    model: ModelOption = "pt_failure",
) -> None:
    """Propose a mapping file from a table's column names and values, to be read and corrected."""
    import bayesnet
    from bayesnet.cohort.source import open_table
    from bayesnet.cohort.suggest import suggest_mapping, unread_values

    with clear_errors():
        loaded = bayesnet.load(model)
        source = open_table(suggest)
        seen: dict[str, list[object]] = {n: [] for n in source.names}
        for piece in source.pieces[:1]:
            for block in source.blocks(piece, 20_000, source.names):
                for factor in block.factors:
                    seen[factor.name] = list(factor.values)[:300]
                break
        found = suggest_mapping(loaded.network, seen)
    typer.echo(f"# Proposed from {suggest.name}: read and correct before use.")
    typer.echo(found.to_yaml(), nl=False)
    for name, values in unread_values(loaded.network, seen, found).items():
        variable = loaded.network[found.columns[name].variable]
        shown = ", ".join(repr(x) for x in values[:8]) + (", ..." if len(values) > 8 else "")
        typer.echo(f"# {name}: not understood: {shown}. Say under values: (numbers: thresholds:) which "
                   f"of {', '.join(variable.states)} they are.")
    left = [n for n in source.names if n not in found.columns]
    if left:
        typer.echo(f"# Not understood: {', '.join(left)}")


@cohort_app.command(epilog="Example:  bayesnet cohort check registry.csv --mapping registry.yaml")
def check(
    source: Annotated[Path, typer.Argument(help="CSV, Parquet, or a folder of Parquet files.")],
    model: ModelOption = "pt_failure",
    mapping: MappingOption = None,
    limit: Annotated[int, typer.Option(min=1, help="Look at so many rows.")] = 200_000,
    json: JsonFlag = False,
) -> None:
    """What of a table is understood, missing, wrong, or unlike the model's own patients."""
    import bayesnet
    from bayesnet.cohort.check import check_table

    with clear_errors():
        loaded = bayesnet.load(model)
        found = check_table(loaded, source, _mapping(mapping, loaded), limit)
    if json:
        print_json(found.to_dict())
        return
    out = console()
    table = Table("variable", "column", "known", "shift", "differs most", box=None, pad_edge=False)
    for r in found.variables.to_dict("records"):
        known = r["shift"] == r["shift"] and r["shift"] is not None
        table.add_row(
            r["variable"], escape(str(r["column"])), f"{r['known']:.0%}",
            f"{r['shift']:.2f}" if known else "",
            f"{r['state']} {r['here']:.0%}, model {r['model']:.0%}" if known else "",
        )
    out.print(table)
    for note in found.notes:
        out.print(f"note: {escape(note)}", soft_wrap=True)
    if found.ignored:
        out.print(f"ignored columns: {escape(', '.join(found.ignored))}", soft_wrap=True)
    for reason, count in found.reasons.items():
        out.print(f"{count:,} x {escape(reason)}", soft_wrap=True)
    out.print(
        f"{found.rows:,} rows: {found.bad:,} cannot be read, {found.impossible:,} are impossible for "
        "the model. shift: total variation distance from the model's own patients in whom PT failed.",
        soft_wrap=True,
    )
