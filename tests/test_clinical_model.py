"""What the clinical model must say: the owner's statements, one test each, and a clean review."""

from __future__ import annotations

import csv
import re

import pytest
import test_modelfile

import bayesnet
from bayesnet.calibration import solve_leaks, write_leaks
from bayesnet.reports.model_card import evidence_grade, model_card, read_notes
from bayesnet.shipped import data_file
from bayesnet.validation import evaluate, shipped_cases
from bayesnet.validation.strict import warnings_of


def ratio(model, cause, **findings):
    return model.diagnose(findings)[cause].likelihood_ratio


def first(model, by="likelihood_ratio", **findings):
    return model.diagnose(findings).ranked("diagnoses", by)[0].cause


# ------------------------------------------------------------------ the owner's statements


def test_better_with_exercise_and_not_with_rest_points_to_ankylosing_spondylitis(model):
    assert first(model, exercise_response="better", rest_response="worse") == "axial_spondyloarthritis"
    assert ratio(model, "axial_spondyloarthritis", exercise_response="worse", rest_response="better") < 0.6


@pytest.mark.parametrize(
    ("cause", "sign"),
    [
        ("aortic_aneurysm", {"pulsatile_abdominal_mass": True, "abdominal_pain": True}),
        ("pancreatitis", {"epigastric_tenderness": True, "pain_radiating_to_back": True}),
        ("kidney_infection", {"costovertebral_angle_tenderness": True, "fever": True, "flank_pain": True}),
        ("kidney_stone", {"costovertebral_angle_tenderness": True, "colicky_pain": True}),
    ],
)
def test_deep_pain_unrelated_to_movement_with_abdominal_signs_points_to_an_organ(model, cause, sign):
    deep = {"rest_response": "unchanged", "exercise_response": "unchanged"}
    assert first(model, **deep, **sign) == cause
    assert ratio(model, cause, **deep) > 2
    assert ratio(model, cause, **deep, **sign) > 20


def test_years_of_pain_speak_against_a_stone_but_not_against_the_pancreas(model):
    assert ratio(model, "pancreatitis", pain_duration="over_12_months") > 0.8
    assert ratio(model, "kidney_stone", pain_duration="over_12_months") < 0.5


def test_hip_signs_point_to_the_hip_joint_or_bursa(model):
    joint = {"groin_pain": True, "limited_hip_internal_rotation": True, "difficulty_with_socks_or_shoes": True}
    assert first(model, **joint) in ("hip_osteoarthritis", "hip_bone_lesion")
    assert ratio(model, "hip_osteoarthritis", **joint) > 8
    bursa = {"lateral_hip_pain": True, "trochanteric_tenderness": True, "pain_lying_on_side": True}
    assert first(model, **bursa) == "hip_bursitis"
    assert ratio(model, "hip_bursitis", **bursa) > 8


def test_progressive_leg_weakness_points_to_disc_or_cauda_equina(model):
    weak = {"leg_weakness": "progressive", "leg_pain": "below_knee", "age": 42}
    ranked = [r.cause for r in model.diagnose(weak).ranked("diagnoses", "likelihood_ratio")][:3]
    assert "cauda_equina" in ranked
    assert ratio(model, "disc_herniation", **weak) > 3


def test_bladder_or_bowel_changes_point_to_cauda_equina(model):
    findings = {"bladder_changes": "retention_or_incontinence", "bowel_changes": True, "saddle_numbness": True}
    assert first(model, **findings) == "cauda_equina"
    assert ratio(model, "cauda_equina", **findings) > 50


def test_fibromyalgia_with_tingling_legs_and_irritable_organs_is_no_emergency(model):
    widespread = {
        "age": 45, "sex": "female", "widespread_pain": True, "fatigue": True,
        "central_sensitisation_inventory": "high", "pain_duration": "over_12_months",
    }
    organs = {"bladder_changes": "irritative", "bowel_changes": True, "leg_numbness": True}
    assert model.diagnose({**widespread, **organs}).triage.level == "routine"
    saddle = {"saddle_numbness": True, "bladder_changes": "retention_or_incontinence"}
    assert model.diagnose({**widespread, **organs, **saddle}).triage.level == "emergency"


def test_bilateral_leg_pain_eased_by_sitting_points_to_severe_stenosis(model):
    findings = {"bilateral_leg_symptoms": True, "relief_sitting_or_bending_forward": True, "leg_pain": "below_knee"}
    assert first(model, **findings) == "spinal_stenosis"
    before = model.posterior("spinal_stenosis", {"pt_failure": True})["spinal_stenosis"]
    after = model.posterior("spinal_stenosis", {**findings, "pt_failure": True})["spinal_stenosis"]
    assert after["severe"] / before["severe"] > after["moderate"] / before["moderate"] > 3


