"""The compiled engine: digits, batches, backends, parameter batches, most probable sets."""

from __future__ import annotations

import itertools
import pickle
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import joint, posteriors, to_pyagrum
from strategies import likelihoods, networks
from test_exactness import random_evidence, with_exact_rows

import bayesnet
from bayesnet.errors import EvidenceError, ImpossibleEvidenceError, TooLargeError
from bayesnet.inference import compile_program, likelihoods_of, run, run_codes, stack_rows
from bayesnet.inference.conditioned import condition_and_eliminate
from bayesnet.inference.joint_states import most_probable_states
from bayesnet.inference.run import given_back
from bayesnet.network import Network, NoisyMax, Table, Variable


def bn2o(rng, causes, findings, tiny):
    """A two-level noisy-OR network whose links and leaks may be tiny."""
    def small():
        return float(10.0 ** rng.uniform(-12, -1)) if tiny else float(rng.uniform(0.01, 0.9))

    variables = [Variable(f"c{i}") for i in range(causes)]
    d = {f"c{i}": Table((), [1 - p, p]) for i in range(causes) for p in [small()]}
    for j in range(findings):
        chosen = rng.choice(causes, size=min(causes, 3), replace=False).tolist()
        links = tuple(np.array([[1, 0], [1 - p, p]]) for p in [small() for _ in chosen])
        leak = small()
        variables.append(Variable(f"f{j}"))
        d[f"f{j}"] = NoisyMax(tuple(f"c{i}" for i in chosen), links, [1 - leak, leak])
    return Network(variables, d)


def exact_posteriors(network, causes, positive, negative):
    """P(cause | findings) and P(findings) in rational arithmetic."""
    weights = {}
    for x in itertools.product((0, 1), repeat=causes):
        w = Fraction(1)
        for i in range(causes):
            w *= Fraction(float(network.distributions[f"c{i}"].probabilities[x[i]]))
        for f in (*positive, *negative):
            d = network.distributions[f]
            rows = [d.leak, *(k[x[int(p[1:])]] for p, k in zip(d.parents, d.links, strict=True))]
            none = Fraction(1)
            total = Fraction(1)
            for r in rows:
                none *= Fraction(float(r[0]))
                total *= Fraction(float(r[0])) + Fraction(float(r[1]))
            w *= total - none if f in positive else none
        weights[x] = w
    total = sum(weights.values())
    return [sum(w for x, w in weights.items() if x[i]) / total for i in range(causes)], total


@given(seed=st.integers(0, 10_000), tiny=st.booleans(), positives=st.integers(0, 14))
@settings(max_examples=40, deadline=None)
def test_no_digits_are_lost_on_adversarial_links(seed, tiny, positives):
    """Signed factorisations turn negative here; ours keeps 12 digits of every posterior."""
    rng = np.random.default_rng(seed)
    network = bn2o(rng, 5, 14, tiny)
    positive = [f"f{j}" for j in range(positives)]
    negative = [f"f{j}" for j in range(positives, 14)]
    exact, total = exact_posteriors(network, 5, positive, negative)
    vectors = {f: np.array([0.0, 1.0]) for f in positive} | {
        f: np.array([1.0, 0.0]) for f in negative
    }
    program = compile_program(network)
    for backend in ("numpy", "kernels"):
        got = run(program, stack_rows(program, [vectors]), backend=backend)
        for i, p in enumerate(exact):
            assert got.posteriors[f"c{i}"][0, 1] == pytest.approx(float(p), rel=1e-12)
        ratio = Fraction(float(np.exp(got.log_evidence[0]))) / total if total > 1e-290 else 1
        assert float(ratio) == pytest.approx(1, rel=1e-11)


