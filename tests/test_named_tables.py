"""Tables of an answer in plain words: no id is left, numbers read as percentages."""

from __future__ import annotations

import re

import pandas as pd
import pytest

import bayesnet
from bayesnet.diagnosis.words import parameter_words, percent

GIVEN = {"rest_response": "worse", "exercise_response": "better", "sex": "male"}


@pytest.fixture(scope="module")
def result(model):
    return model.diagnose(GIVEN)


def test_no_id_is_left_in_any_table(model, result):
    sensitivity = result.sensitivity().table.head(20).drop(columns="where")
    tables = [
        result.causes, result.diagnoses, result.next(), result.what_if(fever=True), result.do(poor_sleep="absent"),
        result.actions, result.most_probable_sets(3), result.attribution.table, sensitivity,
        result.why("spinal_stenosis").table, result.intervals(20).table,
    ]
    for table in tables:
        said = model.named(table)
        assert len(said.rows) == len(table)
        for text in (repr(said), said._repr_html_()):
            assert not re.findall(r"\w+_\w+", text)


def test_cells_are_the_labels_and_numbers_of_the_table(model, result):
    table = result.diagnoses.head(2)[["cause", "posterior", "likelihood_ratio"]]
    said = model.named(table)
    assert said.headings == ("cause", "probability", "LR")
    first = result.ranked("diagnoses")[0]
    assert said.rows[0][:2] == (first.label, percent(first.posterior))
    assert said.words == (True, False, False)
    lines = repr(said).splitlines()
    assert lines[1].startswith(first.label)
    assert lines[0].endswith(" LR")
    page = said._repr_html_()
    assert f"<td style='text-align:left'>{first.label}</td>" in page
    assert f"<td style='text-align:right'>{percent(first.posterior)}</td>" in page


def test_a_column_is_written_in_one_way(model):
    frame = pd.DataFrame({
        "cause": ["fever", "sex"], "worth": [2.0, 3.25], "people": [2034.4, 12.0], "count": [3, 4],
        "change": [-0.0001, 0.25], "likelihood_ratio": [12.3, float("nan")], "matched": [True, False],
    })
    assert [r[1:] for r in model.named(frame).rows] == [
        ("2.00", "2,034", "3", "+0.0 points", "12", "yes"), ("3.25", "12", "4", "+25.0 points", "-", "no"),
    ]


def test_small_numbers_keep_their_digits(model):
    frame = pd.DataFrame({"published": [0.0034, 0.25], "low": [0.034, 1.0], "high": [0.9, 1.0], "of": pd.Series([7, 22], dtype=object)})
    said = model.named(frame)
    assert said.rows == (("0.0034", "0.034", "0.90", "7"), ("0.25", "1", "1.00", "22"))
    assert said.words == (False,) * 4


def test_an_index_of_ids_and_columns_of_findings_are_named_too(model):
    frame = pd.DataFrame({"published": [0.1], "fever": ["not_known"]}, index=["kinesiophobia"])
    said = model.named(frame)
    assert said.headings == ("", "published", "Fever")
    assert said.rows == (("Fear of movement", "0.10", "not known"),)


def test_parameters_grades_and_lists_are_named(model):
    parameter = "axial_spondyloarthritis/prevalence/under_45"
    frame = pd.DataFrame({
        "parameter": [parameter], "causes": [("spinal_stenosis (severe)", "poor_sleep")],
        "because_of": ["poor_sleep, kinesiophobia"], "path": ["poor_sleep > fatigue"],
    })
    assert model.named(frame).rows == ((
        parameter_words(model.network, parameter), "Spinal stenosis (severe), Poor sleep",
        "Poor sleep, Fear of movement", "Poor sleep > Fatigue",
    ),)


def test_what_is_no_variable_loses_its_underscores(model):
    frame = pd.DataFrame({"interval": [[0.25, 1.0]], "where": ["a/b_c.yaml:3"]}, index=["likelihood_ratio top_1"])
    assert model.named(pd.DataFrame({"measure": ["lr_pos"]})).rows == (("LR if positive",),)
    assert model.named(frame).rows == (("likelihood ratio top 1", "0.25, 1.00", "a/b_c.yaml:3"),)


def test_markup_in_a_table_is_text(model):
    assert "&lt;b&gt;" in model.named(pd.DataFrame({"a": ["<b>"]}))._repr_html_()


def test_an_empty_table_has_its_head(model, result):
    assert repr(model.named(result.causes.head(0)[["cause", "prior"]])) == "cause  before"


def test_what_is_no_table_is_refused(model, result):
    with pytest.raises(bayesnet.BayesnetError, match=r"expected a table such as result\.causes"):
        model.named(result)