def test_a_step_off_points_to_a_slip_and_most_to_a_high_grade_one(model):
    assert first(model, step_off=True) == "spondylolisthesis"
    before = model.posterior("spondylolisthesis")["spondylolisthesis"]
    after = model.posterior("spondylolisthesis", {"step_off": True})["spondylolisthesis"]
    assert after["high_grade"] / before["high_grade"] > after["low_grade"] / before["low_grade"] > 3


@pytest.mark.parametrize(
    ("cause", "finding"),
    [
        ("hep_nonadherence", {"home_exercise_sessions": "few_done"}),
        ("kinesiophobia", {"tampa_scale": "high"}),
        ("pain_catastrophizing", {"pain_catastrophizing_scale": "high"}),
        ("generic_programme", {"programme_individualised": "generic"}),
        ("not_reassessed", {"programme_reassessed": "rarely"}),
        ("overaggressive_programme", {"flare_after_sessions": "lasts_longer"}),
        ("poor_movement_patterns", {"movement_fault_observed": True}),
        ("poor_ergonomics", {"workstation_assessment": "poor"}),
        ("poor_sleep", {"sleep_index": "poor"}),
    ],
)
def test_person_and_programme_findings_lift_their_own_cause_most(model, cause, finding):
    ranked = model.diagnose(finding).ranked("contributors", "likelihood_ratio")
    assert ranked[0].cause == cause
    assert ranked[0].likelihood_ratio > 1.5


def test_nonspecific_pain_is_what_is_left_and_shrinks_when_therapy_failed(model):
    """Most back pain has no serious cause; a named source takes the unexplained share away."""
    everyone = model.posterior("nonspecific_mechanical")["nonspecific_mechanical"]["present"]
    failed = model.posterior("nonspecific_mechanical", {"pt_failure": True})
    assert failed["nonspecific_mechanical"]["present"] < everyone
    assert ratio(model, "nonspecific_mechanical", pulsatile_abdominal_mass=True) < 1


def test_a_chance_picture_is_not_the_cause(model):
    """A narrow canal or a slip on film at 75 leaves the cause far from certain."""
    narrow = model.diagnose({"age": 78, "lumbar_mri_canal": "moderate_stenosis"})["spinal_stenosis"]
    assert narrow.posterior < 0.5
    slip = model.diagnose({"age": 70, "lumbar_xray": "low_grade_slip"})["spondylolisthesis"]
    assert slip.posterior < 0.5


def test_severity_changes_the_chance_of_therapy(model):
    def fails(cause, state):
        return model.posterior("pt_failure", {cause: state})["pt_failure"]["present"]

    assert fails("spinal_stenosis", "severe") > fails("spinal_stenosis", "moderate") + 0.05
    assert fails("spondylolisthesis", "high_grade") > fails("spondylolisthesis", "low_grade") + 0.05


def test_one_flag_alone_does_not_alarm(model):
    """80 % of people with back pain have a red flag; none of the common ones means cancer."""
    for flag in ({"night_pain": True}, {"age": 66}, {"morning_stiffness": "over_30_min"},
                 {"unrelenting_pain": True}, {"recent_trauma": "minor"}):
        assert model.diagnose(flag)["spinal_malignancy"].posterior < 0.05, flag


# ------------------------------------------------------------------ review


def test_strict_review_is_clean(model):
    assert [str(w) for w in warnings_of(model)] == []


def test_four_fifths_of_the_parameters_cite_what_was_read(model):
    document = model.document
    counted = [p for p in document.parameters if not p.is_by_definition]
    read = [p for p in counted if p.is_read(document.studies)]
    assert len(read) / len(counted) >= 0.8
    for p in counted:
        assert p.is_read(document.studies) or len(p.expert) > 10, (p.variable, p.key)


def test_development_cases_reach_what_is_promised(model):
    """What README and the card claim; the figures there are written by a command."""
    summary = evaluate(model, shipped_cases(model), "findings").summary()
    assert summary["likelihood_ratio"]["top_1"] >= 0.6
    assert summary["likelihood_ratio"]["top_3"] >= 0.75
    assert summary["likelihood_ratio"]["emergency_recall"] >= 0.8


def test_further_cases_reach_what_the_card_says(model):
    result = evaluate(model, shipped_cases(model, "further"), "findings")
    summary = result.summary()
    assert summary["likelihood_ratio"]["top_1"] >= 0.5
    assert summary["likelihood_ratio"]["top_3"] >= 0.65
    right, of = result.triage()["emergency"]
    assert right >= 0.9 * of


