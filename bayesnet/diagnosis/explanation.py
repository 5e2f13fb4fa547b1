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

from bayesnet.diagnosis.naming import cause_ids
from bayesnet.diagnosis.words import DECIBANS
from bayesnet.errors import EvidenceError
from bayesnet.inference import Marginals, likelihoods_of
from bayesnet.network.factor import FloatArray

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from bayesnet.diagnosis.result import Diagnosis
    from bayesnet.model import DiagnosticModel

__all__ = [
    "Explanation", "FindingWeight", "Rival", "Together", "conflict", "contrast", "explain", "explain_each",
]

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


#: Which of the findings are known, and a cause that is ruled out beside them ("" for none).
_Known = tuple[frozenset[str], str]


@dataclass(frozen=True, eq=False)
class _Batch:
    """Posteriors with some of the findings known, each such case asked once.

    Attributes
    ----------
    ids : tuple of str
        The findings in the order asked.
    row_of : dict case -> int
        Its row.
    found : Marginals
    """

    ids: tuple[str, ...]
    row_of: Mapping[_Known, int]
    found: Marginals

    def rows(self, known: Iterable[Iterable[str]]) -> list[int]:
        """The row of each set of known findings."""
        return [self.row_of[frozenset(k), ""] for k in known]

    @property
    def none(self) -> int:
        """The row of no finding."""
        return self.row_of[frozenset(), ""]

    @property
    def all(self) -> int:
        """The row of all findings."""
        return self.row_of[frozenset(self.ids), ""]

    def conflicts(self) -> FloatArray:
        """log2 P(f) P(rest) / P(all) of each finding, everything given the outcome."""
        log = self.found.log_evidence
        alone, rest = log[self.rows(_alone(self.ids))], log[self.rows(_without(self.ids))]
        return np.asarray((alone + rest - log[self.all] - log[self.none]) / math.log(2))

    def weights(self, odds: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Each finding with all others known, and as it is added to those before it; `odds` by row."""
        path = odds[self.rows(_prefixes(self.ids))]
        return _gain(odds[self.all], odds[self.rows(_without(self.ids))]), _gain(path[1:], path[:-1])


def _alone(ids: Sequence[str]) -> list[tuple[str, ...]]:
    return [(v,) for v in ids]


def _without(ids: Sequence[str]) -> list[tuple[str, ...]]:
    return [tuple(u for u in ids if u != v) for v in ids]


def _prefixes(ids: Sequence[str]) -> list[tuple[str, ...]]:
    return [tuple(ids[:i]) for i in range(len(ids) + 1)]


def _run(
    diagnosis: Diagnosis, targets: Iterable[str], groups: Iterable[tuple[str, ...]] = (),
    rivals: Iterable[str] = (), in_order: bool = True,
) -> _Batch:
    """All findings, each left out, each alone, each group out, each rival ruled out; each prefix."""
    vectors, told = _asked(diagnosis)
    ids = tuple(vectors)
    sets = [(), ids, *_without(ids), *_alone(ids), *(_prefixes(ids) if in_order else ())]
    sets += [tuple(v for v in ids if v not in g) for g in groups]
    cases: list[_Known] = [(frozenset(s), "") for s in sets]
    cases += [(frozenset(ids), r) for r in rivals]
    at = {case: i for i, case in enumerate(dict.fromkeys(cases))}
    rows = []
    for known, ruled_out in at:
        row = {**told, **{v: x for v, x in vectors.items() if v in known}}
        if ruled_out:
            absent = np.eye(len(diagnosis.model.network[ruled_out]))[0]
            row[ruled_out] = row[ruled_out] * absent if ruled_out in row else absent
        rows.append(row)
    return _Batch(ids, at, diagnosis.model.run(rows, targets))


def conflict(diagnosis: Diagnosis) -> tuple[float, dict[str, float]]:
    """Jensen's conflict measure of all findings together, and of each with the rest, in bits.

    Positive together: the findings are less likely in each other's company than if they had
    nothing to do with each other; something may be wrong, or rare.
    """
    batch = _run(diagnosis, (), in_order=False)
    log = batch.found.log_evidence
    alone = log[batch.rows(_alone(batch.ids))] - log[batch.none]
    whole = float((alone.sum() - (log[batch.all] - log[batch.none])) / math.log(2))
    return whole, dict(zip(batch.ids, batch.conflicts().tolist(), strict=True))


def explain(diagnosis: Diagnosis, cause: str) -> Explanation:
    """What every finding says for and against one cause, named by its id or label.

    Raises
    ------
    EvidenceError
        For an unknown cause.
    """
    return explain_each(diagnosis, [cause])[0]


def explain_each(diagnosis: Diagnosis, causes: Sequence[str]) -> tuple[Explanation, ...]:
    """The same of several causes, in one batch.

    Raises
    ------
    EvidenceError
        For an unknown cause.
    """
    network = diagnosis.model.network
    causes = cause_ids(network, diagnosis.model.causes, causes)
    likeliest = sorted(diagnosis.results, key=lambda r: -r.posterior)
    rivals = {
        cause: [r.cause for r in likeliest if r.cause != cause][:RIVALS] for cause in causes
    }
    groups = {cause: _groups(diagnosis, cause) for cause in causes}
    batch = _run(
        diagnosis, causes, [g for cause in causes for _, g in groups[cause]],
        [r for cause in causes for r in rivals[cause]],
    )
    explained = []
    for cause in causes:
        present = batch.found.posteriors[cause][:, 1:].sum(axis=1)
        odds = _decibans(present)
        without = {r: float(present[batch.row_of[frozenset(batch.ids), r]]) for r in rivals[cause]}
        raised = [
            Rival(r, network[r].name, p)
            for r, p in without.items()
            # Explaining away: the cause would rise by a tenth of its odds were the rival out.
            if _decibans(p) > odds[batch.all] + 10 * math.log10(1.1)
        ]
        raised.sort(key=lambda r: -r.posterior_without)
        explained.append(Explanation(
            cause, network[cause].name, "", float(present[batch.none]), float(present[batch.all]),
            _weights(diagnosis, cause, batch, odds), _together(groups[cause], batch, odds),
            tuple(raised[:5]), diagnosis.model,
        ))
    return tuple(explained)


def contrast(diagnosis: Diagnosis, cause: str, against: str) -> Explanation:
    """What every finding says for one cause rather than another: P(f | one, e) / P(f | other, e).

    `prior` and `posterior` are the probability of `cause` over the sum of both.
    """
    model = diagnosis.model
    cause, against = cause_ids(model.network, model.causes, [cause, against])
    groups = _groups(diagnosis, cause)
    batch = _run(diagnosis, [cause, against], [g for _, g in groups])
    one, other = (batch.found.posteriors[c][:, 1:].sum(axis=1) for c in (cause, against))
    if not one[batch.all] + other[batch.all] > 0:
        raise EvidenceError([f"the findings rule out both {cause} and {against}: there is nothing to weigh"])
    share = one / (one + other)
    odds = _decibans(share)
    return Explanation(
        cause, diagnosis.model.network[cause].name, against, float(share[batch.none]),
        float(share[batch.all]), _weights(diagnosis, cause, batch, odds),
        _together(groups, batch, odds), (), diagnosis.model,
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
    groups: Sequence[tuple[str, tuple[str, ...]]], batch: _Batch, odds: FloatArray
) -> tuple[Together, ...]:
    rests = [tuple(v for v in batch.ids if v not in members) for _, members in groups]
    weights = _gain(odds[batch.all], odds[batch.rows(rests)])
    made = [
        Together(mechanism, members, float(w))
        for (mechanism, members), w in zip(groups, weights, strict=True)
    ]
    return tuple(sorted(made, key=lambda g: -abs(g.weight)))


def _weights(
    diagnosis: Diagnosis, cause: str, batch: _Batch, odds: FloatArray
) -> tuple[FindingWeight, ...]:
    from bayesnet.diagnosis.words import finding_words

    network = diagnosis.model.network
    return tuple(
        FindingWeight(
            v, finding_words(network[v], diagnosis.findings[v]), float(w), float(s), float(k),
            diagnosis.routes.between(cause, v),
        )
        for v, w, s, k in zip(
            batch.ids, *batch.weights(odds), batch.conflicts(), strict=True
        )
    )
