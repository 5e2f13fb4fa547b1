"""The model card: what a model is for, what it is made of, and how far it can be believed.

Headings follow model cards (Mitchell et al. 2019, FAT*, section 4) and what TRIPOD+AI asks to be
reported of a prediction model (Collins et al. 2024, BMJ 385:e078378). Every figure is computed when
the card is written; the sentences that only a person can write come from the model's `card.yaml`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml

from bayesnet.diagnosis.pathways import LEVELS
from bayesnet.diagnosis.words import FAMILIES, percent, ratio
from bayesnet.errors import ModelFileError, Problem
from bayesnet.modelfile.reader import Parameter
from bayesnet.validation.alarms import alarm_rates
from bayesnet.validation.baselines import compare_rankings, red_flag_rule
from bayesnet.validation.cases import Case, Evaluation, evaluate
from bayesnet.validation.published import FILE as PUBLISHED
from bayesnet.validation.published import compare_with_published
from bayesnet.validation.scorecard import calibration, subgroups
from bayesnet.validation.strict import FINDING_ROLES, likelihood_ratios

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from bayesnet.model import DiagnosticModel
    from bayesnet.studies import StudyFigure

__all__ = ["GRADES", "CardNotes", "evidence_grade", "model_card", "read_notes"]

FILE = "card.yaml"
REAL_PATIENTS = "real_patients.md"

#: From strongest to weakest. `by definition`: the number cannot be otherwise.
GRADES = (
    "meta-analysis", "systematic review", "randomised trial", "cohort", "cross-sectional",
    "case-control or series", "guideline or review", "recalled", "expert", "by definition",
)
_DESIGNS = {
    "meta_analysis": 0, "systematic_review": 1, "rct": 2, "cohort": 3, "cross_sectional": 4,
    "case_control": 5, "case_series": 5, "survey": 4, "guideline": 6, "narrative": 6, "expert": 6,
}
#: An answer that fewer give is not listed as speaking against a cause.
COMMON = 0.1


@dataclass(frozen=True)
class CardNotes:
    """What only a person can write: `card.yaml` beside the model.

    Attributes
    ----------
    purpose, users, not_for, population, structure, evidence, limits, unknown : list of str
        Paragraphs or points.
    misses : dict case id -> str
        Why a development case is missed.
    """

    purpose: Sequence[str] = ()
    users: Sequence[str] = ()
    not_for: Sequence[str] = ()
    population: Sequence[str] = ()
    structure: Sequence[str] = ()
    evidence: Sequence[str] = ()
    limits: Sequence[str] = ()
    unknown: Sequence[str] = ()
    misses: Mapping[str, str] = field(default_factory=dict)


def read_notes(model: DiagnosticModel) -> CardNotes:
    """The notes beside the model; empty ones if there is no such file.

    Raises
    ------
    ModelFileError
        If the file has a key that the card does not know.
    """
    path = model.document.folder / FILE
    if not path.exists():
        return CardNotes()
    data = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    unknown = set(data) - set(CardNotes.__dataclass_fields__)
    if unknown:
        raise ModelFileError(
            [Problem(f"unknown key {k!r}; expected {', '.join(CardNotes.__dataclass_fields__)}",
                     str(path)) for k in sorted(unknown)]
        )
    return CardNotes(**data)


def evidence_grade(parameter: Parameter, studies: Mapping[str, StudyFigure]) -> str:
    """The strongest design among the rows that were read, one of `GRADES`."""
    if parameter.is_by_definition:
        return "by definition"
    read = [studies[s] for s in parameter.studies if studies[s].was_read]
    if read:
        return GRADES[min(_DESIGNS.get(s.design, 6) for s in read)]
    return "recalled" if parameter.studies else "expert"


def model_card(
    model: DiagnosticModel,
    cases: Sequence[Case],
    picture: str | None = None,
    further: Sequence[Case] = (),
) -> str:
    """The card as Markdown.

    Parameters
    ----------
    model : DiagnosticModel
    cases, further : sequence of Case
        Development cases to rank, and cases that were coded without sight of the model.
    picture : str, optional
        Path of a drawing of the network, to show in the card.
    """
    notes = read_notes(model)
    manifest = model.document.manifest
    parts = [
        f"# Model card: {manifest.title or manifest.name}",
        f"`{model.name}` {model.version}, licence {manifest.licence}. Written by "
        f"`bayesnet model card`; every figure is computed from the model and the data when the "
        "card is written.",
        f"> {manifest.disclaimer}",
        _section("Purpose", notes.purpose),
        _section("Who it is for", notes.users, points=True),
        _section("What it is not for", notes.not_for, points=True),
        _section("Population and outcome", [manifest.population, *notes.population]),
        _structure(model, notes, picture),
        _evidence(model, notes),
        _causes(model),
        _published(model),
        _cases(model, cases, notes),
        _further(model, further),
        _alarms(model),
        _real_patients(model),
        _section("Limits", notes.limits, points=True),
        _section("What is not known", notes.unknown, points=True),
        _parameters(model),
        _studies(model),
    ]
    return "\n\n".join(p for p in parts if p) + "\n"


def _section(title: str, lines: Iterable[str], points: bool = False) -> str:
    texts = [" ".join(line.split()) for line in lines]
    if not texts:
        return ""
    body = "\n".join(f"- {t}" for t in texts) if points else "\n\n".join(texts)
    return f"## {title}\n\n{body}"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    lines += ["| " + " | ".join(c.replace("|", "\\|") for c in row) + " |" for row in rows]
    return "\n".join(lines)


def _structure(model: DiagnosticModel, notes: CardNotes, picture: str | None) -> str:
    network = model.network
    arcs = sum(len(network.parents(v)) for v in network.variables)
    roles = Counter(v.role for v in network.variables.values())
    families = Counter(network[c].group for c in model.causes)
    rows = [
        ("Known beforehand (context)", str(roles["context"])),
        *((f"Causes: {FAMILIES[f].lower()}", str(families[f])) for f in FAMILIES),
        ("Hidden mechanisms", str(roles["mechanism"])), ("Outcome", str(roles["outcome"])),
        *((f"Findings: {role}", str(roles[role])) for role in FINDING_ROLES),
    ]
    summary = model.program.summary()
    texts = [
        f"{len(network)} variables, {arcs} arcs. Compiled for exact inference: treewidth "
        f"{summary['treewidth']}, {summary['clique_entries']:,.0f} clique-table entries.",
        _table(("part", "variables"), rows),
        *notes.structure,
    ]
    if picture:
        texts.append(f"![The network: context, causes by family, mechanisms, findings]({picture})")
    return "## Structure\n\n" + "\n\n".join(texts)


def _evidence(model: DiagnosticModel, notes: CardNotes) -> str:
    document = model.document
    grades = [evidence_grade(p, document.studies) for p in document.parameters]
    counted = Counter(grades)
    numbers = len(grades) - counted["by definition"]
    read = numbers - counted["recalled"] - counted["expert"]
    parts: dict[str, Counter[str]] = {}
    for p, grade in zip(document.parameters, grades, strict=True):
        parts.setdefault(model.network[p.variable].role, Counter())[grade] += 1
    roles = list(parts)
    cited = {s for p in document.parameters for s in p.studies}
    how = Counter(document.studies[s].read_in for s in cited if s in document.studies)
    return "\n\n".join(
        [
            "## Evidence",
            f"{numbers} numbers; {read} ({read / numbers:.0%}) cite a row of the evidence table "
            f"that was read, {counted['recalled']} rest on a figure from memory, "
            f"{counted['expert']} are expert estimates (each says why). {len(cited)} of the "
            f"{len(document.studies):,} rows of the table are cited, most of them read in an abstract: "
            + ", ".join(f"{n} {read_in.replace('_', ' ')}" for read_in, n in sorted(how.items(), key=lambda x: (-x[1], x[0])))
            + ". A parameter's grade is that of the strongest design among its rows. "
            f"{counted['by definition']} more are so by definition and are not counted.",
            _table(
                ("grade", "all", *roles),
                [
                    (g, str(counted[g]), *(str(parts[r][g] or "") for r in roles))
                    for g in GRADES
                    if counted[g]
                ],
            ),
            *notes.evidence,
        ]
    )


def _causes(model: DiagnosticModel) -> str:
    network, outcome = model.network, model.outcome
    before = model.posterior(model.causes)
    failed = model.posterior(model.causes, {outcome: network[outcome].states[1]} if outcome else {})
    ratios = likelihood_ratios(model)
    everyone = model.posterior(network.of_role(*FINDING_ROLES))
    parameters: dict[str, list[Parameter]] = {}
    for p in model.document.parameters:
        parameters.setdefault(p.variable, []).append(p)
    texts = [
        "## Causes",
        "Prevalence before physical therapy and among those in whom it failed, then the findings "
        "that speak most for and against the cause: likelihood ratios with everything else "
        "unknown, and rows of the evidence table behind them.",
    ]
    for family, title in FAMILIES.items():
        members = [c for c in model.causes if network[c].group == family]
        if not members:
            continue
        texts.append(f"### {title}")
        for c in members:
            texts.append(_cause(model, c, before[c], failed[c], ratios, parameters, everyone))
    return "\n\n".join(texts)


def _cause(
    model: DiagnosticModel,
    cause: str,
    before: Mapping[str, float],
    failed: Mapping[str, float],
    ratios: Mapping[tuple[str, str, str, str], float],
    parameters: Mapping[str, list[Parameter]],
    everyone: Mapping[str, Mapping[str, float]],
) -> str:
    network = model.network
    variable = network[cause]
    grades = Counter(
        evidence_grade(p, model.document.studies)
        for p in parameters.get(cause, [])
    )
    codes = "; ".join(f"{system} {', '.join(c)}" for system, c in variable.codes.items())
    shares = ", ".join(
        f"{'' if len(variable) == 2 else s + ' '}{percent(before[s])} before, "
        f"{percent(failed[s])} after failure"
        for s in variable.states[1:]
    )
    # Graded causes speak through their worst state, which differs most from none.
    worst = variable.states[-1]
    # Rounded, so that equal ratios stay in the order of the states on every machine.
    mine = [
        (float(f"{value:.6g}"), f, s)
        for (c, cs, f, s), value in ratios.items() if c == cause and cs == worst
    ]
    lines = [f"**{variable.name}**" + (f" ({codes})" if codes else "") + f". {variable.note}"]
    lines.append(f"Prevalence: {shares}. Its numbers: " + ", ".join(
        f"{n} {g}" for g, n in sorted(grades.items(), key=lambda x: GRADES.index(x[0]))) + ".")
    for_it = sorted((m for m in mine if m[0] > 1.3), reverse=True)
    # Only answers that are given often enough to be met.
    against = sorted(m for m in mine if m[0] < 0.8 and everyone[m[1]][m[2]] >= COMMON)
    for title, chosen in (("For", _one_each(for_it, 6)), ("Against", _one_each(against, 4))):
        if chosen:
            shown = "; ".join(
                f"{_inside(network[f].name)}{_state(model, f, s)} {ratio(value)}{_ids(model, cause, f, parameters)}"
                for value, f, s in chosen
            )
            lines.append(f"{title}: {shown}.")
    return "  \n".join(lines)


def _inside(name: str) -> str:
    """A label inside a sentence: small first letter, unless it is an abbreviation."""
    return name if name[1:2].isupper() or name[1:2] == "-" else name[:1].lower() + name[1:]


def _one_each(
    found: Sequence[tuple[float, str, str]], most: int
) -> list[tuple[float, str, str]]:
    """The strongest state of each finding."""
    seen: dict[str, tuple[float, str, str]] = {}
    for entry in found:
        seen.setdefault(entry[1], entry)
    return list(seen.values())[:most]


def _state(model: DiagnosticModel, finding: str, state: str) -> str:
    variable = model.network[finding]
    if variable.is_two_state:
        return "" if state == "present" else " absent"
    return f" {state.replace('_', ' ')}"


def _ids(
    model: DiagnosticModel, cause: str, finding: str, parameters: Mapping[str, list[Parameter]]
) -> str:
    """Rows behind a finding's dependence on the cause, directly or through a mechanism."""
    network = model.network
    downstream = {v for v in network.parents(finding) if v == cause or cause in network.ancestors([v])}
    chosen = [
        s
        for p in parameters.get(finding, [])
        if not p.key or p.key[0] in downstream or not set(p.key) & set(network.variables)
        for s in p.studies
    ]
    unique = list(dict.fromkeys(chosen))[:3]
    return f" [{', '.join(unique)}]" if unique else " [expert]"


