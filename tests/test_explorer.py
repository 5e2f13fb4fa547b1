"""The explorer's widget, and the plain data that every page draws."""

from __future__ import annotations

import json

import pytest

import bayesnet
from bayesnet.explorer.api import answer
from bayesnet.explorer.view import cases_view, model_view, patient_view

pytest.importorskip("anywidget", reason="the widget's tests need pip install 'bayesnet[notebook]'")

SPA = "axial_spondyloarthritis"
KNOWN = {"age": 34, "rest_response": "worse", "fever": {"absent": 0.9, "present": 0.1}}


@pytest.fixture
def explorer(model):
    return bayesnet.Explorer(model, KNOWN)


def clicked(explorer, evidence, number=1, chosen=""):
    explorer._request = {"number": number, "evidence": evidence, "chosen": chosen}


def test_view_is_the_diagnosis(model):
    diagnosis = model.diagnose(KNOWN)
    view = json.loads(json.dumps(patient_view(diagnosis, SPA), allow_nan=False))
    rows = {r["cause"]: r for g in view["causes"].values() for r in g["rows"]}
    assert set(rows) == set(model.causes)
    for cause, row in rows.items():
        assert row["posterior"] == diagnosis[cause].posterior
        assert row["necessity"] == diagnosis[cause].necessity
    assert view["causes"]["diagnoses"]["order"]["posterior"] == [
        r.cause for r in diagnosis.ranked("diagnoses", "posterior")
    ]
    for v, values in view["posteriors"].items():
        assert sum(values) == pytest.approx(1)
        assert len(values) == len(model.network[v].states)
    assert view["explanation"]["total"] == pytest.approx(diagnosis.why(SPA).total)


def test_graph_has_what_is_known_and_only_arcs_of_the_network(model):
    graph = patient_view(model.diagnose({**KNOWN, "crp_or_esr": "raised"}), SPA)["graph"]
    shown = {v for c in graph["columns"] for g in c["groups"] for v in g["nodes"]}
    assert {*KNOWN, "crp_or_esr", SPA, "inflammatory_pain"} <= shown
    for a, b in graph["edges"]:
        assert {a, b} <= shown
        assert a in model.network.parents(b)
    whole = model_view(model)["whole"]
    placed = [v for c in whole["columns"] for g in c["groups"] for v in g["nodes"]]
    assert sorted(placed) == sorted(model.network.variables)
    assert len(whole["edges"]) == sum(len(model.network.parents(v)) for v in model.network.variables)


def test_code_and_clicks_stay_in_step(explorer, model):
    assert explorer.result[SPA].posterior == model.diagnose(KNOWN)[SPA].posterior
    clicked(explorer, {"age": 71})
    assert explorer.evidence == {"age": 71}
    assert explorer.result[SPA].posterior == model.diagnose({"age": 71})[SPA].posterior
    assert explorer._view["answers"] == 1
    explorer.evidence = {"age": 26, "fever": True}
    assert explorer._view["evidence"] == {"age": 26, "fever": True}
    assert explorer._view["posteriors"]["fever"] == [0.0, 1.0]
    explorer.chosen = SPA
    assert explorer._view["explanation"]["cause"] == SPA


def test_one_notice_for_one_click(explorer):
    seen = []
    explorer.observe(lambda change: seen.append((change.name, explorer.result.findings["age"])),
                     ["evidence"])
    clicked(explorer, {"age": 50})
    assert seen == [("evidence", 50)]


def test_wrong_findings_change_nothing(explorer):
    before = explorer.result
    with pytest.raises(bayesnet.EvidenceError, match="Did you mean"):
        explorer.evidence = {"fevr": True}
    with pytest.raises(bayesnet.EvidenceError):
        explorer.chosen = "nothing"
    assert explorer.evidence == KNOWN
    assert explorer.result is before
    clicked(explorer, {"fever": "high"}, number=2)
    assert explorer.evidence == KNOWN
    assert explorer._view["answers"] == 2
    assert "high" in explorer._view["error"]["message"]
    clicked(explorer, {"fever": True}, number=3)
    assert explorer._view["error"] is None


def test_why_groups_findings_as_the_explanation_does(model):
    diagnosis = model.diagnose({"rest_response": "worse", "exercise_response": "better", "sex": "male"})
    why = diagnosis.why(SPA)
    shown = patient_view(diagnosis, SPA)["explanation"]["blocks"]
    assert [len(b["findings"]) for b in shown] == [2, 1]
    assert shown[0]["mechanism"] == "inflammatory pain"
    assert [b["weight"] for b in shown] == [g.weight for g in why.together]
    assert {f["finding"] for f in shown[0]["findings"]} == set(why.together[0].findings)


def test_a_cause_is_called_by_its_label(explorer, model):
    explorer.chosen = "axial Spondyloarthritis"
    assert explorer.chosen == SPA
    assert explorer._view["chosen"] == SPA
    assert explorer._view["explanation"]["cause"] == SPA
    with pytest.raises(bayesnet.EvidenceError, match="Did you mean axial_spondyloarthritis"):
        explorer.chosen = "Axial spondylarthritis"
    for question, body in (
        ("explain", {"cause": "Fear of movement", "over": "Poor sleep"}), ("whatif", {"do": {"Fear of movement": "absent"}}),
        ("view", {"chosen": "Fear of movement"}),
    ):
        found = answer(model, question, json.dumps({"findings": {"age": 40}, **body}).encode())
        assert "kinesiophobia" in json.dumps(found)


def test_titles_follow_the_outcome(model):
    about = model_view(model)
    assert about["question"] == "Why PT failed"
    assert about["measures"]["necessity"] == "PT failed because of it"


def test_result_explores_its_own_patient(model):
    diagnosis = model.diagnose(KNOWN)
    explorer = diagnosis.explore()
    assert isinstance(explorer, bayesnet.Explorer)
    assert explorer.evidence == KNOWN
    page = explorer._repr_mimebundle_()[0]
    assert page["text/html"] == explorer.result._repr_html_()


def test_plain_network_is_refused(networks):
    with pytest.raises(bayesnet.EvidenceError, match="clinical model"):
        bayesnet.Explorer(bayesnet.read_network(networks / "asia.bif.gz"))


def test_cases_can_be_loaded(model):
    cases = cases_view(model)
    assert len(cases) > 50
    for case in cases:
        model.diagnose(case["evidence"])
