"""Figures from studies and surveys: pooling, design-based shares, rows that data reproduce."""

from __future__ import annotations

import csv
import math
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bayesnet.errors import BayesnetError
from bayesnet.pooling import pool
from bayesnet.shipped import data_file
from bayesnet.studies import StudyFigure, read_studies
from bayesnet.validation.survey import survey_odds_ratio, survey_share

ROOT = Path(__file__).parent.parent


def figure(id, measure, value, low=None, high=None, n="", n_cause="", note=""):
    text = dict.fromkeys(StudyFigure.__slots__, "")
    return StudyFigure(**{**text, "id": id, "measure": measure, "value": value, "ci_low": low,
                          "ci_high": high, "n": n, "n_cause": n_cause, "note": note})


def test_pooling_agrees_with_statsmodels():
    from statsmodels.stats.meta_analysis import combine_effects

    values = [(0.42, 120), (0.55, 80), (0.31, 400), (0.60, 45)]
    found = pool([figure(f"S{i}", "proportion", p, n=str(n)) for i, (p, n) in enumerate(values)])
    effect = np.array([math.log(p / (1 - p)) for p, _ in values])
    variance = np.array([1 / (n * p * (1 - p)) for p, n in values])
    theirs = combine_effects(effect, variance, method_re="dl")
    frame = theirs.summary_frame().loc["random effect"]
    logit = [math.log(x / (1 - x)) for x in (found.value, found.low, found.high)]
    assert logit == pytest.approx([frame.eff, frame.ci_low, frame.ci_upp], rel=1e-9)
    assert found.tau2 == pytest.approx(theirs.tau2, rel=1e-9)
    assert found.i2 == pytest.approx(theirs.i2, rel=1e-9)
    assert found.predicted_low < found.low < found.value < found.high < found.predicted_high


def test_ratios_pool_on_the_log_scale():
    found = pool([figure("A", "lr_pos", 2.0, 1.0, 4.0), figure("B", "lr_pos", 8.0, 4.0, 16.0)])
    assert found.value == pytest.approx(4.0)
    assert found.low * found.high == pytest.approx(16.0)


def test_one_figure_is_returned_with_its_own_interval():
    found = pool([figure("A", "odds_ratio", 3.0, 1.5, 6.0)])
    assert (found.value, found.low, found.high) == pytest.approx((3.0, 1.5, 6.0))
    skewed = pool([figure("A", "sensitivity", 0.8, 0.7, 0.85)])
    assert (skewed.value, skewed.low, skewed.high) == (0.8, 0.7, 0.85)
    assert (skewed.predicted_low, skewed.predicted_high) == (0.7, 0.85)
    assert pool([figure("A", "proportion", 0.8, n="90")]).value == 0.8


def test_one_figure_has_no_variation_between_studies():
    """Not even by a rounding."""
    for value in np.linspace(0.01, 0.99, 99):
        found = pool([figure("A", "proportion", value, n="33")])
        assert found.i2 == found.tau2 == 0


def test_effective_sample_size_undoes_a_binomial_interval():
    assert pool([figure("A", "proportion", 0.3, n="90")]).effective_sample_size == pytest.approx(90)


def test_sample_sizes_are_those_of_the_people_counted():
    sensitivity = pool([figure("A", "sensitivity", 0.5, n="200", n_cause="40")])
    specificity = pool([figure("A", "specificity", 0.5, n="200", n_cause="40")])
    assert sensitivity.effective_sample_size == pytest.approx(40)
    assert specificity.effective_sample_size == pytest.approx(160)


def test_a_range_of_studies_is_not_an_interval():
    ranged = figure("A", "proportion", 0.5, 0.4, 0.6, note="published range, not a CI")
    assert ranged.interval is None
    with pytest.raises(BayesnetError, match="neither an interval nor a sample size"):
        pool([ranged])


@pytest.mark.parametrize(
    ("figures", "message"),
    [
        ([], "nothing to pool"),
        ([figure("A", "lr_pos", 2, 1, 4), figure("B", "lr_neg", 0.5, 0.2, 0.9)], "of one measure"),
        ([figure("A", "mean", 51, 44, 59)], "cannot pool mean; expected one of sensitivity"),
        ([figure("A", "proportion", 1.4, n="10")], "not between 0 and 1"),
        ([figure("A", "lr_pos", 0.0, 0, 1)], "must be above 0"),
        ([figure("A", "proportion", 0.0)], "without a sample size"),
    ],
)
def test_what_cannot_be_pooled_is_said(figures, message):
    with pytest.raises(BayesnetError, match=message):
        pool(figures)