def _published(model: DiagnosticModel) -> str:
    if not (model.document.folder / PUBLISHED).exists():
        return ""
    found = compare_with_published(model)
    matched = sum(c.matched for c in found)
    rows = []
    for c in found:
        low, high = c.result.band
        rows.append(
            (
                "yes" if c.matched else "**no**", c.result.title, c.result.measure.replace("_", " "),
                f"{c.result.published:.3g}", f"{low:.2g} to {high:.2g} ({c.result.band_words})",
                f"{c.predicted:.3g}", ", ".join(c.result.studies),
            )
        )
    misses = [f"- {c.result.title} ({c.result.measure.replace('_', ' ')}): {c.result.note or 'not explained.'}"
              for c in found if not c.matched]
    return "\n\n".join(
        [
            "## Published results that set no parameter",
            f"{matched} of {len(found)} ({matched / len(found):.0%}) are matched: inside the 95 % "
            "interval, or within a factor of 1.5 where a ratio was printed without one. The "
            "model's values are exact (`bayesnet model published`).",
            _table(("matched", "result", "measure", "published", "band", "model", "rows"), rows),
            "Not matched, and why:",
            "\n".join(misses),
        ]
    )


def _cases(model: DiagnosticModel, cases: Sequence[Case], notes: CardNotes) -> str:
    if not cases:
        return ""
    texts = [
        "## Published cases",
        f"{len(cases)} published case reports and board-style vignettes, read and coded by hand "
        "and used while the model was built. Rank of the published cause within its group (urgent cases "
        "count among the emergencies of these tables); no parameter is set from a case.",
    ]
    results = {scope: evaluate(model, list(cases), scope) for scope in ("findings", "all")}
    rows = []
    for scope, words in (("findings", "before any test"), ("all", "with tests, but the revealing one")):
        summary = results[scope].summary()
        for measure in ("likelihood_ratio", "necessity", "posterior"):
            e = summary[measure]
            rows.append(
                (words, measure.replace("_", " "),
                 *(_with_interval(e, k) for k in ("top_1", "top_3", "top_5", "emergency_recall")))
            )
    texts.append(
        _table(("known", "ranked by", "top 1", "top 3", "top 5", "emergencies in top 3"), rows)
    )
    triage = results["findings"].triage()
    if triage:
        texts.append(
            "Triage on what was known before any test: "
            + "; ".join(
                f"{right} of {of} cases published as {level} were called "
                + ("routine" if level == "routine" else "emergency or urgent")
                for level, (right, of) in triage.items()
            ) + "."
        )
    texts.append(_missed(model, results["findings"], notes))
    return "\n\n".join([*texts, _baselines(model, cases), _scorecard(results["findings"])])


