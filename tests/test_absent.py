"""Absent findings as evidence on their parents, against enumeration."""

from __future__ import annotations

import numpy as np
import pytest
from oracle import joint, posteriors
from strategies import build

from bayesnet.inference.absent import absent_findings, likelihood_of_absence
from bayesnet.network import Network, NoisyMax, Table, Variable

NOISY = ["table", "table", "noisy_max", "table", "noisy_nor", "noisy_max", "noisy_nor"]


@pytest.mark.parametrize("seed", range(12))
def test_absence_says_the_same_as_evidence_on_the_parents(seed):
    """With other evidence beside it, on parents too; several findings absent at once."""
    network = build(seed, len(NOISY), NOISY)
    known = {"v1": np.array([0.3, 0.9, 0.5])[: len(network["v1"])]}
    for v, d in network.distributions.items():
        if isinstance(d, NoisyMax):
            known[v] = np.eye(len(network[v]))[d.neutral]
    absent = absent_findings(network, [known], ["v0", "v3"])
    standing = {v: x for v, x in known.items() if v not in absent}
    for v in absent:
        parts = [f.values for f in network.factors_of(v)]
        for parent, vector in likelihood_of_absence(network, v, parts).items():
            standing[parent] = standing.get(parent, 1.0) * vector
    table = joint(network)
    expected, evidence = posteriors(network, table, known)
    found, same = posteriors(network, table, standing)
    assert same == pytest.approx(evidence, rel=1e-12)
    for v in set(network.variables) - set(absent):
        np.testing.assert_allclose(found[v], expected[v], rtol=1e-12, atol=1e-300)
    leaves = [v for v in known if v != "v1" and isinstance(network.distributions[v], NoisyMax)
              and not any(v in d.parents for d in network.distributions.values())]
    assert set(leaves) <= set(absent)


def test_numbers_of_many_sets_at_once():
    network = build(3, len(NOISY), NOISY)
    v = next(v for v, d in network.distributions.items() if isinstance(d, NoisyMax))
    parts = [f.values for f in network.factors_of(v)]
    several = [np.stack([x, x[..., ::-1]]) for x in parts]
    together = likelihood_of_absence(network, v, several)
    for i in range(2):
        alone = likelihood_of_absence(network, v, [x[i] for x in several])
        assert together.keys() == alone.keys() == set(network.parents(v))
        for p in alone:
            np.testing.assert_array_equal(together[p][i], alone[p])


@pytest.mark.parametrize(
    ("patients", "asked", "expected"),
    [
        ([{"y": [1, 0], "z": [1, 0]}], [], ("z",)),  # z depends on y
        ([{"y": [1, 0]}], [], ("y",)),
        ([{"y": [1, 0]}], ["y"], ()),
        ([{"y": [1, 0]}], ["z"], ()),
        ([{"y": [0, 1]}], [], ()),
        ([{"y": [1, 0.2]}], [], ()),
        ([{"y": [0.5, 0]}], [], ()),
        ([{"y": [1, 0]}, {"y": [0, 1]}], [], ()),
        ([{"y": [1, 0]}, {}], [], ("y",)),
        ([{"x": [1, 0]}], [], ()),
    ],
)
def test_what_counts_as_absent(patients, asked, expected):
    def noisy(parent):
        return NoisyMax((parent,), (np.array([[1, 0], [0.3, 0.7]]),), np.array([0.9, 0.1]))

    network = Network(
        [Variable(v) for v in "xyz"],
        {"x": Table((), np.array([0.6, 0.4])), "y": noisy("x"), "z": noisy("y")},
    )
    vectors = [{v: np.array(x, float) for v, x in p.items()} for p in patients]
    assert absent_findings(network, vectors, asked) == expected
