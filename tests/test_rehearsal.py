"""Interviews with simulated patients: who is drawn, and how the questions are counted."""

from __future__ import annotations

import numpy as np
import pytest
import test_attribution
from oracle import joint

import bayesnet
from bayesnet.diagnosis.necessity import outcome_links
from bayesnet.errors import EvidenceError
from bayesnet.inference.sampling import forward_samples
from bayesnet.validation.rehearsal import STRATEGIES, Rehearsal, rehearse, simulated_patients


@pytest.fixture
def small(tmp_path):
    return test_attribution.model_of(tmp_path, 1)


def test_forward_samples_have_the_networks_marginals(small):
    n = 200_000
    drawn = forward_samples(small.network, n, np.random.default_rng(4))
    exact = small.posterior()
    for v, states in drawn.items():
        for i, p in enumerate(exact[v].values()):
            assert np.mean(states == i) == pytest.approx(p, abs=4.5 * np.sqrt(p * (1 - p) / n) + 1e-12)


def test_the_reasons_are_drawn_as_often_as_they_should(small):
    """Against the sum over all causes of P(x) link_c(x) prod over the other diagnoses (1 - link)."""
    network = small.network
    axes = {v: i for i, v in enumerate(network.variables)}
    links = outcome_links(network, "failed")
    diagnoses = ("slip", "narrow", "cauda")
    order = sorted(diagnoses, key=axes.get)
    p = joint(network).sum(axis=tuple(i for v, i in axes.items() if v not in diagnoses))
    weights = {}
    for reason in diagnoses:
        product = p
        for k, c in enumerate(order):
            x = links[c] if c == reason else 1 - links[c]
            product = product * x.reshape([-1 if j == k else 1 for j in range(3)])
        weights[reason] = product.sum()
    n = 4000
    drawn = [x.reason for x in simulated_patients(small, n, seed=2, top=0)]
    for c, w in weights.items():
        share = w / sum(weights.values())
        assert drawn.count(c) / n == pytest.approx(share, abs=4.5 * np.sqrt(share * (1 - share) / n))


def test_reasons_that_are_plain_at_once_are_left_out(small):
    first = {s: small.diagnose({"sex": s}).ranked("diagnoses")[0].cause for s in ("female", "male")}
    patients = simulated_patients(small, 50, seed=3, top=1)
    assert all(p.reason != first[p.findings["sex"]] for p in patients)
    with pytest.raises(EvidenceError, match="only 0 of 5 patients"):
        simulated_patients(small, 5, top=3, max_draws=20_000)


def test_an_interview_ends_where_all_is_known(small):
    """After every question has been put, the order in which they were put cannot matter."""
    found = rehearse(small, 12, 99, seed=1, top=1)
    assert found.questions == len(small.network.of_role("history", "programme", "context")) - 1
    last = [found.found[s][:, -1] for s in STRATEGIES]
    assert (last[0] == last[1]).all()
    assert (last[0] == last[2]).all()
    assert (found.found["fixed"][:, 0] == 0).all()
    assert found.within_reach["consultation"] == last[0].mean()
    again = rehearse(small, 12, 99, seed=1, top=1)
    assert again.to_dict() == found.to_dict()


def test_questions_are_counted_by_hand():
    found = Rehearsal(4, {
        "next_best": np.array([[0, 1, 1, 1], [0, 0, 1, 1], [0, 0, 0, 0], [0, 1, 0, 1]]),
        "fixed": np.array([[0, 0, 0, 1]] * 4),
    })
    assert found.questions == 3
    assert found.share("next_best").tolist() == [0, 0.5, 0.5, 0.75]
    assert found.mean_questions("next_best") == (1 + 2 + 3 + 1) / 4
    assert found.mean_questions("fixed") == 3
    assert found.questions_to_reach("next_best", 0.6) == 3
    assert found.questions_to_reach("next_best", 0.9) is None


def test_on_the_shipped_model_the_next_best_question_is_worth_more_than_a_form():
    found = rehearse(bayesnet.load("pt_failure"), 8, 30, seed=1)
    assert found.mean_questions("next_best") < 0.75 * found.mean_questions("fixed")
