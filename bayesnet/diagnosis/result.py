"""The answer for one patient: every cause with three numbers, because three questions are asked."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesnet.diagnosis.naming import cause_id, cause_ids, finding_ids
from bayesnet.diagnosis.necessity import necessity, outcome_links
from bayesnet.diagnosis.ranking import rank_key
from bayesnet.diagnosis.routes import Routes
from bayesnet.diagnosis.words import GROUPS, alarm_words, because, percent, ratio
from bayesnet.errors import BayesnetError, EvidenceError, did_you_mean
from bayesnet.inference import Findings, likelihoods_of
from bayesnet.network import NoisyMax
from bayesnet.network.factor import FloatArray

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd
    from matplotlib.axes import Axes

    from bayesnet.diagnosis.attribution import Attribution
    from bayesnet.diagnosis.explanation import Explanation
    from bayesnet.diagnosis.pathways import Triage
    from bayesnet.diagnosis.sensitivity import Sensitivity
    from bayesnet.diagnosis.uncertainty import Intervals
    from bayesnet.explorer.widget import Explorer
    from bayesnet.model import DiagnosticModel

__all__ = ["FAMILY_GROUPS", "MEASURES", "CauseResult", "Diagnosis", "check_causes", "diagnose", "group_of"]

#: Contributors (missed exercises, fear ...) are present in half of all patients, diagnoses in few;
#: ranked in one list, the first would bury the second.
FAMILY_GROUPS = {
    "underlying": "diagnoses",
    "structural": "diagnoses",
    "fallback": "diagnoses",
    "psychosocial": "contributors",
    "programme": "contributors",
}
MEASURES = ("necessity", "posterior", "likelihood_ratio")


def group_of(family: str) -> str:
    """`diagnoses` or `contributors`, by the family of a cause."""
    return FAMILY_GROUPS.get(family, "diagnoses")


def check_causes(model: DiagnosticModel) -> None:
    """Refuse to look for causes in a model that has none.

    Raises
    ------
    BayesnetError
    """
    if not model.causes:
        raise BayesnetError(
            "the model has no causes, so there is nothing to diagnose: ask for the probability of its "
            "other variables with model.posterior, or give it variables under `cause:`"
        )


@dataclass(frozen=True, slots=True)
class CauseResult:
    """One cause of one patient.

    Attributes
    ----------
    cause, label, family, group : str
    posterior : float
        P(present in any degree | findings, PT failed): how probable is it here?
    prior : float
        The same before any finding, PT failed.
    likelihood_ratio : float
        Posterior odds over prior odds: what do the findings say, whatever the base rate?
    necessity : float
        P(present, and PT would have succeeded without its direct link to failure | findings, PT
        failed): did PT fail because of it? NaN when the outcome is not taken as present.
    states : dict state -> probability
        The posterior of every state.
    """

    cause: str
    label: str
    family: str
    group: str
    posterior: float
    prior: float
    likelihood_ratio: float
    necessity: float
    states: Mapping[str, float]

    def __repr__(self) -> str:
        because = "" if self.necessity != self.necessity else (
            f", because of it {percent(self.necessity)}"
        )
        return (
            f"<{self.label}: present {percent(self.posterior)}, before {percent(self.prior)}, "
            f"LR {ratio(self.likelihood_ratio)}{because}>"
        )

    @property
    def state(self) -> str:
        """The most probable state in which the cause is present."""
        present = list(self.states)[1:]
        return max(present, key=self.states.__getitem__)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON; numbers that do not exist are None."""
        return {
            "cause": self.cause,
            "label": self.label,
            "state": self.state,
            "family": self.family,
            "group": self.group,
            "posterior": self.posterior,
            "prior": self.prior,
            "likelihood_ratio": _finite(self.likelihood_ratio),
            "necessity": _finite(self.necessity),
            "states": dict(self.states),
        }


