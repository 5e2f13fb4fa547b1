"""Learning: expected counts, scores and EM against enumeration, closed forms and known truth."""

from __future__ import annotations

import itertools
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.stats import beta
from strategies import KINDS, build

import bayesnet
from bayesnet.errors import CohortError
from bayesnet.inference import strata as strata_module
from bayesnet.inference.counts import (
    Counts,
    EncodedRows,
    StratifiedCounts,
    expected_counts,
    plan_counts,
)
from bayesnet.inference.run import given_back
from bayesnet.learning import LearningError, acceleration
from bayesnet.learning.data import encode_frame, with_selection
from bayesnet.learning.em import Patients, climb
from bayesnet.learning.fit import _selection
from bayesnet.learning.local import local_of, parameters_of
from bayesnet.model import Model
from bayesnet.network import (
    Mixture,
    Network,
    NoisyMax,
    OddsRatio,
    SensitivitySpecificity,
    Table,
    Variable,
)

FEW = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)


@st.composite
def problems(draw):
    """A small network, and a few patients with findings (hard, soft or none) and weights."""
    n = draw(st.integers(1, 5))
    kinds = draw(st.lists(st.sampled_from(KINDS), min_size=n, max_size=n))
    network = build(draw(st.integers(0, 2**32 - 1)), n, kinds)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    levels, codes = [], []
    for v in network.variables.values():
        levels.append(np.concatenate([np.ones((1, len(v))), np.eye(len(v)), rng.random((2, len(v)))]))
        codes.append(rng.choice(len(levels[-1]), size=5, p=None) * (rng.random(5) < 0.6))
    rows = EncodedRows(
        tuple(network.variables), np.array(codes, np.int32).T, tuple(levels), rng.random(5) + 0.5
    )
    return network, rows


def expanded(network: Network):
    """Tables of a network whose noisy children have a hidden node for the leak and every link."""
    tables, wanted = [], {}
    for v, variable in network.variables.items():
        d = network.distributions[v]
        if not isinstance(d, NoisyMax):
            tables.append(((*d.parents, v), network.table(v)))
            wanted[v] = [(*d.parents, v)]
            continue
        hidden = [f"{v}:{i}" for i in range(len(d.parents) + 1)]
        tables.append(((hidden[0],), d.leak))
        for h, parent, link in zip(hidden[1:], d.parents, d.links, strict=True):
            tables.append(((parent, h), link))
        size = len(variable)
        result = np.zeros((size,) * (len(hidden) + 1))
        for states in itertools.product(range(size), repeat=len(hidden)):
            result[(*states, (min if d.toward_first else max)(states))] = 1
        tables.append(((*hidden, v), result))
        wanted[v] = [(hidden[0],), *((p, h) for h, p in zip(hidden[1:], d.parents, strict=True))]
    return tables, wanted


def enumerated_counts(network: Network, rows: EncodedRows):
    tables, wanted = expanded(network)
    ids: dict[str, int] = {}
    for scope, _ in tables:
        for u in scope:
            ids.setdefault(u, len(ids))
    joint = [x for scope, t in tables for x in (t, [ids[u] for u in scope])]
    totals = {v: [0.0] * len(s) for v, s in wanted.items()}
    logs = []
    for r in range(len(rows)):
        evidence = [
            x for i, v in enumerate(rows.variables)
            for x in (rows.levels[i][rows.codes[r, i]], [ids[v]])
        ]
        p = float(np.einsum(*joint, *evidence, [], optimize="greedy"))
        logs.append(np.log(p) if p > 0 else -np.inf)
        if p == 0:
            continue
        for v, scopes in wanted.items():
            for i, scope in enumerate(scopes):
                part = np.einsum(*joint, *evidence, [ids[u] for u in scope], optimize="greedy")
                totals[v][i] = totals[v][i] + rows.people[r] * part / p
    return totals, np.array(logs)


@FEW
@given(problems())
def test_expected_counts_are_those_of_enumeration(problem):
    network, rows = problem
    plan = plan_counts(network, rows.variables, list(network.variables))
    given_back(*np.full((2, 10**6), np.nan))  # what an earlier run left in the memory must not matter
    found = expected_counts(plan, rows)
    counts, logs = enumerated_counts(network, rows)
    np.testing.assert_allclose(found.log_evidence, logs, rtol=1e-9, atol=1e-9)
    for v, parts in found.tables.items():
        for a, b in zip(parts, counts[v], strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-7, atol=1e-10)


@FEW
@given(problems(), st.data())
def test_expected_counts_by_stratum_are_those_of_enumeration(problem, data):
    network, rows = problem
    by = data.draw(st.lists(st.sampled_from(rows.variables), unique=True, max_size=2))
    plan = StratifiedCounts(
        network, rows.variables, tuple(network.variables), None, tuple(by)
    )
    found = expected_counts(plan, rows)
    counts, logs = enumerated_counts(network, rows)
    np.testing.assert_allclose(found.log_evidence, logs, rtol=1e-9, atol=1e-9)
    for v, parts in found.tables.items():
        for a, b in zip(parts, counts[v], strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-7, atol=1e-10)
    moved = {v: [0.5 * x for x in found.tables[v]] for v in found.tables}
    same = expected_counts(plan_counts(network, rows.variables, list(network.variables)), rows, moved)
    again = expected_counts(plan, rows, moved)
    np.testing.assert_allclose(again.log_evidence, same.log_evidence, rtol=1e-9, atol=1e-9)


