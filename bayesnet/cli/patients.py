"""Commands about patients and cases: diagnose, query, evaluate, cases."""

from __future__ import annotations

import math
from collections.abc import Sequence
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
    fail,
    print_json,
    progress,
    write_figure,
)
from bayesnet.errors import did_you_mean

if TYPE_CHECKING:
    import pandas as pd

    from bayesnet.diagnosis.result import CauseResult, Diagnosis
    from bayesnet.validation import Case, Evaluation

__all__: list[str] = []


def _measure(text: str) -> str:
    from bayesnet.diagnosis.result import MEASURES

    name = text.replace("-", "_")
    if name not in MEASURES:
        raise typer.BadParameter(
            f"{text!r}: expected {', '.join(MEASURES)}.{did_you_mean(text, MEASURES)}"
        )
    return name


@app.command(
    epilog="Examples:  bayesnet diagnose patient.yaml  |  bayesnet diagnose --case wahl-2013  |  "
    'echo \'{"age": 34, "rest_response": "worse"}\' | bayesnet diagnose - --json'
)
def diagnose(
    patient: Annotated[
        str | None,
        typer.Argument(help="YAML or JSON file of findings; - for standard input."),
    ] = None,
    case: Annotated[
        str | None, typer.Option("--case", help="A published case instead (see bayesnet cases).")
    ] = None,
    model: ModelOption = "pt_failure",
    by: Annotated[
        str, typer.Option(help="Rank by necessity (PT failed because of it), posterior (it is present) or likelihood-ratio "
            "(what the findings say).")
    ] = "necessity",
    top: Annotated[int, typer.Option(min=1, help="Causes to show in each group.")] = 6,
    as_json: JsonFlag = False,
    plot: Annotated[
        Path | None, typer.Option(help="Also draw the ranked causes (.png, .svg or .pdf).")
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(help="Also write everything on two pages (.html, .md or .json)."),
    ] = None,
) -> None:
    """Rank the reasons why PT failed for one patient."""
    import bayesnet
    from bayesnet.diagnosis.patient import read_patient
    from bayesnet.validation import shipped_case

    measure = _measure(by)
    if (patient is None) == (case is None):
        fail("name a patient file (or - for standard input), or a published case with --case ID")
    with clear_errors():
        loaded = bayesnet.load(model)
        published = shipped_case(case) if case is not None else None
        findings = published.evidence() if published else read_patient(str(patient))
        result = loaded.diagnose(findings)
        if plot is not None:
            write_figure(lambda: result.plot(top=top, by=measure), plot)
    if report is not None:
        from bayesnet.reports.patient import write_report

        try:
            with clear_errors():
                write_report(result, report)
        except (OSError, ValueError) as error:
            fail(f"cannot write {report}: {error.strerror if isinstance(error, OSError) else error}")
    if as_json:
        print_json(result.to_dict())
    else:
        _show_diagnosis(result, published, measure, top)




def _bar(p: float, width: int) -> str:
    if math.isnan(p):
        return ""
    eighths = round(p * width * 8)
    full, part = divmod(eighths, 8)
    return "█" * full + ("" if part == 0 else " ▏▎▍▌▋▊▉"[part])


