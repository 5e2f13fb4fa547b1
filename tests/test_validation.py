"""Intervals and case scores, against worked examples."""

from __future__ import annotations

import math

import pytest

import bayesnet
from bayesnet.errors import BayesnetError
from bayesnet.validation import evaluate, shipped_case, shipped_cases, wilson_interval


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    # Newcombe 1998, Stat Med 17:857, table I, method 3.
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_interval(hits, n, low, high):
    assert wilson_interval(hits, n) == pytest.approx((low, high), abs=6e-5)


def test_scores_are_what_they_are_called(model):
    cases = shipped_cases(model)[:6]
    result = evaluate(model, cases)
    summary = result.summary()
    expected = 0.0
    brier = 0.0
    for case in cases:
        causes = model.diagnose(case.evidence()).causes.set_index("cause")["posterior"]
        expected -= math.log(causes[case.true_causes[0]]) / len(cases)
        truth = causes.index.isin(case.true_causes)
        brier += ((causes - truth) ** 2).mean() / len(cases)
    assert summary["log_score"] == pytest.approx(expected)
    assert summary["brier"] == pytest.approx(brier)
    for s in result.scores:
        ranked = [r.cause for r in s.diagnosis.ranked(s.diagnosis[s.primary].group, "posterior")]
        assert ranked.index(s.primary) + 1 == s.ranks["posterior"]


def test_scope_findings_leaves_tests_out(model):
    case = next(c for c in shipped_cases() if c.tests)
    assert set(case.tests) <= set(case.evidence("all"))
    assert not set(case.tests) & set(case.evidence("findings"))


def test_an_evaluation_shows_itself():
    model = bayesnet.load("pt_failure")
    result = evaluate(model, shipped_cases(model)[:5], "findings")
    assert "5 cases" in repr(result)
    assert "not a medical device" in result._repr_html_().lower()
    frame = result.to_frame()
    assert frame["rank_by_necessity"].tolist() == [s.ranks["necessity"] for s in result.scores]


def test_the_further_cases_fit_the_model_and_are_other_cases(model):
    further, known = shipped_cases(model, "further"), shipped_cases(model)
    assert len(further) > 100
    assert not {c.id for c in further} & {c.id for c in known}
    assert {c.urgency for c in further} == {"emergency", "urgent", "routine"}
    assert all(c.citation and c.summary and c.findings for c in further)
    assert shipped_case(further[-1].id) == further[-1]


def test_an_unknown_set_of_cases_is_named(model):
    with pytest.raises(BayesnetError, match="Did you mean further"):
        shipped_cases(model, "furthr")