def hub_problem(seed: int, toward_first: bool, leak: float) -> tuple[Network, EncodedRows]:
    """Age before eight causes, a hub with a finding, a hub without children; findings of all patterns."""
    rng = np.random.default_rng(seed)
    yes = ("absent", "present")
    causes = [f"cause_{i}" for i in range(8)]
    p = lambda x: np.stack([1 - x, x], axis=-1)  # noqa: E731

    def noisy() -> NoisyMax:
        links = tuple(p(np.array([float(toward_first), x])) for x in rng.random(8))
        return NoisyMax(tuple(causes), links, p(np.array(1 - leak if toward_first else leak)), toward_first)

    network = Network(
        [Variable("age", ("young", "middle", "old")), *(Variable(v, yes) for v in (*causes, "hub", "finding", "failed"))],
        {
            "age": Table((), np.array([0.2, 0.3, 0.5])),
            **{v: Table(("age",), p(rng.random(3))) for v in causes},
            "hub": noisy(), "finding": Table(("hub",), p(rng.random(2))), "failed": noisy(),
        },
    )
    variables = ("age", "cause_0", "finding", "failed")
    levels = [
        np.concatenate([np.ones((1, n)), np.eye(n), rng.random((1, n)), np.r_[0.0, rng.random(n - 1)][None]])
        for n in network.sizes(variables)
    ]
    levels[0] = np.concatenate([levels[0], np.zeros((1, 3))])  # contradictory findings
    codes = [(0, 0, 0, 0), (1, 0, 0, 2), (6, 1, 0, 2)]
    codes += [tuple(rng.integers(0, len(x)) for x in levels) for _ in range(12)]
    people = rng.random(len(codes)) + 0.5
    return network, EncodedRows(variables, np.array(codes, np.int32), tuple(levels), people)


def without_column(rows: EncodedRows, variable: str) -> EncodedRows:
    kept = [i for i, v in enumerate(rows.variables) if v != variable]
    return EncodedRows(
        tuple(rows.variables[i] for i in kept), rows.codes[:, kept], tuple(rows.levels[i] for i in kept), rows.people
    )


def same_counts(found, expected, rtol=1e-9):
    np.testing.assert_allclose(found.log_evidence, expected.log_evidence, rtol=rtol, atol=rtol)
    assert found.tables.keys() == expected.tables.keys()
    for v, parts in found.tables.items():
        for a, b in zip(parts, expected.tables[v], strict=True):
            np.testing.assert_allclose(a, b, rtol=rtol, atol=1e-3 * rtol)


@settings(FEW, max_examples=10)
@given(
    st.integers(0, 2**32 - 1), st.booleans(), st.sampled_from([0.02, 0.3]), st.sampled_from([(), ("age",)]),
    st.sampled_from([0.0, np.inf]), st.sampled_from([None, "age", "failed"]),
)
def test_mixtures_and_hubs_by_difference_count_as_enumeration_does(seed, toward_first, leak, by, dearer, missing):
    network, rows = hub_problem(seed, toward_first, leak)
    rows = without_column(rows, missing)
    free = tuple(network.variables)
    plan = StratifiedCounts(network, rows.variables, free, None, by)
    with patch.object(strata_module, "DEARER", dearer):
        found = expected_counts(plan, rows)
        alone = [expected_counts(plan, rows.at(np.array([i]))) for i in range(len(rows))]
    held = {held for held, _ in plan._plans}
    assert held == ({by} if dearer else {()} if missing == "age" else {(), by})
    assert all(p.hub == (None if missing == "failed" else "failed") for p in plan._plans.values())
    counts, logs = enumerated_counts(network, rows)
    same_counts(found, Counts({v: counts[v] for v in found.tables}, logs))
    same_counts(found, expected_counts(plan_counts(network, rows.variables, free), rows))
    # No company changes what is said of a row, to the bit.
    np.testing.assert_array_equal(found.log_evidence, [x.log_evidence[0] for x in alone])
    for v, parts in found.tables.items():
        for i, part in enumerate(parts):
            np.testing.assert_allclose(part, sum(x.tables[v][i] for x in alone), rtol=1e-12, atol=1e-14)


def test_hubs_are_not_taken_by_difference_once_a_leak_has_shrunk():
    network, rows = hub_problem(3, False, 0.02)
    free = tuple(network.variables)
    plan = StratifiedCounts(network, rows.variables, free, None, ("age",))
    shrunk = {
        v: [x * [1, 1e-12] if x.ndim == 1 and v == "failed" else x for x in (f.values for f in network.factors_of(v))]
        for v in free
    }
    same_counts(
        expected_counts(plan, rows, shrunk),
        expected_counts(plan_counts(network, rows.variables, free), rows, shrunk), rtol=1e-12,
    )
    assert {by_difference for _, by_difference in plan._plans} == {False}


def test_strata_of_very_different_likelihood_count_together():
    """The first stratum is 1e-400 as likely as the last; another patient has it the other way round."""
    yes = ("absent", "present")
    findings = [f"f{i}" for i in range(10)]
    rare, common = 1e-40, 0.5
    network = Network(
        [Variable("age", ("young", "old")), *(Variable(v, yes) for v in findings)],
        {
            "age": Table((), np.array([0.5, 0.5])),
            **{v: Table(("age",), np.array([[1 - rare, rare], [1 - common, common]])) for v in findings},
        },
    )
    variables = (*findings, "age")
    levels = (*[np.concatenate([np.ones((1, 2)), np.eye(2)])] * 10, np.ones((1, 2)))
    codes = np.array([[2] * 10 + [0], [1] * 10 + [0]], np.int32)
    rows = EncodedRows(variables, codes, levels, np.ones(2))
    plan = StratifiedCounts(network, variables, tuple(network.variables), None, ("age",))
    found = expected_counts(plan, rows)
    np.testing.assert_allclose(found.log_evidence, np.log([0.5**11, 0.5 + 0.5**11]), rtol=1e-12)
    old = 1 + 0.5**10 / (1 + 0.5**10)
    np.testing.assert_allclose(found.tables["age"][0], [2 - old, old], rtol=1e-12)
    np.testing.assert_allclose(found.tables["f3"][0], [[2 - old, 0], [old - 1, 1]], rtol=1e-12)


