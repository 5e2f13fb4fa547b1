"""Commands about models: check, calibrate, published, pool, card, show, optimise, criticise, schema."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from bayesnet.cli.common import (
    JsonFlag,
    ModelOption,
    clear_errors,
    console,
    fail,
    model_app,
    own_folder,
    print_json,
    print_whole,
    progress,
    records,
    write_figure,
)
from bayesnet.errors import CaseFileError, did_you_mean

if TYPE_CHECKING:
    from bayesnet.model import DiagnosticModel
    from bayesnet.modelfile.reader import Parameter
    from bayesnet.network import Network
    from bayesnet.validation import Case

__all__: list[str] = []


@model_app.command("check", epilog="Example:  bayesnet model check --strict models/pt_failure")
def check_model(
    path: Annotated[str, typer.Argument(help="A model folder, a model in one .yaml file, or a shipped model's name.")],
    strict: Annotated[
        bool, typer.Option("--strict", help="Warn about what an expert reviewer would object to.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Report every error of a model at once, with file and line.

    --strict also warns (and exits with 1) about causes without findings, findings that tell nothing,
    parameters without a study that was read, links below their leak, rates away from the stated
    ones, and states that are never reached.
    """
    import bayesnet

    with clear_errors():
        model = bayesnet.load(path)
        document = model.document
        studies = document.studies
        actions = model.pathways.actions
    warnings = []
    if strict:
        from bayesnet.validation.strict import warnings_of

        warnings = warnings_of(model)
    counted = [p for p in document.parameters if not p.is_by_definition]
    read = sum(p.is_read(studies) for p in counted)
    recalled = sorted({i for p in counted for i in p.studies if not studies[i].was_read})
    if as_json:
        print_json({
            "model": model.name, "version": model.version, "variables": len(model.network),
            "parameters": len(counted), "cite_a_study_that_was_read": read,
            "by_definition": len(document.parameters) - len(counted), "actions": len(actions),
            "warnings": [str(w) for w in warnings],
        })
        raise typer.Exit(1 if warnings else 0)
    out = console()
    out.print(
        f"{escape(model.name)} {escape(model.version)}: no errors. {len(model.network)} variables, "
        f"{len(counted)} parameters; {read} ({read / len(counted):.0%}) cite a study that was read, "
        f"{len(counted) - read} are expert estimates or rest on recalled figures."
    )
    if recalled:
        out.print(f"Cited rows that were written from memory, not read: {', '.join(recalled)}")
    if strict:
        for w in warnings:
            out.print(f"- {escape(str(w))}", soft_wrap=True)
        out.print(f"{len(warnings)} warnings." if warnings else "No warnings.")
        if warnings:
            raise typer.Exit(1)


@model_app.command(
    "calibrate", epilog="Example:  bayesnet model calibrate models/pt_failure --dry-run"
)
def calibrate_model(
    path: Annotated[str, typer.Argument(help="A model folder.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show, write nothing.")] = False,
) -> None:
    """Solve every leak that states a `background`, and write it into the model's files.

    The background is a published rate of the finding without some causes; the leak is what is left
    of it when the model's other causes have produced their part.
    """
    import bayesnet
    from bayesnet.calibration import solve_leaks, write_leaks

    with clear_errors():
        if not dry_run:
            own_folder(path)
        document = bayesnet.load(path).document
        solved = solve_leaks(document)
        if not dry_run:
            write_leaks(document, solved)
    table = Table(box=None, pad_edge=False)
    for name in ("finding", "state", "without", "published", "model", "leak before", "leak after"):
        table.add_column(name)
    for s in solved:
        background = s.parameter.background
        assert background is not None
        for state, rate in background.rates.items():
            table.add_row(
                s.parameter.variable, state, ", ".join(background.without) or "-", f"{rate:.3g}",
                f"{s.rates[state]:.3g}", f"{s.before[state]:.3g}", f"{s.after[state]:.3g}",
            )
    console().print(table)


@model_app.command(
    "alarms", epilog="Example:  bayesnet model alarms pt_failure --patients 20000 --seed 1"
)
def alarms(
    path: Annotated[str, typer.Argument(help="A model folder, a model in one .yaml file, or a shipped model's name.")] = (
        "pt_failure"
    ),
    patients: Annotated[int, typer.Option(min=1, help="Simulated people to draw.")] = 60_000,
    most: Annotated[int, typer.Option(min=1, help="Of one cause, ask about the first so many.")] = 300,
    seed: Annotated[int, typer.Option(help="Same seed, same people.")] = 0,
    as_json: JsonFlag = False,
) -> None:
    """How often triage alarms, by what a simulated patient has.

    Therapy failed in all of them, every question was asked, every sign looked for, no test done.
    It shows what rules and utilities do if the model is right, not whether it is.
    """
    import bayesnet
    from bayesnet.diagnosis.pathways import LEVELS
    from bayesnet.diagnosis.words import percent
    from bayesnet.validation.alarms import alarm_rates

    with clear_errors():
        model = bayesnet.load(path)
        with Console(stderr=True).status("Drawing and asking patients"):
            found = alarm_rates(model, patients, most, seed)
    if as_json:
        print_json({"groups": records(found), "disclaimer": model.disclaimer})
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("what they have")
    for name in ("of all", "patients", *LEVELS):
        table.add_column(name, justify="right")
    for r in found.to_dict("records"):
        table.add_row(escape(r["label"]), percent(r["drawn"]), str(r["patients"]), *(percent(r[x]) for x in LEVELS))
    console().print(table)


