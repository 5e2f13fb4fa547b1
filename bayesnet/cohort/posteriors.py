"""From encoded rows to columns of answers; the one place where the cohort meets the engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from bayesnet.cohort.encode import Encoded
from bayesnet.diagnosis.necessity import outcome_links
from bayesnet.diagnosis.pathways import LEVELS, gain_matrix, levels_by_benefit
from bayesnet.diagnosis.result import check_causes
from bayesnet.errors import EvidenceError
from bayesnet.inference import likelihoods_of
from bayesnet.network.factor import FloatArray

if TYPE_CHECKING:
    from bayesnet.model import DiagnosticModel

__all__ = ["Answers", "answer_rows", "column_names"]

#: Words of `triage`, by level; then rows that have no answer.
NO_ANSWER = -1


@dataclass(frozen=True, eq=False)
class Answers:
    """What is known of every row.

    Attributes
    ----------
    numbers : dict str -> ndarray
        Shape `(rows,)` each: a column for every cause (the probability that it is present), for
        every state of a graded cause (`cause__state`), `log_evidence`, and with attribution
        `cause__necessity`. NaN where a row is bad or impossible.
    top_cause : ndarray of int
        Index into the model's diagnoses of the most probable one; -1 where there is no answer,
        and everywhere in a model of contributors alone.
    triage : ndarray of int or None
        Index into `LEVELS`; -1 where there is no answer. None when the model has no pathways.
    bad : dict int -> str
    """

    numbers: dict[str, FloatArray]
    top_cause: npt.NDArray[np.int8]
    triage: npt.NDArray[np.int8] | None
    bad: dict[int, str]


def column_names(model: DiagnosticModel, attribution: bool = False) -> list[str]:
    """Names of the number columns, in order."""
    found = []
    for c in model.causes:
        found.append(c)
        states = model.network[c].states[1:]
        if len(states) > 1:
            found += [f"{c}__{s}" for s in states]
    found.append("log_evidence")
    if attribution:
        found += [f"{c}__necessity" for c in model.causes]
    return found


def answer_rows(
    model: DiagnosticModel,
    encoded: Encoded,
    *,
    outcome_given: bool = False,
    attribution: bool = False,
    threads: int | None = None,
) -> Answers:
    """Posteriors, most probable diagnosis and triage of every row.

    Parameters
    ----------
    model : DiagnosticModel
    encoded : Encoded
        In the order of `model.network.variables`.
    outcome_given : bool
        Whether the table has a column for the outcome; without one PT is taken to have failed.
    attribution : bool
        Add the probability of necessity of every cause (a second pass: half the speed).
    threads : int, optional

    Raises
    ------
    BayesnetError
        When the model has no causes.
    """
    check_causes(model)
    outcome = model.outcome
    codes = encoded.codes
    failed_at = list(model.network.variables).index(outcome) if outcome is not None else -1
    if outcome is not None and not outcome_given:
        codes = codes.copy()
        codes[:, failed_at] = 1
    posteriors, log_evidence = _run(model, codes, encoded, threads)
    bad = dict(encoded.bad)
    for row in np.flatnonzero(~np.isfinite(log_evidence)).tolist():
        if row not in bad:
            bad[row] = _clash(model, codes, encoded, row)
    skip = np.zeros(len(codes), bool)
    skip[list(bad)] = True
    for x in posteriors.values():
        x[skip] = np.nan
    log_evidence[skip] = np.nan
    numbers: dict[str, FloatArray] = {}
    for c, x in posteriors.items():
        numbers[c] = x[:, 1:].sum(axis=1)
        states = model.network[c].states
        if len(states) > 2:
            numbers |= {f"{c}__{s}": x[:, k] for k, s in enumerate(states[1:], 1)}
    numbers["log_evidence"] = log_evidence
    if attribution:
        numbers |= _necessities(model, codes, encoded, log_evidence, skip, failed_at, threads)
    top = np.full(len(codes), NO_ANSWER, np.int8)
    diagnoses = [numbers[c] for c in model.causes_of("diagnoses")]
    if diagnoses:
        best = np.nan_to_num(np.stack(diagnoses, axis=1)).argmax(axis=1)
        top[~skip] = best[~skip]
    level = None
    if not model.pathways.empty:
        level = _triage(model, codes, encoded, posteriors)
        level[skip] = NO_ANSWER
    return Answers(numbers, top, level, bad)


def _likelihood(
    model: DiagnosticModel, codes: npt.NDArray[np.int8], encoded: Encoded,
    rows: npt.NDArray[np.intp],
) -> FloatArray:
    """Likelihood rows for the engine, of the rows that need them."""
    found = np.ones((len(rows), model.strata.width))
    for i, (v, offset) in enumerate(model.strata.position.items()):
        size = len(model.network[v])
        code = codes[rows, i]
        known = code >= 0
        if known.any():
            found[known, offset : offset + size] = np.eye(size)[code[known]]
        if i in encoded.likelihoods:
            found[:, offset : offset + size] *= encoded.likelihoods[i][rows]
    return found


def _run(
    model: DiagnosticModel, codes: npt.NDArray[np.int8], encoded: Encoded, threads: int | None,
    targets: Sequence[str] | None = None,
) -> tuple[dict[str, FloatArray], FloatArray]:
    wanted = model.causes if targets is None else targets
    found = model.strata.run_codes(codes, wanted, threads=threads)
    rows = np.flatnonzero(encoded.uncertain)
    if len(rows):
        likelihood = _likelihood(model, codes, encoded, rows)
        uncertain = model.strata.run(likelihood, wanted, backend="kernels", threads=threads)
        for c in wanted:
            found.posteriors[c][rows] = uncertain.posteriors[c]
        found.log_evidence[rows] = uncertain.log_evidence
    return found.posteriors, found.log_evidence


def _clash(
    model: DiagnosticModel, codes: npt.NDArray[np.int8], encoded: Encoded, row: int
) -> str:
    vectors = {}
    for i, v in enumerate(model.network.variables):
        size = len(model.network[v])
        x = np.ones(size)
        if codes[row, i] >= 0:
            x = np.eye(size)[codes[row, i]]
        if i in encoded.likelihoods:
            x = x * encoded.likelihoods[i][row]
        if not (x == 1).all():
            vectors[v] = x
    return str(model.impossible(vectors))


def _necessities(
    model: DiagnosticModel, codes: npt.NDArray[np.int8], encoded: Encoded, log_evidence: FloatArray,
    skip: npt.NDArray[np.bool_], failed_at: int, threads: int | None,
) -> dict[str, FloatArray]:
    """Probability of necessity of every cause (`bayesnet.diagnosis.necessity`), for whole columns."""
    if model.outcome is None:
        raise EvidenceError(["attribution needs a model with an outcome"])
    links = outcome_links(model.network, model.outcome)
    if any((link >= 1).any() for link in links.values()):
        raise EvidenceError(["attribution of a table needs outcome links below one"])
    size = len(model.network[model.outcome])
    code = codes[:, failed_at]
    said = np.where((code >= 0)[:, None], np.eye(size)[code], 1.0)
    said = said * encoded.likelihoods.get(failed_at, 1.0)
    failed = (said[:, 0] == 0) & (said[:, 1] > 0)
    success = codes.copy()
    success[:, failed_at] = 0
    # What is said of the outcome would rule out the success that is asked about.
    others = {i: x for i, x in encoded.likelihoods.items() if i != failed_at}
    posteriors, log_success = _run(model, success, replace(encoded, likelihoods=others), threads)
    with np.errstate(invalid="ignore"):
        odds = said[:, 1] * np.exp(log_success - log_evidence)
    found = {}
    for c in model.causes:
        if c in links:
            value = odds * (posteriors[c] @ (links[c] / (1 - links[c])))
        else:
            value = np.zeros(len(codes))
        value[skip | ~failed] = np.nan
        found[f"{c}__necessity"] = value
    return found


def _triage(
    model: DiagnosticModel, codes: npt.NDArray[np.int8], encoded: Encoded,
    posteriors: Mapping[str, FloatArray],
) -> npt.NDArray[np.int8]:
    """Level of every row by the rules and the expected net benefit, as `diagnosis.pathways.triage`."""
    paths, network = model.pathways, model.network
    routine = LEVELS.index("routine")
    level = np.full(len(codes), routine, np.int8)
    at = {v: i for i, v in enumerate(network.variables)}
    for rule in paths.rules:
        met = np.ones(len(codes), bool)
        for v, allowed in likelihoods_of(network, rule.when).items():
            i = at[v]
            fits = np.append(allowed > 0, False)[codes[:, i]]
            if i in encoded.likelihoods:
                given = encoded.likelihoods[i] * np.where(
                    codes[:, [i]] >= 0, codes[:, [i]] == np.arange(len(allowed)), True
                )
                told = ~(given == given[:, :1]).all(axis=1) | (codes[:, i] >= 0)
                fits = np.where(encoded.uncertain, told & ~((given > 0) & (allowed == 0)).any(axis=1), fits)
            met &= fits
        level[met] = np.minimum(level[met], LEVELS.index(rule.level))
    gains, costs = gain_matrix(model, paths)
    states = np.concatenate([posteriors[c] for c in model.causes], axis=1)
    return np.minimum(level, levels_by_benefit(gains, costs, paths.urgency, states)[0])
