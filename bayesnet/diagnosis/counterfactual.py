"""The same patient in a world where some causes are forced: the twin network, compiled once.

Every cause of the outcome keeps its own noise in both worlds: the inhibitor of its noisy-OR link,
and the threshold below which it is itself brought about (Balke & Pearl 1994, AAAI; Pearl 2009,
Causality, section 7.1.4). Only variables between a forced cause and the outcome differ between the
worlds, so only they are doubled:

- `mend:c` for a cause c that acts on other causes: as it is, or forced into one of its states;
- `then:d` for a variable d that c acts on: its state in the other world. With F and F* the
  cumulative distributions of d given its parents in either world,
  P(then d = j | d = i) = |[F(i-1), F(i)] and [F*(j-1), F*(j)]| / (F(i) - F(i-1)),
  one threshold for both worlds. For a two-state noisy-OR this is the same as sharing inhibitors;
  for odds ratios and tables it is the usual assumption that a cause never protects the person in
  whom it acts (Pearl 2009, definition 9.2.13);
- `held:c` for c above: whether its link to the outcome did nothing in the other world.

Success in the other world is then a product of one factor a cause, (1 - link), which is entered as
virtual evidence: the outcome's thirty parents are never joined.

Causes of the `fallback` family are defined by the absence of others, not made by them; they keep
their actual state in the other world.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bayesnet.diagnosis.necessity import outcome_links
from bayesnet.errors import NetworkError
from bayesnet.inference import Marginals, Shortcut, Strata, stack_rows
from bayesnet.network import Network, NoisyMax, Table, Variable
from bayesnet.network.factor import FloatArray

__all__ = ["AS_IS", "TwinNetwork", "shared_threshold", "twin_network"]

AS_IS = "as_it_is"


@dataclass(frozen=True, eq=False)
class TwinNetwork:
    """A network beside itself with causes forced.

    Attributes
    ----------
    network : Network
        The original variables, then the doubles.
    strata : Strata
    outcome : str
    players : tuple of str
        The causes that are parents of the outcome, in model order.
    links : dict parent -> ndarray
        P(failure from this parent alone), by its state; of every parent of the outcome.
    leak : float
        P(failure without any parent).
    forced : frozenset of str
        Players with a `mend:` variable.
    responding : frozenset of str
        Variables with a `then:` double.
    """

    network: Network
    strata: Strata
    outcome: str
    players: tuple[str, ...]
    links: Mapping[str, FloatArray]
    leak: float
    forced: frozenset[str]
    responding: frozenset[str]

    def counterpart(self, variable: str) -> str:
        """The variable that holds the state of `variable` in the other world."""
        return f"then:{variable}" if variable in self.responding else variable

    def success_row(
        self,
        vectors: Mapping[str, FloatArray],
        mend: Mapping[str, FloatArray] | None = None,
        kept: Mapping[str, FloatArray] | None = None,
    ) -> dict[str, FloatArray]:
        """Evidence `vectors` in the actual world and success in the other one.

        Parameters
        ----------
        vectors : mapping
            Likelihoods of the findings; the outcome is not among them.
        mend : mapping cause -> ndarray
            For causes of `forced`: the weight of `AS_IS` and of each forced state, as it is by
            default.
        kept : mapping parent of the outcome -> ndarray
            For the others: by state, the probability that success survives its link; 1 - link by
            default.
        """
        row = dict(vectors)
        for c in self.forced:
            size = len(self.network[f"mend:{c}"])
            row[f"mend:{c}"] = (mend or {}).get(c, np.eye(size)[0])
            row[f"held:{c}"] = np.array([0.0, 1.0])
        for parent, link in self.links.items():
            if parent in self.forced:
                continue
            at = self.counterpart(parent)
            factor = (kept or {}).get(parent, 1 - link)
            row[at] = row[at] * factor if at in row else factor
        return row

    def run(self, rows: list[dict[str, FloatArray]], targets: list[str]) -> Marginals:
        """Posteriors of `targets` for each row; `log_evidence` of success rows lacks the leak."""
        return self.strata.run(stack_rows(self.strata, rows), targets)


def shared_threshold(actual: FloatArray, other: FloatArray) -> FloatArray:
    """P(state in the other world | state in this one), the threshold being the same.

    Parameters
    ----------
    actual, other : ndarray
        Shape `(..., states)`: the distribution in each world.

    Returns
    -------
    ndarray
        Shape `(..., states, states)`, each row summing to one.
    """
    high, high_other = np.cumsum(actual, -1), np.cumsum(other, -1)
    low, low_other = high - actual, high_other - other
    overlap = np.minimum(high[..., :, None], high_other[..., None, :]) - np.maximum(
        low[..., :, None], low_other[..., None, :]
    )
    overlap = np.maximum(overlap, 0)
    total = overlap.sum(-1, keepdims=True)
    size = actual.shape[-1]
    # A state that cannot occur still needs a row.
    return np.where(total > 0, overlap / np.where(total > 0, total, 1), np.eye(size))


def _responding(network: Network, outcome: str, causes: tuple[str, ...]) -> frozenset[str]:
    """Variables between a cause and the outcome that change when the cause is forced."""
    fallback = {c for c in causes if network[c].group == "fallback"}
    below: set[str] = set()
    for v in network.topological_order:
        if v == outcome or v in fallback:
            continue
        parents = set(network.parents(v))
        if parents & ((set(causes) - fallback) | below):
            below.add(v)
    above: set[str] = set()
    todo = [p for p in network.parents(outcome) if p not in fallback]
    while todo:
        v = todo.pop()
        if v not in above:
            above.add(v)
            todo += [p for p in network.parents(v) if p not in fallback]
    return frozenset(below & above)


def _protects(network: Network, variable: str, differing: frozenset[str]) -> bool:
    """Whether a parent among those that may differ between the worlds makes `variable` milder."""
    d = network.distributions[variable]
    if isinstance(d, NoisyMax):
        return d.toward_first
    rising = np.cumsum(network.table(variable), -1)
    return any(
        (np.diff(rising, axis=axis) > 1e-12).any()
        for axis, parent in enumerate(d.parents) if parent in differing
    )


def twin_network(
    network: Network, outcome: str, causes: tuple[str, ...], strata: Strata | None = None
) -> TwinNetwork:
    """Build the twin of `network`; with the groups, elimination order and shortcuts of its `strata`.

    Raises
    ------
    TypeError
        When the outcome is not a two-state noisy-OR.
    NetworkError
        When a variable between a cause and the outcome is made milder by another that may differ
        between the worlds (success in this one would then not imply success in the other).
    """
    links = outcome_links(network, outcome)
    distribution = network.distributions[outcome]
    assert isinstance(distribution, NoisyMax)
    responding = _responding(network, outcome, causes)
    players = tuple(c for c in causes if c in links)
    forced = frozenset(
        c for c in players if any(c in network.parents(d) for d in responding)
    )
    variables = list(network.variables.values())
    distributions = dict(network.distributions)

    def add(name: str, states: tuple[str, ...], parents: tuple[str, ...], table: FloatArray) -> None:
        variables.append(Variable(name, states))
        distributions[name] = Table(parents, table)

    for c in sorted(forced, key=list(network.variables).index):
        states = (AS_IS, *network[c].states)
        add(f"mend:{c}", states, (), np.full(len(states), 1 / len(states)))
    for d in network.topological_order:
        if d in responding:
            if _protects(network, d, responding | forced):
                raise NetworkError([
                    f"{d} is made milder by one of its parents that a cause acts on, so that success would "
                    "not be certain to stay success without the cause: no attribution"
                ])
            parents, table = _other_world(network, d, responding, forced)
            add(f"then:{d}", network[d].states, parents, table)
    for c in players:
        if c in forced:
            at = f"then:{c}" if c in responding else c
            held = np.empty((len(links[c]), len(links[c]) + 1, 2))
            held[:, 0, 1] = 1 - links[c]
            held[:, 1:, 1] = 1 - links[c]
            held[..., 0] = 1 - held[..., 1]
            add(f"held:{c}", ("no", "yes"), (at, f"mend:{c}"), held)
    twin = Network(variables, distributions, f"{network.name} twin")
    known = strata or Strata(network)
    order = None if known.order is None else _twin_order(known.order, twin)
    shortcuts = tuple(Shortcut(s.without, _twin_order(s.order, twin)) for s in known.shortcuts)
    return TwinNetwork(
        twin, Strata(twin, known.by, order, shortcuts=shortcuts), outcome, players, links,
        float(distribution.leak[1]), forced, responding,
    )


def _twin_order(order: Sequence[str], twin: Network) -> tuple[str, ...]:
    """What belongs to a variable in the other world goes just before it."""
    beside: dict[str, list[str]] = {}
    for v in twin.variables:
        _, mark, original = v.partition(":")
        if mark:
            beside.setdefault(original, []).append(v)
    return tuple(u for v in order for u in (*beside.get(v, ()), v))


def _other_world(
    network: Network, variable: str, responding: frozenset[str], forced: frozenset[str]
) -> tuple[tuple[str, ...], FloatArray]:
    """Parents and table of `then:variable`.

    Parents: the variable, its parents here, and for each of them its double and its `mend:` if it
    has them.
    """
    parents = network.parents(variable)
    table = network.table(variable)
    names: list[str] = [variable]
    sizes: list[int] = [table.shape[-1]]
    axes: dict[str, int] = {}
    for p in parents:
        for name, size in (
            (p, len(network[p])),
            (f"then:{p}", len(network[p]) if p in responding else 0),
            (f"mend:{p}", len(network[p]) + 1 if p in forced else 0),
        ):
            if size:
                axes[name] = len(names)
                names.append(name)
                sizes.append(size)
    grids: list[npt.NDArray[np.intp]] = list(np.indices(sizes[1:]))

    def at(name: str) -> npt.NDArray[np.intp]:
        return grids[axes[name] - 1]

    here = tuple(at(p) for p in parents)
    there = []
    for p in parents:
        state = at(f"then:{p}") if p in responding else at(p)
        if p in forced:
            mend = at(f"mend:{p}")
            state = np.where(mend > 0, mend - 1, state)
        there.append(state)
    coupled = shared_threshold(table[here], table[tuple(there)])
    return tuple(names), np.moveaxis(coupled, -2, 0)