def _finite(x: float) -> float | None:
    return x if math.isfinite(x) else None


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """Why PT failed for one patient.

    Attributes
    ----------
    model : DiagnosticModel
    findings : dict
        As given.
    results : tuple of CauseResult
        Diagnoses first, then contributors, each by falling necessity.
    log_evidence : float
        Natural log of the probability of the findings (the outcome among them).
    """

    model: DiagnosticModel = field(repr=False)
    findings: Mapping[str, Any]
    results: tuple[CauseResult, ...]
    log_evidence: float

    def __getitem__(self, cause: str) -> CauseResult:
        """One cause, by id or label."""
        by_id = {r.cause: r for r in self.results}
        try:
            return by_id[cause] if cause in by_id else by_id[self._cause(cause)]
        except EvidenceError as error:
            raise KeyError(str(error)) from None

    def _cause(self, name: str) -> str:
        return cause_id(self.model.network, self.model.causes, name)

    @cached_property
    def causes(self) -> pd.DataFrame:
        """All causes, one a row, ranked by necessity within diagnoses and contributors."""
        import pandas as pd

        columns = ["cause", "state", "family", "group", "posterior", "prior", "likelihood_ratio",
                   "necessity"]
        return pd.DataFrame(
            [[getattr(r, c) for c in columns] for r in self.results], columns=columns
        )

    def ranked(self, group: str | None = None, by: str = "necessity") -> list[CauseResult]:
        """The causes of one group (`diagnoses`, `contributors`; all by default), best first.

        Parameters
        ----------
        group : str, optional
        by : str
            `necessity`, `posterior` or `likelihood_ratio`.
        """
        if by not in MEASURES:
            raise ValueError(f"by={by!r}: expected {', '.join(MEASURES)}.{did_you_mean(by, MEASURES)}")
        groups = list(GROUPS)
        if group is not None and group not in groups:
            raise ValueError(
                f"group={group!r}: expected {' or '.join(groups)}.{did_you_mean(group, groups)}"
            )
        chosen = [r for r in self.results if group is None or r.group == group]
        return sorted(chosen, key=lambda r: rank_key(getattr(r, by)))

    @property
    def diagnoses(self) -> pd.DataFrame:
        """The rows of `causes` that are diagnoses (underlying, structural, fallback)."""
        return self._rows_of("diagnoses")

    @property
    def contributors(self) -> pd.DataFrame:
        """The rows of `causes` that lie in the person or the programme."""
        return self._rows_of("contributors")

    def _rows_of(self, group: str) -> pd.DataFrame:
        return self.causes[self.causes["group"] == group].reset_index(drop=True)

    def posterior(self, *variables: str) -> Mapping[str, Mapping[str, float]]:
        """Posteriors of any variables (an unasked finding, a mechanism) for this patient."""
        findings = dict(self.findings)
        if self.model.outcome is not None:
            findings.setdefault(self.model.outcome, True)
        return self.model.posterior(variables or None, findings)

    def most_probable_sets(self, k: int = 3, group: str = "diagnoses") -> pd.DataFrame:
        """The `k` most probable sets of causes of one group, exactly.

        Returns
        -------
        DataFrame
            `causes` (those present, with their grade; empty for none) and `probability`.
        """
        import pandas as pd

        ids = [r.cause for r in self.ranked(group)]
        findings = dict(self.findings)
        if self.model.outcome is not None:
            findings.setdefault(self.model.outcome, True)
        found = self.model.most_probable(ids, findings, k)
        network = self.model.network
        sets = []
        for _, row in found.iterrows():
            present = [c for c in ids if row[c] != network[c].states[0]]
            sets.append(
                tuple(c if len(network[c]) == 2 else f"{c} ({row[c]})" for c in present)
            )
        return pd.DataFrame({"causes": sets, "probability": found["probability"]})

    @cached_property
    def attribution(self) -> Attribution:
        """The failure divided among its causes (see `bayesnet.diagnosis.attribution`)."""
        from bayesnet.diagnosis.attribution import attribution

        return attribution(self)

    def success_without(self, *causes: str | Iterable[str]) -> float:
        """P(PT would have succeeded had all of `causes` been absent | findings, PT failed)."""
        from bayesnet.diagnosis.attribution import success_without

        names = [v for c in causes for v in ([c] if isinstance(c, str) else c)]
        return success_without(self, [cause_ids(self.model.network, self.model.causes, names)])[0]

    def why(self, cause: str, over: str | None = None) -> Explanation:
        """Why this cause, or why it rather than another (see `bayesnet.diagnosis.explanation`)."""
        from bayesnet.diagnosis.explanation import contrast, explain

        return explain(self, cause) if over is None else contrast(self, cause, over)

    def intervals(self, n: int = 1000, seed: int = 0, level: float = 0.95) -> Intervals:
        """Credible intervals over draws of all parameters (`bayesnet.diagnosis.uncertainty`)."""
        from bayesnet.diagnosis.uncertainty import intervals

        return intervals(self, self.model.draws(n, seed), level)

    def sensitivity(self, cause: str | None = None) -> Sensitivity:
        """How one cause's posterior moves with every parameter."""
        from bayesnet.diagnosis.sensitivity import sensitivity

        return sensitivity(self, None if cause is None else self._cause(cause))

    @cached_property
    def routes(self) -> Routes:
        """The ways by which findings bear on causes (`bayesnet.diagnosis.routes`)."""
        return Routes(self.model.network, frozenset(self.findings))

    def next(
        self,
        kinds: Iterable[str] | None = None,
        by: str = "information",
        causes: Iterable[str] | None = None,
    ) -> pd.DataFrame:
        """What to ask, examine or test next (see `bayesnet.diagnosis.information`)."""
        from bayesnet.diagnosis.information import next_findings, worth_asking

        return worth_asking(next_findings(self, kinds, by, causes))

    def what_if(self, findings: Findings | None = None, /, **more: Any) -> pd.DataFrame:
        """The causes beside those of the same patient with other findings.

        Parameters
        ----------
        findings : mapping, optional
            As for `diagnose`; None: not known.
        **more
            The same as keywords: `result.what_if(fever=True)`.
        """
        from bayesnet.diagnosis.whatif import compared

        other = finding_ids(self.model.network, {**(findings or {}), **more})
        changed = {**self.findings, **other}
        return compared(self, self.model.diagnose(changed))

    def do(self, causes: Mapping[str, Any] | None = None, /, **more: Any) -> pd.DataFrame:
        """The causes and the outcome if some causes were forced (graph surgery).

        Unlike a finding, a force says nothing of what leads to the cause, nor of the patient's other
        findings that come from it.

        Parameters
        ----------
        causes : mapping, optional
            Cause to state.
        **more
            The same as keywords: `result.do(kinesiophobia="absent")`.
        """
        from bayesnet.diagnosis.whatif import forced

        return forced(self, {**(causes or {}), **more})

    @cached_property
    def actions(self) -> pd.DataFrame:
        """What to do, best first (see `bayesnet.diagnosis.pathways.decide`)."""
        from bayesnet.diagnosis.pathways import actions_frame, decide

        return actions_frame(decide(self))

    @cached_property
    def triage(self) -> Triage:
        """How soon (see `bayesnet.diagnosis.pathways.triage`)."""
        from bayesnet.diagnosis.pathways import triage

        return triage(self)

    @cached_property
    def conflict(self) -> tuple[float, dict[str, float]]:
        """Bits of conflict among all findings, and of each with the rest."""
        from bayesnet.diagnosis.explanation import conflict

        return conflict(self)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return {
            "model": self.model.name,
            "version": self.model.version,
            "findings": dict(self.findings),
            "log_evidence": self.log_evidence,
            "causes": [r.to_dict() for r in self.results],
            "triage": None if self.model.pathways.empty else self.triage.to_dict(),
            "disclaimer": self.model.disclaimer,
        }

    def report(self, path: str | Path, draws: int = 1000, seed: int = 0) -> None:
        """Write everything on two pages: `.html`, `.md` or `.json` (`bayesnet.reports.patient`)."""
        from bayesnet.reports.patient import write_report

        write_report(self, path, draws, seed)

    def explore(self) -> Explorer:
        """This patient in the explorer (see `bayesnet.explorer.widget`)."""
        from bayesnet.explorer.widget import Explorer

        return Explorer(self.model, self.findings)

    def plot(
        self, ax: Axes | None = None, top: int = 8, by: str = "necessity",
        intervals: Intervals | bool = False, theme: str = "light",
    ) -> Axes:
        """Draw the leading causes (see `bayesnet.viz.causes_figure.plot_causes`)."""
        from bayesnet.viz.causes_figure import plot_causes

        return plot_causes(self, ax=ax, top=top, by=by, intervals=intervals, theme=theme)

    def plot_network(self, ax: Axes | None = None, causes: int = 6, theme: str = "light") -> Axes:
        """Draw the part of the network that matters (`bayesnet.viz.patient_network_figure`)."""
        from bayesnet.viz.patient_network_figure import plot_patient_network

        return plot_patient_network(self, ax=ax, causes=causes, theme=theme)

    def plot_next(
        self, ax: Axes | None = None, kinds: Iterable[str] | None = None, by: str = "information",
        top: int = 10, theme: str = "light",
    ) -> Axes:
        """Draw what to find out next (`bayesnet.viz.next_figure.plot_next`)."""
        from bayesnet.viz.next_figure import plot_next

        return plot_next(self, ax=ax, kinds=kinds, by=by, top=top, theme=theme)

    def summary(self, top: int = 5) -> str:
        """A few plain sentences and the leading causes."""
        from bayesnet.diagnosis.words import summary

        return summary(self, top)

    def __repr__(self) -> str:
        return self.summary()

    def _repr_html_(self) -> str:
        parts = []
        for group, title in GROUPS.items():
            rows = "".join(_html_row(r) for r in self.ranked(group)[:6])
            parts.append(
                f"<tr><th colspan='5' style='text-align:left;padding-top:.6em'>{title}</th></tr>"
                + rows
            )
        head = "".join(
            f"<th style='text-align:{a};padding:2px 10px'>{t}</th>"
            for t, a in (("", "left"), (because(self.model), "left"), ("probability", "right"),
                         ("before findings", "right"), ("findings' weight (LR)", "right"))
        )
        alarm = alarm_words(self)
        return (
            (f"<p><strong>{html.escape(alarm)}</strong></p>" if alarm else "")
            + f"<table style='border-collapse:collapse'><tr>{head}</tr>{''.join(parts)}</table>"
            f"<p><small>{html.escape(self.model.name)} {html.escape(self.model.version)}. "
            f"{html.escape(self.model.disclaimer)}</small></p>"
        )