def _alarms(model: DiagnosticModel) -> str:
    """How often triage raises an alarm, by what a simulated patient has."""
    if model.pathways.empty or model.outcome is None:
        return ""
    found = alarm_rates(model)
    rows = [
        (r["label"], percent(r["drawn"]), str(r["patients"]), *(percent(r[x]) for x in LEVELS))
        for r in found.to_dict("records")
    ]
    return "\n\n".join([
        "## How often it raises an alarm",
        "Patients drawn from the model, in all of whom therapy failed, with every question asked, every sign "
        "looked for and no test done (`bayesnet model alarms`). This is what rules and utilities do if the model "
        "is right, not a measure of whether it is.",
        _table(("what they have", "of all", "patients", *LEVELS), rows),
    ])


def _further(model: DiagnosticModel, cases: Sequence[Case]) -> str:
    """Cases that were coded without sight of the model, by cause."""
    if not cases:
        return ""
    result = evaluate(model, list(cases), "findings")
    summary = result.summary()
    rows = [
        (measure.replace("_", " "),
         *(_with_interval(summary[measure], k) for k in ("top_1", "top_3", "top_5", "emergency_recall")))
        for measure in ("likelihood_ratio", "necessity", "posterior")
    ]
    by_cause: dict[str, list[int]] = {}
    for score in result.scores:
        by_cause.setdefault(score.primary, []).append(score.ranks["likelihood_ratio"])
    ranks = [
        (model.network[cause].name, str(len(found)), str(sum(r == 1 for r in found)),
         str(sum(r <= 3 for r in found)), ", ".join(map(str, sorted(r for r in found if r > 3))))
        for cause in model.causes if (found := by_cause.get(cause))
    ]
    return "\n\n".join([
        "### Further cases, coded without sight of the model",
        f"{len(cases)} published case reports and board-style vignettes, found and coded from "
        "the names and states alone, without sight of the model (`bayesnet evaluate further --scope findings`), "
        "mostly from the opening of each paper, so that signs told further down are missing. Most are "
        "first presentations, not pain after physical therapy. Their misses showed for which pairs of "
        "cause and finding to look for studies; no number is set from a case.",
        _table(("ranked by", "top 1", "top 3", "top 5", "emergencies in top 3"), rows),
        "Triage: " + "; ".join(
            f"{right} of {of} cases coded as {level} were called "
            + ("routine" if level == "routine" else "emergency or urgent")
            for level, (right, of) in result.triage().items()
        ) + f". Log score {summary['log_score']:.2f}.",
        _table(("published cause", "cases", "first", "in the first three", "other ranks"), ranks),
    ])