def strictly_positive(network: Network) -> Network:
    """Without zeros and tiny numbers, so that finite differences are meaningful."""
    def mixed(rows, neutral=None):
        out = 0.9 * np.asarray(rows) + 0.1 / rows.shape[-1]
        if neutral is not None:
            out[0] = rows[0]
        return out

    new = {}
    for v, d in network.distributions.items():
        if isinstance(d, Table):
            new[v] = Table(d.parents, mixed(d.probabilities))
        elif isinstance(d, NoisyMax):
            links = tuple(mixed(x, 0) for x in d.links)
            new[v] = NoisyMax(d.parents, links, mixed(d.leak), d.toward_first)
        elif isinstance(d, Mixture):
            parts = tuple(mixed(x) for x in d.components)
            new[v] = Mixture(d.parents, parts, d.weights, mixed(d.none))
        elif isinstance(d, OddsRatio):
            new[v] = OddsRatio(d.parents, mixed(d.prevalence), d.odds_ratios, d.by)
        else:
            new[v] = SensitivitySpecificity(
                d.parents, 0.1 + 0.8 * d.sensitivity, 0.1 + 0.8 * d.specificity
            )
    return network.replace(new)


def locals_of(network: Network, strength: float, keep=()):
    parameters = parameters_of(network)
    found = {}
    for v in network.variables:
        own = [p for p in parameters if p.variable == v]
        x = local_of(network, v, own, [p for p in own if p.key not in keep], strength)
        if x.moves:
            found[v] = x
    return found


@FEW
@given(problems(), st.sampled_from([0.0, 0.3]), st.booleans(), st.booleans())
def test_score_is_the_derivative_of_the_log_posterior(problem, strength, select, hold):
    network, rows = problem
    network = strictly_positive(network)
    by = None
    if select:
        by, size = rows.variables[0], rows.levels[0].shape[1]
        rows = EncodedRows(rows.variables[1:], rows.codes[:, 1:], rows.levels[1:], rows.people)
        rows = with_selection(network, rows, by, np.r_[0.0, np.ones(size - 1)])
    state = locals_of(network, strength, {("prevalence",)} if hold else ())
    if not state:
        return
    plan = plan_counts(network, rows.variables, list(state))
    patients = Patients.of(rows, by)

    def value(there):
        _, likelihood, _ = patients.counts(plan, there)
        return likelihood + sum(x.log_prior() for x in there.values())

    counts, _, _ = patients.counts(plan, state)
    for v, x in state.items():
        exact = x.score(counts[v])
        middle = x.coordinates()
        for i in range(len(middle)):
            step = np.zeros(len(middle))
            step[i] = 1e-5
            up = value({**state, v: x.at(middle + step)})
            down = value({**state, v: x.at(middle - step)})
            assert (up - down) / 2e-5 == pytest.approx(exact[i], rel=1e-4, abs=1e-5)


@FEW
@given(problems(), st.sampled_from([0.0, 0.3]), st.booleans())
def test_log_posterior_never_falls(problem, strength, select):
    network, rows = problem
    network = strictly_positive(network)
    by = None
    if select:
        by, size = rows.variables[0], rows.levels[0].shape[1]
        rows = EncodedRows(rows.variables[1:], rows.codes[:, 1:], rows.levels[1:], rows.people)
        rows = with_selection(network, rows, by, np.r_[0.0, np.ones(size - 1)])
    state = locals_of(network, strength)
    plan = plan_counts(network, rows.variables, list(state))
    _, _, trace = climb(plan, Patients.of(rows, by), state, iterations=30, tolerance=0.0)
    steps = np.diff(trace.log_posterior)
    assert (steps >= -1e-9 * np.maximum(1, np.abs(trace.log_posterior[1:]))).all()
    assert trace.log_posterior[-1] >= trace.log_posterior[0]


def clinic() -> Model:
    """Every kind of distribution on eight variables."""
    yes = ("absent", "present")
    variables = [
        Variable("age", ("young", "middle", "old")), Variable("smoking", yes),
        Variable("disease", ("absent", "mild", "severe")), Variable("other", yes),
        Variable("pain", yes), Variable("walking", ("good", "fair", "bad")), Variable("test", yes),
        Variable("failed", yes),
    ]
    p = lambda x: np.array([1 - x, x])  # noqa: E731
    ratio = np.array([[1, 1, 1], [1, 2.0, 3.0]])
    return Model(Network(variables, {
        "age": Table((), np.array([0.3, 0.4, 0.3])),
        "smoking": Table((), p(0.3)),
        "disease": OddsRatio(
            ("age", "smoking"), np.array([[0.85, 0.1, 0.05], [0.7, 0.2, 0.1], [0.6, 0.2, 0.2]]), (ratio,), "age"
        ),
        "other": Table((), p(0.25)),
        "pain": NoisyMax(
            ("disease", "other"), (np.stack([p(0), p(0.4), p(0.8)]), np.stack([p(0), p(0.6)])), p(0.1)
        ),
        "walking": Mixture(
            ("disease", "other"),
            (np.array([[1, 0, 0], [0.5, 0.3, 0.2], [0.1, 0.3, 0.6]]), np.array([[1, 0, 0], [0.2, 0.7, 0.1]])),
            (np.array([0, 1.0, 2.0]), np.array([0, 1.0])), np.array([0.8, 0.15, 0.05]),
        ),
        "test": SensitivitySpecificity(("disease",), np.array([0.6, 0.9]), 0.85),
        "failed": NoisyMax(
            ("disease", "other"), (np.stack([p(0), p(0.3), p(0.7)]), np.stack([p(0), p(0.5)])), p(0.1)
        ),
    }, "clinic"))


