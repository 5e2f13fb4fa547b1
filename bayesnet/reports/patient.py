"""One patient's whole answer on two pages: HTML, Markdown or JSON."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayesnet.diagnosis.explanation import explain_each
from bayesnet.diagnosis.pathways import decide
from bayesnet.diagnosis.words import (
    DECIBANS,
    GROUPS,
    because,
    finding_words,
    name_of,
    percent,
    question,
    ratio,
)

if TYPE_CHECKING:
    from bayesnet.diagnosis.pathways import Pathways
    from bayesnet.diagnosis.result import CauseResult, Diagnosis
    from bayesnet.network import Network

__all__ = ["patient_html", "patient_json", "patient_markdown", "write_report"]

_ROWS = 6
#: Of each, what to find out next.
_KINDS = ("history", "examination", "questionnaire", "test")
_STYLE = """
body{font:15px/1.45 system-ui,sans-serif;color:#222;max-width:54rem;margin:1.5rem auto;padding:0 1rem}
h1{font-size:1.35rem;margin:0 0 .3rem}h2{font-size:1.1rem;margin:1.2rem 0 .3rem;border-bottom:1px solid #999}
table{border-collapse:collapse;width:100%}th,td{padding:3px 6px;text-align:left;vertical-align:top}
thead th{font-weight:600;border-bottom:1px solid #777;vertical-align:bottom}tbody th{font-weight:400}
tbody tr+tr>*{border-top:1px solid #e4e4e4}.n{text-align:right}td.n{white-space:nowrap}
.level{border:2px solid #222;padding:.5rem .8rem;margin:.6rem 0}.level b{text-transform:uppercase}
.bar{display:inline-block;width:5rem;height:.7em;background:#e3e8ef;vertical-align:baseline}
.bar i{display:block;height:100%;background:#0072B2}
.muted{color:#555;font-size:13px}ul{margin:.2rem 0;padding-left:1.2rem}
@media(max-width:34rem){body{font-size:14px;padding:0 .4rem}th,td{padding:3px 2px;hyphens:auto}
table{font-size:13px}.bar,.share{display:none}td.n.range{white-space:normal}}
@media print{@page{margin:13mm}body{margin:0;padding:0;font-size:9pt;line-height:1.3;max-width:none}
th,td{padding:1.5px 5px}h1{font-size:13pt}h2{font-size:10.5pt;margin:.7rem 0 .2rem}.muted{font-size:8pt;margin:.4em 0}
*{print-color-adjust:exact;-webkit-print-color-adjust:exact}thead{display:table-header-group}
h2{break-after:avoid}tr,li,.level{break-inside:avoid}p{orphans:3;widows:3}}
"""
#: What the numbers are, said once.
_MEANING = {
    "before": "Before: how probable it was before any finding of this person.",
    "present": "Present: how probable it is now. Range: 95 % of draws of the model's own numbers lie in it.",
    "lr": "LR (likelihood ratio): what the findings say, odds now over odds before; 1 says nothing, 10 "
    "speaks strongly for it, 0.1 strongly against it.",
    "share": "Share of the failure (Shapley value): the shares of all causes and of none add up to one.",
}
_BITS = (
    "Bits: by how much the answer is expected to lessen the uncertainty about the causes; one bit is as much "
    "as a yes or no that was equally likely either way."
)
_BRACKETS = f"The numbers in brackets are decibans. {DECIBANS}"


def _worth(pathways: Pathways) -> str:
    """What the worth of an action is, and its unit."""
    unit = f", in {pathways.unit}" if pathways.unit else ""
    note = f" ({pathways.unit_note})" if pathways.unit_note else ""
    return f"Worth: expected gain less burden and risk{unit}{note}."


def _parts(diagnosis: Diagnosis, draws: int, seed: int) -> dict[str, Any]:
    """Everything that the report says, as plain data."""
    network = diagnosis.model.network
    intervals = diagnosis.intervals(draws, seed)
    ranges = {r["cause"]: r for r in intervals.table.to_dict("records")}
    shares = {s.cause: s for s in diagnosis.attribution.shares}
    groups: dict[str, list[CauseResult]] = {
        g: diagnosis.ranked(g)[:_ROWS] for g in ("diagnoses", "contributors")
    }
    advised = not diagnosis.model.pathways.empty
    actions = decide(diagnosis) if advised else ()
    told = [r.cause for r in groups["diagnoses"][:2]]
    if advised and diagnosis.triage.level != "routine":
        # What the alarm is for, which need not be among the most probable.
        told += [a.reasons[0][0] for a in actions if a.worthwhile and a.urgency == diagnosis.triage.level][:1]
    explained = explain_each(diagnosis, list(dict.fromkeys(told)))
    asked = diagnosis.next(_KINDS)
    nexts = {
        kind: asked[asked["kind"] == kind].head(3).to_dict("records") for kind in _KINDS
    }
    known = [
        finding_words(network[v], x) for v, x in diagnosis.findings.items() if x is not None
    ]
    return {
        "model": diagnosis.model, "known": known, "groups": groups,
        "triage": diagnosis.triage if advised else None,
        "ranges": ranges, "shares": shares, "intervals": intervals, "explained": explained,
        "next": nexts, "actions": [a for a in actions if round(a.net_benefit) > 0][:8],
        "draws": draws, "seed": seed,
    }


def _to_find_out(network: Network, found: Mapping[str, Any]) -> str:
    """The finding's name and how it is asked or looked for."""
    name = network[found["finding"]].name
    return f"{name}: {found['ask']}" if found["ask"] else name


def _unbroken(share: float) -> str:
    """A percentage whose sign stays on the number's line."""
    return percent(share).replace(" ", "\u00a0")


def patient_json(diagnosis: Diagnosis, draws: int = 1000, seed: int = 0) -> dict[str, Any]:
    """The report as plain data."""
    p = _parts(diagnosis, draws, seed)
    return {
        **diagnosis.to_dict(),
        "triage": p["triage"].to_dict() if p["triage"] else None,
        "attribution": diagnosis.attribution.to_dict(),
        "intervals": p["intervals"].to_dict(),
        "explanations": [e.to_dict() for e in p["explained"]],
        "next": p["next"],
        "actions": [a.to_dict() for a in p["actions"]],
    }


def patient_markdown(diagnosis: Diagnosis, draws: int = 1000, seed: int = 0) -> str:
    """The report as Markdown."""
    p = _parts(diagnosis, draws, seed)
    model = p["model"]
    lines = [
        f"# {question(model, short=False)}", "",
        f"{model.name} {model.version}. {model.disclaimer}", "",
    ]
    if level := p["triage"]:
        lines += [f"**{level.level.upper()}.** " + " ".join(level.reasons), ""]
        if level.missing:
            lines += ["Not yet known, and could make it more urgent: " + "; ".join(level.missing), ""]
    lines += [f"Known ({len(p['known'])}): " + "; ".join(p["known"]), ""]
    for group, ranked in p["groups"].items():
        lines += [f"## {GROUPS[group]}", "",
                  f"| cause | {because(model)} | share | before | present | 95 % range | LR |",
                  "|---|--:|--:|--:|--:|--:|--:|"]
        for r in ranked:
            x = p["ranges"][r.cause]
            share = p["shares"].get(r.cause)
            lines.append(
                f"| {name_of(r)} | {percent(r.necessity)} | "
                f"{percent(share.share) if share else '-'} | {percent(r.prior)} | {percent(r.posterior)} | "
                f"{percent(x['posterior_low'])} to {percent(x['posterior_high'])} | "
                f"{ratio(r.likelihood_ratio)} |"
            )
        lines.append("")
    lines += [" ".join(_MEANING.values()), "",
              "## Why", "", *[f"- {e.sentence()}" for e in p["explained"]], "", _BRACKETS, "",
              "## What to find out next", ""]
    for kind, found in p["next"].items():
        lines += [f"- {kind}: {_to_find_out(model.network, f)}" for f in found]
    unit = model.pathways.unit
    if p["actions"]:
        lines += ["", "## What to do", ""]
    for a in p["actions"]:
        way = f" ({'; '.join(a.open)})" if a.open else ""
        lines.append(f"- {a.label}{way}: worth {a.net_benefit:.0f} {unit}")
    if p["actions"]:
        lines += ["", _worth(model.pathways)]
    return "\n".join(lines) + "\n"


def patient_html(diagnosis: Diagnosis, draws: int = 1000, seed: int = 0) -> str:
    """The report as one self-contained page; nothing is fetched, colour carries no meaning alone."""
    p = _parts(diagnosis, draws, seed)
    model, level = p["model"], p["triage"]
    e, asked = html.escape, html.escape(question(model, short=False))
    out = [
        "<!DOCTYPE html><html lang='en'><head><meta charset='utf-8'>",
        "<meta name='viewport' content='width=device-width'>",
        f"<title>{asked}</title><style>{_STYLE}</style></head><body>",
        f"<h1>{asked}</h1>",
        f"<p class='muted'>{e(model.name)} {e(model.version)}. {e(model.disclaimer)}</p>",
    ]
    if level:
        out.append(f"<div class='level' role='status'><b>{e(level.level)}</b><ul>")
        out += [f"<li>{e(r)}</li>" for r in level.reasons]
        out.append("</ul>")
        if level.missing:
            out.append("Not yet known, and could make it more urgent: " + e("; ".join(level.missing)))
        out.append("</div>")
    out.append(f"<p><b>Known ({len(p['known'])}):</b> {e('; '.join(p['known']) or 'nothing')}</p>")
    for group, title in GROUPS.items():
        leader = p["intervals"].top.get(group)
        out.append(f"<h2>{title}</h2>")
        if leader:
            out.append(
                f"<p class='muted'>{e(model.network[leader[0]].name)} leads in {percent(leader[1])} "
                f"of {p['draws']} draws of the model's own numbers.</p>"
            )
        out.append(_head(
            "cause", because(model), "share:n share", "before:n", "present:n", "95 % range:n", "LR:n",
        ))
        for r in p["groups"][group]:
            x, share = p["ranges"][r.cause], p["shares"].get(r.cause)
            need = 0.0 if r.necessity != r.necessity else r.necessity
            out.append(
                f"<tr><th scope='row'>{e(name_of(r))}</th>"
                f"<td><span class='bar'><i style='width:{100 * need:.0f}%'></i></span> "
                f"{_unbroken(r.necessity)}</td>"
                f"<td class='n share'>{percent(share.share) if share else '-'}</td>"
                f"<td class='n'>{percent(r.prior)}</td><td class='n'>{percent(r.posterior)}</td>"
                f"<td class='n range'>{_unbroken(x['posterior_low'])} to {_unbroken(x['posterior_high'])}</td>"
                f"<td class='n'>{ratio(r.likelihood_ratio)}</td></tr>"
            )
        out.append("</tbody></table>")
    out.append(f"<p class='muted'>{e(' '.join(_MEANING.values()))} A bar's full length is 100 %.</p>")
    out.append("<h2>Why</h2><ul>")
    out += [f"<li>{e(x.sentence())}</li>" for x in p["explained"]]
    out.append(f"</ul><p class='muted'>{e(_BRACKETS)}</p>")
    out.append("<h2>What to find out next</h2>" + _head("kind", "finding and how to ask", "bits:n"))
    for kind, found in p["next"].items():
        out += [
            f"<tr><td>{e(kind)}</td><td>{e(_to_find_out(model.network, f))}</td>"
            f"<td class='n'>{f['information']:.2f}</td></tr>" for f in found
        ]
    out.append(f"</tbody></table><p class='muted'>{e(_BITS)}</p>")
    if p["actions"]:
        unit = model.pathways.unit
        waits = any(a.open for a in p["actions"])
        out.append("<h2>What to do</h2>" + _head(
            "action", "urgency", f"worth, {unit}:n", *["before that"] * waits
        ))
        for a in p["actions"]:
            last = f"<td>{e('; '.join(a.open))}</td>" if waits else ""
            out.append(
                f"<tr><th scope='row'>{e(a.label)}</th><td>{e(a.urgency)}</td>"
                f"<td class='n'>{a.net_benefit:.0f}</td>{last}</tr>"
            )
        out.append(f"</tbody></table><p class='muted'>{e(_worth(model.pathways))} Actions worth nothing here are left out.</p>")
    out.append(f"<p class='muted'>{e(model.disclaimer)}</p></body></html>")
    return "".join(out)


def _head(*columns: str) -> str:
    """The start of a table, up to its first row; `name:n` is a column of the class `n`, numbers."""
    cells = []
    for column in columns:
        name, _, kind = column.partition(":")
        mark = f" class='{kind}'" if kind else ""
        cells.append(f"<th scope='col'{mark}>{html.escape(name)}</th>")
    return f"<table><thead><tr>{''.join(cells)}</tr></thead><tbody>"


def write_report(diagnosis: Diagnosis, path: str | Path, draws: int = 1000, seed: int = 0) -> None:
    """Write `.html`, `.md` or `.json`, by the ending.

    Raises
    ------
    ValueError
        For another ending.
    OSError
        When it cannot be written.
    """
    file = Path(path)
    makers = {
        ".html": lambda: patient_html(diagnosis, draws, seed),
        ".md": lambda: patient_markdown(diagnosis, draws, seed),
        ".json": lambda: json.dumps(patient_json(diagnosis, draws, seed), indent=2) + "\n",
    }
    if file.suffix not in makers:
        raise ValueError(f"a report ends in .html, .md or .json, not {file.suffix or file.name!r}")
    file.write_text(makers[file.suffix](), encoding="utf-8")
