"""The patient's report can be read by someone who was not told about it, and printed."""

from __future__ import annotations

import html
import re

from bayesnet.diagnosis.pathways import decide
from bayesnet.diagnosis.words import percent
from bayesnet.reports.patient import patient_html, patient_markdown
from bayesnet.validation import shipped_cases

FINDINGS = {"age": 26, "sex": "male", "rest_response": "worse", "crp_or_esr": "raised"}


def test_tables_have_heads_and_the_probability_before(model):
    result = model.diagnose(FINDINGS)
    text = patient_html(result, draws=20)
    tables = re.findall(r"<table>(.*?)</table>", text)
    assert len(tables) == 4
    for table in tables:
        head, body = re.fullmatch(
            r"<thead><tr>(.*)</tr></thead><tbody>(.*)</tbody>", table
        ).groups()
        assert "<td" not in head
        for row in re.findall(r"<tr>(.*?)</tr>", body):
            assert len(re.findall(r"<t[hd]\b", row)) == head.count("<th ")
    leader = result.ranked("diagnoses")[0]
    before, now = percent(leader.prior), percent(leader.posterior)
    assert f"<td class='n'>{before}</td><td class='n'>{now}</td>" in text
    assert f"| {before} | {now} |" in patient_markdown(result, draws=20)
    assert "@media print" in text
    assert "print-color-adjust:exact" in text
    assert "tr,li,.level{break-inside:avoid}" in text


def test_every_unit_is_explained(model):
    result = model.diagnose(FINDINGS)
    for text in (patient_html(result, draws=20), patient_markdown(result, draws=20)):
        assert "LR (likelihood ratio): " in text
        assert text.count("quality-adjusted") == 1
        assert "in healthy days (quality-adjusted days; " in text
    assert "Bits: " in patient_html(result, draws=20)


def test_the_cause_of_an_alarm_is_explained(model):
    """Though it is not among the most probable: an aneurysm of 4 %."""
    (case,) = (c for c in shipped_cases(model) if c.id == "mechelli-2008")
    result = model.diagnose(case.evidence("findings"))
    assert "aortic_aneurysm" not in [r.cause for r in result.ranked("diagnoses")[:2]]
    for text in (patient_html(result, draws=20), patient_markdown(result, draws=20)):
        assert "Aortic aneurysm as the source of pain: 0.1 % before the findings" in text
        assert "+3 doubles the odds" in text


def test_actions_worth_nothing_are_left_out(model):
    (case,) = (c for c in shipped_cases(model) if c.id == "medbullets-017")
    result = model.diagnose(case.evidence())
    small = [a for a in decide(result) if 0 < a.net_benefit < 0.5]
    assert small, "another patient is needed: none of the actions is worth less than half a day"
    text = patient_html(result, draws=20)
    actions = text[text.index("What to do</h2>"):]
    for a in small:
        assert html.escape(a.label) not in actions
    assert "<td class='n'>0</td>" not in actions


def test_an_alarm_begins_with_what_to_do(model):
    result = model.diagnose(
        {"age": 72, "sex": "male", "smoking": "current", "pulsatile_abdominal_mass": True}
    )
    assert result.triage.level == "emergency"
    text = " ".join(result.triage.reasons)
    assert "Emergency department today, mostly for Aortic aneurysm" in text
    assert "quality-adjusted" not in text
    assert "quality-adjusted" not in patient_html(result, draws=20).split("</ul>")[0]
