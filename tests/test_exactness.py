"""Posteriors against enumeration, pgmpy and pyAgrum."""

from __future__ import annotations

import gzip
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import joint, posteriors, row, to_pyagrum
from strategies import likelihoods, networks

import bayesnet
from bayesnet.inference import Strata, compile_program, run, stack_rows
from bayesnet.network import Network, NoisyMax, OddsRatio, Table, Variable

SMALL = ["asia", "cancer", "earthquake", "survey", "sachs", "child"]
MEDIUM = ["alarm", "insurance", "hailfinder", "hepar2", "win95pts"]


@given(data=st.data(), network=networks())
@settings(max_examples=150, deadline=None)
def test_random_networks_agree_with_enumeration(data, network):
    table = joint(network)
    assert table.sum() == pytest.approx(1, abs=1e-12)
    rows = [data.draw(likelihoods(network)) for _ in range(3)]
    program = compile_program(network, tries=2)
    marginals = run(program, stack_rows(program, rows))
    for i, vectors in enumerate(rows):
        expected, total = posteriors(network, table, vectors)
        if total < 1e-250:
            assert marginals.log_evidence[i] == -np.inf or total > 0
            continue
        assert np.exp(marginals.log_evidence[i]) == pytest.approx(total, rel=1e-10)
        for v, p in expected.items():
            np.testing.assert_allclose(marginals.posteriors[v][i], p, rtol=0, atol=1e-10)


def hub_network(seed, toward_first, leak):
    """Eight causes in a chain, a hub of all of them, its finding; and the joint distribution."""
    rng = np.random.default_rng(seed)
    neutral = 1 if toward_first else 0
    chain = [rng.dirichlet([1, 1], 2) for _ in range(8)]
    links = rng.choice([0.0, 1e-6, 0.3, 0.97, 1.0], 8)
    finding = rng.dirichlet([1, 1], 2)

    def acts(p):
        return np.array([p, 1 - p]) if neutral else np.array([1 - p, p])

    causes = [f"cause_{i}" for i in range(8)]
    names = [*causes, "hub", "finding"]
    network = Network(
        [Variable(v, ("no", "yes")) for v in names],
        {
            causes[0]: Table((), chain[0][0]),
            **{b: Table((a,), chain[i + 1]) for i, (a, b) in enumerate(pairwise(causes))},
            "hub": NoisyMax(
                tuple(causes), [np.stack([acts(0.0), acts(x)]) for x in links], acts(leak), toward_first
            ),
            "finding": Table(("hub",), finding),
        },
    )
    joint = np.zeros((2,) * 10)
    for x in np.ndindex((2,) * 8):
        p = chain[0][0][x[0]] * np.prod([chain[i + 1][a, b] for i, (a, b) in enumerate(pairwise(x))])
        quiet = (1 - leak) * np.prod(1 - links * x)
        hub = [1 - quiet, quiet] if neutral else [quiet, 1 - quiet]
        joint[x] = p * np.array(hub)[:, None] * finding
    return network, joint


def hub_networks():
    return st.builds(
        hub_network, st.integers(0, 10**6), st.booleans(), st.sampled_from([0.02, 0.1, 0.9, 1.0])
    )


@given(data=st.data(), case=hub_networks())
@settings(max_examples=60, deadline=None)
def test_hubs_taken_by_difference_agree_with_enumeration(data, case):
    network, joint = case
    held = data.draw(st.sampled_from([{}, {"hub": "yes"}, {"hub": "no"}, {"cause_3": "yes"}]))
    program = compile_program(network, given=held, tries=1)
    assert "hub'" in program.order
    vectors = data.draw(likelihoods(network))
    weighted = joint
    for v, x in vectors.items():
        axes = [1] * 10
        axes[list(network.variables).index(v)] = 2
        weighted = weighted * x.reshape(axes)
    for v, state in held.items():
        axis, k = list(network.variables).index(v), ("no", "yes").index(state)
        weighted = weighted * np.eye(2)[k].reshape([2 if i == axis else 1 for i in range(10)])
    found = {
        backend: run(program, stack_rows(program, [vectors]), backend=backend)
        for backend in ("numpy", "kernels")
    }
    for marginals in found.values():
        if weighted.sum() == 0:
            assert marginals.log_evidence[0] == -np.inf
            continue
        assert marginals.log_evidence[0] == pytest.approx(np.log(weighted.sum()), abs=1e-11)
        for i, v in enumerate(network.variables):
            expected = weighted.sum(axis=tuple(k for k in range(10) if k != i)) / weighted.sum()
            np.testing.assert_allclose(marginals.posteriors[v][0], expected, rtol=1e-11, atol=0)