def _baselines(model: DiagnosticModel, cases: Sequence[Case]) -> str:
    """Simpler rankings of the same cases, and where the network does not beat them."""
    table = compare_rankings(model, cases, "findings")
    rows = [
        (r["ranking"], *(_figure(r[k], 2) for k in ("top_1", "top_3", "top_5", "emergencies_top_3")),
         _figure(r["log_score"], 2), _figure(r["brier"], 3),
         "" if i == 0 else f"{r['less_top_3']:+z.2f} ({r['low']:+z.2f} to {r['high']:+z.2f})")
        for i, r in enumerate(table.to_dict("records"))
    ]
    header = ("ranking", "top 1", "top 3", "top 5", "emergencies in top 3", "log score", "Brier",
              "top 3: the first row is better by")
    red = {} if model.pathways.empty else red_flag_rule(model, cases, "findings")
    flags = "; ".join(
        f"{right} of {of} {level} cases were called " + ("routine" if level == "routine" else "not routine")
        for level, (right, of, _) in red.items()
    )
    return "\n\n".join([
        "### Simpler ways to rank the same cases",
        "Findings known before any test. Naive Bayes takes the findings as independent given each "
        "cause, with this model's own numbers; a pointing finding alone has a likelihood ratio of at "
        "least 3 for the cause; prior only is the same order for everybody. Log and Brier scores are "
        "better when lower. Intervals: 95 %, cases drawn with replacement.",
        _table(header, rows),
        "" if not flags else f"A single red flag (a finding with a likelihood ratio of at least 3 for a cause that is urgent): {flags}.",
        _not_beaten(table),
    ])


