"""Programs that hold some variables at known values give the answers of the whole network."""

from __future__ import annotations

from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import joint, posteriors
from strategies import likelihoods, networks

from bayesnet import load
from bayesnet.diagnosis.routes import Routes
from bayesnet.errors import ModelFileError
from bayesnet.inference import (
    Strata,
    compile_program,
    likelihoods_of,
    run,
    run_codes,
    stack_rows,
)
from bayesnet.inference import strata as strata_module
from bayesnet.network import Network, Table, Variable


@given(data=st.data(), network=networks())
@settings(max_examples=150, deadline=None)
def test_a_program_for_what_is_given_agrees_with_enumeration(data, network):
    held = data.draw(st.lists(st.sampled_from(list(network.variables)), unique=True, max_size=3))
    states = {v: data.draw(st.integers(0, len(network[v]) - 1)) for v in held}
    vectors = {v: x for v, x in data.draw(likelihoods(network)).items() if v not in held}
    program = compile_program(
        network, given={v: network[v].states[k] for v, k in states.items()}, tries=1
    )
    got = run(program, stack_rows(program, [vectors]))
    said = {**vectors, **{v: np.eye(len(network[v]))[k] for v, k in states.items()}}
    expected, total = posteriors(network, joint(network), said)
    if total < 1e-250:
        return
    assert np.exp(got.log_evidence[0]) == pytest.approx(total, rel=1e-10)
    for v, p in expected.items():
        np.testing.assert_allclose(got.posteriors[v][0], p, rtol=0, atol=1e-10)


@given(data=st.data(), network=networks())
@settings(max_examples=80, deadline=None)
def test_a_program_made_to_hold_other_states_is_that_compiled_for_them(data, network):
    held = data.draw(st.lists(st.sampled_from(list(network.variables)), unique=True, max_size=3))
    first, other = (
        {v: data.draw(st.integers(0, len(network[v]) - 1)) for v in held} for _ in range(2)
    )
    free = [v for v, d in network.distributions.items() if d.kind == "table"]
    free = free if data.draw(st.booleans()) else []

    def compiled(states):
        given = {v: network[v].states[k] for v, k in states.items()}
        return compile_program(network, given=given, free=free, tries=1)

    program, afresh = compiled(first).holding(other), compiled(other)
    assert program.given == other
    assert program.values.keys() == afresh.values.keys()
    for node, values in afresh.values.items():
        np.testing.assert_allclose(program.values[node], values, rtol=1e-15, atol=0)
    for a, b in zip(program.steps, afresh.steps, strict=True):
        assert (a.left, a.right, a.out, a.rescale) == (b.left, b.right, b.out, b.rescale)
        for half in ("forward", "to_left", "to_right"):
            for index in ("starts", "a_index", "b_index"):
                ours, theirs = (getattr(getattr(s, half), index) for s in (a, b))
                assert np.array_equal(ours, theirs)
    batch = stack_rows(program, [data.draw(likelihoods(network)) for _ in range(3)])
    # The plan is laid out by the one and used by the other.
    program.plan()
    again = program.holding(other)
    assert again.plan() is program.plan()
    ours, theirs = (run(p, batch, backend="kernels") for p in (again, afresh))
    assert np.array_equal(ours.log_evidence, theirs.log_evidence)
    for v, p in theirs.posteriors.items():
        assert np.array_equal(ours.posteriors[v], p, equal_nan=True)
    with pytest.raises(ValueError, match="this program holds"):
        program.holding({"nobody": 0})


@given(data=st.data(), network=networks())
@settings(max_examples=60, deadline=None)
def test_strata_agree_with_one_program_row_by_row(data, network):
    by = data.draw(st.lists(st.sampled_from(list(network.variables)), unique=True, max_size=2))
    rows = [data.draw(likelihoods(network)) for _ in range(data.draw(st.integers(1, 12)))]
    strata = Strata(network, tuple(by))
    batch = stack_rows(strata, rows)
    expected = run(strata.program(), batch)
    got = strata.run(batch)
    # A structural zero may be met exactly on one side only where evidence is (nearly) impossible.
    likely = expected.log_evidence > -500
    np.testing.assert_allclose(
        got.log_evidence[likely], expected.log_evidence[likely], rtol=1e-10, atol=1e-10
    )
    for v, p in expected.posteriors.items():
        np.testing.assert_allclose(got.posteriors[v][likely], p[likely], rtol=0, atol=1e-10)
    # The answer for a patient does not depend on who else is asked about.
    for i in range(len(rows)):
        alone = strata.run(batch[i : i + 1])
        for v, p in alone.posteriors.items():
            assert np.array_equal(p[0], got.posteriors[v][i], equal_nan=True)