def drawn(model: Model, n: int, seed: int, missing: float = 0.0) -> pd.DataFrame:
    """Patients by forward sampling from full tables (nothing of the engine)."""
    rng = np.random.default_rng(seed)
    states: dict[str, np.ndarray] = {}
    for v in model.network.topological_order:
        table = model.network.table(v)
        row = table[tuple(states[p] for p in model.network.parents(v))] if model.network.parents(v) else np.repeat(table[None], n, 0)
        states[v] = (rng.random((n, 1)) > row.cumsum(axis=1)[:, :-1]).sum(axis=1)
    frame = pd.DataFrame({
        v: np.array(model.network[v].states, object)[s] for v, s in states.items()
    })
    return frame.mask(rng.random(frame.shape) < missing)


def test_acceleration_keeps_the_fixed_point_and_comes_to_it_sooner():
    model = clinic()
    rows, _ = encode_frame(model.network, drawn(model, 400, 5, missing=0.4)[["age", "pain", "walking", "test"]])
    state = locals_of(model.network, 0.3)
    plan = plan_counts(model.network, rows.variables, list(state))
    patients = Patients.of(rows)

    def end(tolerance):
        return climb(plan, patients, state, iterations=300, tolerance=tolerance)

    fast, _, trace = end(1e-8)
    with patch.object(acceleration.Path, "ahead", lambda *_: None):
        slow, _, plainly = end(1e-9)
    assert trace.converged
    assert plainly.converged
    assert len(trace.log_posterior) < len(plainly.log_posterior) / 5
    assert trace.log_posterior[-1] == pytest.approx(plainly.log_posterior[-1], abs=1e-4)
    for v, x in fast.items():
        for a, b in zip(x.tables(), slow[v].tables(), strict=True):
            np.testing.assert_allclose(a, b, atol=2e-3)


def test_parameters_are_recovered_within_the_interval_of_the_theory():
    truth = clinic()
    frame = drawn(truth, 50_000, seed=7, missing=0.3)
    rng = np.random.default_rng(1)
    start = truth.network
    moved = {}
    for v, d in start.distributions.items():  # begin elsewhere
        if isinstance(d, Table):
            moved[v] = Table(d.parents, 0.5 * d.probabilities + 0.5 * rng.dirichlet(np.ones(d.probabilities.shape[-1])))
        if isinstance(d, SensitivitySpecificity):
            moved[v] = SensitivitySpecificity(d.parents, np.array([0.5, 0.7]), 0.7)
    found = Model(start.replace(moved)).fit(
        frame, strength=0, intervals=True, iterations=2000, tolerance=1e-10
    )
    assert found.learning.trace.converged
    table = found.learning.changes
    known = Model(truth.network).fit(frame.head(10), strength=1e9).learning.changes
    true = known["before"].to_numpy()
    inside = (table["low"] <= true) & (true <= table["high"])
    assert len(table) == len(true) == 36
    assert inside.mean() >= 0.88, table.assign(true=true)[~inside]

    def odds(x):
        ratio = table["parameter"] == "disease/smoking"
        return np.where(ratio, np.log(x), np.log(x / np.where(ratio, 1, 1 - np.where(ratio, 0, x))))

    sd = (odds(table["high"]) - odds(table["low"])) / (2 * 1.959964)
    z = (odds(table["after"]) - odds(true)) / sd
    assert np.abs(z).max() < 4
    assert 0.6 < np.std(z) < 1.4
    # Informative: half of the intervals are narrower than 15 % of the odds to either side.
    assert np.median(sd) < 0.15


def test_selected_patients_do_not_make_the_disease_common():
    truth = clinic()
    everybody = drawn(truth, 40_000, seed=3)
    failed = everybody[everybody["failed"] == "present"].drop(columns=["failed"])
    learn = {"learn": ["disease", "other", "age"], "strength": 0, "iterations": 500, "tolerance": 1e-9}
    right = truth.fit(failed, selected={"failed": "present"}, intervals=True, **learn).learning.changes
    wrong = truth.fit(failed, selected={}, **learn).learning.changes
    inside = (right["low"] <= right["before"]) & (right["before"] <= right["high"])
    assert inside.mean() > 0.8
    other = right["parameter"] == "other"
    assert right.loc[other, "after"].item() == pytest.approx(0.25, abs=0.03)
    assert wrong.loc[other, "after"].item() > 0.35


def test_a_column_that_says_failed_of_everybody_is_a_selection():
    model = bayesnet.load("pt_failure")
    frame = model.simulate(400, seed=3, given={"pt_failure": True}, missing={"test": 0.9})
    options = {"learn": ["kinesiophobia"], "iterations": 3}
    with_column, without = (
        model.fit(f, **options) for f in (frame, frame.drop(columns=["pt_failure"]))
    )
    assert with_column.learning.selected == without.learning.selected == "pt_failure=True"
    a, b = (m.learning.changes["after"].to_numpy() for m in (with_column, without))
    np.testing.assert_allclose(a, b, rtol=1e-9)
    dirty = frame.astype(object)
    dirty.loc[0, "fever"] = "rather"
    dropped = model.fit(dirty, errors="drop", **options).learning
    assert dropped.selected == "pt_failure=True"
    np.testing.assert_allclose(dropped.changes["after"], a, rtol=0.02)
    assert len(dropped.bad) == 1
    mixed = model.simulate(400, seed=3, hidden=True)
    assert model.fit(mixed, **options).learning.selected == ""


