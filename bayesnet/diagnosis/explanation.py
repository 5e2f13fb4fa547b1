"""Why this cause: what each finding says for and against it, and by which way it says so.

The weight of evidence of a finding f for a cause c, with the other findings e in place, is the exact
log likelihood ratio

    W(c : f | e) = 10 log10 [ P(f | c, e) / P(f | not c, e) ]     decibans

(Good 1985, Weight of evidence: a brief survey, Bayesian Statistics 2), which is the change of the
posterior log odds when f is added. Taken finding by finding in the order asked, the weights add up
to the whole; taken each with all others in place ("leave one out") they add up only if the findings
are independent given the cause, and what is missing or too much is shown.

Conflict of a finding with the rest is Jensen's measure log2 P(f) P(e) / P(f, e): positive when the
finding is less likely in the company of the others than alone (Jensen et al. 1991, UAI). Everything
is given that PT failed.
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesnet.diagnosis.naming import cause_id, cause_ids
from bayesnet.diagnosis.words import DECIBANS
from bayesnet.inference import Marginals, likelihoods_of
from bayesnet.network.factor import FloatArray

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from bayesnet.diagnosis.result import Diagnosis
    from bayesnet.model import DiagnosticModel

__all__ = ["Explanation", "FindingWeight", "Rival", "Together", "conflict", "contrast", "explain"]

#: Bits of conflict above which a finding is worth a second look (a factor of two).
NOTABLE_CONFLICT = 1.0
#: Decibans by which findings overlap, from which on it is said.
NOTABLE_OVERLAP = 0.5
#: Decibans that are written as 0.0.
NOTHING = 0.05
#: Rivals whose absence is tried.
RIVALS = 12


@dataclass(frozen=True, slots=True)
class FindingWeight:
    """What one finding says of the cause.

    Attributes
    ----------
    finding, words : str
        Its id, and the finding as people read it.
    weight : float
        Decibans with all other findings in place; positive speaks for the cause.
    step : float
        Decibans in the order asked, given the findings before it.
    conflict : float
        Bits by which it conflicts with the other findings.
    path : tuple of str
        From the cause (or what they have in common) to the finding, through the mechanisms.
    """

    finding: str
    words: str
    weight: float
    step: float
    conflict: float
    path: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON; infinite weights are None."""
        return {
            "finding": self.finding, "words": self.words, "weight": _finite(self.weight),
            "step": _finite(self.step), "conflict": _finite(self.conflict), "path": list(self.path),
        }


@dataclass(frozen=True, slots=True)
class Together:
    """Findings that speak through one mechanism, and so repeat each other.

    Attributes
    ----------
    mechanism : str
        Empty for a finding that stands alone.
    findings : tuple of str
    weight : float
        Decibans of all of them at once, with every other finding in place.
    """

    mechanism: str
    findings: tuple[str, ...]
    weight: float


@dataclass(frozen=True, slots=True)
class Rival:
    """Another cause that explains the same findings.

    Attributes
    ----------
    cause, label : str
    posterior_without : float
        The probability of the cause that is explained, were the rival known to be absent.
    """

    cause: str
    label: str
    posterior_without: float


def _finite(x: float) -> float | None:
    return x if math.isfinite(x) else None