def _show_diagnosis(result: Diagnosis, case: Case | None, by: str, top: int) -> None:
    from bayesnet.diagnosis.words import GROUPS, alarm_words, finding_words, happened, name_of

    out = console()
    network = result.model.network
    if case is not None:
        out.print(f"[bold]{escape(case.summary)}[/]")
        out.print(f"[dim]{escape(case.citation)}[/]\n", soft_wrap=True)
    if alarm := alarm_words(result):
        colour = "red" if result.triage.level == "emergency" else "yellow"
        out.print(f"[bold {colour}]{escape(alarm)}[/]\n")
    known = [finding_words(network[v], x) for v, x in result.findings.items() if x is not None]
    out.print(f"[bold]Known ({len(known)}):[/] " + escape("; ".join(known) or "nothing") + "\n")
    for group, title in GROUPS.items():
        table = Table(title=title, title_justify="left", box=None, pad_edge=False, expand=False)
        table.add_column("cause", no_wrap=True)
        table.add_column("because of it", no_wrap=True)
        for heading in ("present", "before", "LR"):
            table.add_column(heading, justify="right", no_wrap=True)
        bar = 20 if out.width >= 96 else 5
        for r in result.ranked(group, by)[:top]:
            table.add_row(escape(name_of(r)), *_numbers(r, bar))
        out.print(table)
        out.print()
    best = result.ranked("diagnoses", by)[0]
    out.print(_sentence(best, happened(result.model)), soft_wrap=True)
    if case is not None:
        names = ", ".join(network[c].name for c in case.true_causes)
        out.print(f"[bold]Published diagnosis:[/] {escape(names)}")
    out.print(
        f"[dim]because of it: probability that {escape(happened(result.model))} because of this cause; present: probability "
        "that the cause is present; before: the same before any finding; LR: what the findings say "
        "about it (odds now / odds before).\n"
        f"{escape(result.model.disclaimer)}[/]"
    )


def _sentence(r: CauseResult, happened: str) -> str:
    from bayesnet.diagnosis.words import name_of, percent, ratio

    text = f"Leading diagnosis: [bold]{escape(name_of(r))}[/], probability {percent(r.posterior)}"
    if math.isfinite(r.likelihood_ratio):
        text += f"; the findings multiply its odds by {ratio(r.likelihood_ratio)}"
    if not math.isnan(r.necessity):
        text += f"; {escape(happened)} because of it with probability {percent(r.necessity)}"
    return text + "."


def _numbers(r: CauseResult, width: int) -> tuple[str, str, str, str]:
    from bayesnet.diagnosis.words import percent, ratio

    shown = "" if math.isnan(r.necessity) else f"{percent(r.necessity):>7} [blue]{_bar(r.necessity, width)}[/]"
    return shown, percent(r.posterior), percent(r.prior), ratio(r.likelihood_ratio)


