"""Which nodes the page draws, and in which columns.

Columns run context -> causes -> mechanisms -> findings. Within a column nodes are put near what they
are joined to, by the mean place of their neighbours in the columns before (Sugiyama, Tagawa & Toda
1981, IEEE Trans Syst Man Cybern 11:109).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bayesnet.network import Network
from bayesnet.viz.style import words

if TYPE_CHECKING:
    from bayesnet.diagnosis.result import CauseResult, Diagnosis

__all__ = ["FINDING_ROLES", "patient_graph", "whole_graph"]

FINDING_ROLES = ("history", "examination", "test", "questionnaire", "programme")
#: Columns of the whole network, with their titles.
WHOLE = (
    ("Background", ("context",)),
    ("Causes", ("cause",)),
    ("Mechanisms", ("mechanism", "outcome")),
    ("History", ("history",)),
    ("Examination and programme", ("examination", "programme")),
    ("Tests and questionnaires", ("test", "questionnaire")),
)
#: Leading causes that are drawn: diagnoses, contributors.
DIAGNOSES, CONTRIBUTORS = 5, 3
#: A cause whose odds the findings raise so much is drawn, wherever it ranks.
NOTABLE_RATIO, NOTABLE_POSTERIOR = 3.0, 0.01


def whole_graph(network: Network) -> dict[str, Any]:
    """Every variable in columns by role, grouped as in the model's files, and every arc."""
    columns = []
    for title, roles in WHOLE:
        groups: dict[tuple[str, str], list[str]] = {}
        for role in roles:
            for v in network.of_role(role):
                groups.setdefault((role, network[v].group), []).append(v)
        if groups:
            columns.append({
                "title": title,
                "groups": [
                    {"title": "" if group in ("", role) else words(group), "nodes": ids}
                    for (role, group), ids in groups.items()
                ],
            })
    edges = [[p, v] for v in network.variables for p in network.parents(v)]
    return {"columns": columns, "edges": edges}


def patient_graph(diagnosis: Diagnosis, chosen: str = "") -> dict[str, Any]:
    """The observed findings, the leading causes, and the mechanisms that join them.

    Parameters
    ----------
    diagnosis : Diagnosis
    chosen : str
        A cause that is drawn wherever it ranks.

    Returns
    -------
    dict
        `columns` (title and groups of ids, from left to right) and `edges` (pairs of ids).
    """
    network = diagnosis.model.network
    known = {v for v, x in diagnosis.findings.items() if x is not None}
    causes = _leading(diagnosis, chosen)
    findings = [v for v in network.of_role(*FINDING_ROLES) if v in known]
    context = [v for v in network.of_role("context") if v in known]
    mechanisms = _mechanisms(network, causes, findings, known)
    shown = {*causes, *findings, *context, *mechanisms}
    fallback = {c for c in causes if network[c].group == "fallback"}
    edges = [
        # A fallback cause is defined by the absence of the others: its arcs say nothing of the patient.
        [p, v] for v in network.variables if v in shown and v not in fallback
        for p in network.parents(v) if p in shown
    ]
    deeper = {v for p, v in edges if p in mechanisms and v in mechanisms}
    before = {m for m in mechanisms if not {p for p, v in edges if v == m} & {*causes, *deeper}
              and {v for p, v in edges if p == m} & set(causes)}
    first = [m for m in mechanisms if m not in deeper and m not in before]
    columns: list[tuple[str, Sequence[str]]] = [
        ("Background", [*context, *[m for m in mechanisms if m in before]]),
        ("Causes", causes),
        ("Mechanisms", first),
        ("" if first else "Mechanisms", [m for m in mechanisms if m in deeper and m not in before]),
        ("Findings", findings),
    ]
    return {
        "columns": [
            {"title": title, "groups": [{"title": "", "nodes": ids}]}
            for title, ids in _ordered(columns, edges) if ids
        ],
        "edges": edges,
    }


def _leading(diagnosis: Diagnosis, chosen: str) -> list[str]:
    """Causes to draw: diagnoses, then contributors, each in the order of their rank."""
    found: list[str] = []
    for group, count in (("diagnoses", DIAGNOSES), ("contributors", CONTRIBUTORS)):
        ranked = diagnosis.ranked(group)
        found += [
            r.cause for i, r in enumerate(ranked)
            if i < count or r.cause == chosen or r.cause in diagnosis.findings or _notable(r)
        ]
    return found


def _notable(r: CauseResult) -> bool:
    return r.likelihood_ratio >= NOTABLE_RATIO and r.posterior >= NOTABLE_POSTERIOR


def _mechanisms(
    network: Network, causes: Collection[str], findings: Collection[str], known: Collection[str]
) -> list[str]:
    """Mechanisms between the causes and the findings; with no finding, those the causes feed."""
    above = network.ancestors(findings)
    below = _descendants(network, causes)
    between = []
    for m in network.of_role("mechanism"):
        joins = m in above and (m in below or set(network.children[m]) & set(causes))
        feeds = not findings and set(network.parents(m)) & set(causes)
        if joins or feeds or m in known:
            between.append(m)
    return between


def _descendants(network: Network, start: Iterable[str]) -> set[str]:
    found = set(start)
    for v in network.topological_order:
        if found.intersection(network.parents(v)):
            found.add(v)
    return found


def _ordered(
    columns: Sequence[tuple[str, Sequence[str]]], edges: Sequence[Sequence[str]]
) -> list[tuple[str, list[str]]]:
    """Each column by the mean place of its neighbours; causes keep their rank."""
    joined: dict[str, list[str]] = {}
    for a, b in edges:
        joined.setdefault(a, []).append(b)
        joined.setdefault(b, []).append(a)
    result = [list(ids) for _, ids in columns]
    place = _places(result[1])
    for i in (2, 3, 4, 0):
        ids = result[i]
        wanted = {v: _mean(joined.get(v, ()), place) for v in ids}
        ids.sort(key=lambda v: wanted[v])
        place |= _places(ids)
    return [(title, ids) for (title, _), ids in zip(columns, result, strict=True)]


def _places(ids: Sequence[str]) -> dict[str, float]:
    return {v: (i + 0.5) / len(ids) for i, v in enumerate(ids)}


def _mean(ids: Iterable[str], place: Mapping[str, float]) -> float:
    known = [place[v] for v in ids if v in place]
    return sum(known) / len(known) if known else 1.0