@given(data=st.data(), network=networks())
@settings(max_examples=40, deadline=None)
def test_backends_batches_and_threads_agree_to_the_last_bit(data, network):
    rows = [data.draw(likelihoods(network)) for _ in range(data.draw(st.integers(1, 40)))]
    program = compile_program(network, tries=1)
    batch = stack_rows(program, rows)
    reference = run(program, batch, backend="numpy")
    given_back(*np.full((2, 10**6), np.nan))  # what an earlier run left in the memory must not matter
    alone = [run(program, batch[i : i + 1], backend="kernels") for i in range(len(batch))]
    for other in (run(program, batch, backend="kernels", threads=1),
                  run(program, batch, backend="kernels", threads=2)):
        for v, p in reference.posteriors.items():
            assert np.array_equal(p, other.posteriors[v], equal_nan=True)
            assert np.array_equal(
                p, np.concatenate([a.posteriors[v] for a in alone]), equal_nan=True
            )
        assert np.array_equal(reference.log_evidence, other.log_evidence)


@pytest.mark.parametrize("known", [(1, 0), None], ids=["age and sex known", "anything"])
def test_a_patient_alone_in_a_tile_or_left_over_has_the_same_bits(model, known):
    program = model.strata.program(known)
    rng = np.random.default_rng(6)
    batch = np.ones((16, program.width))
    for row in batch:
        for j in rng.choice(len(program.sizes), size=15, replace=False):
            size, at = program.sizes[j], program.offsets[j]
            row[at : at + size] = rng.random(size)
    whole = run(program, batch, backend="kernels")
    assert np.isfinite(whole.log_evidence).all()
    for first, stop in ((0, 1), (5, 7), (5, 8), (6, 16), (2, 13)):
        part = run(program, batch[first:stop], backend="kernels")
        assert np.array_equal(part.log_evidence, whole.log_evidence[first:stop])
        for v, p in part.posteriors.items():
            assert np.array_equal(p, whole.posteriors[v][first:stop])


def test_codes_are_likelihoods(model):
    rng = np.random.default_rng(0)
    program = model.program
    codes = np.full((33, len(program.variables)), -1, np.int8)
    for row in codes:
        chosen = rng.choice(len(row), size=12, replace=False)
        row[chosen] = [rng.integers(program.sizes[j]) for j in chosen]
    likelihood = np.ones((33, program.width))
    for i, row in enumerate(codes):
        for size, offset, code in zip(program.sizes, program.offsets, row, strict=True):
            if code >= 0:
                likelihood[i, offset : offset + size] = np.arange(size) == code
    a, b = run_codes(program, codes, model.causes), run(program, likelihood, model.causes)
    for v in model.causes:
        assert np.array_equal(a.posteriors[v], b.posteriors[v], equal_nan=True)
    assert np.array_equal(a.log_evidence, b.log_evidence)
    with pytest.raises(ValueError, match="is too large"):
        run_codes(program, np.full((1, len(program.variables)), 9, np.int8))
    with pytest.raises(ValueError, match="expected"):
        run_codes(program, codes[:, :3])


def test_impossible_evidence_is_flagged_for_its_row_only(networks: Path):
    model = bayesnet.read_network(networks / "asia.bif.gz")
    vector = {"yes": np.array([1.0, 0.0]), "no": np.array([0.0, 1.0])}
    good = {"lung": vector["yes"], "either": vector["yes"]}
    bad = {"lung": vector["yes"], "either": vector["no"]}
    program = compile_program(model.network)
    got = run(program, stack_rows(program, [good, bad, good]), backend="kernels")
    assert np.isfinite(got.log_evidence).tolist() == [True, False, True]
    assert np.isnan(got.posteriors["bronc"][1]).all()
    assert np.array_equal(got.posteriors["bronc"][0], got.posteriors["bronc"][2])


def test_targets_do_not_change_numbers(model):
    vectors = [{"fever": np.array([0.0, 1.0]), "age": np.array([0.0, 0, 1, 0, 0])}]
    some, causes = model.run(vectors, ["depression"]), model.run(vectors, model.causes)
    assert list(some.posteriors) == ["depression"]
    assert np.array_equal(some.posteriors["depression"], causes.posteriors["depression"])
    # A finding that is asked about takes a program that has it: the same but for rounding.
    every = model.run(vectors).posteriors["depression"]
    np.testing.assert_allclose(every, some.posteriors["depression"], rtol=1e-13)


