"""The shipped model: the contract of names, exactness against pgmpy, and what the numbers mean."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import yaml
from oracle import to_pyagrum

import bayesnet
from bayesnet.diagnosis.ranking import rank_among
from bayesnet.inference import likelihoods_of
from bayesnet.network import NoisyMax
from bayesnet.validation import evaluate, shipped_cases

VOCABULARY = yaml.load((Path(__file__).parent / "vocabulary.yaml").read_text(), yaml.BaseLoader)


def contract() -> dict[str, tuple[tuple[str, ...], str]]:
    found: dict[str, tuple[tuple[str, ...], str]] = {}

    def walk(data, part):
        for key, value in data.items():
            if key == "two_state":
                found.update(dict.fromkeys(value, (("absent", "present"), part)))
            elif isinstance(value, dict):
                walk(value, key if part == "causes" else part)
            else:
                found[key] = (tuple(value), part)

    for part, data in VOCABULARY.items():
        for name, inner in ({"": data} if part != "causes" else data).items():
            walk(inner, name or part)
    return found


def test_every_id_and_state_of_the_vocabulary(model):
    names = contract()
    assert len(names) == 186
    for id, (states, _) in names.items():
        assert model.network[id].states == states, id


def test_families_and_roles_follow_the_vocabulary(model):
    families = {"underlying", "structural", "psychosocial", "programme", "fallback"}
    for family in families:
        in_model = {c for c in model.causes if model.network[c].group == family}
        listed = set()
        for key, value in VOCABULARY["causes"][family].items():
            listed |= set(value) if key == "two_state" else {key}
        assert in_model == listed
    for part, role in (("context", "context"), ("history", "history"), ("tests", "test"),
                       ("examination", "examination"), ("questionnaires", "questionnaire")):
        listed = set()
        for key, value in VOCABULARY[part].items():
            listed |= set(value) if key == "two_state" else {key}
        assert set(model.network.of_role(role)) == listed


def test_every_parameter_says_where_it_comes_from(model):
    studies = model.document.studies
    for p in model.document.parameters:
        assert p.studies or p.expert, (p.variable, p.key)
        assert all(s in studies for s in p.studies)


def test_outcome_hangs_on_every_cause(model):
    distribution = model.network.distributions["pt_failure"]
    assert isinstance(distribution, NoisyMax)
    assert set(distribution.parents) == set(model.causes)


@pytest.fixture(scope="module")
def patients(model):
    """Findings of twelve published cases and eight simulated patients."""
    cases = shipped_cases()[::5][:12]
    found = [c.evidence() for c in cases]
    rng = np.random.default_rng(4)
    for _ in range(8):
        states: dict[str, int] = {}
        for v in model.network.topological_order:
            if v == "pt_failure":
                continue
            p = model.network.table(v)[tuple(states[u] for u in model.network.parents(v))]
            states[v] = int(rng.choice(len(p), p=p / p.sum()))
        seen = [v for v in states if model.network[v].role not in ("cause", "mechanism")]
        chosen = rng.choice(seen, size=25, replace=False)
        found.append({v: model.network[v].states[states[v]] for v in chosen})
    return found


def hard_only(model, findings):
    """pgmpy takes one state a variable; a list of states is virtual evidence there."""
    hard, soft = {}, {}
    for v, vector in likelihoods_of(model.network, findings).items():
        if (vector > 0).sum() == 1:
            hard[v] = model.network[v].states[int(vector.argmax())]
        else:
            soft[v] = vector
    return hard, soft


def test_twenty_patients_agree_with_pgmpy(model, patients):
    """Before anything is known of the outcome, with which pgmpy takes minutes."""
    from pgmpy.factors.discrete import TabularCPD
    from pgmpy.inference import VariableElimination

    peer_network = model.to_pgmpy()
    assert peer_network.check_model()
    assert max(c.values.size for c in peer_network.get_cpds()) < 10_000
    peer = VariableElimination(peer_network)
    rng = np.random.default_rng(1)
    assert len(patients) == 20
    for findings in patients:
        hard, soft = hard_only(model, findings)
        virtual = [
            TabularCPD(v, len(x), x[:, None], state_names={v: list(model.network[v].states)})
            for v, x in soft.items()
        ]
        ours = model.posterior(model.causes, findings)
        for cause in rng.choice(model.causes, size=4, replace=False):
            theirs = peer.query(
                [str(cause)], evidence=hard, virtual_evidence=virtual or None, show_progress=False
            )
            for state, p in ours[str(cause)].items():
                assert p == pytest.approx(theirs.get_value(**{str(cause): state}), abs=1e-9)


def test_any_pgmpy_network_comes_in():
    from pgmpy.factors.discrete import TabularCPD
    from pgmpy.models import DiscreteBayesianNetwork

    theirs = DiscreteBayesianNetwork([("a", "c"), ("b", "c")])
    theirs.add_cpds(
        TabularCPD("a", 2, [[0.2], [0.8]]),
        TabularCPD("b", 3, [[0.2], [0.3], [0.5]], state_names={"b": ["x", "y", "z"]}),
        TabularCPD("c", 2, [[0.1, 0.2, 0.3, 0.4, 0.5, 0.6], [0.9, 0.8, 0.7, 0.6, 0.5, 0.4]],
                   evidence=["a", "b"], evidence_card=[2, 3], state_names={
                       "c": ["no", "yes"], "a": [0, 1], "b": ["x", "y", "z"]}),
    )
    ours = bayesnet.from_pgmpy(theirs)
    assert ours.network["a"].states == ("0", "1")
    assert ours.posterior("c", {"a": 1, "b": "y"})["c"]["no"] == pytest.approx(0.5)
    theirs.remove_cpds("c")
    with pytest.raises(ValueError, match="node 'c' has no CPD"):
        bayesnet.from_pgmpy(theirs)


@pytest.mark.parametrize("answers", [10, 25, 100])
def test_all_causes_agree_with_pyagrum_on_the_exported_network(model, answers):
    """Therapy failed, and everything known beforehand is told: without it pyAgrum takes minutes."""
    import pyagrum as gum

    told = model.simulate(1, seed=5, given={"pt_failure": True}).iloc[0].dropna().to_dict()
    asked = [v for v in told if model.network[v].role not in ("context", "outcome")]
    left_out = np.random.default_rng(answers).permutation(asked)[answers:]
    findings = {v: str(s) for v, s in told.items() if v not in {*left_out, "pt_failure"}}
    peer = gum.LazyPropagation(to_pyagrum(bayesnet.from_pgmpy(model.to_pgmpy()).network))
    peer.setTargets(set(model.causes))
    peer.setEvidence({**findings, "pt_failure": str(told["pt_failure"])})
    peer.makeInference()
    ours = model.diagnose(findings)
    for cause in model.causes:
        np.testing.assert_allclose(
            peer.posterior(cause).toarray(), list(ours[cause].states.values()), atol=1e-12
        )


def test_necessity_is_what_removing_the_link_changes(model, patients):
    """Against the definition: the same network with the link taken out."""
    for findings in patients[:3]:
        result = model.diagnose(findings)
        vectors = likelihoods_of(model.network, findings)
        fail = {**vectors, "pt_failure": np.array([0.0, 1.0])}
        success = {**vectors, "pt_failure": np.array([1.0, 0.0])}
        p_fail = math.exp(model.run([fail], ()).log_evidence[0])
        p_success = math.exp(model.run([success], ()).log_evidence[0])
        for cause in ("axial_spondyloarthritis", "spinal_stenosis", "hep_nonadherence",
                      "nonspecific_mechanical"):
            without = model.without_outcome_link(cause)
            p_without = math.exp(without.run([success], ()).log_evidence[0])
            expected = (p_without - p_success) / p_fail
            assert result[cause].necessity == pytest.approx(expected, rel=1e-6, abs=1e-12)


def test_necessity_never_exceeds_the_posterior(model, patients):
    for findings in patients:
        for r in model.diagnose(findings).results:
            assert 0 <= r.necessity <= r.posterior + 1e-12


def test_likelihood_ratio_is_posterior_over_prior_odds(model):
    r = model.diagnose({"pulsatile_abdominal_mass": True})["aortic_aneurysm"]
    odds = (r.posterior / (1 - r.posterior)) / (r.prior / (1 - r.prior))
    assert r.likelihood_ratio == pytest.approx(odds, rel=1e-9)
    assert r.prior == pytest.approx(
        model.posterior("aortic_aneurysm", {"pt_failure": True})["aortic_aneurysm"]["present"]
    )


def test_nothing_known_leaves_every_cause_at_its_prior(model):
    for r in model.diagnose({}).results:
        assert r.likelihood_ratio == pytest.approx(1, rel=1e-9)


def test_the_outcome_may_be_told_otherwise(model):
    unknown = model.diagnose({"pt_failure": None})
    assert unknown["depression"].posterior == pytest.approx(
        model.posterior("depression")["depression"]["present"]
    )
    succeeded = model.diagnose({"pt_failure": False})
    assert math.isnan(succeeded["depression"].necessity)


def test_base_rates_are_those_of_people_who_start_pt(model):
    marginals = model.posterior()
    assert 0.5 < marginals["pt_failure"]["present"] < 0.68
    bounds = {
        "axial_spondyloarthritis": (0.01, 0.04), "aortic_aneurysm": (0.0003, 0.003),
        "cauda_equina": (0.0003, 0.002), "spinal_malignancy": (0.002, 0.01),
        "disc_herniation": (0.02, 0.08), "hep_nonadherence": (0.3, 0.6),
        "kinesiophobia": (0.3, 0.6), "depression": (0.15, 0.3),
        "nonspecific_mechanical": (0.35, 0.65),
    }
    for cause, (low, high) in bounds.items():
        assert low < 1 - marginals[cause][model.network[cause].states[0]] < high, cause


def test_findings_point_where_clinicians_expect(model):
    def leads(cause, findings, by="likelihood_ratio"):
        group = model.diagnose(findings)[cause].group
        return model.diagnose(findings).ranked(group, by)[0].cause

    assert leads("axial_spondyloarthritis", {
        "age": 28, "exercise_response": "better", "rest_response": "worse",
        "second_half_night_waking": True, "morning_stiffness": "over_30_min",
    }) == "axial_spondyloarthritis"
    assert leads("aortic_aneurysm", {
        "age": 72, "sex": "male", "smoking": "current", "pulsatile_abdominal_mass": True,
        "rest_response": "unchanged",
    }) == "aortic_aneurysm"
    assert leads("cauda_equina", {
        "bladder_changes": "retention_or_incontinence", "saddle_numbness": True,
        "leg_weakness": "progressive",
    }) == "cauda_equina"
    assert leads("spinal_stenosis", {
        "age": 74, "neurogenic_claudication": True, "bilateral_leg_symptoms": True,
        "relief_sitting_or_bending_forward": True,
    }) == "spinal_stenosis"
    assert leads("hep_nonadherence", {"home_exercise_sessions": "few_done"}) == "hep_nonadherence"
    assert leads("kinesiophobia", {"tampa_scale": "high"}) == "kinesiophobia"


@pytest.mark.parametrize("by", ["necessity", "posterior", "likelihood_ratio"])
def test_ranking(model, by):
    result = model.diagnose({"age": 60, "leg_pain": "below_knee"})
    values = [getattr(r, by) for r in result.ranked("diagnoses", by)]
    assert values == sorted(values, reverse=True)
    assert {r.group for r in result.ranked("contributors")} == {"contributors"}
    with pytest.raises(ValueError, match="Did you mean posterior"):
        result.ranked(by="posteriors")


def test_causes_that_tie_are_not_ordered_by_rounding(model):
    nothing = model.diagnose({})
    ratios = {r.likelihood_ratio for r in nothing.ranked("diagnoses")}
    assert all(ratio == pytest.approx(1, abs=1e-9) for ratio in ratios)
    by_ratio = [r.cause for r in nothing.ranked("diagnoses", "likelihood_ratio")]
    assert by_ratio == [r.cause for r in nothing.ranked("diagnoses")]
    blank = next(c for c in shipped_cases() if not c.findings)
    (score,) = evaluate(model, [blank], "findings").scores
    assert score.ranks["likelihood_ratio"] == len(by_ratio)  # told nothing, it has found nothing
    assert rank_among(1 + 1e-13, [1.0, 2.0, 0.5, float("nan")]) == 3
    assert rank_among(float("nan"), [0.1]) == 2


def test_tables_and_reprs(model):
    result = model.diagnose({"age": 60, "leg_pain": "below_knee"})
    assert list(result.causes.columns) == [
        "cause", "state", "family", "group", "posterior", "prior", "likelihood_ratio", "necessity",
    ]
    assert len(result.diagnoses) + len(result.contributors) == len(result.causes) == 34
    assert "not a medical device" in repr(result).lower()
    assert "not a medical device" in result._repr_html_().lower()
    assert "<table" in model.posterior("sex")._repr_html_()
    with pytest.raises(KeyError, match="Did you mean depression"):
        result["depresion"]
    unasked = result.posterior("hla_b27")
    assert sum(unasked["hla_b27"].values()) == pytest.approx(1)


def test_figures_draw_without_a_display(model, tmp_path):
    import matplotlib as mpl

    mpl.use("Agg")
    model.plot().figure.savefig(tmp_path / "network.png")
    axes = model.diagnose({"age": 60, "leg_pain": "below_knee"}).plot()
    labels = [t.get_text() for t in axes.get_yticklabels()]
    assert "Disc herniation" in " ".join(labels)
    axes.figure.savefig(tmp_path / "causes.svg")
