"""Published results beside the model: the evaluator against enumeration, and the shipped list."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import test_modelfile
from oracle import joint

import bayesnet
from bayesnet.errors import ModelFileError
from bayesnet.shipped import data_file
from bayesnet.validation.published import (
    PublishedResult,
    compare_with_published,
    read_published,
)


@pytest.fixture
def small(tmp_path):
    return bayesnet.load(test_modelfile.write_small(tmp_path))


def by_enumeration(model, met, given):
    """P(met | given), each a function of a dict of states."""
    table = joint(model.network)
    ids = list(model.network.variables)
    top = bottom = 0.0
    for index in itertools.product(*map(range, table.shape)):
        states = {v: model.network[v].states[i] for v, i in zip(ids, index, strict=True)}
        if given(states):
            bottom += table[index]
            top += table[index] * met(states)
    return top / bottom


RULE = {
    "at_least": 2,
    "of": [
        {"redness": "present"}, {"points": 2, "sex": "male"},
        {"at_least": 1, "of": [{"strain": ["mild", "severe"]}, {"failed": "present"}]},
        {"points": -1, "redness": "present", "failed": "present"},
    ],
}


def points(s):
    return (
        (s["redness"] == "present") + 2 * (s["sex"] == "male")
        + (s["strain"] != "none" or s["failed"] == "present")
        - (s["redness"] == "present" and s["failed"] == "present")
    )


def predicted(model, **entry):
    result = PublishedResult.model_validate(
        {"id": "x", "title": "x", "published": 0.5, "studies": ["X"], **entry}
    )
    return compare_with_published(model, [result])[0].predicted


def test_measures_agree_with_enumeration(small):
    def met(s):
        return points(s) >= 2

    among = {"strain": ["none", "mild"]}

    def hit(state):
        return by_enumeration(
            small, met, lambda s: s["gout"] == state and s["strain"] in ("none", "mild")
        )

    sensitivity, false = hit("present"), hit("absent")
    expected = {
        "sensitivity": sensitivity, "specificity": 1 - false, "lr_pos": sensitivity / false,
        "relative_risk": sensitivity / false, "lr_neg": (1 - sensitivity) / (1 - false),
        "odds_ratio": sensitivity / (1 - sensitivity) / (false / (1 - false)),
        "probability": by_enumeration(small, met, lambda s: s["strain"] != "severe"),
        "posterior": by_enumeration(
            small, lambda s: s["gout"] == "present", lambda s: met(s) and s["strain"] != "severe"
        ),
    }
    for measure, value in expected.items():
        cause = {} if measure == "probability" else {"gout": "present"}
        found = predicted(small, rule=RULE, cause=cause, among=among, measure=measure)
        assert found == pytest.approx(value, rel=1e-9), measure


def test_any_of_many_uses_the_complement(small):
    rule = {"of": [{"redness": "present"}, {"sex": "male"}, {"strain": ["mild", "severe"]}]}
    expected = by_enumeration(
        small,
        lambda s: s["redness"] == "present" or s["sex"] == "male" or s["strain"] != "none",
        lambda s: True,
    )
    assert predicted(small, rule=rule, measure="probability") == pytest.approx(expected)


def test_area_under_the_curve_is_the_chance_of_the_right_order(small):
    table = joint(small.network)
    ids = list(small.network.variables)
    scores = {"present": [], "absent": []}
    for index in itertools.product(*map(range, table.shape)):
        states = {v: small.network[v].states[i] for v, i in zip(ids, index, strict=True)}
        scores[states["gout"]].append((points(states), table[index]))
    case, control = (np.array(scores[s]) for s in ("present", "absent"))
    weights = np.outer(case[:, 1] / case[:, 1].sum(), control[:, 1] / control[:, 1].sum())
    order = np.sign(case[:, 0][:, None] - control[:, 0]) / 2 + 0.5
    found = predicted(small, rule=RULE, cause={"gout": "present"}, measure="auc")
    assert found == pytest.approx((weights * order).sum())


def test_bands():
    base = {"id": "x", "title": "x", "rule": {"a": "b"}, "cause": {"c": "d"}, "studies": ["X"]}
    ratio = PublishedResult(**base, measure="lr_pos", published=3.0)
    assert ratio.band == pytest.approx((2.0, 4.5))
    counted = PublishedResult(**base, measure="sensitivity", published=0.5, n=100)
    assert counted.band == pytest.approx((0.4038, 0.5962), abs=1e-4)
    printed = PublishedResult(**base, measure="lr_pos", published=3.0, interval=(1.0, 9.0))
    assert printed.band == (1.0, 9.0)


def test_all_errors_of_the_list_at_once(model, tmp_path):
    path = tmp_path / "published.yaml"
    path.write_text(
        "- {id: a, title: A, rule: {fevr: present}, measure: probability, published: 0.1, studies: [INF0001]}\n"
        "- {id: a, title: B, rule: {fever: maybe}, measure: probability, published: 0.1, studies: [INF9999]}\n"
        "- {id: c, title: C, rule: {fever: present}, measure: sensitivity, published: 0.1, studies: [INF0001]}\n"
        "- {id: d, title: D, rule: {fever: present}, measure: likelihood, published: 0.1, studies: [INF0001]}\n",
        encoding="utf-8",
    )
    with pytest.raises(ModelFileError) as caught:
        read_published(model, path)
    text = str(caught.value)
    for part in (
        "published.yaml:1: a: unknown variable 'fevr'. Did you mean fever",
        "published.yaml:2: a: is listed twice", "no study 'INF9999'", "'maybe' is not a state",
        "sensitivity needs a `cause`", "measure:",
    ):
        assert part in text, text


def test_the_shipped_list_is_long_and_mostly_matched(model):
    found = compare_with_published(model)
    assert len(found) >= 25
    matched = sum(c.matched for c in found)
    assert matched / len(found) >= 0.7, [c.result.id for c in found if not c.matched]
    for c in found:
        assert c.matched or c.result.note, f"{c.result.id} is missed and not explained"


def test_no_published_result_is_also_a_parameter_of_its_own_finding(model):
    """A row may set a parameter and stand in a composite; a composite may not be one parameter."""
    cited = {s for p in model.document.parameters for s in p.studies}
    single = [
        r for r in read_published(model)
        if len(r.rule.of) == 1 and len(r.rule.of[0].all) == 1 and not r.among
    ]
    for r in single:
        assert not set(r.studies) & cited, r.id


def test_rows_of_the_list_were_read(model):
    studies = model.document.studies
    for r in read_published(model):
        assert any(studies[s].was_read for s in r.studies), r.id
    assert data_file("evidence.csv").exists()