def test_compiling_again_gives_the_same_program(model):
    again = compile_program(model.network, order=model.program.order)
    assert again.elimination == model.program.elimination
    assert again.order == model.program.order
    searched = compile_program(model.network, tries=2)
    assert searched.order == compile_program(model.network, tries=2).order
    unusable = compile_program(model.network, order=model.program.order[1:], tries=2)
    assert unusable.order == searched.order
    copy = pickle.loads(pickle.dumps(model.program))
    row = np.ones((1, copy.width))
    for program in (again, copy):
        assert repr(program) == repr(model.program)
        a, b = run(model.program, row), run(program, row)
        assert all(np.array_equal(a.posteriors[v], b.posteriors[v]) for v in a.posteriors)
    assert set(model.program.summary()) >= {"treewidth", "clique_entries", "message_entries"}


def test_too_wide_a_network_is_said_before_anything_is_allocated():
    n = 60
    names = [f"v{i}" for i in range(n)]
    rng = np.random.default_rng(0)
    variables = [Variable(v) for v in names]
    d = {names[0]: Table((), [0.5, 0.5])}
    for i in range(1, n):
        parents = tuple(names[j] for j in rng.choice(i, size=min(i, 8), replace=False))
        d[names[i]] = Table(parents, np.full((*([2] * len(parents)), 2), 0.5))
    with pytest.raises(TooLargeError, match=r"clique-table entries \(.* GiB a patient; treewidth"):
        compile_program(Network(variables, d), largest=1 << 16)


def rows(rng, shape):
    x = rng.random(shape) + 0.05
    return x / x.sum(axis=-1, keepdims=True)


@given(data=st.data(), network=networks(most=6))
@settings(max_examples=30, deadline=None)
def test_numbers_given_anew_for_each_row(data, network):
    """A batch of parameter sets is the same as that many networks."""
    free = [v for v, d in network.distributions.items() if isinstance(d, Table | NoisyMax)]
    program = compile_program(network, free=free, tries=1)
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    draws = []
    for _ in range(3):
        new = {}
        for v in free:
            d = network.distributions[v]
            if isinstance(d, Table):
                new[v] = Table(d.parents, rows(rng, d.probabilities.shape))
                continue
            links = []
            for old in d.links:
                link = rows(rng, old.shape)
                link[0] = old[0]
                links.append(link)
            new[v] = NoisyMax(d.parents, tuple(links), rows(rng, d.leak.shape), d.toward_first)
        draws.append(new)
    vectors = data.draw(likelihoods(network))
    row = stack_rows(program, [vectors])
    tables = {
        v: [
            np.stack([part.values for part in parts])
            for parts in zip(
                *(x[v].factors(v, network.sizes(network.parents(v))) for x in draws), strict=True
            )
        ]
        for v in free
    }
    batch = np.repeat(row, 3, axis=0)
    got = run(program, batch, tables=tables, backend="numpy")
    fast = run(program, batch, tables=tables, backend="kernels")
    for v in network.variables:
        assert np.array_equal(got.posteriors[v], fast.posteriors[v], equal_nan=True)
    for i, new in enumerate(draws):
        changed = network.replace(new)
        # Odds-ratio intercepts depend on the parents' tables; keep those of the compiled network.
        changed = changed.replace(
            {v: Table(d.parents, network.table(v)) for v, d in network.distributions.items()
             if d.kind == "odds_ratio"}
        )
        expected, total = posteriors(changed, joint(changed), vectors)
        if total < 1e-200:
            continue
        for v, p in expected.items():
            np.testing.assert_allclose(got.posteriors[v][i], p, atol=1e-10)


