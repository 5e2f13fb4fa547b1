"""What an expert reviewer would object to in a model that has no errors."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from bayesnet.calibration.leaks import rates_without
from bayesnet.errors import Problem
from bayesnet.model import DiagnosticModel
from bayesnet.modelfile.reader import Parameter
from bayesnet.network import NoisyMax, OddsRatio
from bayesnet.network.factor import FloatArray

__all__ = ["FINDING_ROLES", "likelihood_ratios", "warnings_of"]

FINDING_ROLES = ("history", "examination", "test", "questionnaire", "programme")

#: A finding none of whose likelihood ratios is this far from 1 tells nothing.
SMALLEST_RATIO = 1.25
#: How far a marginal may be from what the file states for it.
TOLERANCE = 0.05
#: Share of the parameters that must cite a study that was read.
SHARE_CITED = 0.80
#: An expert's guess should not claim to be worth more patients than this.
MOST_CONFIDENT_GUESS = 40.0


def warnings_of(model: DiagnosticModel) -> list[Problem]:
    """Everything that `bayesnet model check --strict` warns about.

    A cause without findings; a finding whose likelihood ratios are all near 1, or without a
    question; parameters without a study that was read (each must then say why), too few of them in
    all, and guesses that claim to be firm; a link below its leak that no note explains; rates away
    from the stated ones; states that are never reached.
    """
    ratios = likelihood_ratios(model)
    return [
        *_silent_causes(model, ratios),
        *_uninformative_findings(model, ratios),
        *_sources(model),
        *_weak_links(model),
        *_rates(model),
        *_unreached_states(model),
    ]


def _place(model: DiagnosticModel, variable: str) -> str:
    return next((p.where for p in model.document.parameters if p.variable == variable), variable)


def _silent_causes(
    model: DiagnosticModel, ratios: Mapping[tuple[str, str, str, str], float]
) -> list[Problem]:
    """Causes that no finding tells anything about, directly or through other variables."""
    strongest = dict.fromkeys(model.causes, 1.0)
    for (cause, _, _, _), value in ratios.items():
        if value > 0:
            strongest[cause] = max(strongest[cause], value, 1 / value)
    return [
        Problem(f"{c}: no finding tells anything about this cause", _place(model, c))
        for c, value in strongest.items()
        if value < SMALLEST_RATIO
    ]


def likelihood_ratios(model: DiagnosticModel) -> dict[tuple[str, str, str, str], float]:
    """Exact likelihood ratios of all findings for all causes, everything else unknown.

    Returns
    -------
    dict (cause, cause state, finding, finding state) -> P(finding | cause state) over
    P(finding | the cause's first state).
    """
    network = model.network
    rows: list[dict[str, FloatArray]] = []
    states: list[tuple[str, int]] = []
    for c in model.causes:
        for i in range(len(network[c])):
            rows.append({c: np.eye(len(network[c]))[i]})
            states.append((c, i))
    findings = network.of_role(*FINDING_ROLES)
    found = model.run(rows, findings).posteriors
    at = {s: k for k, s in enumerate(states)}
    ratios = {}
    for (c, i), k in at.items():
        if i == 0:
            continue
        for f in findings:
            with np.errstate(divide="ignore", invalid="ignore"):
                ratio = found[f][k] / found[f][at[c, 0]]
            for j, state in enumerate(network[f].states):
                ratios[c, network[c].states[i], f, state] = float(ratio[j])
    return ratios


def _uninformative_findings(
    model: DiagnosticModel, ratios: Mapping[tuple[str, str, str, str], float]
) -> list[Problem]:
    network = model.network
    strongest: dict[str, float] = dict.fromkeys(network.of_role(*FINDING_ROLES), 1.0)
    for (_, _, finding, _), ratio in ratios.items():
        if ratio > 0:
            strongest[finding] = max(strongest[finding], ratio, 1 / ratio)
    problems = [
        Problem(
            f"{v}: tells nothing, its strongest likelihood ratio is {ratio:.2f}", _place(model, v)
        )
        for v, ratio in strongest.items()
        if ratio < SMALLEST_RATIO
    ]
    problems += [
        Problem(f"{v}: has no question to ask", _place(model, v))
        for v in strongest
        if not network[v].ask
    ]
    return problems


def _sources(model: DiagnosticModel) -> list[Problem]:
    document = model.document
    problems = []
    counted = [p for p in document.parameters if not p.is_by_definition]
    read = [p for p in counted if p.is_read(document.studies)]
    for p in counted:
        name = f"{p.variable} {' '.join(p.key)}".strip()
        if p.studies and not p.is_read(document.studies) and not p.expert:
            problems.append(
                Problem(f"{name}: cites only figures from memory and gives no reason", p.where)
            )
        if not p.studies and isinstance(p.spread, float) and p.spread > MOST_CONFIDENT_GUESS:
            problems.append(
                Problem(
                    f"{name}: an expert estimate with a spread of {p.spread:g}; "
                    f"{MOST_CONFIDENT_GUESS:g} patients at most, or cite a study",
                    p.where,
                )
            )
    if counted and len(read) / len(counted) < SHARE_CITED:
        problems.append(
            Problem(
                f"only {len(read)} of {len(counted)} parameters ({len(read) / len(counted):.0%}) "
                f"cite a study that was read; {SHARE_CITED:.0%} are wanted",
                str(document.folder),
            )
        )
    return problems


def _weak_links(model: DiagnosticModel) -> list[Problem]:
    network = model.network
    problems = []
    notes = {(p.variable, p.key): p for p in model.document.parameters}
    for v, d in network.distributions.items():
        if not isinstance(d, NoisyMax) or d.toward_first:
            continue
        leak = 1 - float(d.leak[0])
        for parent, link in zip(d.parents, d.links, strict=True):
            parameter: Parameter | None = notes.get((v, (parent,)))
            if parameter is not None and parameter.note:
                continue
            weak = [
                f"{s} {1 - row[0]:.3g}"
                for s, row in zip(network[parent].states[1:], link[1:], strict=True)
                if 0 < 1 - row[0] < leak
            ]
            if weak:
                problems.append(
                    Problem(
                        f"{v}: the link of {parent} ({', '.join(weak)}) is below the leak "
                        f"({leak:.3g}); raise it, drop it, or say in a `note` why it is so weak",
                        parameter.where if parameter else v,
                    )
                )
    return problems


def _rates(model: DiagnosticModel) -> list[Problem]:
    network = model.network
    problems = []
    stated = [(p, p.background) for p in model.document.parameters if p.background is not None]
    rates = rates_without(network, model.program, [(p.variable, b) for p, b in stated])
    for (p, background), rate in zip(stated, rates, strict=True):
        names = network[p.variable].states
        for state, wanted in background.rates.items():
            given = float(rate[names.index(state)])
            if abs(given - wanted) > TOLERANCE * wanted:
                problems.append(
                    Problem(
                        f"{p.variable}: {state} occurs in {given:.3g} where {wanted:.3g} is "
                        "stated; run `bayesnet model calibrate`, or weaken the links",
                        p.where,
                    )
                )
    for v, d in network.distributions.items():
        if not isinstance(d, OddsRatio):
            continue
        groups: list[dict[str, FloatArray]] = (
            [{}] if d.by is None else [{d.by: row} for row in np.eye(len(network[d.by]))]
        )
        found = model.run(groups, [v]).posteriors[v]
        for i, (wanted_row, given_row) in enumerate(zip(d.prevalence, found, strict=True)):
            for j, state in enumerate(network[v].states[1:], start=1):
                a, b = float(given_row[j]), float(wanted_row[j])
                if not math.isclose(a, b, rel_tol=TOLERANCE):
                    where = "" if d.by is None else f" in {d.by} {network[d.by].states[i]}"
                    problems.append(
                        Problem(f"{v}: {state} has prevalence {a:.3g}{where}, {b:.3g} is stated",
                                _place(model, v))
                    )
    return problems


def _unreached_states(model: DiagnosticModel) -> list[Problem]:
    network = model.network
    everyone = model.run([{}]).posteriors
    return [
        Problem(f"{v}: nobody is ever in state {state}", _place(model, v))
        for v, variable in network.variables.items()
        for state, p in zip(variable.states, everyone[v][0], strict=True)
        if p <= 0
    ]