def test_no_events_still_give_an_interval():
    found = pool([figure("A", "proportion", 0.0, n="20")])
    assert 0 < found.low < found.value < 0.2


def test_survey_share_of_a_simple_random_sample():
    """One stratum, each person a cluster of their own: the textbook variance p(1-p)/(n-1)."""
    y = np.array([1] * 30 + [0] * 70, dtype=float)
    s = survey_share(y, np.ones(100), np.zeros(100), np.arange(100), np.ones(100, dtype=bool))
    half = 1.959963984540054 * math.sqrt(0.3 * 0.7 / 99) / (0.3 * 0.7)
    centre = math.log(0.3 / 0.7)
    assert s.value == pytest.approx(0.3)
    assert (s.n, s.hits) == (100, 30)
    assert s.low == pytest.approx(1 / (1 + math.exp(half - centre)))
    assert s.high == pytest.approx(1 / (1 + math.exp(-half - centre)))


def test_survey_share_by_hand_with_clusters_and_weights():
    """Two strata of two clusters: the variance written out cluster by cluster."""
    answer = np.array([1, 0, 1, 1, 0, 0, 1, np.nan])
    weight = np.array([1.0, 2, 1, 1, 3, 1, 2, 5])
    stratum = np.array([1, 1, 1, 1, 2, 2, 2, 2])
    unit = np.array([1, 1, 2, 2, 1, 1, 2, 2])
    s = survey_share(answer, weight, stratum, unit, np.ones(8, dtype=bool))
    p = 5 / 11
    z = {}
    for y, w, h, u in zip(answer[:7], weight, stratum, unit, strict=False):
        z[h, u] = z.get((h, u), 0.0) + w * (y - p) / 11
    variance = sum(2 * ((z[h, 1] - z[h, 2]) / 2) ** 2 * 2 for h in (1, 2))
    assert s.value == pytest.approx(p)
    half = 1.959963984540054 * math.sqrt(variance) / (p * (1 - p))
    assert math.log(s.high / (1 - s.high)) == pytest.approx(math.log(p / (1 - p)) + half)


def test_rows_from_shipped_data_are_reproduced():
    sys.path.insert(0, str(ROOT / "data" / "surveys"))
    try:
        import figures
    finally:
        sys.path.pop(0)
    with data_file("evidence.csv").open(encoding="utf-8", newline="") as file:
        table = {r["id"]: r for r in csv.DictReader(file)}
    rows = figures.all_rows()
    assert len(rows) > 100
    for row in rows:
        assert table[row["id"]] == row
    told = {i for i in table if i[:3] in ("NHA", "SMA", "ASH")}
    assert told == {r["id"] for r in rows}


def test_every_row_says_where_it_was_read():
    studies = read_studies(data_file("evidence.csv"))
    for s in studies.values():
        assert s.study, s.id
        assert s.read_in in {
            "abstract", "table", "full_text", "secondary_page", "secondary", "guideline", "data",
            "recalled",
        }, s.id
        assert s.url or not s.was_read, s.id
        if s.measure in ("sensitivity", "specificity", "prevalence", "proportion"):
            assert s.value is None or 0 <= s.value <= 1, s.id
    assert replace(next(iter(studies.values())), read_in="recalled").was_read is False


def test_survey_odds_ratio_of_a_simple_random_sample_is_woolfs():
    x = np.repeat([1, 1, 0, 0], [30, 20, 15, 35]).astype(float)
    y = np.repeat([1, 0, 1, 0], [30, 20, 15, 35]).astype(float)
    n = len(x)
    ratio, low, high, seen = survey_odds_ratio(
        np.r_[x, np.nan], np.r_[y, 1.0], np.ones(n + 1), np.zeros(n + 1), np.arange(n + 1), np.ones(n + 1, bool)
    )
    assert (ratio, seen) == (pytest.approx(30 * 35 / (20 * 15)), n)
    half = 1.959964 * math.sqrt((1 / 30 + 1 / 20 + 1 / 15 + 1 / 35) * (n + 1) / n)
    assert math.log(high / ratio) == pytest.approx(half, rel=1e-3)
    assert math.log(ratio / low) == pytest.approx(half, rel=1e-3)