@st.composite
def doubts(draw, network, by):
    """Likelihoods where of some of the variables of `by` some states are impossible, or all."""
    vectors = draw(likelihoods(network))
    for v in by:
        if draw(st.booleans()):
            possible = draw(st.lists(st.booleans(), min_size=len(network[v]), max_size=len(network[v])))
            vectors[v] = vectors.get(v, np.ones(len(network[v]))) * np.array(possible)
    return vectors


@given(data=st.data(), network=networks(most=7), dearer=st.sampled_from([0.0, strata_module.DEARER, np.inf]))
@settings(max_examples=150, deadline=None)
def test_mixtures_over_strata_agree_with_enumeration(data, network, dearer):
    """Whether each pattern is answered by the mixture (inf), by the open program (0) or by either."""
    by = data.draw(st.lists(st.sampled_from(list(network.variables)), unique=True, max_size=2))
    rows = [data.draw(doubts(network, by)) for _ in range(data.draw(st.integers(1, 11)))]
    strata = Strata(network, tuple(by))
    batch = stack_rows(strata, rows)
    with patch.object(strata_module, "DEARER", dearer):
        got = strata.run(batch)
        alone = [strata.run(batch[i : i + 1], ["v0"]) for i in range(len(rows))]
    table = joint(network)
    for i, vectors in enumerate(rows):
        assert np.array_equal(alone[i].posteriors["v0"][0], got.posteriors["v0"][i], equal_nan=True)
        assert alone[i].log_evidence[0] == got.log_evidence[i]
        expected, total = posteriors(network, table, vectors)
        if total == 0:
            assert got.log_evidence[i] == -np.inf
            assert all(np.isnan(p[i]).all() for p in got.posteriors.values())
            continue
        if total < 1e-250:
            continue
        assert np.exp(got.log_evidence[i]) == pytest.approx(total, rel=1e-10)
        for v, p in expected.items():
            np.testing.assert_allclose(got.posteriors[v][i], p, rtol=0, atol=1e-10)
        for v, x in vectors.items():
            if (x > 0).sum() == 1:
                assert np.array_equal(got.posteriors[v][i], (x > 0).astype(float))


def test_which_programs_answer_depends_on_the_evidence_alone(model):
    """Where age and sex are open all their programs answer; the whole network is not compiled."""
    strata = Strata(model.network, model.strata.by, model.strata.order)
    several = np.ones((4, strata.width))
    at = strata.position["age"]
    several[1, at : at + 5] = [0, 0, 1, 0, 0]
    several[2, at : at + 5] = [0, 0, 1, 1, 0]
    several[3, strata.position["sex"]] = 0
    several[:, strata.position["fever"]] = 0
    got = strata.run(several, model.causes)
    assert all(-1 not in known for known, _ in strata._programs)
    whole = run(strata.program(), several, model.causes)
    np.testing.assert_allclose(got.log_evidence, whole.log_evidence, rtol=1e-13)
    for c in model.causes:
        np.testing.assert_allclose(got.posteriors[c], whole.posteriors[c], rtol=1e-12)
    # Now that it is compiled, it still is not used.
    for i in range(4):
        alone = strata.run(several[i : i + 1], model.causes)
        assert alone.log_evidence[0] == got.log_evidence[i]
        assert all(np.array_equal(p[0], got.posteriors[c][i]) for c, p in alone.posteriors.items())
    # Threads work on strata where patients are few, on tiles where they are many.
    many = np.resize(several, (strata_module.SMALL_BATCH + 4, strata.width))
    for batch, threads in ((several, 1), (several, 2), (many, 1), (many, 2)):
        again = strata.run(batch, model.causes, threads=threads)
        assert np.array_equal(again.log_evidence[:4], got.log_evidence)
        assert all(np.array_equal(p[:4], got.posteriors[c]) for c, p in again.posteriors.items())
    assert Strata(model.network, ("age",), model.strata.order).run(several[:0]).log_evidence.size == 0