def test_complete_data_and_a_dirichlet_prior_give_the_closed_form():
    model = clinic()
    frame = drawn(model, 400, seed=2)
    new = model.fit(frame, learn=["smoking", "test"], strength=2.0)
    n = 2.0 * 20.0
    seen = (frame["smoking"] == "present").sum()
    assert new.network.table("smoking")[1] == pytest.approx((seen + n * 0.3) / (400 + n), rel=1e-12)
    ill = frame[frame["disease"] == "severe"]
    positive = (ill["test"] == "present").sum()
    assert new.network.table("test")[2, 1] == pytest.approx((positive + n * 0.9) / (len(ill) + n), rel=1e-12)
    changed = new.learning.changes.set_index(["parameter", "states"])
    assert changed.loc[("test/sensitivity", "severe"), "people"] == pytest.approx(len(frame[frame["disease"] != "absent"]))
    assert new.network.table("other")[1] == 0.25


def test_weights_stand_for_people_and_threads_change_nothing():
    model = clinic()
    frame = drawn(model, 200, seed=4, missing=0.3)
    often = pd.concat([frame] * 3, ignore_index=True)
    weighted = model.fit(frame.assign(w=3), weights="w", iterations=5)
    repeated = model.fit(often, iterations=5, threads=1)
    assert weighted.learning.people == repeated.learning.people == 600
    for v in model.network.variables:
        np.testing.assert_allclose(weighted.network.table(v), repeated.network.table(v), rtol=1e-12)
    one, two = (model.fit(often, iterations=5, threads=k) for k in (1, 2))
    assert one.network == two.network


def test_frozen_numbers_stay_and_silent_ones_are_named():
    model = clinic()
    frame = drawn(model, 3000, seed=5)[["age", "smoking", "pain"]]
    new = model.fit(frame, keep=["smoking", "disease/prevalence/old", "pain/leak"])
    assert new.network.distributions["smoking"] == model.network.distributions["smoking"]
    assert new.network.distributions["disease"].prevalence[2] == pytest.approx([0.6, 0.2, 0.2], rel=1e-9)
    assert (new.network.distributions["pain"].leak == model.network.distributions["pain"].leak).all()
    assert not np.allclose(new.network.table("age"), model.network.table("age"))
    assert {p.split("/")[0] for p in new.learning.silent} == {"test", "walking", "failed"}
    assert "The data say nothing about" in str(new.learning)
    assert new.network.distributions["test"] == model.network.distributions["test"]
    huge = model.fit(frame, strength=1e12)
    for v in model.network.variables:
        np.testing.assert_allclose(huge.network.table(v), model.network.table(v), atol=1e-7)


def test_more_starts_are_reproducible_and_no_worse():
    model = clinic()
    frame = drawn(model, 300, seed=6)[["pain", "walking", "test", "failed"]]
    once = model.fit(frame, strength=0.1, iterations=50)
    a, b = (model.fit(frame, strength=0.1, iterations=50, starts=4, seed=9) for _ in range(2))
    assert a.network == b.network
    assert a.learning.trace.log_posterior[-1] >= once.learning.trace.log_posterior[-1]


def test_hidden_asia_is_climbed_as_high_as_by_pgmpy():
    from pgmpy.estimators import ExpectationMaximization
    from pgmpy.models import DiscreteBayesianNetwork

    asia = bayesnet.read_network("tests/networks/asia.bif.gz")
    names = list(asia.network.variables)
    frame = drawn(asia, 500, seed=8)
    hidden = [v for v in names if v in ("either", "lung")]
    seen = frame.drop(columns=hidden)
    ours = asia.fit(seen, strength=0, iterations=100, tolerance=1e-9)
    theirs = DiscreteBayesianNetwork(asia.to_pgmpy().edges(), latents=set(hidden))
    found = ExpectationMaximization(theirs, seen).get_parameters(
        latent_card=dict.fromkeys(hidden, 2), max_iter=20, seed=1, show_progress=False
    )
    theirs.add_cpds(*found)
    like = bayesnet.from_pgmpy(theirs)
    rows, _ = encode_frame(like.network, seen)
    plan = plan_counts(like.network, rows.variables, [])
    reached = expected_counts(plan, rows).log_evidence.sum()
    assert ours.learning.trace.log_likelihood[-1] >= reached - 0.5


def test_learned_model_is_written_with_its_data_and_read_again(tmp_path):
    model = bayesnet.load("pt_failure")
    frame = model.simulate(500, seed=1, given={"pt_failure": True}, missing=0.5)
    new = model.fit(frame, learn="prevalences", name="Our clinic 2026", iterations=3)
    assert new.learning.selected == "" or "pt_failure" in new.learning.selected
    folder = new.write(tmp_path / "ours")
    again = bayesnet.load(folder)
    for v in new.network.variables:
        np.testing.assert_allclose(again.network.table(v), new.network.table(v), rtol=1e-6) if (
            new.network.kind(v) not in ("noisy_or", "noisy_max", "noisy_nor")
        ) else None
    moved = set(new.learning.moved["parameter"])
    learned = [p for p in again.document.parameters if "/".join((p.variable, *p.key)) in moved]
    assert learned
    assert all("LOCAL0001" in p.studies for p in learned)
    assert again.document.studies["LOCAL0001"].study == "Our clinic 2026"
    patient = {"age": 70, "sex": "male", "vascular_disease": True}
    a, b = new.diagnose(patient), again.diagnose(patient)
    pd.testing.assert_frame_equal(a.causes, b.causes, rtol=1e-6)
    assert b.actions is not None
    second = again.fit(frame.head(100), learn="fever", iterations=2)
    assert "LOCAL0002" in second.document.studies