@given(data=st.data(), network=networks(most=6), k=st.integers(1, 4))
@settings(max_examples=40, deadline=None)
def test_most_probable_joint_states(data, network, k):
    vectors = data.draw(likelihoods(network))
    weighted = joint(network)
    ids = list(network.variables)
    for v, x in vectors.items():
        shape = [1] * len(ids)
        shape[ids.index(v)] = -1
        weighted = weighted * x.reshape(shape)
    if weighted.sum() < 1e-200:
        return
    asked = data.draw(st.lists(st.sampled_from(ids), min_size=1, max_size=3, unique=True))
    gone = tuple(i for i, v in enumerate(ids) if v not in asked)
    marginal = weighted.sum(axis=gone) / weighted.sum()
    expected = np.sort(marginal[marginal > 0])[::-1][:k]
    program = compile_program(network, tries=1)
    found = most_probable_states(program, stack_rows(program, [vectors])[0], asked, k)
    np.testing.assert_allclose([f.probability for f in found], expected, rtol=1e-9)
    kept = [v for v in ids if v in asked]
    for f in found:
        assert marginal[tuple(f.states[v] for v in kept)] == pytest.approx(f.probability, rel=1e-9)


@given(data=st.data(), network=networks(most=7))
@settings(max_examples=60, deadline=None)
def test_conditioning_first_gives_the_same_answer(data, network):
    vectors = data.draw(likelihoods(network))
    expected, total = posteriors(network, joint(network), vectors)
    got = condition_and_eliminate(network, vectors, network.variables)
    if total < 1e-250:
        return
    assert np.exp(got.log_evidence[0]) == pytest.approx(total, rel=1e-10)
    for v, p in expected.items():
        np.testing.assert_allclose(got.posteriors[v][0], p, atol=1e-10)


@pytest.mark.parametrize("name", ["water", "andes", "munin1"])
def test_large_networks_agree_with_pyagrum(name, networks: Path):
    import pyagrum as gum

    written = bayesnet.read_network(networks / f"{name}.bif.gz").network
    model = bayesnet.Model(with_exact_rows(written))
    peer_network = to_pyagrum(model.network)
    rng = np.random.default_rng(2)
    for share in (0.1, 0.2, 0.5):
        evidence = random_evidence(model.network, rng, share)
        peer = gum.LazyPropagation(peer_network)
        peer.setEvidence(evidence)
        peer.makeInference()
        posterior = model.posterior(evidence=evidence)
        for v in model.network.variables:
            np.testing.assert_allclose(
                list(posterior[v].values()), peer.posterior(v).toarray(), atol=1e-9
            )


def test_estimates_are_within_their_errors(networks: Path):
    model = bayesnet.read_network(networks / "alarm.bif.gz")
    evidence = {"HRBP": "HIGH", "CVP": "NORMAL"}
    exact = model.posterior(evidence=evidence).to_frame()["probability"].to_numpy()
    found = model.approximate(evidence=evidence, samples=40_000, seed=3)
    error = found["standard_error"].to_numpy()
    off = np.abs(found["probability"].to_numpy() - exact)
    assert (off <= 4.5 * error + 1e-4).all()
    assert (off <= 2 * error + 1e-12).mean() > 0.85
    again = model.approximate(evidence=evidence, samples=40_000, seed=3)
    assert found.equals(again)
    assert found.attrs["effective_samples"] > 1000


def test_estimates_know_noisy_nodes(model):
    exact = model.posterior(["fever", "nonspecific_mechanical"], {"kidney_infection": True})
    found = model.approximate(
        ["fever", "nonspecific_mechanical"], {"kidney_infection": True}, samples=20_000
    ).set_index(["variable", "state"])
    for v in exact:
        for state, p in exact[v].items():
            row = found.loc[(v, state)]
            assert abs(row["probability"] - p) < 5 * row["standard_error"] + 1e-3


def test_most_probable_sets_of_causes(model):
    result = model.diagnose({"age": 72, "neurogenic_claudication": True, "leg_pain": "below_knee"})
    sets = result.most_probable_sets(k=3)
    assert len(sets) == 3
    assert sets["probability"].is_monotonic_decreasing
    assert any("spinal_stenosis" in c for c in sets["causes"][0])


