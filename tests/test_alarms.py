"""How often triage raises an alarm in simulated patients."""

from __future__ import annotations

import math

import pytest
import test_attribution

import bayesnet
from bayesnet.errors import EvidenceError
from bayesnet.validation.alarms import alarm_rates


@pytest.fixture(scope="module")
def rates():
    return alarm_rates(bayesnet.load("pt_failure"), 6000, 60, seed=2).set_index("cause")


def test_who_is_drawn_is_as_common_as_the_model_says(rates):
    model = bayesnet.load("pt_failure")
    exact = model.posterior(model.causes, {"pt_failure": True})
    for cause, row in rates.iterrows():
        if cause in exact:
            p = 1 - exact[cause]["absent"]
            assert row["drawn"] == pytest.approx(p, abs=4.5 * math.sqrt(p / 6000))
    assert rates.loc["everybody", "drawn"] == 1
    assert rates["patients"].max() == 600


def test_levels_are_those_of_each_patients_own_triage():
    """The shares of everybody, one patient at a time."""
    model = bayesnet.load("pt_failure")
    found = alarm_rates(model, 200, 2, seed=5).set_index("cause").loc["everybody"]
    people = model.simulate(200, 5, {"pt_failure": True}, {"test": 1.0}).head(20)
    levels = [
        model.diagnose({v: x for v, x in row.items() if isinstance(x, str)}).triage.level
        for _, row in people.iterrows()
    ]
    assert found["patients"] == len(levels) == 20
    for level in ("emergency", "urgent", "routine"):
        assert found[level] == levels.count(level) / 20


def test_serious_causes_alarm_more_than_the_rest(rates):
    assert rates[["emergency", "urgent", "routine"]].sum(axis=1).to_numpy() == pytest.approx(1)
    assert rates.loc["cord_compression", "routine"] < 0.2 < 0.6 < rates.loc["none", "routine"]


def test_a_model_without_pathways_has_no_triage(tmp_path):
    model = test_attribution.model_of(tmp_path, 1)
    with pytest.raises(EvidenceError, match="no triage"):
        alarm_rates(model)
