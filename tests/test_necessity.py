"""Probability of necessity against enumeration of the noise of a noisy-OR outcome."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bayesnet.diagnosis.necessity import necessity, outcome_links
from bayesnet.network import Network, NoisyMax, Table, Variable


@given(
    priors=st.lists(st.floats(0.01, 0.99), min_size=2, max_size=4),
    links=st.lists(st.floats(0, 0.95), min_size=4, max_size=4),
    leak=st.floats(0.01, 0.9),
)
@settings(max_examples=60, deadline=None)
def test_against_every_combination_of_causes_and_noise(priors, links, leak):
    n = len(priors)
    causes = [Variable(f"c{i}") for i in range(n)]
    outcome = Variable("failed")
    network = Network(
        [*causes, outcome],
        {
            **{c.id: Table((), [1 - p, p]) for c, p in zip(causes, priors, strict=True)},
            "failed": NoisyMax(
                tuple(c.id for c in causes),
                tuple(np.array([[1, 0], [1 - k, k]]) for k in links[:n]),
                [1 - leak, leak],
            ),
        },
    )
    # Each world: which causes are present, which links would fire, whether the leak fires.
    failed = 0.0
    needed = np.zeros(n)
    success = 0.0
    given_success = np.zeros((n, 2))
    for x in itertools.product((0, 1), repeat=n):
        for z in itertools.product((0, 1), repeat=n + 1):
            p = np.prod([priors[i] if x[i] else 1 - priors[i] for i in range(n)])
            p *= np.prod([links[i] if z[i] else 1 - links[i] for i in range(n)])
            p *= leak if z[n] else 1 - leak
            acts = [x[i] and z[i] for i in range(n)] + [z[n]]
            if any(acts):
                failed += p
                for i in range(n):
                    if not any(a for k, a in enumerate(acts) if k != i):
                        needed[i] += p
            else:
                success += p
                for i in range(n):
                    given_success[i, x[i]] += p
    found = necessity(
        outcome_links(network, "failed"),
        {f"c{i}": given_success[i] / success for i in range(n)},
        success / failed,
    )
    for i in range(n):
        assert found[f"c{i}"] == pytest.approx(needed[i] / failed, abs=1e-12)