def test_strata_of_the_clinical_model_by_codes_and_by_likelihoods(model):
    assert model.strata.by == ("age", "sex")
    rng = np.random.default_rng(4)
    names = list(model.network.variables)
    sizes = model.network.sizes(names)
    codes = np.full((60, len(names)), -1, np.int8)
    for row in codes:
        chosen = {*rng.choice(len(row), size=6, replace=False).tolist()}
        chosen |= {names.index(v) for v in ("age", "sex") if rng.random() < 0.7}
        for j in chosen:
            row[j] = rng.integers(sizes[j])
    by_code = model.strata.run_codes(codes, model.causes)
    whole = run_codes(model.program, codes, model.causes)
    likelihood = np.ones((60, model.strata.width))
    for j, v in enumerate(names):
        known = codes[:, j] >= 0
        at = model.strata.position[v]
        likelihood[known, at : at + sizes[j]] = np.eye(sizes[j])[codes[known, j]]
    by_likelihood = model.strata.run(likelihood, model.causes)
    possible = np.isfinite(whole.log_evidence)
    assert possible.sum() > 20
    for c in model.causes:
        np.testing.assert_allclose(
            by_code.posteriors[c][possible], whole.posteriors[c][possible], rtol=0, atol=1e-12
        )
        assert np.array_equal(by_code.posteriors[c], by_likelihood.posteriors[c], equal_nan=True)
    assert np.array_equal(np.isfinite(by_code.log_evidence), possible)


def test_codes_that_are_no_states_are_named(model):
    codes = np.full((2, len(model.network.variables)), -1, np.int8)
    codes[1, list(model.network.variables).index("age")] = 9
    with pytest.raises(ValueError, match="age has 5 states"):
        model.strata.run_codes(codes, model.causes)
    with pytest.raises(ValueError, match="expected"):
        model.strata.run_codes(codes[:, :3], model.causes)


def test_a_stratum_is_cheaper_where_its_variable_couples_the_network(model):
    held = model.strata.program((0, 0))
    assert held.multiplications < model.program.multiplications / 2


def test_given_names_must_exist(model):
    with pytest.raises(ValueError, match="Did you mean"):
        compile_program(model.network, given={"sex": "femal"})
    with pytest.raises(KeyError, match="no variable"):
        compile_program(model.network, given={"sexx": "female"})


def test_an_unknown_stratum_is_named_with_its_line(tmp_path):
    from bayesnet.modelfile import read_model

    file = tmp_path / "m.yaml"
    file.write_text(
        "name: m\nstrata: [agee]\nparts:\n  context:\n    age:\n      states: [young, old]\n"
        "      table: {given: [], rows: [[0.5, 0.5]]}\n"
    )
    with pytest.raises(ModelFileError, match="unknown variable 'agee' in strata"):
        read_model(str(file))


def test_paths_do_not_lead_through_what_is_known():
    half = Table((), np.array([0.5, 0.5]))
    tied = np.array([[0.9, 0.1], [0.2, 0.8]])
    names = ["sex", "weight", "cause", "finding"]
    network = Network(
        [Variable(v) for v in names],
        {
            "sex": half, "weight": half,
            "cause": Table(("sex", "weight"), np.stack([tied, tied[::-1]])),
            "finding": Table(("sex", "weight"), np.stack([tied, tied[::-1]])),
        },
    )
    def between(*known):
        return Routes(network, frozenset(known)).between("cause", "finding")

    assert between() == ("cause", "sex", "finding")
    assert between("sex", "finding") == ("cause", "weight", "finding")
    assert between("sex", "weight") == ("cause", "...", "finding")


def test_a_longer_way_is_told_where_it_carries_more(model):
    """Spondyloarthritis seldom hurts in the hip; what rest does comes by the inflamed spine."""
    routes = Routes(model.network)
    assert routes.between("axial_spondyloarthritis", "rest_response") == ("axial_spondyloarthritis", "inflammatory_pain", "pain_pattern", "rest_response")
    assert routes.between("hip_osteoarthritis", "rest_response") == (
        "hip_osteoarthritis", "hip_joint_pain", "rest_response"
    )