@dataclass(frozen=True, eq=False)
class Explanation:
    """Why a cause is as probable as it is, or more than another.

    Attributes
    ----------
    cause, label : str
    against : str
        The cause it is compared with; empty for its own absence.
    prior, posterior : float
        P(cause | PT failed), and with the findings. With `against`, the probabilities of `cause`
        among the two.
    findings : tuple of FindingWeight
        In the order asked.
    together : tuple of Together
        The same findings, those of one mechanism weighed as one; strongest first.
    rivals : tuple of Rival
        Causes that explain this one away, strongest first.
    """

    cause: str
    label: str
    against: str
    prior: float
    posterior: float
    findings: tuple[FindingWeight, ...]
    together: tuple[Together, ...]
    rivals: tuple[Rival, ...]
    model: DiagnosticModel = field(repr=False)

    @property
    def total(self) -> float:
        """Decibans of all findings together: the change of the log odds, the sum of the steps."""
        return float(_gain(_decibans(self.posterior), _decibans(self.prior)))

    @property
    def overlap(self) -> float:
        """Sum of the leave-one-out weights less the total: zero if the findings were independent.

        Positive when findings need each other, negative when they repeat each other.
        """
        return float(_gain(sum(f.weight for f in self.findings), self.total))

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row a finding, strongest first: weight, step, conflict, path."""
        import pandas as pd

        rows = sorted(self.findings, key=lambda f: -abs(f.weight))
        return pd.DataFrame(
            [[f.finding, f.words, f.weight, f.step, f.conflict, " > ".join(f.path)] for f in rows],
            columns=["finding", "words", "weight", "step", "conflict", "path"],
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return {
            "cause": self.cause, "against": self.against, "prior": self.prior,
            "posterior": self.posterior, "total": _finite(self.total),
            "overlap": _finite(self.overlap),
            "findings": [f.to_dict() for f in self.findings],
            "together": [
                {"mechanism": g.mechanism, "findings": list(g.findings), "weight": _finite(g.weight)}
                for g in self.together
            ],
            "rivals": [
                {"cause": r.cause, "posterior_without": r.posterior_without} for r in self.rivals
            ],
        }

    def sentence(self) -> str:
        """The explanation in two or three plain sentences."""
        from bayesnet.diagnosis.words import percent

        speaks = [g for g in self.together if g.weight >= 1][:4]
        denies = [g for g in self.together if g.weight <= -1][:3]
        than = f" rather than {self.model.network[self.against].name}" if self.against else ""
        said = [
            f"{self.label}{than}: {percent(self.prior)} before the findings, "
            f"{percent(self.posterior)} with them."
        ]
        for word, groups in (("For", speaks), ("Against", denies)):
            if groups:
                listed = "; ".join(f"{self._words(g)} ({g.weight:+z.0f})" for g in groups)
                said.append(f"{word} it: {listed}.")
        if not speaks and not denies:
            said.append("No finding says much about it.")
        if self.rivals:
            r = self.rivals[0]
            said.append(
                f"{r.label} explains part of the picture: without it this would be "
                f"{percent(r.posterior_without)}."
            )
        odd = [f for f in self.findings if f.conflict > NOTABLE_CONFLICT]
        if odd:
            said.append("Hard to reconcile with the rest: " + "; ".join(f.words for f in odd) + ".")
        return " ".join(said)

    def _words(self, group: Together) -> str:
        words = {f.finding: f.words for f in self.findings}
        return ", ".join(words[f] for f in group.findings)

    def plot(self, ax: Axes | None = None, top: int = 12, theme: str = "light") -> Axes:
        """Waterfall from the prior to the posterior (`bayesnet.viz.waterfall_figure`)."""
        from bayesnet.viz.waterfall_figure import plot_waterfall

        return plot_waterfall(self, ax=ax, top=top, theme=theme)

    def __repr__(self) -> str:
        lines = [self.sentence(), "", "decibans   finding"]
        spoken, silent = self._audible()
        for mechanism, weight, members in spoken:
            indent = ""
            if len(members) > 1:
                lines.append(f"{weight:+z8.1f}   {len(members)} findings together, by way of {mechanism}; each of them, all others known:")
                indent = " " * 11
            for f in members:
                way = "" if indent else self.way(f)
                lines.append(f"{indent}{f.weight:+z8.1f}   {f.words}{f', by way of {way}' if way else ''}")
        if silent:
            lines.append(f"{0:+8.1f}   {silent}")
        lines += [f"{self.total:+z8.1f}   all together", f"{DECIBANS} {self._overlapping()}".strip()]
        return "\n".join(lines)

    def _overlapping(self) -> str:
        """Why the weights do not add up to the whole, where they do not."""
        if not math.isfinite(self.overlap) or abs(self.overlap) < NOTABLE_OVERLAP:
            return ""
        singly = sum(f.weight for f in self.findings)
        return f"Finding by finding they add up to {singly:+z.1f}, as what one says depends on the others."

    def way(self, finding: FindingWeight) -> str:
        """What lies between the cause and a finding, in words."""
        network = self.model.network
        return ", ".join(network[v].name.lower() for v in finding.path[1:-1] if v in network)

    def _audible(self) -> tuple[list[tuple[str, float, list[FindingWeight]]], str]:
        """The blocks that say something, and the single findings that do not, in one phrase."""
        spoken, silent = [], []
        for block in self.blocks():
            _, weight, members = block
            if len(members) == 1 and abs(weight) < NOTHING:
                silent.append(members[0].words)
            else:
                spoken.append(block)
        if len(silent) == 1:
            return spoken, silent[0]
        return spoken, f"each of {len(silent)} others: {'; '.join(silent)}" if silent else ""

    def blocks(self) -> list[tuple[str, float, list[FindingWeight]]]:
        """The findings of each mechanism, its label and what they weigh at once; strongest first."""
        known = {f.finding: f for f in self.findings}
        return [
            (
                self.model.network[g.mechanism].name.lower() if g.mechanism else "", g.weight,
                sorted((known[f] for f in g.findings), key=lambda f: -abs(f.weight)),
            )
            for g in self.together
        ]

    def _repr_html_(self) -> str:
        rows = ""
        spoken, silent = self._audible()
        for mechanism, weight, members in spoken:
            if len(members) > 1:
                rows += _row(f"{weight:+z.1f}", f"{len(members)} findings together; each of them, all others known:", mechanism)
            for f in members:
                number = f"{f.weight:+z.1f}"
                words = f.words if len(members) == 1 else f"\u2003{number}\u2002{f.words}"
                rows += _row(number, words, self.way(f)) if len(members) == 1 else _row("", words, "")
        if silent:
            rows += _row(f"{0:+.1f}", silent, "")
        rows += _row(f"{self.total:+z.1f}", "all together", "")
        note = f"{DECIBANS} {self._overlapping()} {self.model.disclaimer}"
        return (
            f"<p>{html.escape(self.sentence())}</p><table><tr><th>decibans</th>"
            "<th style='text-align:left'>finding</th><th style='text-align:left'>by way of</th></tr>"
            f"{rows}</table><p><small>{html.escape(note)}</small></p>"
        )


def _row(weight: str, words: str, path: str) -> str:
    return (
        f"<tr><td style='text-align:right'>{weight}</td><td style='text-align:left'>{html.escape(words)}</td>"
        f"<td style='text-align:left'><small>{html.escape(path)}</small></td></tr>"
    )


def _decibans(p: float | FloatArray) -> FloatArray:
    with np.errstate(divide="ignore"):
        odds: FloatArray = 10 * (np.log10(p) - np.log10(1 - np.asarray(p)))
    return odds


def _gain(after: float | FloatArray, before: float | FloatArray) -> FloatArray:
    """Difference of two log odds; nothing is gained where a finding has settled both."""
    settled = np.isinf(after) & (after == before)
    with np.errstate(invalid="ignore"):
        return np.where(settled, 0.0, after - before)


def _asked(diagnosis: Diagnosis) -> tuple[dict[str, FloatArray], dict[str, FloatArray]]:
    """Vectors of the findings in the order asked, and of the outcome."""
    model = diagnosis.model
    vectors = likelihoods_of(model.network, diagnosis.findings)
    told: dict[str, FloatArray] = {}
    outcome = model.outcome
    if outcome is not None:
        if outcome in vectors:
            told = {outcome: vectors.pop(outcome)}
        elif outcome not in diagnosis.findings:
            told = {outcome: np.array([0.0, 1.0])}
    return vectors, told


def _run(
    diagnosis: Diagnosis,
    rivals: Sequence[str],
    targets: Iterable[str],
    groups: Sequence[tuple[str, ...]] = (),
) -> tuple[list[str], Marginals, dict[str, int]]:
    """One batch: all, each finding left out, alone, each prefix, each group out, each rival absent."""
    vectors, told = _asked(diagnosis)
    ids = list(vectors)
    rows: list[Mapping[str, FloatArray]] = [told, {**told, **vectors}]
    start = {"without": len(rows)}
    rows += [{**told, **{v: x for v, x in vectors.items() if v != out}} for out in ids]
    start["alone"] = len(rows)
    rows += [{**told, v: vectors[v]} for v in ids]
    start["prefix"] = len(rows)
    rows += [{**told, **{v: vectors[v] for v in ids[: i + 1]}} for i in range(len(ids))]
    start["group"] = len(rows)
    rows += [{**told, **{v: x for v, x in vectors.items() if v not in g}} for g in groups]
    start["rival"] = len(rows)
    for r in rivals:
        absent = np.eye(len(diagnosis.model.network[r]))[0]
        now = {**told, **vectors}
        rows.append({**now, r: now[r] * absent if r in now else absent})
    return ids, diagnosis.model.run(rows, targets), start


def _conflicts(log: FloatArray, start: Mapping[str, int], n: int) -> FloatArray:
    """log2 P(f) P(rest) / P(all), everything given the outcome (row 0)."""
    alone = log[start["alone"] : start["alone"] + n]
    rest = log[start["without"] : start["without"] + n]
    return np.asarray((alone + rest - log[1] - log[0]) / math.log(2))


def conflict(diagnosis: Diagnosis) -> tuple[float, dict[str, float]]:
    """Jensen's conflict measure of all findings together, and of each with the rest, in bits.

    Positive together: the findings are less likely in each other's company than if they had
    nothing to do with each other; something may be wrong, or rare.
    """
    ids, found, start = _run(diagnosis, (), ())
    log = found.log_evidence
    alone = log[start["alone"] : start["alone"] + len(ids)] - log[0]
    whole = float((alone.sum() - (log[1] - log[0])) / math.log(2))
    return whole, dict(zip(ids, _conflicts(log, start, len(ids)).tolist(), strict=True))


def explain(diagnosis: Diagnosis, cause: str) -> Explanation:
    """What every finding says for and against one cause, named by its id or label.

    Raises
    ------
    EvidenceError
        For an unknown cause.
    """
    model = diagnosis.model
    cause = cause_id(model.network, model.causes, cause)
    others = sorted(
        (r for r in diagnosis.results if r.cause != cause), key=lambda r: -r.posterior
    )
    rivals = [r.cause for r in others[:RIVALS]]
    groups = _groups(diagnosis, cause)
    ids, found, start = _run(diagnosis, rivals, [cause], [g for _, g in groups])
    present = 1 - found.posteriors[cause][:, 0]
    n = len(ids)
    odds = _decibans(present)
    path = np.concatenate([odds[:1], odds[start["prefix"] : start["prefix"] + n]])
    steps = _gain(path[1:], path[:-1])
    weights = _gain(odds[1], odds[start["without"] : start["without"] + n])
    without = present[start["rival"] :]
    explained = [
        Rival(r, model.network[r].name, float(p))
        for r, p in zip(rivals, without, strict=True)
        # Explaining away: the cause would rise by a tenth of its odds were the rival out.
        if _decibans(p) > odds[1] + 10 * math.log10(1.1)
    ]
    explained.sort(key=lambda r: -r.posterior_without)
    return Explanation(
        cause, model.network[cause].name, "", float(present[0]), float(present[1]),
        _weights(diagnosis, cause, ids, weights, steps, _conflicts(found.log_evidence, start, n)),
        _together(groups, odds, start), tuple(explained[:5]), model,
    )


def contrast(diagnosis: Diagnosis, cause: str, against: str) -> Explanation:
    """What every finding says for one cause rather than another: P(f | one, e) / P(f | other, e).

    `prior` and `posterior` are the probability of `cause` over the sum of both.
    """
    model = diagnosis.model
    cause, against = cause_ids(model.network, model.causes, [cause, against])
    groups = _groups(diagnosis, cause)
    ids, found, start = _run(diagnosis, (), [cause, against], [g for _, g in groups])
    one, other = (1 - found.posteriors[c][:, 0] for c in (cause, against))
    share = one / (one + other)
    odds = _decibans(share)
    n = len(ids)
    path = np.concatenate([odds[:1], odds[start["prefix"] : start["prefix"] + n]])
    steps = _gain(path[1:], path[:-1])
    weights = _gain(odds[1], odds[start["without"] : start["without"] + n])
    return Explanation(
        cause, model.network[cause].name, against, float(share[0]), float(share[1]),
        _weights(diagnosis, cause, ids, weights, steps, _conflicts(found.log_evidence, start, n)),
        _together(groups, odds, start), (), model,
    )


def _groups(diagnosis: Diagnosis, cause: str) -> list[tuple[str, tuple[str, ...]]]:
    """Findings by the first mechanism on their way down from the cause; the others one by one."""
    network = diagnosis.model.network
    found: dict[str, list[str]] = {}
    for v in _asked(diagnosis)[0]:
        path = diagnosis.routes.between(cause, v)
        through = len(path) > 2 and path[0] == cause and path[1] in network
        mechanism = path[1] if through and network[path[1]].role == "mechanism" else ""
        found.setdefault(mechanism or f"={v}", []).append(v)
    return [("" if k.startswith("=") else k, tuple(g)) for k, g in found.items()]


def _together(
    groups: Sequence[tuple[str, tuple[str, ...]]], odds: FloatArray, start: Mapping[str, int]
) -> tuple[Together, ...]:
    made = [
        Together(mechanism, members, float(_gain(odds[1], odds[start["group"] + i])))
        for i, (mechanism, members) in enumerate(groups)
    ]
    return tuple(sorted(made, key=lambda g: -abs(g.weight)))


def _weights(
    diagnosis: Diagnosis, cause: str, ids: Sequence[str], weights: FloatArray, steps: FloatArray,
    conflicts: FloatArray,
) -> tuple[FindingWeight, ...]:
    from bayesnet.diagnosis.words import finding_words

    network = diagnosis.model.network
    return tuple(
        FindingWeight(
            v, finding_words(network[v], diagnosis.findings[v]), float(w), float(s), float(k),
            diagnosis.routes.between(cause, v),
        )
        for v, w, s, k in zip(ids, weights, steps, conflicts, strict=True)
    )