@pytest.mark.parametrize(("options", "message"), [
    ({"learn": "prevalance"}, "Did you mean prevalences"),
    ({"learn": "smokng"}, "Did you mean smoking"),
    ({"strength": -1}, "at least 0"),
    ({"strength": "1"}, "strength='1': expected a number"),
    ({"learn": []}, "chooses no parameter of this model. Expected all, prevalences"),
    ({"learn": "smoking", "keep": "smoking"}, "nothing is left to learn"),
    ({"selected": {"smoking": True}}, "has a column smoking"),
    ({"selected": {"faild": True}}, "Did you mean failed"),
    ({"selected": {"failed": "maybe"}}, "maybe"),
    ({"starts": 0}, "at least 1"),
])
def test_bad_requests_say_what_to_write(options, message):
    frame = drawn(clinic(), 20, seed=1)[["age", "smoking", "pain"]]
    with pytest.raises(LearningError, match=message):
        clinic().fit(frame, **options)


@pytest.mark.parametrize(("frame", "options", "message"), [
    (pd.DataFrame({"smoking": ["present", "sometimes"]}), {}, "sometimes"),
    (pd.DataFrame({"smokin": ["present"]}), {}, "Did you mean smoking"),
    (pd.DataFrame({"smoking": []}), {}, "no rows"),
    (pd.DataFrame({"smoking": [True]}), {"weights": [-1]}, "at least 0"),
    (pd.DataFrame({"smoking": [True]}), {"weights": [1, 2]}, "2 weights for 1 rows"),
    (pd.DataFrame({"smoking": [True]}), {"weights": "w"}, "no weight column"),
    (pd.DataFrame({"smoking": [True]}), {"weights": 2.0}, "weights=2.0: expected the name of a column"),
    (pd.DataFrame({"smoking": [True]}), {"weights": [0]}, "all weights are 0"),
])
def test_bad_tables_say_what_is_wrong(frame, options, message):
    with pytest.raises(CohortError, match=message):
        clinic().fit(frame, **options)


def test_impossible_rows_are_left_out_and_counted():
    model = clinic()
    never = Table((), np.array([1.0, 0.0]))
    sure = Model(model.network.replace({"other": never}))
    frame = drawn(model, 100, seed=1)
    frame.loc[5, "other"] = "present"
    frame.loc[frame.index != 5, "other"] = "absent"
    new = sure.fit(frame, iterations=3)
    assert new.learning.trace.impossible.tolist() == [5]
    assert "1 rows are impossible" in str(new.learning)
    kept = sure.fit(frame.drop(5), iterations=3)
    said = [line for line in str(kept.learning).splitlines() if "likelihood a person" in line]
    assert said[0] in str(new.learning)
    with pytest.raises(LearningError, match="every row is impossible"):
        sure.fit(frame.loc[[5, 5]])


def test_recalibration_matches_what_is_stated_and_keeps_the_rest():
    model = clinic()
    wanted = {"disease": {"mild": 0.3, "severe": 0.05}, "other": 0.1, "pain": 0.5, "age": {"old": 0.6}}
    new = model.recalibrate(wanted, given={"failed": "present"})
    found = new.posterior(evidence={"failed": "present"})
    assert found["disease"]["mild"] == pytest.approx(0.3, rel=1e-8)
    assert found["disease"]["severe"] == pytest.approx(0.05, rel=1e-8)
    assert found["other"]["present"] == pytest.approx(0.1, rel=1e-8)
    assert found["pain"]["present"] == pytest.approx(0.5, rel=1e-8)
    assert found["age"]["old"] == pytest.approx(0.6, rel=1e-8)
    a, b = model.network.distributions, new.network.distributions
    assert (a["disease"].odds_ratios[0] == b["disease"].odds_ratios[0]).all()
    assert all((x == y).all() for x, y in zip(a["pain"].links, b["pain"].links, strict=True))
    assert a["test"] == b["test"]
    assert a["walking"] == b["walking"]
    # One shift of the log odds in all strata.
    odds = [np.log(d["disease"].prevalence[:, 1:] / d["disease"].prevalence[:, :1]) for d in (a, b)]
    np.testing.assert_allclose((odds[1] - odds[0]).std(axis=0), 0, atol=1e-9)


@pytest.mark.parametrize(("frequencies", "error", "message"), [
    ({"pain": 0.001}, LearningError, "cannot be lowered to 0.001.*leaves it at 0.2"),
    ({"othr": 0.1}, bayesnet.EvidenceError, "Did you mean other"),
    ({"other": 1.2}, bayesnet.EvidenceError, "between 0 and 1"),
    ({"other": True}, bayesnet.EvidenceError, "between 0 and 1"),
    ({"disease": 0.1}, bayesnet.EvidenceError, "absent, mild, severe"),
    ({"disease": {"mld": 0.1}}, bayesnet.EvidenceError, "Did you mean mild"),
    ({"disease": {"mild": 0.7, "severe": 0.4}}, bayesnet.EvidenceError, "add up to 1.1"),
    ({"test": 0.1}, bayesnet.EvidenceError, "is a test"),
    ({}, LearningError, "at least one"),
    (["other"], bayesnet.EvidenceError, "must be a mapping such as .*, not list"),
    ({"disease": {}}, bayesnet.EvidenceError, "no shares; give one for a state, of absent, mild, severe"),
    ({"other": 0.1, "Other": 0.5}, bayesnet.EvidenceError, "'other' and 'Other' are the same variable"),
])
def test_frequencies_that_cannot_be(frequencies, error, message):
    with pytest.raises(error, match=message):
        clinic().recalibrate(frequencies)


