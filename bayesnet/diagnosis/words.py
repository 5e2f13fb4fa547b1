"""Plain sentences about a diagnosis."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from bayesnet.network import Network, OddsRatio, Variable

if TYPE_CHECKING:
    from bayesnet.diagnosis.result import CauseResult, Diagnosis
    from bayesnet.model import DiagnosticModel

__all__ = [
    "DECIBANS", "FAMILIES", "GROUPS", "alarm_words", "amount", "averted", "because", "finding_words", "happened", "headline",
    "html_table", "name_of", "parameter_words", "percent", "question", "ratio", "summary",
]

#: Titles of the families of causes, in the order in which they are shown.
FAMILIES = {
    "underlying": "Underlying disease", "structural": "Structural damage",
    "psychosocial": "The person", "programme": "Programme and daily life", "fallback": "No specific source",
}
#: Titles of the groups in which causes are ranked.
GROUPS = {"diagnoses": "Diagnoses", "contributors": "Person and programme"}
#: What the unit of a weight of evidence means.
DECIBANS = (
    "Decibans weigh what a finding says: +3 doubles the odds of the cause, +10 makes them ten times as "
    "large, -3 halves them."
)
_PT_FAILED = "Physical therapy failed"


def percent(p: float) -> str:
    """A probability for people: never 0 % or 100 % unless it is that to twelve digits."""
    if math.isnan(p):
        return "-"
    # 0.0035 and 1 are written the same way whatever the last bits of a machine make of them.
    p = float(f"{p:.12g}")
    if p in (0.0, 1.0):
        return f"{100 * p:.0f} %"
    if p < 0.001:
        return "<0.1 %"
    if p > 0.999:
        return ">99.9 %"
    return f"{100 * p:.1f} %" if p < 0.1 or p > 0.99 else f"{100 * p:.0f} %"


def question(model: DiagnosticModel, short: bool = True) -> str:
    """What is asked of a patient: why the outcome came about. `short` writes PT for physical therapy."""
    if model.outcome is None:
        return "Probable causes"
    if model.network[model.outcome].name == _PT_FAILED:
        return "Why PT failed" if short else "Why physical therapy (PT) failed"
    return f"Why: {_outcome(model)}"


def happened(model: DiagnosticModel) -> str:
    """The outcome as a clause, for example `PT failed`."""
    if model.outcome is None:
        return "it came about"
    if model.network[model.outcome].name == _PT_FAILED:
        return "PT failed"
    return f'"{_outcome(model)}" came about'


def averted(model: DiagnosticModel) -> str:
    """The opposite as a clause, for example `PT would have succeeded`."""
    now = happened(model)
    return "PT would have succeeded" if now == "PT failed" else now.replace("came about", "would not have come about")


def because(model: DiagnosticModel) -> str:
    """The heading of the probability of necessity, for example `PT failed because of it`."""
    return "PT failed because of it" if happened(model) == "PT failed" else "because of it"


def _outcome(model: DiagnosticModel) -> str:
    assert model.outcome is not None
    name = model.network[model.outcome].name
    return name[0].lower() + name[1:]


def headline(diagnosis: Diagnosis) -> str:
    """The title of a figure, for example `Why PT failed, given 12 findings`."""
    n = sum(x is not None and v != diagnosis.model.outcome for v, x in diagnosis.findings.items())
    failed = any(not math.isnan(r.necessity) for r in diagnosis.results)
    return (
        f"{question(diagnosis.model) if failed else 'Probable causes'}, given "
        f"{n or 'no'} finding{'s' if n > 1 else ''}"
    )


def ratio(x: float) -> str:
    """A likelihood ratio for people."""
    if math.isnan(x):
        return "-"
    if math.isinf(x):
        return "certain"
    x = float(f"{x:.12g}")
    if x >= 10:
        return f"{x:,.0f}"
    return f"{x:.1f}" if x >= 0.95 else f"{x:.2g}"


def name_of(result: CauseResult) -> str:
    """The label, with the most probable grade where the cause has grades; numbers are of all grades."""
    if len(result.states) > 2:
        return f"{result.label} (mostly {result.state.replace('_', ' ')})"
    return result.label


def finding_words(variable: Variable, value: Any) -> str:
    """A finding as people read it, for example `Fever: absent`."""
    if isinstance(value, bool):
        value = variable.states[int(value)] if variable.is_two_state else value
    if isinstance(value, list | tuple):
        value = " or ".join(str(v) for v in value)
    if isinstance(value, dict):
        value = "uncertain (" + ", ".join(f"{s} {x:g}" for s, x in value.items()) + ")"
    unit = f" {variable.bins.unit}" if variable.bins and isinstance(value, int | float) else ""
    return f"{variable.name}: {str(value).replace('_', ' ')}{unit}"


def summary(diagnosis: Diagnosis, top: int) -> str:
    """The leading causes of both groups as text, with what the numbers mean and the disclaimer."""
    n = len(diagnosis.findings)
    lines = [f"{question(diagnosis.model)}, given {n or 'no'} finding{'s' if n > 1 else ''} ({diagnosis.model.name} "
             f"{diagnosis.model.version})"]
    if alarm := alarm_words(diagnosis):
        lines.append(alarm)
    for group, title in GROUPS.items():
        ranked = diagnosis.ranked(group)[:top]
        if not ranked:
            continue
        width = max(len(title), *(len(name_of(r)) for r in ranked))
        lines.append(f"\n{title:<{width}}  because of it  probability  before    LR")
        lines += [
            f"{name_of(r):<{width}}  {percent(r.necessity):>13}  {percent(r.posterior):>11}  "
            f"{percent(r.prior):>6}  {ratio(r.likelihood_ratio):>4}"
            for r in ranked
        ]
    lines.append(
        f"\nbecause of it: probability that {happened(diagnosis.model)} because of this cause; probability: that it is "
        "present;\nbefore: the same before any finding; LR: what the findings say (posterior odds / "
        "prior odds)."
    )
    lines.append(diagnosis.model.disclaimer)
    return "\n".join(lines)


def alarm_words(diagnosis: Diagnosis) -> str:
    """How soon this person must be seen and why, in one line; empty where it is routine."""
    if diagnosis.model.pathways.empty or diagnosis.triage.level == "routine":
        return ""
    return f"{diagnosis.triage.level.upper()}: {' '.join(diagnosis.triage.reasons)}"


def html_table(
    title: str, headings: Sequence[str], rows: Iterable[Sequence[str]], disclaimer: str
) -> str:
    """A table for a notebook: words left in the first column, numbers right in the others."""
    sides = ("left", *["right"] * (len(headings) - 1))

    def line(tag: str, cells: Sequence[str]) -> str:
        return "<tr>" + "".join(
            f"<{tag} style='text-align:{side}'>{html.escape(x)}</{tag}>"
            for side, x in zip(sides, cells, strict=True)
        ) + "</tr>"

    body = "".join(line("td", r) for r in rows)
    return (
        f"<p>{html.escape(title)}</p><table><thead>{line('th', headings)}</thead><tbody>{body}</tbody></table>"
        f"<p><small>{html.escape(disclaimer)}</small></p>"
    )


def _speaks_for_itself(variable: Variable) -> bool:
    """Whether its states need no name beside them, as `35-49` and `male` do not."""
    return variable.role == "context" and not {"absent", "present", "none"} & set(variable.states)


def amount(value: float) -> str:
    """A number of the model, to two digits."""
    return "<0.001" if 0 < value < 0.001 else f"{value:.2g}"


def parameter_words(network: Network, parameter: str) -> str:
    """A parameter's path (`child/parent=state: state`) as people read it."""
    path, _, state = parameter.partition(": ")
    first, *keys = path.split("/")
    child = network[first].name if first in network else first
    if state:
        child += f" {state.replace('_', ' ')}"
    if not keys:
        return f"{child}, how common"
    if keys == ["leak"]:
        return f"{child}, from anything else"
    strata = [k for k in keys if k != "prevalence"]
    d = network.distributions.get(first)
    if not any("=" in k or k in network for k in strata):
        by = (d.by,) if isinstance(d, OddsRatio) and d.by else network.parents(first) if d else ()
        given = [
            f"{network[p].name} {k.replace('_', ' ')}" for p, k in zip(by, strata, strict=False)
        ]
        if strata and len(by) == len(strata) and not all(_speaks_for_itself(network[p]) for p in by):
            return f"{child}, given {', '.join(given)}"
        stratum = f" ({', '.join(k.replace('_', ' ') for k in strata)})" if strata else ""
        return f"{child}, how common{stratum}"
    if isinstance(d, OddsRatio) and keys[0] in d.risk_factors:
        return f"{child}, odds ratio of {network[keys[0]].name}"
    given = []
    for key in keys:
        parent, _, value = key.partition("=")
        name = network[parent].name if parent in network else parent.replace("_", " ")
        given.append(name + (f" {value.replace('_', ' ')}" if value else ""))
    return f"{child}, given {', '.join(given)}"