_CELL = "padding:1px 10px"


def _html_row(r: CauseResult) -> str:
    from bayesnet.diagnosis.words import name_of

    share = 0.0 if math.isnan(r.necessity) else r.necessity
    shown = "" if math.isnan(r.necessity) else percent(r.necessity)
    bar = (
        "<div style='display:inline-block;width:120px;background:#e8e8e8'>"
        f"<div style='width:{120 * share:.0f}px;background:#0072B2;height:.8em'></div></div> {shown}"
    )
    return (
        f"<tr><td style='{_CELL};text-align:left'>{html.escape(name_of(r))}</td>"
        f"<td style='{_CELL};text-align:left'>{bar}</td>"
        + "".join(
            f"<td style='{_CELL};text-align:right'>{x}</td>"
            for x in (percent(r.posterior), percent(r.prior), ratio(r.likelihood_ratio))
        )
        + "</tr>"
    )


def likelihood_ratio(posterior: FloatArray, prior: FloatArray) -> float:
    """Posterior odds of presence over prior odds, from the distributions over all states."""
    present, before = float(posterior[1:].sum()), float(prior[1:].sum())
    absent, absent_before = float(posterior[0]), float(prior[0])
    if before == 0 or absent_before == 0:
        return math.nan
    if absent == 0:
        return math.inf
    return (present / absent) / (before / absent_before)