def _not_beaten(table: pd.DataFrame) -> str:
    """Plain sentences on every figure on which the network is no better than a baseline."""
    ours = table.iloc[0]
    said = []
    for row in table.iloc[3:].to_dict("records"):
        worse = [
            words for key, words, sign in (
                ("top_1", "top 1", 1), ("top_3", "top 3", 1), ("top_5", "top 5", 1),
                ("emergencies_top_3", "emergencies in top 3", 1), ("log_score", "log score", -1),
                ("brier", "Brier score", -1),
            )
            if np.isfinite(row[key]) and sign * (ours[key] - row[key]) <= 1e-12
        ]
        if worse:
            said.append(f"{row['ranking']} does as well or better on {', '.join(worse)}")
    by = dict(zip(table["ranking"], table["top_3"], strict=True))
    attribution = by["network, necessity"] > by["network, posterior"]
    tail = (
        "Ranking by attribution (necessity) finds more than ranking by association (posterior)."
        if attribution else
        "Ranking by attribution (necessity) finds no more than ranking by association (posterior)."
    )
    head = (
        "The network does not beat every baseline here: " + "; ".join(said) + "."
        if said else "The network beats every baseline on every figure."
    )
    return f"{head} {tail}"


def _scorecard(result: Evaluation) -> str:
    """Calibration, discrimination and subgroups."""
    c = calibration(result)
    words = {"slope": "slope (1 is right)", "in_the_large": "intercept at slope 1 (0 is right)",
             "expected_calibration_error": "expected calibration error", "auc": "area under the curve"}
    rows = [
        (w, f"{c[k]:.2f} ({c[f'{k}_interval'][0]:.2f} to {c[f'{k}_interval'][1]:.2f})")
        for k, w in words.items()
    ]
    groups = [
        (f"{r['by']} {r['state']}", str(r["cases"]), r["measure"].replace("_", " "), f"{r['top_1']:.2f}",
         f"{r['top_3']:.2f} ({r['low']:.2f}-{r['high']:.2f})")
        for r in subgroups(result).to_dict("records") if r["measure"] != "posterior"
    ]
    return "\n\n".join([
        "### Calibration and subgroups on the same cases",
        "All cases and diagnoses together, findings known before any test. Cases are published "
        "because they are telling, and rare diseases are as many as common ones: this says how such "
        "cases are answered, not how probabilities hold in a clinic (simulated patients, where the "
        "truth is known, are calibrated exactly: `tests/test_cohort.py`).",
        _table(("figure", "value (95 %)"), rows),
        _table(("group", "cases", "ranked by", "top 1", "top 3 (95 %)"), groups),
    ])


