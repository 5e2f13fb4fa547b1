"""Commands that interrogate one patient's answer: attribute, why, next, sure, actions, whatif, interview."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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
    progress,
    records,
    write_figure,
)
from bayesnet.diagnosis.naming import known_as
from bayesnet.diagnosis.words import GROUPS, amount, averted, parameter_words, percent, question

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import pandas as pd

    from bayesnet.diagnosis.result import Diagnosis
    from bayesnet.model import DiagnosticModel
    from bayesnet.network import Network

__all__: list[str] = []

Patient = Annotated[
    str | None, typer.Argument(help="YAML or JSON file of findings; - for standard input.")
]
CaseOption = Annotated[
    str | None, typer.Option("--case", help="A published case instead (see bayesnet cases).")
]
ScopeOption = Annotated[
    str, typer.Option(help="Of a case: findings (before the tests) or all.")
]


AboutOption = Annotated[
    str, typer.Option(help="Which causes to learn about: all, diagnoses or contributors.")
]


def _about(model: DiagnosticModel, group: str) -> tuple[str, ...] | None:
    if group not in ("all", "diagnoses", "contributors"):
        fail(f"--about {group}: expected all, diagnoses or contributors")
    return None if group == "all" else model.causes_of(group)


def diagnosed(
    patient: str | None, case: str | None, model: str, scope: str = "findings"
) -> Diagnosis:
    """The answer for a patient file or a published case."""
    import bayesnet
    from bayesnet.diagnosis.patient import read_patient
    from bayesnet.validation import shipped_case

    if (patient is None) == (case is None):
        fail("name a patient file (or - for standard input), or a published case with --case ID")
    if scope not in ("findings", "all"):
        fail(f"--scope {scope}: expected findings or all")
    loaded = bayesnet.load(model)
    if case is not None:
        return loaded.diagnose(shipped_case(case).evidence(scope))
    return loaded.diagnose(read_patient(str(patient)))


def _shown(
    frame: pd.DataFrame, title: str, columns: Mapping[str, Callable[[Any], str]], rows: int
) -> None:
    """A table whose first column is words, which wrap, and whose others are numbers, which do not."""
    table = Table(box=None, pad_edge=False)
    for i, heading in enumerate(columns):
        table.add_column(heading, justify="right" if i else "left", no_wrap=i > 0)
    for r in frame.head(rows).itertuples():
        table.add_row(*[words(r) for words in columns.values()])
    console().print(f"[italic]{escape(title)}[/]")
    console().print(table)


def _id(network: Network, name: str) -> str:
    """The id of a variable that was named by its id or, as the tables show it, by its label."""
    return known_as(network, name) or name


def _footer(diagnosis: Diagnosis, columns: str = "") -> None:
    """What the columns mean, and what the model is not."""
    if columns:
        console().print(f"[dim]{escape(columns)}[/]")
    console().print(f"[dim]{escape(diagnosis.model.disclaimer)}[/]")


def _print_answer(diagnosis: Diagnosis, data: Mapping[str, Any]) -> None:
    print_json({**data, "disclaimer": diagnosis.model.disclaimer})


@app.command(epilog="Example:  bayesnet attribute --case wahl-2013 --without hep_nonadherence,kinesiophobia")
def attribute(
    patient: Patient = None,
    case: CaseOption = None,
    model: ModelOption = "pt_failure",
    scope: ScopeOption = "findings",
    without: Annotated[
        str | None,
        typer.Option(help="Causes, with commas: would PT have succeeded without all of them?"),
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="Causes to show.")] = 10,
    as_json: JsonFlag = False,
) -> None:
    """How much of the failure each cause answers for, in shares that add up.

    share: the part of the failure that falls to the cause.
    total effect: PT would have succeeded without it, and what it brings.
    necessity: PT would have succeeded without its direct link to failure.
    sufficiency: it would make PT fail where PT had succeeded without it.
    posterior: the cause is present.
    """
    with clear_errors():
        diagnosis = diagnosed(patient, case, model, scope)
        found = diagnosis.attribution
        network = diagnosis.model.network
        names = [_id(network, c.strip()) for c in without.split(",") if c.strip()] if without else []
        joint = diagnosis.success_without(*names) if names else None
    if as_json:
        extra = {"without": names, "success_without": joint} if names else {}
        _print_answer(diagnosis, {**found.to_dict(), **extra})
        return
    _shown(found.table, question(diagnosis.model), {
        "cause": lambda r: escape(network[r.cause].name),
        "share": lambda r: percent(r.share),
        "total\neffect": lambda r: percent(r.total_effect),
        "necessity": lambda r: percent(r.necessity),
        "sufficiency": lambda r: percent(r.sufficiency),
        "posterior": lambda r: percent(r.posterior),
    }, top)
    console().print(f"No cause of the model explains {percent(found.unexplained)} of the failure.")
    if joint is not None:
        mended = ", ".join(network[c].name for c in names)
        console().print(f"Without {escape(mended)}: {escape(averted(diagnosis.model))} with probability {percent(joint)}.")
    spared = averted(diagnosis.model)
    _footer(
        diagnosis,
        f"share: part of the failure that falls to the cause; total effect: {spared} without it and what it "
        f"brings; necessity: {spared} without its direct link to failure; sufficiency: it would have been enough, "
        "had it been added where all went well without it; posterior: it is present.",
    )


@app.command(epilog="Example:  bayesnet why spinal_stenosis --case wahl-2013 --over disc_herniation")
def why(
    cause: Annotated[str, typer.Argument(help="The cause to explain, by id or label.")],
    patient: Patient = None,
    case: CaseOption = None,
    model: ModelOption = "pt_failure",
    scope: ScopeOption = "findings",
    over: Annotated[str | None, typer.Option(help="Why it rather than this other cause.")] = None,
    as_json: JsonFlag = False,
    plot: Annotated[Path | None, typer.Option(help="Also draw it, from the probability before to the one with the findings (.png, .svg, .pdf).")] = None,
) -> None:
    """What every finding says for and against a cause.

    decibans: weight of a finding; +3 doubles the odds of the cause, +10 makes them ten times as large,
    -3 halves them. Findings of one mechanism repeat each other, and are weighed together.
    """
    with clear_errors():
        diagnosis = diagnosed(patient, case, model, scope)
        found = diagnosis.why(cause, over)
        if plot is not None:
            write_figure(found.plot, plot)
    if as_json:
        _print_answer(diagnosis, found.to_dict())
        return
    console().print(escape(repr(found)))
    _footer(diagnosis)


@app.command(name="next", epilog="Example:  bayesnet next --case wahl-2013 --kind history --kind examination")
def next_(
    patient: Patient = None,
    case: CaseOption = None,
    model: ModelOption = "pt_failure",
    scope: ScopeOption = "findings",
    kind: Annotated[
        list[str] | None,
        typer.Option(help="Only these: context, history, examination, questionnaire, programme or test; repeat for more."),
    ] = None,
    by: Annotated[str, typer.Option(help="Rank by information (bits) or by utility, each for its burden.")] = "information",
    about: AboutOption = "all",
    top: Annotated[int, typer.Option(min=1, help="Findings to show.")] = 10,
    as_json: JsonFlag = False,
) -> None:
    """What to ask, examine or test next.

    bits (in JSON: information): uncertainty about the causes that it removes.
    utility: what acting on the answer is expected to gain.
    burden: what it costs to find out, in the same unit.
    same decision: probability that the answer changes nothing in what to do.

    Ranked by bits, or utility, for each unit of burden.
    """
    with clear_errors():
        diagnosis = diagnosed(patient, case, model, scope)
        found = diagnosis.next(kind or None, by, _about(diagnosis.model, about))
    if as_json:
        _print_answer(diagnosis, {"findings": records(found.head(top))})
        return
    network = diagnosis.model.network
    _shown(found, "What to find out next", {
        "finding": lambda r: f"{escape(network[r.finding].name)}\n[dim]{escape(r.ask)}[/]",
        "kind": lambda r: r.kind,
        "bits": lambda r: f"{r.information:.3f}",
        "utility": lambda r: f"{r.utility:.2f}",
        "burden": lambda r: f"{r.burden:.2f}",
        "same\ndecision": lambda r: percent(r.same_decision),
    }, top)
    unit = diagnosis.model.pathways.unit
    _footer(
        diagnosis,
        "bits: uncertainty about the causes that the answer removes; utility: what acting on it gains; "
        f"burden: what it costs to find out{f' (both in {unit})' if unit else ''}; same decision: probability "
        "that the answer changes nothing in what to do.",
    )


@app.command(epilog="Example:  bayesnet sure --case wahl-2013 --draws 1000 --seed 1")
def sure(
    patient: Patient = None,
    case: CaseOption = None,
    model: ModelOption = "pt_failure",
    scope: ScopeOption = "findings",
    draws: Annotated[int, typer.Option(min=10, help="How often all numbers of the model are drawn anew.")] = 1000,
    seed: Annotated[int, typer.Option(help="Same seed, same draws.")] = 0,
    cause: Annotated[
        str | None, typer.Option(help="The cause whose probability is looked into; the leading diagnosis by default.")
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="Rows to show.")] = 10,
    as_json: JsonFlag = False,
) -> None:
    """How sure the answer is: 95 % ranges, and the numbers of the model on which it hangs.

    present: probability that the cause is present, and the range that holds 95 % of the draws.
    because of it: probability that PT failed because of it, and its range.
    present then: the same with one number of the model at either end of its own range.
    flips at: the value of that number at which another cause would come first.
    """
    with clear_errors():
        diagnosis = diagnosed(patient, case, model, scope)
        intervals = diagnosis.intervals(draws, seed)
        network = diagnosis.model.network
        sensitivity = diagnosis.sensitivity(cause)
    if as_json:
        _print_answer(diagnosis, {"intervals": intervals.to_dict(), "sensitivity": sensitivity.to_dict()})
        return
    for group, (leader, p) in intervals.top.items():
        _shown(
            intervals.table[intervals.table["group"] == group],
            f"{GROUPS[group]}: {network[leader].name} leads in {percent(p)} of {draws} draws", {
                "cause": lambda r: escape(network[r.cause].name),
                "present": lambda r: percent(r.posterior),
                "95 % interval": lambda r: f"{percent(r.posterior_low)} - {percent(r.posterior_high)}",
                "because\nof it": lambda r: percent(r.necessity),
                "95 % interval ": lambda r: f"{percent(r.necessity_low)} - {percent(r.necessity_high)}",
            }, top,
        )
    name = network[sensitivity.cause].name
    _shown(sensitivity.table, f"What {name}, {percent(sensitivity.posterior)}, hangs on", {
        "number of the model": lambda r: escape(parameter_words(network, r.parameter)),
        "value": lambda r: amount(r.value),
        "its range": lambda r: f"{amount(r.low)} - {amount(r.high)}",
        "present then": lambda r: f"{percent(r.posterior_low)} - {percent(r.posterior_high)}",
        "flips at": lambda r: "-" if math.isnan(r.flips_at) else amount(r.flips_at),
    }, top)
    _footer(
        diagnosis,
        "Draws: all numbers of the model, each from its own range. present then: with one number at either end "
        "of its range; flips at: the value of it at which another cause would come first.",
    )


@app.command(epilog="Example:  bayesnet actions --case wahl-2013")
def actions(
    patient: Patient = None,
    case: CaseOption = None,
    model: ModelOption = "pt_failure",
    scope: ScopeOption = "findings",
    pathways: Annotated[
        Path | None, typer.Option(help="Your own pathways file: actions with your own gains and costs.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Also actions not worth their cost.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """How soon, and what to do: every action with what it is expected to be worth.

    worth: expected gain less burden and risk.
    lost by waiting: what is lost of it when the same is done some weeks later.
    mostly for: the cause it gains most for, and from which probability of it alone it is right.
    """
    from bayesnet.diagnosis.pathways import decide, read_pathways, triage

    with clear_errors():
        diagnosis = diagnosed(patient, case, model, scope)
        paths = read_pathways(diagnosis.model, pathways) if pathways else diagnosis.model.pathways
        found, level = decide(diagnosis, paths), triage(diagnosis, paths)
    if as_json:
        _print_answer(diagnosis, {"triage": level.to_dict(), "unit": paths.unit,
                                  "actions": [a.to_dict() for a in found]})
        return
    console().print(f"[bold]{escape(repr(level))}[/]\n")
    shown = [a for a in found if every or a.worthwhile]
    console().print(f"[italic]Actions, in {escape(paths.unit)}[/]")
    table = Table(box=None, pad_edge=False)
    table.add_column("action", min_width=24)
    table.add_column("urgency")
    for name in ("worth", "lost by\nwaiting"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("mostly for (right from)", min_width=23)
    network = diagnosis.model.network
    for a in shown:
        cause = a.reasons[0][0]
        right = f" ({percent(a.thresholds[cause])})" if cause in a.thresholds else ""
        first = f"\n[dim]{escape('; '.join(a.open))}[/]" if a.open else ""
        table.add_row(escape(a.label) + first, a.urgency, f"{a.net_benefit:.1f}",
                      f"{a.regret_of_waiting:.1f}", escape(network[cause].name) + right)
    console().print(table)
    if len(shown) < len(found):
        console().print(f"[dim]{len(found) - len(shown)} other actions are not worth their cost on what is "
                        "known (--all shows them)[/]")
    _footer(diagnosis)


@app.command(epilog="Example:  bayesnet whatif --case wahl-2013 --set fever=present --do kinesiophobia=absent")
def whatif(
    patient: Patient = None,
    case: CaseOption = None,
    model: ModelOption = "pt_failure",
    scope: ScopeOption = "findings",
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="finding=state: it had been found otherwise; repeat for more.")
    ] = None,
    do: Annotated[
        list[str] | None, typer.Option(help="cause=state: as if somebody had changed it; repeat for more.")
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="Rows to show.")] = 10,
    as_json: JsonFlag = False,
) -> None:
    """The same patient with another finding, or with a cause forced."""
    if not set_ and not do:
        fail("say what to change: --set finding=state, or --do cause=state")
    changed = each_once("--set", map(_pair, set_ or ()))
    causes = each_once("--do", map(_pair, do or ()))
    with clear_errors():
        diagnosis = diagnosed(patient, case, model, scope)
        network = diagnosis.model.network
        seen = diagnosis.what_if(changed) if set_ else None
        forced = diagnosis.do(causes) if do else None
    if as_json:
        _print_answer(diagnosis, {
            **({"observed": records(seen)} if seen is not None else {}),
            **({"forced": records(forced)} if forced is not None else {}),
        })
        return
    if seen is not None:
        _shown(seen, "With the other finding", {
            "cause": lambda r: escape(network[r.cause].name),
            "present": lambda r: percent(r.posterior),
            "then": lambda r: percent(r.posterior_then),
            "because\nof it": lambda r: percent(r.necessity),
            "then ": lambda r: percent(r.necessity_then),
        }, top)
    if forced is not None:
        _shown(forced[forced["change"] != 0], "With the cause forced (its effects left open)", {
            "variable": lambda r: escape(network[r.variable].name),
            "probability": lambda r: percent(r.probability),
            "then": lambda r: percent(r.probability_then),
        }, top)
    _footer(
        diagnosis,
        "Forced: as if somebody had changed it, which says nothing of why it was there; causes that it does not "
        "act on stay as they are. Findings that it "
        "brings about are left out on both sides, so that 'probability' need not be that of diagnose. Whether "
        "therapy would have succeeded in this very person: attribute --without." if forced is not None else "",
    )


def _pair(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator or not name or not value:
        fail(f"{text!r}: write finding=state, for example fever=present")
    return name.strip(), value.strip()


@app.command(epilog="Example:  bayesnet interview --age 44 --sex female --save talk.json")
def interview(
    patient: Patient = None,
    model: ModelOption = "pt_failure",
    kind: Annotated[
        list[str] | None, typer.Option(help="What may be asked: history, examination ...; repeat for more.")
    ] = None,
    by: Annotated[str, typer.Option(help="Ask first what tells most (information), or what gains most (utility).")] = "information",
    about: AboutOption = "all",
    age: Annotated[int | None, typer.Option(help="Age in years.")] = None,
    sex: Annotated[str | None, typer.Option(help="male or female.")] = None,
    save: Annotated[Path | None, typer.Option(help="Write the interview here when it ends.")] = None,
    resume: Annotated[Path | None, typer.Option(help="Go on with a saved interview.")] = None,
) -> None:
    """Ask this person, the best question first. Enter: not known, b: back, q: stop."""
    import bayesnet
    from bayesnet.diagnosis.interview import TALK, Interview
    from bayesnet.diagnosis.patient import read_patient

    with clear_errors():
        loaded = bayesnet.load(model)
        if resume is not None:
            state = Interview.from_dict(loaded, saved_interview(resume))
        else:
            start: dict[str, Any] = read_patient(patient) if patient else {}
            start |= {k: v for k, v in (("age", age), ("sex", sex)) if v is not None}
            loaded.diagnose(start)
            state = Interview(loaded, start, kinds=tuple(kind) if kind else TALK, by=by,
                              causes=_about(loaded, about))
        state = _talk(state)
        result = state.diagnosis
    if save is not None:
        save.write_text(json.dumps(state.to_dict(), indent=2) + "\n", encoding="utf-8")
    console().print(escape(result.summary()))
    if not loaded.pathways.empty:
        console().print(escape(repr(result.triage)))


@app.command(epilog="Example:  bayesnet rehearse -n 60 --seed 1 --plot rehearsal.png")
def rehearse(
    model: ModelOption = "pt_failure",
    patients: Annotated[int, typer.Option("-n", "--patients", min=1, help="Patients to draw.")] = 60,
    questions: Annotated[int, typer.Option(min=1, help="Questions to put to each.")] = 60,
    seed: Annotated[int, typer.Option(help="Same seed, same patients.")] = 0,
    as_json: JsonFlag = False,
    plot: Annotated[Path | None, typer.Option(help="Also draw the curves (.png, .svg, .pdf).")] = None,
) -> None:
    """Interview simulated patients and count the questions until the reason is in the top three."""
    import bayesnet
    from bayesnet.validation.rehearsal import STRATEGIES
    from bayesnet.validation.rehearsal import rehearse as run_rehearsal

    with clear_errors():
        loaded = bayesnet.load(model)
        with progress(patients, "interviews") as done:
            found = run_rehearsal(loaded, patients, questions, seed=seed, progress=done)
        if plot is not None:
            write_figure(found.plot, plot)
    if as_json:
        print_json(found.to_dict())
        return
    table = Table(title=f"{patients} simulated patients, up to {found.questions} questions each",
                  title_justify="left", box=None, pad_edge=False)
    table.add_column("interview")
    shown = sorted({k for k in (10, 20, 40) if k < found.questions} | {found.questions})
    for name in ("mean questions", *(f"in top 3 after {k}" for k in shown)):
        table.add_column(name, justify="right")
    for strategy, words in STRATEGIES.items():
        share = found.share(strategy)
        table.add_row(words, f"{found.mean_questions(strategy):.1f}",
                      *(f"{share[k]:.0%}" for k in shown))
    console().print(table)
    reach = found.within_reach
    console().print(
        "[dim]mean questions: until the true reason first enters the top three diagnoses; all of them where "
        "it never does.\n"
        f"With every answer and sign known it is there in {reach['consultation']:.0%}, with every test too in "
        f"{reach['tests']:.0%}: some diagnoses need a test, so an answer can also move one out.[/]"
    )


def saved_interview(path: Path) -> dict[str, Any]:
    """What `bayesnet interview --save` wrote."""
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        said = error.strerror if isinstance(error, OSError) else (
            "this is no saved interview: name a file written by `bayesnet interview --save`"
        )
        fail(f"cannot resume from {path}: {said}")


def _talk(state: Any) -> Any:
    from bayesnet.errors import BayesnetError

    out = console()
    while (question := state.question()) is not None:
        variable = state.model.network[question.finding]
        out.print(f"\n[bold]{escape(question.ask or question.label)}[/]")
        for i, s in enumerate(variable.states, start=1):
            out.print(f"  {i}  {escape(s.replace('_', ' '))}")
        out.print("[dim]  number, enter: don't know, b: back, q: stop[/]")
        try:
            said = input("> ").strip().lower()
        except EOFError:
            break
        if said == "q":
            break
        if said == "b":
            state = state.back()
            continue
        try:
            if said == "":
                state = state.answer(question.finding, None)
            elif said.isdigit() and variable.bins is None:
                if not 1 <= int(said) <= len(variable):
                    out.print(f"[red]a number from 1 to {len(variable)}[/]")
                    continue
                state = state.answer(question.finding, variable.states[int(said) - 1])
            else:
                value: Any = float(said) if said.replace(".", "", 1).isdigit() else said
                state = state.answer(question.finding, value)
        except BayesnetError as error:
            out.print(f"[red]{escape(str(error))}[/]")
    return state