@given(data=st.data(), network=networks())
@settings(max_examples=60, deadline=None)
def test_the_compiled_count_of_an_order_is_that_of_the_compiler(data, network):
    from bayesnet.inference.annealing import multiplications
    from bayesnet.inference.steps import Compiler

    held = data.draw(st.lists(st.sampled_from(list(network.variables)), unique=True, max_size=2))
    compiler = Compiler(network, tuple(network.variables), frozenset(), given=dict.fromkeys(held, 0))
    present = sorted({v for node in compiler.nodes for v in node.scope})
    order = data.draw(st.permutations(present))
    assert multiplications(compiler.work(), np.array(order)) == compiler.cost(order)


def test_a_long_search_finds_cheaper_orders_and_repeats_itself(model):
    from bayesnet.inference.orders import search_order

    short = search_order(model.network, steps=1, seed=3, restarts=1)
    long = search_order(model.network, steps=400, seed=3, restarts=2)
    again = search_order(model.network, steps=400, seed=3, restarts=2)
    assert long == again
    cost = [compile_program(model.network, order=o).multiplications for o in (short, long)]
    assert cost[1] < cost[0]


def test_an_order_suits_programs_with_other_hubs(model, monkeypatch):
    """Where a hub's numbers are free it is not taken by difference, and its place in the order moves."""
    from bayesnet.inference import hubs

    order = model.strata.order
    by_difference = compile_program(model.network, order=order)
    assert by_difference.order == order
    free = compile_program(model.network, free=["pt_failure"], order=order)
    assert "pt_failure'" in by_difference.order
    assert "pt_failure'" not in free.order
    assert free.elimination.entries <= by_difference.elimination.entries
    monkeypatch.setattr(hubs, "HUB_PARENTS", 1000)
    plain = compile_program(model.network, order=order)
    assert plain.elimination.entries <= by_difference.elimination.entries
    monkeypatch.undo()
    again = compile_program(model.network, order=plain.order)
    assert again.elimination.entries <= 1.1 * by_difference.elimination.entries


def test_a_climb_makes_a_large_program_smaller_and_leaves_a_small_one(model, monkeypatch):
    from bayesnet.inference import orders

    findings = ["rest_response", "night_pain", "weight_loss", "leg_pain", "gait_disturbance"]
    seen = [*findings, *model.causes]
    kind = {"free": model.network.variables, "free_hubs": True, "tries": 1}
    plain = compile_program(model.network, seen, **kind)
    monkeypatch.setattr(orders, "CLIMB_ABOVE", plain.multiplications)
    climbed = compile_program(model.network, seen, **kind, climb=400)
    assert climbed.multiplications < plain.multiplications
    rows = np.random.default_rng(4).random((3, plain.width))
    few, whole = (run(p, rows, ["depression"]) for p in (climbed, plain))
    np.testing.assert_allclose(few.log_evidence, whole.log_evidence, rtol=1e-12)
    np.testing.assert_allclose(few.posteriors["depression"], whole.posteriors["depression"], rtol=1e-10)
    monkeypatch.setattr(orders, "CLIMB_ABOVE", 10 * plain.multiplications)
    assert compile_program(model.network, seen, **kind, climb=400).order == plain.order


@pytest.mark.parametrize("known", [{}, {"sex": "male"}, {"age": 40}])
def test_programs_with_free_numbers_answer_as_the_one_that_leaves_everything_open(known):
    model = load()
    found = {"rest_response": "worse", "night_pain": True, "weight_loss": True, **known}
    vectors = likelihoods_of(model.network, found)
    drawn = model.draws(6, seed=3)
    strata = model.free_strata(vectors)
    likelihood = np.repeat(stack_rows(strata, [vectors]), drawn.n, axis=0)
    mixed = strata.run(likelihood, model.causes, tables=drawn.tables)

    program = compile_program(
        model.network, evidence_on=[*vectors, *model.causes], free=model.network.variables
    )
    tables = {v: drawn.tables[v] for v in program.table_nodes}
    whole = np.repeat(stack_rows(program, [vectors]), drawn.n, axis=0)
    direct = run(program, whole, model.causes, tables)
    np.testing.assert_allclose(mixed.log_evidence, direct.log_evidence, rtol=1e-10)
    for c in model.causes:
        np.testing.assert_allclose(mixed.posteriors[c], direct.posteriors[c], rtol=1e-9, atol=1e-14)
    assert np.ptp(direct.posteriors["spinal_malignancy"][:, 1]) > 0
