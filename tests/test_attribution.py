"""Attribution against every combination of the noise that decides who fails."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import test_modelfile

import bayesnet
from bayesnet.diagnosis.counterfactual import shared_threshold
from bayesnet.errors import EvidenceError, NetworkError

CAUSES = """\
fear:
  label: Fear
  group: psychosocial
  odds_ratio:
    prevalence: {{p: {fear}, expert: x}}
    sex: {{or: {sex}, expert: x}}
slip:
  label: Slip
  group: structural
  states: [none, low, high]
  table: {{p: {{none: {none}, low: {low}, high: {high}}}, expert: x}}
narrow:
  label: Narrow
  group: structural
  states: [none, moderate, severe]
  odds_ratio:
    prevalence: {{p: {{moderate: 0.2, severe: 0.1}}, expert: x}}
    slip: {{or: {{low: 2.0, high: {narrow}}}, expert: x}}
missed:
  label: Missed
  group: psychosocial
  odds_ratio:
    prevalence: {{p: {missed}, expert: x}}
    fear: {{or: {missed_fear}, expert: x}}
cauda:
  label: Cauda
  group: structural
  noisy_or:
    narrow: {{p: {{moderate: 0.1, severe: {cauda}}}, expert: x}}
    leak: {{p: 0.02, expert: x}}
"""
OUTCOME = """\
failed:
  label: Failed
  group: outcome
  noisy_or:
    fear: {{p: {l_fear}, expert: x}}
    slip: {{p: {{low: 0.1, high: {l_slip}}}, expert: x}}
    narrow: {{p: {{moderate: 0.15, severe: {l_narrow}}}, expert: x}}
    missed: {{p: {l_missed}, expert: x}}
    cauda: {{p: 0.6, expert: x}}
    leak: {{p: {leak}, expert: x}}
"""
FINDINGS = """\
walk:
  label: Walk
  group: systemic
  noisy_or:
    expert: x
    narrow: {moderate: 0.4, severe: 0.8}
    fear: 0.3
    leak: 0.1
diary:
  label: Diary
  group: systemic
  sensitivity_specificity: {of: missed, sensitivity: {p: 0.8, expert: x}, specificity: {p: 0.9, expert: x}}