@app.command(
    epilog="Examples:  bayesnet query alarm.bif.gz --evidence e.json --json  |  "
    "bayesnet query pt_failure -v hla_b27 --evidence patient.yaml"
)
def query(
    network: Annotated[
        str, typer.Argument(help="A .bif or .bif.gz file, a model folder, or a shipped model.")
    ],
    evidence: Annotated[
        str | None,
        typer.Option("--evidence", "-e", help="YAML or JSON file; - for standard input."),
    ] = None,
    variables: Annotated[
        list[str] | None,
        typer.Option("--variable", "-v", help="Variables to show (repeat); all by default."),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Exact probabilities of the variables of any network, given what is known."""
    import bayesnet
    from bayesnet.diagnosis.patient import read_patient
    from bayesnet.model import DiagnosticModel

    with clear_errors():
        model = bayesnet.read_network(network)
        given = read_patient(evidence) if evidence is not None else {}
        posterior = model.posterior(variables or None, given)
    if as_json:
        said = {"disclaimer": model.disclaimer} if isinstance(model, DiagnosticModel) else {}
        print_json({"network": model.name, **posterior.to_dict(), **said})
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("variable")
    table.add_column("state")
    table.add_column("probability", justify="right")
    for v, states in posterior.items():
        for i, (state, p) in enumerate(states.items()):
            table.add_row(escape(v) if i == 0 else "", escape(state), f"{p:.6f}")
    console().print(table)
    console().print(f"log probability of the evidence: {round(posterior.log_evidence, 6) + 0.0:.6f}")


@app.command(
    epilog="Examples:  bayesnet evaluate --scope findings  |  bayesnet evaluate further --summary  |  "
    "bayesnet evaluate my_cases.jsonl  |  bayesnet evaluate --scope findings --summary --compare my_model  |  bayesnet evaluate --baselines"
)
def evaluate(
    cases: Annotated[
        str,
        typer.Argument(
            help="Cases, one JSON object a line, or a shipped set: development (looked at while the "
            "model was built) or further (coded later, without sight of it)."
        ),
    ] = "development",
    model: ModelOption = "pt_failure",
    scope: Annotated[
        str, typer.Option(help="all, or findings: only what was known before the tests.")
    ] = "all",
    summary: Annotated[bool, typer.Option("--summary", help="Only the totals.")] = False,
    metrics: Annotated[
        bool, typer.Option("--metrics", help="Also calibration, areas under the curve, net benefit, subgroups.")
    ] = False,
    baselines: Annotated[
        bool, typer.Option("--baselines", help="Also simpler rankings of the same cases.")
    ] = False,
    compare: Annotated[
        str | None, typer.Option(help="Another model: differences with paired bootstrap intervals.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the bootstrap.")] = 0,
    as_json: JsonFlag = False,
) -> None:
    """Rank the true cause of published cases, and say how good the probabilities are."""
    import bayesnet
    from bayesnet.validation import evaluate as score
    from bayesnet.validation import read_cases, shipped_cases
    from bayesnet.validation.cases import CASE_SETS, SCOPES
    from bayesnet.validation.scorecard import compare_models

    if scope not in SCOPES:
        fail(f"--scope {scope}: expected {' or '.join(SCOPES)}.{did_you_mean(scope, SCOPES)}")
    with clear_errors():
        loaded = bayesnet.load(model)
        a_file = cases not in CASE_SETS and (Path(cases).suffix or Path(cases).exists())
        read = read_cases(cases, loaded) if a_file else shipped_cases(loaded, cases)
        if not read:
            fail("there are no cases to evaluate")
        with progress(len(read), "cases") as advance:
            result = score(loaded, read, scope, advance)
        frames = _frames(result, read, metrics, baselines, seed)
        if compare is not None:
            other = bayesnet.load(compare)
            with progress(len(read), f"cases, {compare}") as advance:
                second = score(other, read, scope, advance)
            frames[f"{compare} against {model} (difference: {compare} minus {model})"] = compare_models(
                result, second, seed=seed
            )
    if as_json:
        extra = {
            name: f.astype(object).where(f.notna(), None).to_dict("records") for name, f in frames.items()
        }
        print_json({**result.to_dict(), **({"tables": extra} if extra else {})})
        return
    _show_evaluation(result, summary)
    for name, frame in frames.items():
        _show_frame(name, frame)


def _frames(
    result: Evaluation, cases: Sequence[Case], metrics: bool, baselines: bool, seed: int
) -> dict[str, pd.DataFrame]:
    """The further tables that were asked for, by title."""
    import pandas as pd

    from bayesnet.validation.baselines import compare_rankings
    from bayesnet.validation.scorecard import auc_by_cause, calibration, decision_curves, subgroups

    found: dict[str, pd.DataFrame] = {}
    if metrics:
        c = calibration(result, seed=seed)
        names = {"slope": "slope (1 is right)", "in_the_large": "intercept at slope 1 (0 is right)",
                 "expected_calibration_error": "expected calibration error", "auc": "area under the curve"}
        found["Calibration of the diagnoses, all together"] = pd.DataFrame(
            [(words, c[k], *c[f"{k}_interval"]) for k, words in names.items()],
            columns=["figure", "value", "low", "high"],
        )
        found["Area under the curve by cause"] = auc_by_cause(result)
        found["Net benefit of acting on the model"] = decision_curves(result, (0.02, 0.1, 0.5))
        found["Subgroups"] = subgroups(result)
    if baselines:
        found["Simpler rankings (less_top_3: how much less than the network by likelihood ratio)"] = (
            compare_rankings(result.scores[0].diagnosis.model, cases, result.scope, seed)
        )
    return found


def _show_frame(name: str, frame: pd.DataFrame) -> None:
    text = frame.rename(columns=lambda c: str(c).replace("_", " ")).to_string(
        index=False, na_rep="-", float_format=lambda x: f"{x:z.3f}", justify="right"
    )
    console().print(f"\n[italic]{escape(name)}[/]\n{escape(text)}", soft_wrap=True)


def _show_evaluation(result: Evaluation, only_totals: bool) -> None:
    from bayesnet.diagnosis.result import MEASURES
    from bayesnet.diagnosis.words import percent

    out = console()
    table = Table(title=f"Rank of the primary true cause within its group ({result.scope})",
                  box=None, pad_edge=False, title_justify="left")
    # Only the true cause may be cut where the terminal is narrow.
    table.add_column("case", no_wrap=True, min_width=max((len(s.case.id) for s in result.scores), default=0))
    table.add_column("true cause", overflow="ellipsis")
    for name in ("LR", "necessity", "posterior", "P(cause)"):
        table.add_column(name, justify="right", no_wrap=True, min_width=len(name))
    table.add_column("urgency", no_wrap=True, min_width=len("emergency"))
    for s in result.scores:
        table.add_row(
            escape(s.case.id), s.primary,
            *(str(s.ranks[m]) for m in ("likelihood_ratio", "necessity", "posterior")),
            percent(s.posterior), s.case.urgency,
        )
    if not only_totals:
        out.print(table)
        out.print()
    summary = result.summary()
    totals = Table(title=f"{summary['n']} cases, scope {result.scope}", box=None, pad_edge=False, title_justify="left")
    totals.add_column("ranked by")
    for name in ("top 1", "top 3", "top 5", "emergencies in top 3"):
        totals.add_column(name, justify="right")
    for m in reversed(MEASURES):
        entry = summary[m]
        cells = []
        for key in ("top_1", "top_3", "top_5", "emergency_recall"):
            low, high = entry[f"{key}_interval"]
            value = entry[key]
            cells.append("-" if value is None else f"{value:.2f} ({low:.2f}-{high:.2f})")
        totals.add_row(m.replace("_", " "), *cells)
    out.print(totals)
    words = {"emergency": "emergencies not called routine", "urgent": "urgent cases not called routine",
             "routine": "others called routine"}
    told = [
        f"{words[level]} {t['right']} of {t['of']} ({t['interval'][0]:.2f}-{t['interval'][1]:.2f})"
        for level, t in summary["triage"].items()
    ]
    if told:
        out.print("\nTriage: " + "; ".join(told) + ".", soft_wrap=True)
    out.print(
        f"\nlog score {summary['log_score']:.3f} (mean -ln P of the true cause), "
        f"Brier score {summary['brier']:.4f} (all causes); lower is better for both.\n"
        "Emergencies in top 3: urgent cases too. In brackets: 95 % Wilson intervals.",
        soft_wrap=True,
    )


@app.command(
    name="cases",
    epilog="Examples:  bayesnet cases  |  bayesnet cases further  |  bayesnet diagnose --case wahl-2013",
)
def list_cases(
    which: Annotated[
        str, typer.Argument(metavar="SET", help="development or further (see `evaluate --help`).")
    ] = "development",
    as_json: JsonFlag = False,
) -> None:
    """List the published cases that ship with the package."""
    from rich.padding import Padding

    import bayesnet
    from bayesnet.validation import shipped_cases

    with clear_errors():
        model = bayesnet.load()
        cases = shipped_cases(model, which=which)
    if as_json:
        print_json([
            {"id": c.id, "true_causes": list(c.true_causes), "urgency": c.urgency,
             "summary": c.summary, "citation": c.citation} for c in cases
        ])
        return
    out = console()
    for c in cases:
        causes = ", ".join(model.network[v].name for v in c.true_causes)
        out.print(f"[bold]{escape(c.id)}[/]  {escape(causes)} ({c.urgency})", highlight=False)
        out.print(Padding(escape(c.summary), (0, 0, 0, 4)), highlight=False)