def _figure(value: float, digits: int) -> str:
    return f"{value:.{digits}f}" if np.isfinite(value) else "-"


def _real_patients(model: DiagnosticModel) -> str:
    """Comparisons with patients' data, written beside the model by the command that they name."""
    path = model.document.folder / REAL_PATIENTS
    return f"## Real patients\n\n{path.read_text(encoding='utf-8').strip()}" if path.exists() else ""


def _with_interval(entry: Mapping[str, Any], key: str) -> str:
    value = entry[key]
    if value is None:
        return "-"
    low, high = entry[f"{key}_interval"]
    return f"{value:.2f} ({low:.2f}-{high:.2f})"


def _missed(model: DiagnosticModel, result: Evaluation, notes: CardNotes) -> str:
    missed = [s for s in result.scores if s.ranks["likelihood_ratio"] > 3]
    lines = []
    for s in missed:
        why = " ".join(notes.misses.get(s.case.id, "Not discussed yet.").split())
        lines.append(
            f"- `{s.case.id}`, {model.network[s.primary].name.lower()} ({s.case.urgency}): rank "
            f"{s.ranks['likelihood_ratio']} by likelihood ratio, {s.ranks['necessity']} by "
            f"necessity. {why}"
        )
    return (
        "Missed from the findings alone (rank above 3 by likelihood ratio):\n\n" + "\n".join(lines)
        if lines
        else "No case is missed from the findings alone."
    )


def _parameters(model: DiagnosticModel) -> str:
    document = model.document
    rows = [
        (p.variable, " ".join(p.key) or "prior", _value(p.value), evidence_grade(p, document.studies),
         ", ".join(p.studies), p.expert)
        for p in document.parameters
    ]
    return (
        "## Every parameter\n\n<details><summary>Show "
        f"{len(rows)} parameters (those by definition too) with value, grade, rows and reason</summary>\n\n"
        + _table(("variable", "parameter", "value", "grade", "rows", "derivation"), rows)
        + "\n\n</details>"
    )


def _value(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(
            f"{k} ({_value(v)})" if isinstance(v, dict) else f"{k} {_value(v)}"
            for k, v in value.items()
        )
    return f"{value:g}"


def _studies(model: DiagnosticModel) -> str:
    document = model.document
    cited = sorted({s for p in document.parameters for s in p.studies})
    by_study: dict[str, list[str]] = {}
    for s in cited:
        by_study.setdefault(document.studies[s].citation, []).append(s)
    lines = [f"- {citation} [{', '.join(ids)}]" for citation, ids in sorted(by_study.items())]
    return (
        f"## Studies\n\n<details><summary>Show the {len(by_study)} sources of the cited rows"
        "</summary>\n\n" + "\n".join(lines) + "\n\n</details>"
    )