"""
IDS = ("fear", "slip", "narrow", "missed", "cauda")


def model_of(tmp_path, seed):
    r = np.random.default_rng(seed).uniform
    low, high = r(0.05, 0.4), r(0.05, 0.3)
    causes = CAUSES.format(
        fear=r(0.1, 0.8), sex=r(0.5, 4), none=round(1 - round(low, 3) - round(high, 3), 3),
        low=round(low, 3), high=round(high, 3), narrow=r(2, 9), missed=r(0.1, 0.8),
        missed_fear=r(1, 8), cauda=r(0.1, 0.6),
    )
    outcome = OUTCOME.format(
        l_fear=r(0.05, 0.9), l_slip=r(0.1, 0.9), l_narrow=r(0.15, 0.9), l_missed=r(0.05, 0.9),
        leak=r(0.01, 0.5),
    )
    changed = {"causes.yaml": causes, "outcome.yaml": outcome, "findings.yaml": FINDINGS}
    return bayesnet.load(test_modelfile.write_small(tmp_path, changed))


class Worlds:
    """All noise settings of one patient's model, with the state of every cause under any forcing.

    Each cause has one threshold in [0, 1], cut where any of its rows changes state; each link has
    one too, so that a more severe state fires whenever a milder one does.
    """

    def __init__(self, model, sex):
        network = model.network
        self.network, self.order = network, [v for v in network.topological_order if v in IDS]
        self.links = dict(
            zip(network.parents("failed"), network.distributions["failed"].links, strict=True)
        )
        self.leak = float(network.distributions["failed"].leak[1])
        cuts = [np.cumsum(network.table(v), -1).ravel() for v in self.order]
        cuts += [self.links[v][:, 1] for v in self.order]
        middles, widths = zip(*map(self._pieces, [*cuts, [self.leak]]), strict=True)
        self.noise = np.stack([g.ravel() for g in np.meshgrid(*middles, indexing="ij")])
        self.weight = np.prod(np.stack(
            [g.ravel() for g in np.meshgrid(*widths, indexing="ij")]), axis=0)
        self.sex = np.full(self.noise.shape[1], sex)

    @staticmethod
    def _pieces(cuts):
        edges = np.unique([0.0, 1.0, *(float(c) for c in cuts if 0 < c < 1)])
        return (edges[1:] + edges[:-1]) / 2, np.diff(edges)

    def states(self, forced):
        x = {"sex": self.sex}
        for v, u in zip(self.order, self.noise, strict=False):
            if v in forced:
                x[v] = np.full(len(u), forced[v])
                continue
            rows = np.cumsum(self.network.table(v), -1)
            row = rows[tuple(x[p] for p in self.network.parents(v))]
            row = np.broadcast_to(row, (len(u), row.shape[-1]))
            x[v] = (row[:, :-1] < u[:, None]).sum(1)
        return x

    def fails(self, x):
        failed = self.noise[-1] < self.leak
        for i, v in enumerate(self.order):
            failed = failed | (self.noise[len(self.order) + i] < self.links[v][x[v], 1])
        return failed

    def findings(self, x, evidence):
        p = np.ones_like(self.weight)
        for v, s in evidence.items():
            p = p * self.network.table(v)[(*(x[q] for q in self.network.parents(v)), s)]
        return p


@pytest.mark.parametrize("seed", range(4))
def test_against_all_noise(tmp_path, seed):
    model = model_of(tmp_path, seed)
    result = model.diagnose({"walk": "present", "sex": "male", "diary": "present"})
    found = result.attribution
    worlds = Worlds(model, sex=1)
    x = worlds.states({})
    weight = worlds.weight * worlds.findings(x, {"walk": 1, "diary": 1})
    fails = worlds.fails(x)
    failed = weight[fails].sum()

    def chance(would_succeed):
        return weight[fails & would_succeed].sum() / failed

    sets = [frozenset(s) for n in range(6) for s in itertools.combinations(IDS, n)]
    value = {s: chance(~worlds.fails(worlds.states(dict.fromkeys(s, 0)))) for s in sets}
    assert found.explained == pytest.approx(value[frozenset(IDS)], rel=1e-9)
    assert sum(s.share for s in found.shares) == pytest.approx(found.explained, rel=1e-9)
    for s in found.shares:
        c = s.cause
        others = [x for x in IDS if x != c]
        shapley = sum(
            math.factorial(len(a)) * math.factorial(4 - len(a)) / math.factorial(5)
            * (value[frozenset(a) | {c}] - value[frozenset(a)])
            for n in range(5) for a in itertools.combinations(others, n)
        )
        assert s.share == pytest.approx(shapley, rel=1e-8), c
        assert s.total_effect == pytest.approx(value[frozenset([c])], rel=1e-8), c
        own = chance(~worlds.fails({**x, c: np.zeros_like(x[c])}))
        assert s.necessity == pytest.approx(own, rel=1e-8), c
        spared = weight * (x[c] == 0) * ~fails
        state = model.network[c].states.index(result[c].state)
        enough = (spared * worlds.fails(worlds.states({c: state}))).sum() / spared.sum()
        assert s.sufficiency == pytest.approx(enough, rel=1e-8), c
    pair = value[frozenset(["fear", "narrow"])]
    assert result.success_without("fear", "narrow") == pytest.approx(pair, rel=1e-9)


def test_sharing_a_threshold_is_sharing_the_inhibitors_of_a_noisy_or():
    without, link = 0.3, 0.4
    with_it = 1 - (1 - without) * (1 - link)
    coupled = shared_threshold(np.array([1 - with_it, with_it]), np.array([1 - without, without]))
    # Present with the cause: it stays without it when another inhibitor had failed too.
    assert coupled[1, 1] == pytest.approx(without / with_it)
    assert coupled[0, 0] == 1


def test_no_failure_nothing_to_explain(tmp_path):
    model = model_of(tmp_path, 0)
    with pytest.raises(EvidenceError, match="failed is not taken as present"):
        _ = model.diagnose({"failed": False}).attribution
    with pytest.raises(EvidenceError, match=r"no cause 'feer'\. Did you mean fear"):
        model.diagnose({}).success_without("feer")


def test_shares_of_the_shipped_model_add_up(model):
    found = model.diagnose({"age": 50, "straight_leg_raise": True}).attribution
    assert sum(s.share for s in found.shares) == pytest.approx(found.explained, rel=1e-9)
    assert 0 < found.unexplained < 0.2
    assert all(s.total_effect >= s.necessity - 1e-12 for s in found.shares)
    assert all(s.necessity == pytest.approx(
        model.diagnose({"age": 50, "straight_leg_raise": True})[s.cause].necessity, rel=1e-9)
        for s in found.shares)


PROTECTED = """\
name: small
outcome: failed
parts:
  context:
    sex: {{states: [female, male], table: {{p: {{female: 0.5, male: 0.5}}, expert: x}}}}
  cause:
    fear: {{group: psychosocial, table: {{p: 0.3, expert: x}}}}
    missed:
      group: psychosocial
      odds_ratio:
        prevalence: {{p: 0.4, expert: x}}
        sex: {{or: 0.5, expert: x}}
        fear: {{or: {fear}, expert: x}}
  outcome:
    failed: {{noisy_or: {{fear: {{p: 0.3, expert: x}}, missed: {{p: 0.5, expert: x}}, leak: {{p: 0.1, expert: x}}}}}}
"""


def test_only_what_a_cause_acts_on_may_not_be_protected(tmp_path):
    """A sex in which a cause is rarer is the same in both worlds; a cause that spares another is not."""
    path = tmp_path / "small.yaml"
    path.write_text(PROTECTED.format(fear=3.0), encoding="utf-8")
    result = bayesnet.load(path).diagnose({"sex": "male"})
    found = result.attribution
    assert sum(s.share for s in found.shares) == pytest.approx(found.explained)
    assert found.explained == pytest.approx(result.success_without("fear", "missed"))
    path.write_text(PROTECTED.format(fear=0.3), encoding="utf-8")
    with pytest.raises(NetworkError, match="missed is made milder"):
        bayesnet.load(path).diagnose({"sex": "male"}).attribution  # noqa: B018