@given(data=st.data(), case=hub_networks(), by=st.sampled_from([(), ("cause_2",)]), free=st.booleans())
@settings(max_examples=60, deadline=None)
def test_programs_without_a_leaf_hub_agree_with_enumeration(data, case, by, free):
    """The hub is left out of every program, and the difference of two of them answers."""
    whole, joint = case
    causes = list(whole.variables)[:8]
    network = Network(
        [whole[v] for v in (*causes, "hub")], {v: whole.distributions[v] for v in (*causes, "hub")}
    )
    joint = joint.sum(axis=-1)
    strata = Strata(network, by, free=frozenset(network.variables if free else ()))
    rows = [data.draw(likelihoods(network)) for _ in range(3)]
    rows += [{"hub": np.array([0.0, 1.0])}, {"hub": np.array([0.7, 0.7])}, {"hub": np.array([2.0, 0.5])}]
    batch = stack_rows(strata, rows)
    tables = {
        v: [np.repeat(f.values[None], len(rows), axis=0) for f in network.factors_of(v)]
        for v in network.variables
    } if free else None
    got = strata.run(batch, causes, tables=tables)
    assert strata._programs
    assert all("hub" not in p.variables for p in strata._programs.values())
    asked = strata.run(batch, ["hub"], tables=tables)
    assert all("hub" not in p.variables for p in strata._programs.values())
    both = strata.run(batch, [*causes, "hub"], tables=tables)
    assert list(both.posteriors) == [*causes, "hub"]
    assert all(np.array_equal(both.posteriors[c], p, equal_nan=True) for c, p in got.posteriors.items())
    for i, vectors in enumerate(rows):
        weighted = joint
        for v, x in vectors.items():
            weighted = weighted * x.reshape([2 if u == v else 1 for u in network.variables])
        total = weighted.sum()
        if total == 0:
            assert got.log_evidence[i] == -np.inf
            assert np.isnan(got.posteriors["cause_0"][i]).all()
            continue
        assert got.log_evidence[i] == pytest.approx(np.log(total), abs=1e-11)
        for k, v in enumerate(network.variables):
            expected = weighted.sum(axis=tuple(j for j in range(9) if j != k)) / total
            found = (asked if v == "hub" else got).posteriors[v][i]
            np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-15)
        if not free:
            alone = strata.run(batch[i : i + 1], causes)
            assert all(np.array_equal(p[0], got.posteriors[c][i]) for c, p in alone.posteriors.items())


def test_a_leaf_hub_is_left_out_by_codes_too():
    whole, _ = hub_network(5, False, 0.1)
    names = [*list(whole.variables)[:8], "hub"]
    network = Network([whole[v] for v in names], {v: whole.distributions[v] for v in names})
    strata = Strata(network)
    codes = np.random.default_rng(3).integers(-1, 2, (40, 9)).astype(np.int8)
    likelihood = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])[codes].reshape(40, 18)
    found, expected = strata.run_codes(codes, names[:8]), strata.run(likelihood, names[:8])
    assert np.array_equal(found.log_evidence, expected.log_evidence)
    for v in names[:8]:
        assert np.array_equal(found.posteriors[v], expected.posteriors[v], equal_nan=True)


def test_only_the_double_of_a_leaf_hub_can_be_given():
    whole, _ = hub_network(5, False, 0.1)
    with pytest.raises(ValueError, match="a hub without children or evidence"):
        compile_program(whole, list(whole.variables)[:8], given={"hub'": "no"})
    with pytest.raises(ValueError, match="no state 'nay'"):
        compile_program(whole, given={"hub'": "nay"})


def test_a_hub_with_a_small_leak_is_not_taken_by_difference():
    """With a leak of a millionth, six more digits would be lost."""
    causes = tuple(f"cause_{i}" for i in range(8))
    network = Network(
        [Variable(v, ("no", "yes")) for v in (*causes, "hub")],
        {
            **{c: Table((), np.array([0.9, 0.1])) for c in causes},
            "hub": NoisyMax(causes, [np.array([[1, 0], [0.5, 0.5]])] * 8, np.array([1 - 1e-6, 1e-6])),
        },
    )
    assert "hub'" not in compile_program(network).order


@given(network=networks())
@settings(max_examples=60, deadline=None)
def test_full_tables_follow_the_definition(network):
    for v in network.variables:
        table = network.table(v)
        for index in np.ndindex(table.shape[:-1]):
            states = dict(zip(network.parents(v), index, strict=True))
            np.testing.assert_allclose(table[index], row(network, v, states), atol=1e-12)


@given(network=networks())
@settings(max_examples=60, deadline=None)
def test_odds_ratio_prevalences_hold_exactly(network):
    program = compile_program(network, tries=1)
    for v, d in network.distributions.items():
        if not isinstance(d, OddsRatio):
            continue
        strata = range(len(network[d.by])) if d.by else [None]
        for s in strata:
            given = {} if s is None else {d.by: np.eye(len(network[d.by]))[s]}
            got = run(program, stack_rows(program, [given]))
            if np.isfinite(got.log_evidence[0]) and got.log_evidence[0] > -20:
                np.testing.assert_allclose(
                    got.posteriors[v][0], d.prevalence[s or 0], rtol=1e-9, atol=1e-12
                )


