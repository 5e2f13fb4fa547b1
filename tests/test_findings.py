"""Bad input about a patient: every message, by its text."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bayesnet import EvidenceError, ImpossibleEvidenceError
from bayesnet.diagnosis.patient import parse_patient


def message(model, findings) -> str:
    with pytest.raises(EvidenceError) as error:
        model.diagnose(findings)
    return str(error.value)


@pytest.mark.parametrize(
    ("findings", "expected"),
    [
        ({"morning_stifness": "none"},
         "unknown variable 'morning_stifness'. Did you mean morning_stiffness?"),
        ({"rest_response": "beter"},
         "rest_response: 'beter' is not a state; expected better, unchanged, worse. "
         "Did you mean better?"),
        ({"fever": "yep"}, "fever: 'yep' is not a state; expected absent, present (or false, true)."),
        ({"fever": 3}, "fever: expected a state, not the number 3; expected absent, present"),
        ({"rest_response": True},
         "rest_response: true or false does not say which state; expected better, unchanged, worse"),
        ({"age": 15},
         "age: 15 is outside 18 to 110 years; the model does not speak of such patients"),
        ({"age": 140}, "age: 140 is outside 18 to 110 years"),
        ({"age": "old"}, "age: 'old' is not a state; expected 18-34, 35-49, 50-64, 65-74, 75+ "
                         "(or a number from 18 to 110)."),
        ({"leg_pain": []}, "leg_pain: an empty list; expected none, above_knee, below_knee"),
        ({"leg_pain": ["none", "everywhere"]}, "leg_pain: 'everywhere' is not a state"),
        ({"leg_pain": [["none"]]}, "leg_pain: ['none'] in a list of states"),
        ({"fever": object()}, "fever: expected a state, not object; expected absent, present"),
        ({"fever": {"present": 0.8}}, "fever: virtual evidence needs a likelihood for absent too"),
        ({"fever": {"present": -1, "absent": 1}},
         "fever: the likelihood of present must be a number of at least 0, not -1"),
        ({"fever": {"present": 0, "absent": 0}}, "fever: virtual evidence gives every state"),
        ([("fever", True)], "findings must be a mapping of variable to state, such as {'age': 54}, not list"),
    ],
)
def test_message(model, findings, expected):
    assert expected in message(model, findings)


def test_one_error_lists_all_that_is_wrong(model):
    text = message(model, {"feber": True, "age": 12, "leg_pain": "foot"})
    assert text.startswith("3 problems:")
    assert "Did you mean fever?" in text
    assert "age: 12 is outside" in text
    assert "leg_pain: 'foot'" in text


def test_an_initial_is_understood_but_not_taken(model):
    assert message(model, {"sex": "M"}).endswith("Did you mean male?")
    assert "Did you mean" not in message(model, {"onset": "x"})


def test_impossible_findings_are_named(model):
    with pytest.raises(ImpossibleEvidenceError) as error:
        model.diagnose(
            {"fever": True, "age": 25, "leg_pain": "none", "age_at_onset": "45_or_over"}
        )
    assert set(error.value.clashing) == {"age", "age_at_onset"}
    assert "impossible together: age = 18-34; age_at_onset = 45_or_over" in str(error.value)


@pytest.mark.parametrize("nothing", [None, math.nan, np.nan])
def test_missing_means_not_known(model, nothing):
    assert (
        model.diagnose({"fever": nothing}).log_evidence == model.diagnose({}).log_evidence
    )


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ({"age": 34}, {"age": "18-34"}),
        ({"age": 34.9}, {"age": "18-34"}),
        ({"age": 35}, {"age": "35-49"}),
        ({"age": 110}, {"age": "75+"}),
        ({"age": "52"}, {"age": 52}),
        ({"age": np.int64(52)}, {"age": 52}),
        ({"fever": True}, {"fever": "present"}),
        ({"fever": "true"}, {"fever": "present"}),
        ({"fever": np.bool_(False)}, {"fever": "absent"}),
        ({"leg_pain": ["none", "above_knee", "below_knee"]}, {}),
        ({"fever": {"absent": 0.2, "present": 0.2}}, {}),
        ({"fever": {"absent": 0, "present": 5}}, {"fever": True}),
    ],
)
def test_ways_of_saying_the_same(model, a, b):
    left, right = model.diagnose(a), model.diagnose(b)
    for x, y in zip(left.results, right.results, strict=True):
        assert x.posterior == pytest.approx(y.posterior, abs=1e-14)


def test_part_knowledge_lies_between(model):
    both = model.posterior("disc_herniation", {"leg_pain": ["above_knee", "below_knee"]})
    one = model.posterior("disc_herniation", {"leg_pain": "above_knee"})
    other = model.posterior("disc_herniation", {"leg_pain": "below_knee"})
    assert (
        one["disc_herniation"]["present"]
        < both["disc_herniation"]["present"]
        < other["disc_herniation"]["present"]
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"fever": true, "fever": false}', "'fever' is given twice; keep one"),
        ("fever: true\nage: 40\nfever: false\n",
         "p.yaml:3: 'fever' is written twice (first on line 1); keep one"),
        ('{"fever": tru}', "p.yaml:1: is not valid JSON: Expecting value"),
        ("{fever: true\nage: 3", "p.yaml:2: is not valid YAML"),
        ("fever: [true\nage: 3", "p.yaml:2: is not valid YAML"),
        ("- fever\n- age", "expected a mapping such as `age: 54`, not list"),
        (b"\xff\xfe\x00", "is not UTF-8 text (byte 0)"),
    ],
)
def test_malformed_patient_files(text, expected):
    with pytest.raises(EvidenceError) as error:
        parse_patient(text, "p.yaml")
    assert expected in str(error.value)


@pytest.mark.parametrize("text", [
    "{age: 54, fever: present, leg_pain: [none, above_knee]}",
    "{\n  'age': 54, fever: present,\n  leg_pain: [none, above_knee],\n}\n",
    '{"age": 54, "fever": "present", "leg_pain": ["none", "above_knee"]}',
])
def test_braces_are_yaml_as_well_as_json(text):
    wanted = {"age": 54, "fever": "present", "leg_pain": ["none", "above_knee"]}
    assert parse_patient(text, "p") == wanted
    assert parse_patient("{}", "p") == {}


def test_case_format_is_accepted():
    assert parse_patient('{"id": "x", "findings": {"age": 3}, "tests": {"fever": true}}', "p") == {
        "age": 3,
        "fever": True,
    }
    with pytest.raises(EvidenceError, match="both findings and tests"):
        parse_patient('{"findings": {"age": 3}, "tests": {"age": 4}}', "p")