def diagnose(model: DiagnosticModel, findings: Findings) -> Diagnosis:
    """Rank the causes for one patient (see `DiagnosticModel.diagnose`)."""
    check_causes(model)
    network, outcome = model.network, model.outcome
    findings = finding_ids(network, findings)
    vectors = likelihoods_of(network, findings)
    if outcome is not None and outcome not in findings:
        vectors[outcome] = np.array([0.0, 1.0])
    told = vectors.get(outcome) if outcome is not None else None
    rows = [vectors]
    failed = outcome is not None and told is not None and told[0] == 0
    if failed:
        assert outcome is not None
        rows.append({**vectors, outcome: np.array([1.0, 0.0])})
    marginals = model.run(rows, model.causes)
    if not np.isfinite(marginals.log_evidence[0]):
        raise model.impossible(vectors)
    posterior = {c: marginals.posteriors[c][0] for c in model.causes}
    needed: Mapping[str, float] = {}
    if failed:
        assert told is not None
        # How likely failure makes what was told of it is no matter, as long as success is ruled out.
        scale = np.array([np.log(told[1]), 0.0])
        needed = _necessity(model, rows[1], marginals.posteriors, marginals.log_evidence - scale)
    priors = model.cause_priors(told)
    results = []
    for c in model.causes:
        variable = network[c]
        results.append(
            CauseResult(
                cause=c,
                label=variable.name,
                family=variable.group,
                group=group_of(variable.group),
                posterior=float(posterior[c][1:].sum()),
                prior=float(priors[c][1:].sum()),
                likelihood_ratio=likelihood_ratio(posterior[c], priors[c]),
                necessity=needed.get(c, 0.0 if failed else math.nan),
                states=dict(zip(variable.states, posterior[c].tolist(), strict=True)),
            )
        )
    order = list(dict.fromkeys(FAMILY_GROUPS.values()))
    results.sort(key=lambda r: (order.index(r.group), rank_key(r.necessity), -r.posterior))
    return Diagnosis(model, dict(findings), tuple(results), float(marginals.log_evidence[0]))