@given(data=st.data(), network=networks())
@settings(max_examples=60, deadline=None)
def test_a_changed_network_solves_anew_what_the_change_reaches(data, network):
    for v in network.variables:
        network.table(v)
    other = data.draw(st.sampled_from(list(network.variables)))
    weights = np.arange(1.0, len(network[other]) + 1)
    surgery = {other: Table((), weights / weights.sum())}
    afresh = Network(network.variables, {**network.distributions, **surgery})
    changed = network.replace(surgery)
    for v in network.variables:
        np.testing.assert_array_equal(changed.table(v), afresh.table(v))


def random_evidence(network, rng, share):
    """Evidence of positive probability: states of a patient drawn from the network."""
    states: dict[str, int] = {}
    for v in network.topological_order:
        p = network.table(v)[tuple(states[u] for u in network.parents(v))]
        states[v] = int(rng.choice(len(p), p=p / p.sum()))
    return {v: network[v].states[s] for v, s in states.items() if rng.random() < share}


def with_exact_rows(network):
    """Some files round their tables to seven digits; peers differ in what they make of that."""
    return network.replace(
        {
            v: Table(d.parents, d.probabilities / d.probabilities.sum(axis=-1, keepdims=True))
            for v, d in network.distributions.items()
        }
    )


@pytest.mark.parametrize("name", SMALL + MEDIUM)
def test_standard_networks_agree_with_pyagrum(name, networks: Path):
    import pyagrum as gum

    written = bayesnet.read_network(networks / f"{name}.bif.gz")
    model = bayesnet.Model(with_exact_rows(written.network))
    peer_network = to_pyagrum(model.network)
    rng = np.random.default_rng(7)
    for share in (0.0, 0.1, 0.2, 0.2, 0.3, 0.5, 0.8):
        evidence = random_evidence(model.network, rng, share)
        peer = gum.LazyPropagation(peer_network)
        peer.setEvidence(evidence)
        peer.makeInference()
        posterior = model.posterior(evidence=evidence)
        for v in model.network.variables:
            theirs = peer.posterior(v)
            names = peer_network.variable(v).labels()
            for state, p in posterior[v].items():
                assert p == pytest.approx(theirs[names.index(state)], abs=1e-9), (v, state)


@pytest.mark.parametrize("name", [*SMALL, "alarm", "insurance", "hepar2"])
def test_standard_networks_agree_with_pgmpy_from_the_same_file(name, networks: Path):
    from pgmpy.inference import VariableElimination
    from pgmpy.readwrite import BIFReader

    file = networks / f"{name}.bif.gz"
    model = bayesnet.read_network(file)
    assert model.to_pgmpy().check_model()
    peer_network = BIFReader(string=gzip.decompress(file.read_bytes()).decode()).get_model()
    peer = VariableElimination(peer_network)
    rng = np.random.default_rng(11)
    for share in (0.0, 0.2, 0.5):
        evidence = random_evidence(model.network, rng, share)
        posterior = model.posterior(evidence=evidence)
        chosen = list(model.network.variables)
        for v in rng.choice(chosen, size=min(len(chosen), 20), replace=False):
            if v in evidence:
                assert posterior[v][evidence[v]] == 1
                continue
            theirs = peer.query([v], evidence=evidence, show_progress=False)
            for state, p in posterior[v].items():
                assert p == pytest.approx(theirs.get_value(**{v: state}), abs=1e-9)


def test_virtual_evidence_agrees_with_pgmpy(networks: Path):
    from pgmpy.factors.discrete import TabularCPD
    from pgmpy.inference import VariableElimination

    model = bayesnet.read_network(networks / "asia.bif.gz")
    soft = TabularCPD("dysp", 2, [[0.8], [0.3]], state_names={"dysp": ["yes", "no"]})
    theirs = VariableElimination(model.to_pgmpy()).query(
        ["lung"], evidence={"smoke": "yes"}, virtual_evidence=[soft], show_progress=False
    )
    ours = model.posterior("lung", {"smoke": "yes", "dysp": {"yes": 0.8, "no": 0.3}})
    assert ours["lung"]["yes"] == pytest.approx(theirs.get_value(lung="yes"), abs=1e-9)


def test_log_probability_of_evidence_agrees_with_pyagrum(networks: Path):
    import pyagrum as gum

    written = bayesnet.read_network(networks / "alarm.bif.gz")
    model = bayesnet.Model(with_exact_rows(written.network))
    peer = gum.LazyPropagation(to_pyagrum(model.network))
    evidence = random_evidence(model.network, np.random.default_rng(3), 0.4)
    peer.setEvidence(evidence)
    assert model.posterior((), evidence).log_evidence == pytest.approx(
        np.log(peer.evidenceProbability()), abs=1e-9
    )


def test_everything_observed_does_not_underflow(networks: Path):
    model = bayesnet.read_network(networks / "andes.bif.gz")
    network = model.network
    evidence = random_evidence(network, np.random.default_rng(5), 1.0)
    expected = sum(
        np.log(
            network.table(v)[
                tuple(network[p].states.index(evidence[p]) for p in network.parents(v))
            ][network[v].states.index(evidence[v])]
        )
        for v in network.variables
    )
    assert model.posterior((), evidence).log_evidence == pytest.approx(expected, rel=1e-12)