@model_app.command(
    "published", epilog="Example:  bayesnet model published pt_failure --misses"
)
def compare_published(
    path: Annotated[str, typer.Argument(help="A model folder, a model in one .yaml file, or a shipped model's name.")] = (
        "pt_failure"
    ),
    misses: Annotated[bool, typer.Option("--misses", help="Only what is not matched.")] = False,
    summary: Annotated[bool, typer.Option("--summary", help="Only the totals.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Compare the model with published results that set none of its parameters."""
    import bayesnet
    from bayesnet.validation.published import compare_with_published

    with clear_errors():
        found = compare_with_published(bayesnet.load(path))
    matched = sum(c.matched for c in found)
    if as_json:
        print_json({
            "matched": matched, "of": len(found),
            "results": [
                {"id": c.result.id, "title": c.result.title, "measure": c.result.measure,
                 "published": c.result.published, "low": c.result.band[0],
                 "high": c.result.band[1], "band": c.result.band_words,
                 "predicted": c.predicted, "matched": c.matched, "studies": c.result.studies,
                 "note": c.result.note}
                for c in found if not (misses and c.matched)
            ],
        })
        return
    table = Table(box=None, pad_edge=False)
    for name in ("", "result", "measure", "published", "band", "model"):
        table.add_column(name)
    for c in found:
        if misses and c.matched:
            continue
        low, high = c.result.band
        table.add_row(
            "yes" if c.matched else "[red]no[/]", escape(c.result.title),
            c.result.measure.replace("_", " "), f"{c.result.published:.3g}",
            f"{low:.3g}-{high:.3g}", f"{c.predicted:.3g}",
        )
    out = console()
    if not summary:
        out.print(table)
        out.print()
    out.print(
        f"{matched} of {len(found)} matched: inside the 95 % interval, or within a factor of 1.5 "
        "of a ratio printed without one.", soft_wrap=True,
    )


@model_app.command("pool", epilog="Example:  bayesnet model pool INF0001 INF0106 INF0107")
def pool_figures(
    rows: Annotated[list[str], typer.Argument(help="Ids of rows of the evidence table.")],
    model: ModelOption = "pt_failure",
    as_json: JsonFlag = False,
) -> None:
    """Pool published figures of one measure (a random-effects meta-analysis)."""
    import bayesnet
    from bayesnet.errors import BayesnetError
    from bayesnet.pooling import pool

    with clear_errors():
        studies = bayesnet.load(model).document.studies
        unknown = [r for r in rows if r not in studies]
        if unknown:
            raise BayesnetError(f"no row {unknown[0]!r}.{did_you_mean(unknown[0], studies)}")
        found = pool([studies[r] for r in rows])
    if as_json:
        from dataclasses import asdict

        print_json(asdict(found))
        return
    out = console()
    for r in rows:
        f = studies[r]
        span = f" ({f.interval[0]:g}-{f.interval[1]:g})" if f.interval else ""
        out.print(f"{r}  {f.value:g}{span}  {escape(f.study)}, {escape(f.population)}")
    out.print(
        f"pooled {found.value:.3g} ({found.low:.3g}-{found.high:.3g}), in a new setting "
        f"{found.predicted_low:.3g}-{found.predicted_high:.3g}; I2 {found.i2:.0%}"
    )


@model_app.command("card", epilog="Example:  bayesnet model card pt_failure -o MODEL_CARD.md")
def write_card(
    path: Annotated[str, typer.Argument(help="A model folder, a model in one .yaml file, or a shipped model's name.")] = (
        "pt_failure"
    ),
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write here, with a picture beside; else print."),
    ] = None,
    cases: Annotated[
        Path | None, typer.Option(help="Cases to rank; the shipped ones by default.")
    ] = None,
) -> None:
    """Write the model card: purpose, evidence, causes, checks against published results, limits."""
    import bayesnet
    from bayesnet.reports.model_card import model_card
    from bayesnet.validation import read_cases, shipped_cases

    with clear_errors():
        model = bayesnet.load(path)
        read = read_cases(cases, model) if cases else []
        further: list[Case] = []
        if not cases:
            try:
                read, further = shipped_cases(model), shipped_cases(model, "further")
            except CaseFileError:
                typer.echo(
                    "note: the shipped cases speak of other causes and findings than this model; name your "
                    "own with --cases", err=True,
                )
        if output is None:
            print(model_card(model, read, further=further), end="")  # noqa: T201
            return
        picture = output.with_name(output.stem + "_network.svg")
        try:
            output.write_text(model_card(model, read, picture.name, further), encoding="utf-8")
            write_figure(model.plot, picture)
        except OSError as error:
            fail(f"cannot write {error.filename}: {error.strerror}")


@model_app.command(
    "show",
    epilog="Examples:  bayesnet model show pt_failure fever  |  bayesnet model show --role cause",
)
def show_model(
    path: Annotated[str, typer.Argument(help="A model folder, a model in one .yaml file, or a shipped model's name.")] = (
        "pt_failure"
    ),
    variable: Annotated[
        str | None, typer.Argument(help="Show this variable only, by id or label.")
    ] = None,
    role: Annotated[
        str | None, typer.Option(help="List these only: cause, context, history, test ...")
    ] = None,
) -> None:
    """List the variables of a model, or everything about one: states, parents, numbers, studies."""
    import bayesnet
    from bayesnet.diagnosis.naming import closest, known_as

    with clear_errors():
        model = bayesnet.load(path)
        network = model.network
        if variable is None:
            _list_variables(network, role)
            return
        id = known_as(network, variable)
        if id is None:
            hint = closest(network, network.variables, variable) or " bayesnet model show lists them."
            fail(f"no variable {variable!r}.{hint}")
        _show_variable(model, id)


def _list_variables(network: Network, role: str | None) -> None:
    roles = list(dict.fromkeys(v.role for v in network.variables.values()))
    if role is not None and role not in roles:
        fail(f"--role {role}: expected {', '.join(roles)}.{did_you_mean(role, roles)}")
    listed = [v for v in network.variables.values() if role in (None, v.role)]
    table = Table(box=None, pad_edge=False)
    for name in ("id", "role", "states", "kind", "parents"):
        table.add_column(name, no_wrap=True)
    for v in listed:
        table.add_row(v.id, v.role, ", ".join(v.states), network.kind(v.id), ", ".join(network.parents(v.id)))
    if print_whole(table):
        return
    out = console()
    for v in listed:
        out.print(f"[bold]{v.id}[/]  [dim]{v.role}, {network.kind(v.id)}[/]")
        lines = {"states": v.states, "parents": network.parents(v.id)}
        for name, words in lines.items():
            if words:
                out.print(Padding(f"{name}: {escape(', '.join(words))}", (0, 0, 0, 4)))


def _show_variable(model: DiagnosticModel, id: str) -> None:
    out = console()
    document, v = model.document, model.network[id]
    out.print(f"[bold]{escape(v.name)}[/] ({v.id}), {v.role}, {v.group}")
    if v.ask:
        out.print(escape(v.ask))
    if v.note:
        out.print(f"[dim]{escape(v.note)}[/]")
    for system, codes in v.codes.items():
        out.print(f"{system}: {', '.join(codes)}")
    marginal = model.posterior(id)[id]
    out.print("Before anything is known: " + ", ".join(f"{s} {p:.4g}" for s, p in marginal.items()))
    parameters = [p for p in document.parameters if p.variable == id]
    table = Table(title=f"\n{model.network.kind(id)}", box=None, pad_edge=False, title_justify="left")
    # An id is never cut; the words beside it wrap.
    table.add_column("parameter", no_wrap=True, min_width=max((len(_key(p)) for p in parameters), default=0))
    for name in ("value", "spread", "from"):
        table.add_column(name, overflow="fold")
    cited: dict[str, str] = {}
    for p in parameters:
        cited |= {i: document.studies[i].citation for i in p.studies}
        spread = "" if p.spread is None else (
            f"n = {p.spread:g}" if isinstance(p.spread, float) else f"{p.spread[0]:g}-{p.spread[1]:g}"
        )
        origin = "; ".join(filter(None, [", ".join(p.studies), p.expert]))
        table.add_row(_key(p), escape(_value(p.value)), spread, escape(origin))
    out.print(table)
    for row, citation in cited.items():
        mark = "" if document.studies[row].was_read else " [from memory, not read]"
        out.print(f"[dim]{row}  {escape(citation + mark)}[/]", soft_wrap=True)


def _key(parameter: Parameter) -> str:
    return " ".join(parameter.key) or "prior"


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{k} {_value(v) if not isinstance(v, dict) else '(' + _value(v) + ')'}"
                         for k, v in value.items())
    return f"{value:g}"


@model_app.command(
    "optimise", epilog="Example:  bayesnet model optimise models/pt_failure --steps 200000"
)
def optimise_model(
    path: Annotated[str, typer.Argument(help="A model folder.")],
    steps: Annotated[int, typer.Option(min=1, help="Elimination orders to try in each restart.")] = 50_000,
    restarts: Annotated[int, typer.Option(min=1, help="Searches.")] = 4,
    most: Annotated[int, typer.Option("--shortcuts", min=0, help="Shortcuts to keep.")] = 16,
    seed: Annotated[int, typer.Option(help="Same seed, same programs.")] = 0,
) -> None:
    """Search long for fast programs and keep what was found beside the model.

    An elimination order for patients with any findings, and shortcuts: programs for patients in whom
    costly findings are absent or unknown. They change the speed of answers, never the numbers.
    """
    import bayesnet
    from bayesnet.cohort.typical import typical_codes
    from bayesnet.inference import Strata
    from bayesnet.inference.orders import OPEN_WEIGHT, search_order
    from bayesnet.inference.shortcuts import search_shortcuts, written_shortcuts
    from bayesnet.modelfile.reader import ORDER_FILE, SHORTCUTS_FILE

    with clear_errors():
        own_folder(path)
        model = bayesnet.load(path)
        network, by, folder = model.network, model.strata.by, model.document.folder
        with progress(steps * restarts, "orders") as advance:
            order = search_order(
                network, steps, seed, model.document.elimination_order, by, restarts,
                lambda done, _: advance(done),
            )
        cost = []
        for one in (model.document.elimination_order, order):
            strata = Strata(network, by, one)
            double = () if strata.hub is None else (0,)
            keys = ((-1,) * len(by), (0,) * len(by))
            cost.append([strata.program((*key, *double)).multiplications for key in keys])
        before, after = cost
        weights = (OPEN_WEIGHT, 1.0) if by else (1.0, 0.0)
        better = sum(w * (a / b - 1) for w, a, b in zip(weights, after, before, strict=True)) < 0
        if better:
            lines = [f"# written by bayesnet model optimise for structure {model.network.structure}"]
            (folder / ORDER_FILE).write_text("\n".join([*lines, *order]) + "\n", encoding="utf-8")
        else:
            order = model.document.elimination_order or order
        console().print(
            f"{before[0]:,} multiplications a forward pass before, {after[0]:,} with the order found"
            + (f" ({before[1]:,} and {after[1]:,} where {' and '.join(by)} are known)" if by else "")
            + f"; {'written to ' + str(folder / ORDER_FILE) if better else 'not better, nothing written'}."
        )
        codes = typical_codes(model, 2000, seed)
        with progress(100, "shortcuts") as advance:
            shortcuts = search_shortcuts(
                network, order, codes, by, most, seed, lambda share: advance(round(100 * share))
            )
        if shortcuts:
            (folder / SHORTCUTS_FILE).write_text(
                written_shortcuts(network, shortcuts), encoding="utf-8"
            )
    console().print(
        f"{len(shortcuts)} shortcuts written to {folder / SHORTCUTS_FILE}." if shortcuts
        else "No shortcut would save anything."
    )


@model_app.command(
    "criticise", epilog="Example:  bayesnet model criticise clinic.csv --model pt_failure --top 20"
)
def criticise_model(
    source: Annotated[Path, typer.Argument(help="CSV or Parquet, one patient a row.")],
    model: ModelOption = "pt_failure",
    mapping: Annotated[
        Path | None, typer.Option("--mapping", help="YAML: what the table's columns and codes mean.")
    ] = None,
    unselected: Annotated[
        bool, typer.Option("--unselected", help="These people were not selected for failed PT.")
    ] = False,
    top: Annotated[int, typer.Option(min=1, help="Tests to show, worst first.")] = 20,
    as_json: JsonFlag = False,
) -> None:
    """Test on a table of patients which things the network wrongly takes to be unrelated."""
    import bayesnet
    from bayesnet.cohort import read_mapping
    from bayesnet.cohort.source import read_whole

    with clear_errors():
        loaded = bayesnet.load(model)
        used = None if mapping is None else read_mapping(mapping, loaded.network)
        table, _ = read_whole(source)
        found = loaded.independence_tests(table, mapping=used, selected=not unselected)
    if as_json:
        print_json(found.to_dict("records"))
        return
    failed = int((found["q"] < 0.05).sum())
    shown = found.head(top).to_string(index=False, float_format=lambda x: f"{x:.3g}")
    console().print(
        f"{len(found)} independences tested, {failed} fail at a false discovery rate of 5 %.\n\n{escape(shown)}",
        soft_wrap=True,
    )


@model_app.command("schema", epilog="Example:  bayesnet model schema > bayesnet.schema.json")
def print_schema() -> None:
    """Print the JSON Schema of model files, for editors."""
    from bayesnet.modelfile.schema import json_schema

    print_json(json_schema())