def _necessity(
    model: DiagnosticModel,
    success_row: Mapping[str, FloatArray],
    posteriors: Mapping[str, FloatArray],
    log_evidence: FloatArray,
) -> dict[str, float]:
    outcome = model.outcome
    assert outcome is not None
    links = outcome_links(model.network, outcome)
    certain = {c for c, link in links.items() if (link >= 1).any()}
    ratio = float(np.exp(log_evidence[1] - log_evidence[0]))
    found = {}
    if np.isfinite(log_evidence[1]):
        found = necessity(
            {c: link for c, link in links.items() if c not in certain},
            {c: x[1] for c, x in posteriors.items()},
            ratio,
        )
    for c in certain & set(model.causes):
        # A link of one cannot be divided out: ask the network that lacks it.
        success = model.without_outcome_link(c).run([success_row], ()).log_evidence[0]
        found[c] = float(np.exp(success - log_evidence[0])) - ratio
    return found


def without_link(distribution: NoisyMax, parent: str) -> NoisyMax:
    """The same noisy-MAX with the link of one parent removed."""
    keep = [i for i, p in enumerate(distribution.parents) if p != parent]
    return NoisyMax(
        tuple(distribution.parents[i] for i in keep),
        tuple(distribution.links[i] for i in keep),
        distribution.leak,
        distribution.toward_first,
    )
