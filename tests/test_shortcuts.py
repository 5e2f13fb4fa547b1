"""Programs that leave out findings that are absent or unknown give the answers of the whole network."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import joint, posteriors
from strategies import build, likelihoods

from bayesnet import load
from bayesnet.cohort.typical import KNOWN_FINDINGS, typical_codes
from bayesnet.inference import Strata, compile_program, run, run_codes, stack_rows
from bayesnet.inference.compile import separable
from bayesnet.inference.shortcuts import (
    Shortcut,
    Shortcuts,
    left_out_of,
    neutral_state,
    search_shortcuts,
    written_shortcuts,
)
from bayesnet.network import Network, NoisyMax, Table, Variable

KINDS = ("table", "noisy_max", "noisy_max", "noisy_nor", "odds_ratio")


@st.composite
def diagnostic(draw, most: int = 7) -> Network:
    n = draw(st.integers(1, most))
    kinds = draw(st.lists(st.sampled_from(KINDS), min_size=n, max_size=n))
    return build(draw(st.integers(0, 2**32 - 1)), n, kinds)


def silent(draw, network: Network, v: str) -> np.ndarray | None:
    """What leaves a separable variable uncoupled: nothing said, or its neutral state."""
    choice = draw(st.sampled_from(("nothing", "ones", "neutral")))
    if choice == "nothing":
        return None
    size = len(network[v])
    return np.ones(size) if choice == "ones" else np.eye(size)[neutral_state(network, v)]


@given(data=st.data(), network=diagnostic(), free=st.booleans())
@settings(max_examples=200, deadline=None)
def test_findings_taken_apart_agree_with_enumeration(data, network, free):
    some = separable(network)
    apart = data.draw(st.sets(st.sampled_from(some))) if some else set()
    vectors = {v: x for v, x in data.draw(likelihoods(network)).items() if v not in apart}
    for v in sorted(apart):
        said = silent(data.draw, network, v)
        if said is not None:
            vectors[v] = said
    program = compile_program(
        network, apart=apart, free=network.variables if free else (), free_hubs=free, tries=1
    )
    tables = {v: [f.values[None] for f in network.factors_of(v)] for v in network.variables}
    targets = [v for v in network.variables if v not in apart]
    batch = stack_rows(program, [vectors])
    expected, total = posteriors(network, joint(network), vectors)
    for backend in ("kernels", "numpy"):
        got = run(program, batch, targets, tables if free else None, backend=backend)
        if total < 1e-250:
            return
        assert np.exp(got.log_evidence[0]) == pytest.approx(total, rel=1e-10)
        assert got.posteriors.keys() == set(targets)
        for v in targets:
            np.testing.assert_allclose(got.posteriors[v][0], expected[v], rtol=0, atol=1e-10)


@given(data=st.data(), network=diagnostic(), by=st.sampled_from([(), ("v0",)]))
@settings(max_examples=200, deadline=None)
def test_whichever_shortcut_answers_the_answer_is_that_of_enumeration(data, network, by):
    leaves = [v for v in left_out_of(network) if v not in by]
    sets = st.sets(st.sampled_from(leaves), min_size=1) if leaves else st.nothing()
    without = data.draw(st.lists(sets, max_size=3)) if leaves else []
    strata = Strata(
        network, by, shortcuts=tuple(Shortcut(frozenset(w), ()) for w in without)
    )
    rows = []
    for _ in range(data.draw(st.integers(1, 6))):
        vectors = data.draw(likelihoods(network))
        for v in leaves:
            if data.draw(st.booleans()) and neutral_state(network, v) >= 0:
                said = silent(data.draw, network, v)
                vectors = {u: x for u, x in vectors.items() if u != v}
                vectors |= {} if said is None else {v: said}
        rows.append(vectors)
    batch = stack_rows(strata, rows)
    targets = data.draw(st.sets(st.sampled_from(list(network.variables)), min_size=1))
    got = strata.run(batch, targets)
    table = joint(network)
    for i, vectors in enumerate(rows):
        alone = strata.run(batch[i : i + 1], targets)
        assert alone.log_evidence[0] == got.log_evidence[i]
        expected, total = posteriors(network, table, vectors)
        for v in targets:
            assert np.array_equal(alone.posteriors[v][0], got.posteriors[v][i], equal_nan=True)
            if total > 1e-250:
                np.testing.assert_allclose(got.posteriors[v][i], expected[v], rtol=0, atol=1e-10)
        if total > 1e-250:
            assert np.exp(got.log_evidence[i]) == pytest.approx(total, rel=1e-10)


def clinic() -> Network:
    """Six causes; findings of one, two or four of them, a graded one, and a table of two."""
    rng = np.random.default_rng(4)
    variables, distributions = [], {}

    def add(name, states, distribution):
        variables.append(Variable(name, states))
        distributions[name] = distribution

    for i in range(6):
        add(f"c{i}", ("no", "yes"), Table((), [1 - 0.1 * (i + 1), 0.1 * (i + 1)]))
    for j, parents in enumerate([(0,), (1,), (0, 1), (2, 3), (4, 5), (0, 2, 4, 5), (1, 3, 5), (0, 3)]):
        links = [np.array([[1.0, 0.0], [1 - p, p]]) for p in rng.random(len(parents))]
        add(f"f{j}", ("absent", "present"),
            NoisyMax(tuple(f"c{p}" for p in parents), tuple(links), np.array([0.9, 0.1])))
    link = np.array([[1.0, 0, 0], [0.2, 0.5, 0.3]])
    add("graded", ("none", "some", "much"), NoisyMax(("c1", "c4"), (link, link), np.array([0.8, 0.1, 0.1])))
    add("test", ("negative", "positive"), Table(("c2", "c5"), rng.dirichlet((1, 1), (2, 2))))
    return Network(variables, distributions)


def test_a_patient_takes_the_first_shortcut_that_fits():
    network = clinic()
    shortcuts = Shortcuts(network, (
        Shortcut(frozenset({"f5", "f6", "graded", "test"}), ()), Shortcut(frozenset({"f5"}), ()),
    ))
    names = list(network.variables)

    def code(**states):
        row = np.full(len(names), -1, np.int8)
        for v, state in states.items():
            row[names.index(v)] = network[v].states.index(state)
        return row

    rows = [
        (code(), 0), (code(f5="absent", graded="none", f0="present"), 0), (code(f6="present"), 1),
        (code(graded="some"), 1), (code(test="negative"), 1), (code(f5="present"), -1),
    ]
    codes = np.stack([row for row, _ in rows])
    expected = [place for _, place in rows]
    counts = shortcuts.counts_in_codes(codes)
    assert shortcuts.fitting(counts, ["c0"]).tolist() == expected
    # Who asks about a finding gets a program that has it.
    assert shortcuts.fitting(counts, ["c0", "f6"]).tolist() == [1, 1, 1, 1, 1, -1]
    assert shortcuts.fitting(counts, ["f5"]).tolist() == [-1] * 6
    eyes = [np.eye(len(v)) for v in network.variables.values()]
    likelihood = np.stack([
        np.concatenate([e[k] if k >= 0 else np.ones(len(e)) for e, k in zip(eyes, row, strict=True)])
        for row in codes
    ])
    assert np.array_equal(shortcuts.counts_in_likelihood(likelihood), counts)
    # A weight of all states other than one, or doubt about an absent finding, is no shortcut's.
    for vector in ([0.5, 0.5], [0.5, 0.0], [1.0, 0.1]):
        doubtful = likelihood[:1].copy()
        start = sum(len(e) for e in eyes[: names.index("f5")])
        doubtful[0, start : start + 2] = vector
        at = shortcuts.findings.index("f5")
        assert shortcuts.counts_in_likelihood(doubtful)[0, at]


def test_typical_patients_have_known_strata_and_some_known_findings():
    model = load("pt_failure")
    network = model.network
    codes = typical_codes(model, 60, seed=1)
    names = list(network.variables)
    known = (codes >= 0).sum(axis=1) - len(model.strata.by)
    assert known.tolist() == np.resize(KNOWN_FINDINGS, 60).tolist()
    assert (codes[:, names.index("age")] >= 0).all()
    hidden = [i for i, v in enumerate(network.variables.values()) if v.role in ("cause", "outcome")]
    assert (codes[:, hidden] < 0).all()


def test_a_search_peels_off_what_couples():
    network = clinic()
    order = compile_program(network).order
    rng = np.random.default_rng(0)
    codes = np.full((200, len(network.variables)), -1, np.int8)
    for j, v in enumerate(network.variables):
        if not v.startswith("c"):
            asked = rng.random(200) < 0.5
            codes[asked, j] = rng.random(asked.sum()) < 0.2
    found = search_shortcuts(network, order, codes, most=4, seed=3)
    assert 1 <= len(found) <= 4
    assert found == search_shortcuts(network, order, codes, most=4, seed=3)
    assert "f5" in found[0].without
    strata = Strata(network, (), order, shortcuts=found)
    sizes = [strata.program(None, i).multiplications for i in range(len(found))]
    assert max(sizes) < strata.program().multiplications
    causes = [f"c{i}" for i in range(6)]
    expected, got = run_codes(compile_program(network), codes, causes), strata.run_codes(codes, causes)
    np.testing.assert_allclose(got.log_evidence, expected.log_evidence, rtol=1e-12)
    for c in causes:
        np.testing.assert_allclose(got.posteriors[c], expected.posteriors[c], rtol=0, atol=1e-13)
    data = json.loads(written_shortcuts(network, found))
    assert data["structure"] == network.structure
    assert [frozenset(x["without"]) for x in data["shortcuts"]] == [s.without for s in found]
    assert [tuple(x["order"]) for x in data["shortcuts"]] == [s.order for s in found]


def test_the_shortcuts_of_the_model_are_used_and_exact():
    model = load("pt_failure")
    strata = model.strata
    assert len(strata.shortcuts) >= 8
    codes = typical_codes(model, 400, seed=9)
    counts = Shortcuts(model.network, strata.shortcuts).counts_in_codes(codes)
    taken = Shortcuts(model.network, strata.shortcuts).fitting(counts, model.causes)
    assert (taken >= 0).mean() > 0.8
    assert len(set(taken.tolist())) > 5
    whole = Strata(model.network, strata.by, strata.order)
    expected, got = (s.run_codes(codes, model.causes) for s in (whole, strata))
    np.testing.assert_allclose(got.log_evidence, expected.log_evidence, rtol=1e-12)
    for c in model.causes:
        np.testing.assert_allclose(got.posteriors[c], expected.posteriors[c], rtol=0, atol=1e-12)


def test_other_worlds_take_the_shortcuts_too():
    """Attribution, forced causes and removed links, beside a model that has no shortcuts."""
    model, plain = load("pt_failure"), load("pt_failure")
    plain.strata = Strata(plain.network, plain.strata.by, plain.strata.order)
    findings = {
        "age": 61, "night_pain": True, "leg_pain": "below_knee", "fever": False, "groin_pain": False,
        "morning_stiffness": "none", "straight_leg_raise": True, "bladder_changes": "none",
    }
    short, whole = model.diagnose(findings), plain.diagnose(findings)
    assert model.twin.strata.shortcuts
    assert not plain.twin.strata.shortcuts
    tables = [
        [d.attribution.table, d.do(kinesiophobia="absent", spinal_stenosis="severe")]
        for d in (short, whole)
    ]
    for got, expected in zip(*tables, strict=True):
        key = got.columns[0]
        pd.testing.assert_frame_equal(
            got.set_index(key), expected.set_index(key).loc[got[key]], check_exact=False, rtol=0, atol=1e-12
        )
    certain = {**findings, "disc_herniation": "present"}
    assert model.diagnose(certain)["disc_herniation"].necessity == pytest.approx(
        plain.diagnose(certain)["disc_herniation"].necessity, abs=1e-12
    )


def test_what_cannot_be_taken_apart_or_asked_is_refused():
    network = clinic()
    with pytest.raises(ValueError, match="test is no noisy-MAX without children"):
        compile_program(network, apart=["test"])
    program = compile_program(network, apart=["f5"])
    with pytest.raises(ValueError, match="no posterior of f5"):
        run(program, stack_rows(program, [{}]), ["f5"])
