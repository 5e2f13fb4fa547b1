"""One patient's whole answer on two pages: HTML, Markdown or JSON."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayesnet.diagnosis.pathways import decide
from bayesnet.diagnosis.words import finding_words, name_of, percent, ratio

if TYPE_CHECKING:
    from bayesnet.diagnosis.result import CauseResult, Diagnosis
    from bayesnet.network import Network

__all__ = ["patient_html", "patient_json", "patient_markdown", "write_report"]

_ROWS = 6
_STYLE = """
body{font:14px/1.45 system-ui,sans-serif;color:#222;max-width:52rem;margin:1.5rem auto;padding:0 1rem}
h1{font-size:1.3rem;margin:0 0 .3rem}h2{font-size:1.05rem;margin:1.1rem 0 .3rem;border-bottom:1px solid #999}
table{border-collapse:collapse;width:100%}th,td{padding:2px 6px;text-align:left;vertical-align:top}
th{font-weight:600;border-bottom:1px solid #ccc;vertical-align:bottom}.n{text-align:right}td.n{white-space:nowrap}
.level{border:2px solid #222;padding:.5rem .8rem;margin:.6rem 0}.level b{text-transform:uppercase}
.bar{display:inline-block;height:.7em;background:#0072B2;vertical-align:baseline}
small,.muted{color:#555}ul{margin:.2rem 0;padding-left:1.2rem}
@media(max-width:34rem){body{font-size:13px;padding:0 .5rem}th,td{padding:2px 3px}td.n.range{white-space:normal}}
@media print{body{margin:0;font-size:11px;max-width:none}h2{break-after:avoid}tr{break-inside:avoid}}
"""


def _parts(diagnosis: Diagnosis, draws: int, seed: int) -> dict[str, Any]:
    """Everything that the report says, as plain data."""
    network = diagnosis.model.network
    intervals = diagnosis.intervals(draws, seed)
    ranges = {r["cause"]: r for r in intervals.table.to_dict("records")}
    shares = {s.cause: s for s in diagnosis.attribution.shares}
    groups: dict[str, list[CauseResult]] = {
        g: diagnosis.ranked(g)[:_ROWS] for g in ("diagnoses", "contributors")
    }
    explained = [diagnosis.why(r.cause) for r in groups["diagnoses"][:2]]
    nexts = {
        kind: diagnosis.next([kind]).head(3).to_dict("records")
        for kind in ("history", "examination", "questionnaire", "test")
    }
    known = [
        finding_words(network[v], x) for v, x in diagnosis.findings.items() if x is not None
    ]
    advised = not diagnosis.model.pathways.empty
    return {
        "model": diagnosis.model, "known": known, "groups": groups,
        "triage": diagnosis.triage if advised else None,
        "ranges": ranges, "shares": shares, "intervals": intervals, "explained": explained,
        "next": nexts, "actions": [a for a in decide(diagnosis) if a.worthwhile][:8] if advised else [],
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
        "# Why physical therapy failed", "",
        f"{model.name} {model.version}. {model.disclaimer}", "",
    ]
    if level := p["triage"]:
        lines += [f"**{level.level.upper()}.** " + " ".join(level.reasons), ""]
        if level.missing:
            lines += ["Not yet known, and could make it more urgent: " + "; ".join(level.missing), ""]
    lines += [f"Known ({len(p['known'])}): " + "; ".join(p["known"]), ""]
    for group, ranked in p["groups"].items():
        lines += [f"## {group.capitalize()}", "",
                  "| cause | failed because of it | share | present | 95 % range | LR |",
                  "|---|--:|--:|--:|--:|--:|"]
        for r in ranked:
            x = p["ranges"][r.cause]
            share = p["shares"].get(r.cause)
            lines.append(
                f"| {name_of(r)} | {percent(r.necessity)} | "
                f"{percent(share.share) if share else '-'} | {percent(r.posterior)} | "
                f"{percent(x['posterior_low'])} to {percent(x['posterior_high'])} | "
                f"{ratio(r.likelihood_ratio)} |"
            )
        lines.append("")
    lines += ["## Why", "", *[f"- {e.sentence()}" for e in p["explained"]], "",
              "## What to find out next", ""]
    for kind, found in p["next"].items():
        lines += [f"- {kind}: {_to_find_out(model.network, f)}" for f in found]
    if p["actions"]:
        lines += ["", "## What to do", ""]
    for a in p["actions"]:
        way = f" ({'; '.join(a.open)})" if a.open else ""
        lines.append(f"- {a.label}{way}: worth {a.net_benefit:.0f} {model.pathways.unit}")
    return "\n".join(lines) + "\n"


def patient_html(diagnosis: Diagnosis, draws: int = 1000, seed: int = 0) -> str:
    """The report as one self-contained page; nothing is fetched, colour carries no meaning alone."""
    p = _parts(diagnosis, draws, seed)
    model, level = p["model"], p["triage"]
    e = html.escape
    out = [
        "<!DOCTYPE html><html lang='en'><head><meta charset='utf-8'>",
        "<meta name='viewport' content='width=device-width'>",
        f"<title>Why physical therapy failed</title><style>{_STYLE}</style></head><body>",
        "<h1>Why physical therapy failed</h1>",
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
    for group, title in (("diagnoses", "Diagnoses"), ("contributors", "Person and programme")):
        leader = p["intervals"].top.get(group)
        out.append(f"<h2>{title}</h2>")
        if leader:
            out.append(
                f"<p class='muted'>{e(model.network[leader[0]].name)} leads in {percent(leader[1])} "
                f"of {p['draws']} draws of the model's own numbers.</p>"
            )
        out.append(
            "<table><tr><th>cause</th><th>PT failed because of it</th><th class='n'>share of the "
            "failure</th><th class='n'>present</th><th class='n'>95 % range</th>"
            "<th class='n'>findings' weight (LR)</th></tr>"
        )
        for r in p["groups"][group]:
            x, share = p["ranges"][r.cause], p["shares"].get(r.cause)
            need = 0.0 if r.necessity != r.necessity else r.necessity
            out.append(
                f"<tr><td>{e(name_of(r))}</td><td><span class='bar' style='width:{110 * need:.0f}px'>"
                f"</span> {percent(r.necessity)}</td>"
                f"<td class='n'>{percent(share.share) if share else '-'}</td>"
                f"<td class='n'>{percent(r.posterior)}</td>"
                f"<td class='n range'>{_unbroken(x['posterior_low'])} to {_unbroken(x['posterior_high'])}</td>"
                f"<td class='n'>{ratio(r.likelihood_ratio)}</td></tr>"
            )
        out.append("</table>")
    out.append("<h2>Why</h2><ul>")
    out += [f"<li>{e(x.sentence())}</li>" for x in p["explained"]]
    out.append("</ul><p class='muted'>Numbers in brackets are decibans: 10 is ten to one.</p>")
    out.append("<h2>What to find out next</h2><table><tr><th>kind</th><th>finding and how to ask</th>"
               "<th class='n'>bits</th></tr>")
    for kind, found in p["next"].items():
        out += [
            f"<tr><td>{e(kind)}</td><td>{e(_to_find_out(model.network, f))}</td>"
            f"<td class='n'>{f['information']:.2f}</td></tr>" for f in found
        ]
    out.append("</table>")
    if p["actions"]:
        out.append("<h2>What to do</h2><table><tr><th>action</th><th>urgency</th>"
                   f"<th class='n'>worth, {e(model.pathways.unit)}</th><th>first</th></tr>")
    out += [
        f"<tr><td>{e(a.label)}</td><td>{e(a.urgency)}</td><td class='n'>{a.net_benefit:.0f}</td>"
        f"<td>{e('; '.join(a.open))}</td></tr>" for a in p["actions"]
    ]
    out.append(("</table>" if p["actions"] else "") + "<p class='muted'>Share: Shapley value of the failure; the shares of all causes "
               "and of none add up to one. Range: 95 % over draws of every parameter. "
               f"{e(model.disclaimer)}</p></body></html>")
    return "".join(out)


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
        raise ValueError(f"{file.name}: a report ends in .html, .md or .json")
    file.write_text(makers[file.suffix](), encoding="utf-8")