@pytest.mark.parametrize("name", ["andes", "munin1"])
def test_nearly_everything_observed(name, networks: Path):
    """Tiny probabilities of evidence: both ways of answering keep range and digits."""
    model = bayesnet.Model(
        with_exact_rows(bayesnet.read_network(networks / f"{name}.bif.gz").network)
    )
    network = model.network
    full = random_evidence(network, np.random.default_rng(8), 1.0)
    expected = sum(
        np.log(
            network.table(v)[tuple(network[p].states.index(full[p]) for p in network.parents(v))][
                network[v].states.index(full[v])
            ]
        )
        for v in network.variables
    )
    vectors = likelihoods_of(network, full)
    assert condition_and_eliminate(network, vectors, ()).log_evidence[0] == pytest.approx(expected)
    if name == "munin1":
        with pytest.raises(TooLargeError, match=r"model.posterior.*model.approximate"):
            compile_program(network, tries=1)
        return
    left = {v: x for i, (v, x) in enumerate(vectors.items()) if i % 20}
    a = condition_and_eliminate(network, left, network.variables)
    for backend in ("numpy", "kernels"):
        b = run(model.program, stack_rows(model.program, [left]), backend=backend)
        assert b.log_evidence[0] == pytest.approx(a.log_evidence[0], rel=1e-12)
        for v in network.variables:
            np.testing.assert_allclose(a.posteriors[v], b.posteriors[v], atol=1e-10)


def test_conditioning_survives_a_very_improbable_patient():
    """400 independent findings of probability 0.01: far below the smallest float."""
    variables = [Variable(f"v{i}") for i in range(400)]
    network = Network(variables, {v.id: Table((), [0.99, 0.01]) for v in variables})
    vectors = {v.id: np.array([0.0, 1.0]) for v in variables}
    found = condition_and_eliminate(network, vectors, ["v0"])
    assert found.log_evidence[0] == pytest.approx(400 * np.log(0.01))
    program = compile_program(network, tries=1)
    assert run(program, stack_rows(program, [vectors])).log_evidence[0] == pytest.approx(
        400 * np.log(0.01)
    )


def two_variables() -> bayesnet.Model:
    tables = {"a": Table((), [0.9, 0.1]), "b": Table(("a",), [[0.8, 0.2], [0.3, 0.7]])}
    return bayesnet.Model(Network([Variable("a"), Variable("b")], tables))


@pytest.mark.parametrize("size", [1e-200, 1e200])
def test_estimates_do_not_depend_on_the_size_of_soft_evidence(size):
    model = two_variables()
    likelihood = {"absent": 0.25, "present": 0.5}
    soft = {v: {s: size * x for s, x in likelihood.items()} for v in model.network.variables}
    plain = model.approximate("a", dict.fromkeys(soft, likelihood), samples=60_000)
    found = model.approximate("a", soft, samples=60_000)
    pd.testing.assert_frame_equal(found, plain, rtol=1e-9)
    assert (found["standard_error"] > 0).all()
    assert found.attrs["log_evidence"] == pytest.approx(plain.attrs["log_evidence"] + 2 * np.log(size))
    exact = model.posterior("a", dict.fromkeys(soft, likelihood))
    assert plain.attrs["log_evidence"] == pytest.approx(exact.log_evidence, abs=0.01)


def test_a_variable_asked_about_twice_is_answered_once():
    model = two_variables()
    pd.testing.assert_frame_equal(model.approximate(["a", "a"], samples=100), model.approximate("a", samples=100))
    pd.testing.assert_frame_equal(model.most_probable(["a", "a"]), model.most_probable(["a"]))


def test_questions_without_an_answer_say_so():
    model = two_variables()
    with pytest.raises(EvidenceError, match="samples=0: expected at least 1"):
        model.approximate(samples=0)
    never = bayesnet.Model(model.network.replace({"a": Table((), [1.0, 0.0])}))
    with pytest.raises(ImpossibleEvidenceError, match="none of 100 drawn patients fits"):
        never.approximate("b", {"a": True}, samples=100)
    with pytest.raises(EvidenceError, match="name at least one"):
        model.most_probable([])
    empty = bayesnet.Model(Network([], {}))
    for ask in (empty.posterior, empty.approximate, lambda: empty.most_probable(["a"])):
        with pytest.raises(EvidenceError, match="no variables"):
            ask()