def test_recalibration_among_people_who_cannot_be_says_so():
    model = clinic()
    never = Model(model.network.replace({"other": Table((), np.array([1.0, 0.0]))}))
    with pytest.raises(bayesnet.ImpossibleEvidenceError, match="other = present"):
        never.recalibrate({"age": {"old": 0.4}}, given={"other": True})
    with pytest.raises(LearningError, match=r"other=present is impossible .* cannot be 0.1 of them"):
        never.recalibrate({"other": 0.1})


def test_recalibration_takes_labels_and_numbers_of_any_kind():
    model = clinic()
    plain = model.recalibrate({"other": 0.125}, given={"failed": "present"})
    assert model.recalibrate({"Other": np.float32(0.125)}, given={"Failed": "present"}).network == plain.network


def test_commands_write_a_model_that_diagnoses(tmp_path):
    from typer.testing import CliRunner

    from bayesnet.cli import app

    model = bayesnet.load("pt_failure")
    frame = model.simulate(300, seed=2, given={"pt_failure": True}, missing=0.6)
    frame = frame.astype(object)
    frame.loc[3, "fever"] = "rather"
    frame.to_csv(tmp_path / "clinic.csv", index=False)
    run = CliRunner().invoke
    found = run(app, ["fit", str(tmp_path / "clinic.csv"), "-o", str(tmp_path / "a"), "--learn", "prevalences", "--iterations", "2"])
    assert found.exit_code == 0, found.output
    assert "Learned from clinic: 300 rows" in found.output
    assert "1 rows were not understood" in found.output
    found = run(app, [
        "recalibrate", "axial_spondyloarthritis=0.2", "--given", "pt_failure=present",
        "-m", str(tmp_path / "a"), "-o", str(tmp_path / "b"), "--name", "Our count",
    ])
    assert found.exit_code == 0, found.output
    again = bayesnet.load(tmp_path / "b")
    p = again.posterior("axial_spondyloarthritis", {"pt_failure": True})
    assert p["axial_spondyloarthritis"]["present"] == pytest.approx(0.2, abs=1e-5)
    assert again.version == f"{model.version}+fitted.recalibrated"
    assert again.name == model.name
    assert run(app, ["model", "published", str(tmp_path / "b"), "--summary"]).exit_code == 0
    assert {"clinic", "Our count"} <= {s.study for s in again.document.studies.values()}
    bad = run(app, ["recalibrate", "axial_spondyloarthritis", "-o", str(tmp_path / "c")])
    assert bad.exit_code == 2
    bad = run(app, ["fit", str(tmp_path / "clinic.csv"), "-o", str(tmp_path / "c"), "--learn", "prevalence"])
    assert bad.exit_code == 2
    assert "Did you mean" in bad.output


def fitted(folder: Path, text: str, *options: str):
    from typer.testing import CliRunner

    from bayesnet.cli import app

    (folder / "clinic.csv").write_text(text, encoding="utf-8")
    args = ["fit", str(folder / "clinic.csv"), "-o", str(folder / "new"), "--learn", "sex", "--iterations", "1"]
    found = CliRunner().invoke(app, [*args, "--overwrite", *options], env={"COLUMNS": "300"})
    assert (folder / "new").exists() == (found.exit_code == 0)
    return found


def test_fit_stops_when_most_rows_cannot_be_read(tmp_path):
    text = "sex,pt_failure\nM,present\nM,present\nmale,present\n"
    found = fitted(tmp_path, text)
    assert found.exit_code == 2
    assert "2 of 3 rows cannot be read" in found.output
    assert "2 x sex: 'M' is not a state: write 'male'" in found.output
    assert fitted(tmp_path, text, "--most-bad", "0.7").exit_code == 0


def test_fit_asks_in_whom_therapy_failed(tmp_path):
    found = fitted(tmp_path, "sex\nmale\nfemale\n")
    assert found.exit_code == 2
    assert "has no column for pt_failure" in found.output
    assert "--all-failed" in found.output
    told = fitted(tmp_path, "sex\nmale\nfemale\n", "--all-failed")
    assert "Taken for granted: Physical therapy failed in all of these people" in told.output
    told = fitted(tmp_path, "sex\nmale\nfemale\n", "--unselected")
    assert "nobody was chosen by whether physical therapy failed" in told.output


def test_fit_takes_what_is_said_of_the_outcome_once(tmp_path):
    found = fitted(tmp_path, "sex,pt_failure\nmale,present\n", "--all-failed")
    assert found.exit_code == 2
    assert "leave one of them out" in found.output
    assert fitted(tmp_path, "sex\nmale\n", "--all-failed", "--unselected").exit_code == 2


def test_hidden_variables_may_be_given_anew_in_every_row():
    from bayesnet.inference import compile_program, run, stack_rows

    network = clinic().network
    program = compile_program(network, ["failed", "test"], free=["disease", "other"])
    rare = network.replace({"other": Table((), np.array([0.99, 0.01]))})
    both = [network, rare]
    tables = {v: [np.stack([n.factors_of(v)[0].values for n in both])] for v in ("disease", "other")}
    row = stack_rows(program, [{"failed": np.array([0.0, 1.0])}])
    found = run(program, np.repeat(row, 2, axis=0), ["test"], tables)
    for i, n in enumerate(both):
        alone = Model(n).posterior("test", {"failed": "present"})["test"]["present"]
        assert found.posteriors["test"][i, 1] == pytest.approx(alone, rel=1e-12)


