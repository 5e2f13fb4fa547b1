"""Random networks with every kind of local distribution, and random evidence on them."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from bayesnet.network import (
    Mixture,
    Network,
    NoisyMax,
    OddsRatio,
    SensitivitySpecificity,
    Table,
    Variable,
)

KINDS = ("table", "noisy_max", "noisy_nor", "mixture", "odds_ratio", "sensitivity_specificity")


class _Rows:
    """Draws of probability rows; some entries are exactly zero or tiny."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng

    def rows(self, *shape: int) -> np.ndarray:
        x = self.rng.random(shape)
        x = np.where(self.rng.random(shape) < 0.1, 1e-12 * x, x)
        x = np.where(self.rng.random(shape) < 0.1, 0, x)
        x[..., 0] += 1e-3
        return x / x.sum(axis=-1, keepdims=True)


def build(seed: int, n: int, kinds: list[str]) -> Network:
    """A network of `n` variables; variable i is of kind `kinds[i]`."""
    rng = np.random.default_rng(seed)
    draw = _Rows(rng)
    variables: list[Variable] = []
    distributions = {}
    for i in range(n):
        kind = kinds[i]
        count = int(rng.integers(0, min(i, 4) + 1))
        chosen = [int(p) for p in rng.choice(i, size=count, replace=False)] if i else []
        if kind == "sensitivity_specificity":
            chosen = chosen[:1]
        size = 2 if kind == "sensitivity_specificity" else int(rng.integers(2, 4))
        parents = tuple(f"v{p}" for p in chosen)
        sizes = [len(variables[p]) for p in chosen]
        if kind == "table" or not parents:
            d = Table(parents, draw.rows(*sizes, size))
        elif kind in ("noisy_max", "noisy_nor"):
            nor = kind == "noisy_nor"
            links = []
            for s in sizes:
                link = draw.rows(s, size)
                link[0] = np.eye(size)[-1 if nor else 0]
                links.append(link)
            d = NoisyMax(parents, tuple(links), draw.rows(size), nor)
        elif kind == "mixture":
            d = Mixture(
                parents,
                tuple(draw.rows(s, size) for s in sizes),
                tuple(np.r_[0, rng.random(s - 1) + 0.1] for s in sizes),
                draw.rows(size),
            )
        elif kind == "sensitivity_specificity":
            d = SensitivitySpecificity(parents, rng.random(sizes[0] - 1), float(rng.random()))
        else:
            stratified = bool(rng.random() < 0.5)
            risk = sizes[1:] if stratified else sizes
            ratios = []
            for s in risk:
                ratio = np.exp(rng.normal(size=(s, size)))
                ratio[0], ratio[:, 0] = 1, 1
                ratios.append(ratio)
            strata = sizes[0] if stratified else 1
            prevalence = rng.random((strata, size)) + 0.01
            prevalence /= prevalence.sum(axis=1, keepdims=True)
            d = OddsRatio(parents, prevalence, tuple(ratios), parents[0] if stratified else None)
        variables.append(Variable(f"v{i}", tuple(f"s{k}" for k in range(size))))
        distributions[f"v{i}"] = d
    return Network(variables, distributions)


@st.composite
def networks(draw: st.DrawFn, most: int = 8) -> Network:
    n = draw(st.integers(1, most))
    kinds = draw(st.lists(st.sampled_from(KINDS), min_size=n, max_size=n))
    return build(draw(st.integers(0, 2**32 - 1)), n, kinds)


@st.composite
def likelihoods(draw: st.DrawFn, network: Network) -> dict[str, np.ndarray]:
    """Hard, virtual or no evidence on each variable."""
    found = {}
    for v in network.variables.values():
        kind = draw(st.sampled_from(("none", "none", "hard", "virtual")))
        if kind == "hard":
            found[v.id] = np.eye(len(v))[draw(st.integers(0, len(v) - 1))]
        elif kind == "virtual":
            weights = [draw(st.floats(0.001, 1)) for _ in v.states]
            found[v.id] = np.array(weights)
    return found