STRICT = {
    "causes.yaml": test_modelfile.CAUSES + """\
ghost:
  label: Ghost
  group: underlying
  table: {p: 0.1, expert: seen by nobody, spread: 500}
""",
    "findings.yaml": """\
fever:
  label: Fever
  ask: Fever?
  group: systemic
  noisy_or:
    gout: {p: 0.1, expert: assumed}
    leak: {p: 0.3, background: {p: 0.2, without: [gout]}, expert: assumed}
silent:
  label: Silent
  group: systemic
  states: [none, some, never]
  table: {p: {none: 0.5, some: 0.5, never: 0.0}, expert: assumed}
""",
    "outcome.yaml": test_modelfile.OUTCOME.replace(
        "    leak:", "    ghost: {p: 0.1, expert: assumed}\n    leak:"),
}


def test_every_warning_of_the_review(tmp_path):
    small = bayesnet.load(test_modelfile.write_small(tmp_path, STRICT))
    text = "\n".join(map(str, warnings_of(small)))
    for part in (
        "ghost: no finding tells anything about this cause",
        "silent: tells nothing, its strongest likelihood ratio is 1.00",
        "silent: has no question to ask",
        "ghost: an expert estimate with a spread of 500",
        "only 0 of", "fever: the link of gout (present 0.1) is below the leak (0.3)",
        "fever: present occurs in 0.3 where 0.2 is stated", "silent: nobody is ever in state never",
    ):
        assert part in text, text
    assert re.search(r"findings\.yaml:\d+: fever: the link", text)


# ------------------------------------------------------------------ leaks


def test_solved_leaks_give_the_stated_rates_and_only_change_their_numbers(tmp_path):
    folder = test_modelfile.write_small(tmp_path, STRICT)
    before = (folder / "findings.yaml").read_text(encoding="utf-8")
    document = bayesnet.load(folder).document
    solved = solve_leaks(document)
    write_leaks(document, solved)
    after = (folder / "findings.yaml").read_text(encoding="utf-8")
    assert after == before.replace("p: 0.3, background", "p: 0.2, background")
    changed = bayesnet.load(folder)
    assert changed.posterior("fever", {"gout": False})["fever"]["present"] == pytest.approx(0.2)


def test_a_background_below_what_the_causes_produce_gives_the_smallest_leak(tmp_path):
    files = {**STRICT, "findings.yaml": STRICT["findings.yaml"].replace(
        "{p: 0.2, without: [gout]}", "{p: 0.0001, without: []}")}
    solved = solve_leaks(bayesnet.load(test_modelfile.write_small(tmp_path, files)).document)
    assert solved[0].after["present"] == pytest.approx(1e-4)
    assert solved[0].rates["present"] > 0.001


def test_the_shipped_leaks_are_solved(model):
    for s in solve_leaks(model.document):
        for state, rate in s.parameter.background.rates.items():
            assert s.rates[state] == pytest.approx(rate, rel=0.02), s.parameter.variable
            assert s.before[state] == pytest.approx(s.after[state], rel=0.02), "run model calibrate"


# ------------------------------------------------------------------ card and codes


def test_card_has_its_headings_and_is_the_committed_one(model):

    cases = shipped_cases(model)
    text = model_card(model, cases, "MODEL_CARD_network.svg", shipped_cases(model, "further"))
    for heading in ("Purpose", "What it is not for", "Population and outcome", "Structure",
                    "Evidence", "Causes", "Published results", "Published cases", "Limits",
                    "What is not known", "Every parameter", "Studies"):
        assert f"## {heading}" in text
    assert "### Further cases" in text
    committed = (test_modelfile.ROOT / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert committed == text, "run: bayesnet model card -o MODEL_CARD.md"
    assert "Not discussed yet" not in text
    assert "not explained" not in text


def test_notes_speak_of_known_cases(model):
    known = {c.id for c in shipped_cases()}
    assert set(read_notes(model).misses) <= known


def test_grades(model):
    grades = {evidence_grade(p, model.document.studies) for p in model.document.parameters}
    assert {"meta-analysis", "cohort", "expert", "by definition"} <= grades


def test_codes_are_verified_ones(model):
    with data_file("codes.csv").open(encoding="utf-8", newline="") as file:
        verified = {(r["variable"], r["system"], r["code"]) for r in csv.DictReader(file)}
    used = {
        (v.id, system, code)
        for v in model.network.variables.values()
        for system, codes in v.codes.items()
        for code in codes
    }
    assert used == verified
    assert len(used) > 50


@pytest.mark.parametrize(
    ("cause", "shorter_is_likelier"),
    [("vertebral_infection", True), ("vertebral_fracture", True), ("cauda_equina", True),
     ("kidney_stone", True), ("central_sensitisation", False)],
)
def test_duration_of_the_pain_speaks_for_what_is_found_early(cause, shorter_is_likelier):
    model = bayesnet.load("pt_failure")
    weeks, years = (
        model.diagnose({"pain_duration": d})[cause].likelihood_ratio
        for d in ("under_3_months", "over_12_months")
    )
    assert (weeks > 1 > years) is shorter_is_likelier
    assert (years > 1 > weeks) is not shorter_is_likelier