def pair_of_findings() -> Model:
    """`b` depends on `a`."""
    tables = {
        "a": Table((), np.array([0.9, 0.1])),
        "b": Table(("a",), np.array([[0.8, 0.2], [0.3, 0.7]])),
    }
    return Model(Network([Variable("a"), Variable("b")], tables))


def test_every_row_of_a_column_may_have_a_likelihood_of_its_own():
    x = np.linspace(0.0001, 0.9999, 40_000)
    found = pair_of_findings().log_probability(pd.DataFrame({"b__present": x}))
    np.testing.assert_allclose(found, np.log(0.75 * (1 - x) + 0.25 * x), rtol=1e-12)


def test_an_empty_cell_of_the_outcome_does_not_say_that_people_differ():
    """An empty cell, in whatever form it comes, is not known."""
    model = bayesnet.load("pt_failure")
    failed = {"pt_failure": ["present"] * 3, "fever": ["absent", "present", None]}
    frame = pd.DataFrame(failed, dtype=object)

    def taken(table, **options):
        return _selection(model, None, encode_frame(model.network, table, **options)[0])

    full, rows = taken(frame)
    assert full == "pt_failure"
    for table in (
        frame.assign(pt_failure=["present", None, "present"]),
        frame.drop(columns="pt_failure").assign(pt_failure__present=[np.nan, 1.0, 1.0]),
    ):
        given, found = taken(table)
        assert given == full
        np.testing.assert_array_equal(found.likelihood(full), rows.likelihood(full))
    given, found = taken(frame.assign(pt_failure=None))
    assert given == full
    assert found.variables == ("fever",)
    assert taken(frame.assign(pt_failure=["present", None, "absent"]))[0] is None
    assert taken(frame.assign(pt_failure=["absent", None, "absent"]))[0] is None
    assert taken(frame.assign(pt_failure=["absent", None, "present"]), weights=[0, 1, 1])[0] == full


@pytest.mark.parametrize("size", [1e-80, 1e-300, 1e300])
def test_small_and_large_likelihoods_leave_a_row_possible(size):
    names = [f"v{i}" for i in range(5)]
    variables = [Variable("a"), *map(Variable, names)]
    table = np.array([[0.8, 0.2], [0.3, 0.7]])
    tables = {"a": Table((), np.array([0.9, 0.1])), **{v: Table(("a",), table) for v in names}}
    model = Model(Network(variables, tables))
    likelihood = {"absent": 1.0, "present": 0.5}
    scaled = {s: size * x for s, x in likelihood.items()}
    plain, found = (
        model.log_probability(pd.DataFrame({v: [cell, None] for v in names}))
        for cell in (likelihood, scaled)
    )
    np.testing.assert_allclose(found, [plain[0] + 5 * np.log(size), plain[1]], rtol=1e-12)
    assert found[0] == pytest.approx(model.posterior("a", dict.fromkeys(names, likelihood)).log_evidence + 5 * np.log(size))


def seen_in_a_thousand(prior: float, state: str, strength: float = 1.0) -> pd.Series:
    """What is learned of a frequency when a thousand people all have one state."""
    model = Model(Network([Variable("a")], {"a": Table((), np.array([1 - prior, prior]))}))
    frame = pd.DataFrame({"a": [state] * 1000})
    return model.fit(frame, intervals=True, strength=strength).learning.changes.iloc[0]


def test_intervals_next_to_0_and_1_are_those_of_a_beta_distribution():
    nobody = seen_in_a_thousand(0.001, "absent")
    # By Beta(0.02 + 1, 1019.98 + 1), but never without the estimate.
    assert nobody["low"] == pytest.approx(0.02 / 1020)
    assert nobody["low"] <= nobody["after"]
    assert nobody["high"] == pytest.approx(0.003647, rel=1e-3)
    few = seen_in_a_thousand(0.1, "absent")
    assert [few["low"], few["high"]] == pytest.approx(beta.ppf([0.025, 0.975], 3, 1019), rel=1e-5)
    everybody = seen_in_a_thousand(0.9, "present")
    assert [everybody["low"], everybody["high"]] == pytest.approx([1 - few["high"], 1 - few["low"]], rel=1e-6)
    # Many enough: symmetric in log odds.
    odds = [x / (1 - x) for x in seen_in_a_thousand(0.3, "absent")[["low", "after", "high"]]]
    assert odds[0] * odds[2] == pytest.approx(odds[1] ** 2)
    assert np.isnan(seen_in_a_thousand(0.3, "absent", strength=0)["low"])


def test_nobody_of_a_thousand_is_written_as_so_many_people(tmp_path):
    """A one-sided interval read back as a spread would weigh as thirty times the people."""
    path = tmp_path / "small.yaml"
    path.write_text(
        "name: small\nparts:\n  cause:\n    gout: {group: underlying, table: {p: 0.5, expert: x, spread: 4}}\n"
        "  history:\n    fever: {noisy_or: {expert: x, gout: 0.3, leak: {p: 0.001, spread: 20}}}\n"
    )
    model = bayesnet.load(path)
    frame = pd.DataFrame({"gout": ["absent"] * 1000, "fever": ["absent"] * 1000})
    fitted = model.fit(frame, learn=["fever/leak"], intervals=True)
    (leak,) = (p for p in fitted.document.parameters if p.key == ("leak",))
    assert leak.spread == pytest.approx(1020, rel=0.02)
    again = fitted.fit(frame, learn=["fever/leak"], intervals=True)
    (leak,) = (p for p in again.document.parameters if p.key == ("leak",))
    assert leak.spread == pytest.approx(2020, rel=0.03)
