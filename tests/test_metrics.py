"""Validation figures against scikit-learn, worked examples and known truth."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score, top_k_accuracy_score
from typer.testing import CliRunner

import bayesnet
from bayesnet.cli import app
from bayesnet.errors import BayesnetError
from bayesnet.inference import likelihoods_of
from bayesnet.validation import evaluate, shipped_cases
from bayesnet.validation.baselines import compare_rankings, rankings, red_flag_rule, single_ratios
from bayesnet.validation.metrics import (
    area_under_curve,
    bootstrap_interval,
    brier_score,
    calibration_bins,
    calibration_line,
    expected_calibration_error,
    log_score,
    mean_interval,
    net_benefit,
    top_k,
)
from bayesnet.validation.scorecard import (
    auc_by_cause,
    calibration,
    compare_models,
    decision_curves,
    predictions,
    subgroups,
)

RNG = np.random.default_rng(5)
P = RNG.beta(1, 3, 4000)
Y = (RNG.random(4000) < P).astype(float)


@pytest.fixture(scope="module")
def model():
    return bayesnet.load("pt_failure")


@pytest.fixture(scope="module")
def result(model):
    return evaluate(model, shipped_cases(model), "findings")


def test_scores_are_those_of_scikit_learn():
    assert brier_score(P, Y) == pytest.approx(brier_score_loss(Y, P), rel=1e-12)
    assert log_score(P, Y) == pytest.approx(log_loss(Y, P), rel=1e-9)
    assert area_under_curve(P, Y) == pytest.approx(roc_auc_score(Y, P), rel=1e-12)
    assert np.isnan(area_under_curve([0.1, 0.2], [0, 0]))
    scores = RNG.random((200, 6))
    truth = RNG.integers(0, 6, 200)
    for k in (1, 2, 4):
        assert top_k(scores, truth, k) == top_k_accuracy_score(truth, scores, k=k, labels=range(6))
    # Ties count against it.
    assert top_k([[1.0, 1.0, 0.0]], [0], 1) == 0
    assert top_k([[1.0, 1.0, 0.0]], [0], 2) == 1
    assert top_k([[np.nan, 0.5, 0.5]], [0], 1) == 0
    assert top_k([[np.nan, 0.5, 0.5]], [0], 3) == 0


def test_reliability_curve_is_that_of_scikit_learn():
    ours = calibration_bins(P, Y, 10)
    observed, predicted = calibration_curve(Y, P, n_bins=10, strategy="quantile")
    np.testing.assert_allclose([b.observed for b in ours], observed, atol=2e-3)
    np.testing.assert_allclose([b.predicted for b in ours], predicted, atol=2e-3)
    assert sum(b.n for b in ours) == len(P)


def test_expected_calibration_error_by_hand():
    p = [0.1, 0.1, 0.8, 0.8]
    assert expected_calibration_error(p, [0, 1, 1, 1], 2) == pytest.approx(0.5 * 0.4 + 0.5 * 0.2)
    assert expected_calibration_error(P, Y) < 0.03


def test_calibration_line_recovers_a_known_one():
    x = np.log(P / (1 - P))
    true = 1 / (1 + np.exp(-(0.5 + 0.7 * x)))
    big = np.repeat(P, 50)
    y = (np.random.default_rng(1).random(len(big)) < np.repeat(true, 50)).astype(float)
    line = calibration_line(big, y)
    assert line.slope == pytest.approx(0.7, abs=0.02)
    assert line.intercept == pytest.approx(0.5, abs=0.03)
    right = calibration_line(P, Y)
    assert right.slope == pytest.approx(1, abs=0.12)
    assert right.in_the_large == pytest.approx(0, abs=0.12)
    # In the large: predictions shifted by it have the mean of the outcomes.
    shifted = 1 / (1 + np.exp(-(np.log(big / (1 - big)) + line.in_the_large)))
    assert shifted.mean() == pytest.approx(y.mean(), rel=1e-9)
    assert np.isnan(calibration_line([0.2, 0.3], [0, 0]).slope)
    assert np.isnan(calibration_line([0.2, 0.8], [0, 1]).slope)


@pytest.mark.parametrize(("predicted", "outcome"), [
    ([0.2, 0.3, 0.3, 0.6], [0, 0, 1, 1]), ([0.2, 0.3, 0.3, 0.6], [1, 1, 0, 0]), ([0.25] * 4, [0, 0, 0, 1]),
])
def test_no_calibration_slope_where_predictions_part_the_outcomes_but_for_ties(predicted, outcome):
    line = calibration_line(predicted, outcome)
    assert np.isnan([line.slope, line.intercept]).all()
    assert np.isfinite(line.in_the_large)


def test_net_benefit_by_hand():
    # Vickers & Elkin 2006: true positives / n - false positives / n * t / (1 - t).
    p, y = [0.1, 0.3, 0.6, 0.9], [0, 1, 0, 1]
    frame = net_benefit(p, y, [0.25, 0.5]).set_index("threshold")
    assert frame.loc[0.25, "model"] == pytest.approx(2 / 4 - 1 / 4 / 3)
    assert frame.loc[0.25, "everybody"] == pytest.approx(2 / 4 - 2 / 4 / 3)
    assert frame.loc[0.5, "model"] == pytest.approx(1 / 4 - 1 / 4)
    assert (frame["nobody"] == 0).all()
    with pytest.raises(BayesnetError, match="between 0 and 1"):
        net_benefit(p, y, [0, 1])


def test_bootstrap_interval_covers_as_stated():
    hits = 0
    for seed in range(200):
        x = np.random.default_rng(seed).normal(3, 1, 60)
        low, high = mean_interval(x, 300, seed)
        hits += low <= 3 <= high
    assert 0.89 <= hits / 200 <= 0.99
    assert bootstrap_interval(lambda i: float("nan"), 5) != bootstrap_interval(lambda i: 1.0, 5)
    assert mean_interval([1, 2, 3], seed=1) == mean_interval([1, 2, 3], seed=1)


@pytest.mark.filterwarnings("error")
def test_no_interval_without_values():
    assert np.isnan(mean_interval([])).all()


def test_wrong_input_is_refused():
    with pytest.raises(BayesnetError, match="0 to 1"):
        brier_score([1.2], [1])
    with pytest.raises(BayesnetError, match="0 or 1"):
        brier_score([0.2], [2])
    with pytest.raises(BayesnetError, match="2 predictions for 1"):
        brier_score([0.2, 0.3], [1])


def test_single_findings_have_the_ratio_of_two_queries(model):
    ratios, prior = single_ratios(model, [likelihoods_of(model.network, {"fever": True, "age": 70})])
    cause = "vertebral_infection"
    with_ = model.posterior("fever", {"pt_failure": True, cause: True})["fever"]["present"]
    without = model.posterior("fever", {"pt_failure": True, cause: False})["fever"]["present"]
    assert ratios[0]["fever"][cause] == pytest.approx(with_ / without, rel=1e-9)
    there = model.posterior(cause, {"pt_failure": True})[cause]["present"]
    assert prior[cause] == pytest.approx(there, rel=1e-9)


def test_naive_bayes_is_bayes_with_one_finding(model):
    from dataclasses import replace

    case = replace(shipped_cases(model)[0], findings={"fever": True}, tests={})
    found, _ = rankings(model, [case])
    causes = list(model.causes)
    i = causes.index("kidney_infection")
    naive = next(r for r in found if r.name == "naive Bayes, posterior")
    exact = model.posterior("kidney_infection", {"pt_failure": True, "fever": True})
    assert naive.probabilities[0, i] == pytest.approx(exact["kidney_infection"]["present"], rel=1e-9)


def test_network_row_of_the_baselines_is_the_evaluation(model, result):
    frame = compare_rankings(model, shipped_cases(model)).set_index("ranking")
    summary = result.summary()
    for measure in ("likelihood_ratio", "necessity", "posterior"):
        row = frame.loc[f"network, {measure.replace('_', ' ')}"]
        for k in (1, 3, 5):
            assert row[f"top_{k}"] == pytest.approx(summary[measure][f"top_{k}"])
        assert row["log_score"] == pytest.approx(summary["log_score"])
        assert row["brier"] == pytest.approx(summary["brier"])
    # Everything beats knowing nothing.
    assert (frame["top_3"].drop("prior only") > frame.loc["prior only", "top_3"]).all()
    assert set(red_flag_rule(model, shipped_cases(model))) == {"emergency", "urgent", "routine"}


def test_scorecard_of_the_cases(model, result):
    p, y, causes = predictions(result, "diagnoses")
    assert p.shape == y.shape == (len(result.scores), len(causes))
    assert set(causes) == set(model.causes_of("diagnoses"))
    c = calibration(result, draws=50)
    assert c["auc"] == pytest.approx(roc_auc_score(y.ravel(), p.ravel()))
    assert c["slope_interval"][0] < c["slope"] < c["slope_interval"][1]
    own = auc_by_cause(result)
    assert (own["cases"] >= 3).all()
    first = own.iloc[0]
    i = causes.index(first["cause"]) if first["cause"] in causes else None
    if i is not None:
        assert first["auc"] == pytest.approx(roc_auc_score(y[:, i], p[:, i]))
    groups = subgroups(result)
    sexes = groups[(groups["by"] == "sex") & (groups["measure"] == "necessity")]
    assert sexes["cases"].sum() <= len(result.scores)


def test_decision_curve_uses_the_exact_union(model, result):
    frame = decision_curves(result, [0.1])
    action, path = next(iter(model.pathways.actions.items()))
    y = [any(c in s.case.true_causes for c in path.gains) for s in result.scores]
    p = []
    for s in result.scores[:3]:
        none = model._log_evidence({
            **likelihoods_of(model.network, s.diagnosis.findings),
            **{c: np.eye(len(model.network[c]))[0] for c in path.gains},
        })
        p.append(1 - np.exp(none - model._log_evidence(likelihoods_of(model.network, s.diagnosis.findings))))
    row = frame[frame["action"] == action].iloc[0]
    assert row["needed_in"] == sum(y)
    some = decision_curves(type(result)(result.scores[:3], result.scope), [0.1])
    expected = net_benefit(p, np.array(y[:3], float), [0.1])["model"][0]
    assert some[some["action"] == action].iloc[0]["model"] == pytest.approx(expected, abs=1e-9)


def test_a_model_compared_with_itself_and_with_a_worse_one(model, result):
    same = compare_models(result, result, draws=20)
    assert (same["difference"] == 0).all()
    blind = model.recalibrate({"fever": 0.3})
    worse = compare_models(result, evaluate(blind, shipped_cases(model), "findings"), draws=200)
    row = worse.set_index("figure").loc["log score"]
    assert row["low"] <= row["difference"] <= row["high"]
    assert row["difference"] != 0
    with pytest.raises(BayesnetError, match="same cases"):
        compare_models(result, evaluate(model, shipped_cases(model)[:3], "findings"))


def test_evaluate_command_reports_and_compares(tmp_path, model):
    other = model.recalibrate({"axial_spondyloarthritis": 0.2}).write(tmp_path / "other")
    cases = tmp_path / "cases.jsonl"
    lines = Path("data/cases/dev_cases.jsonl").read_text(encoding="utf-8").splitlines()[:5]
    cases.write_text("\n".join(lines), encoding="utf-8")
    asked = ["evaluate", str(cases), "--scope", "findings", "--metrics", "--baselines", "--compare", str(other)]
    shown = CliRunner().invoke(app, asked)
    assert shown.exit_code == 0, shown.output
    for text in ("Calibration of the diagnoses", "Net benefit", "Subgroups", "naive Bayes", "log score"):
        assert text in shown.output
    found = json.loads(CliRunner().invoke(app, [*asked, "--json"]).stdout)
    assert len(found["tables"]) == 6


def test_independence_tests_find_what_is_wrong_and_nothing_else():
    import pandas as pd
    from scipy.stats import chi2_contingency

    from bayesnet.errors import CohortError
    from bayesnet.model import Model
    from bayesnet.network import Network, Table, Variable

    yes = ("absent", "present")
    names = ("a", "b", "c", "d")
    edge = np.array([[0.8, 0.2], [0.3, 0.7]])
    chain = Model(Network([Variable(v, yes) for v in names], {
        "a": Table((), np.array([0.6, 0.4])), "b": Table(("a",), edge), "c": Table(("b",), edge),
        "d": Table((), np.array([0.5, 0.5])),
    }))
    rng = np.random.default_rng(3)
    n = 4000
    a = rng.random(n) < 0.4
    b = rng.random(n) < np.where(a, 0.7, 0.2)
    c = rng.random(n) < np.where(b, 0.7, 0.2)
    d = rng.random(n) < np.where(a, 0.65, 0.45)  # the network says: on its own
    frame = pd.DataFrame({"a": a, "b": b, "c": c, "d": d})
    found = chain.independence_tests(frame)
    pairs = {(r.x, r.y): r for r in found.itertuples()}
    assert set(pairs) == {("a", "c"), ("a", "d"), ("b", "d"), ("c", "d")}
    assert found.iloc[0][["x", "y"]].tolist() == ["a", "d"]
    assert pairs["a", "d"].q < 1e-6
    assert pairs["a", "c"].given == "b"
    assert pairs["a", "c"].q > 0.01
    for (x, y), r in pairs.items():
        strata = [part for _, part in frame.groupby(r.given)] if r.given else [frame]
        tests = [chi2_contingency(pd.crosstab(s[x], s[y]), correction=False) for s in strata]
        assert r.chi2 == pytest.approx(sum(t.statistic for t in tests))
        assert r.degrees == sum(t.dof for t in tests)
        if not r.given:
            assert r.p == pytest.approx(tests[0].pvalue)
    assert pairs["a", "d"].effect == pytest.approx(np.sqrt(pairs["a", "d"].chi2 / n))
    with pytest.raises(CohortError, match="needs two"):
        chain.independence_tests(frame[["a"]])


def test_data_of_the_network_itself_deny_almost_nothing(model):
    frame = model.simulate(6000, seed=9, given={"pt_failure": True})
    # Every other column: a quarter of the pairs.
    frame = frame[[v for i, v in enumerate(frame) if i % 2 == 0 or v == "pt_failure"]]
    for data in (frame, frame.drop(columns=["pt_failure"])):
        found = model.independence_tests(data)
        assert len(found) > 100
        assert (found["q"] < 0.05).mean() < 0.01
        assert 0.02 < (found["p"] < 0.05).mean() < 0.09
    # Programme faults are independent before therapy, not among those in whom it failed.
    faults = frozenset({"not_reassessed", "overaggressive_programme"})
    causes = model.simulate(500, seed=1, hidden=True)[sorted(faults)]
    claims = [
        {frozenset(p) for p in zip(found["x"], found["y"], strict=True)}
        for found in (model.independence_tests(causes), model.independence_tests(causes, selected=False))
    ]
    assert claims == [set(), {faults}]
