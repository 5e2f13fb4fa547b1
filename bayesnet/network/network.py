"""The network: variables, their local distributions, and the checks that make them one."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesnet.errors import NetworkError, Problem, did_you_mean
from bayesnet.network.distributions import Distribution, NoisyMax, OddsRatio, max_convolution
from bayesnet.network.factor import Factor, FloatArray, frozen_array
from bayesnet.network.prevalence import joint_of, odds_ratio_table
from bayesnet.network.variable import Variable

if TYPE_CHECKING:
    import networkx as nx

__all__ = ["Network", "network_problems"]


@dataclass(frozen=True, eq=False)
class Network:
    """A Bayesian network over discrete variables. Immutable.

    Parameters
    ----------
    variables : iterable of Variable, or mapping id -> Variable
        In the order in which tables and reports list them.
    distributions : mapping id -> Distribution
        One a variable.
    name : str
        For messages and pictures.

    Raises
    ------
    NetworkError
        Listing everything that is wrong: unknown parents, cycles, shapes that do not fit, rows that
        do not sum to one, probabilities outside [0, 1].
    """

    variables: Mapping[str, Variable]
    distributions: Mapping[str, Distribution]
    name: str = ""
    _position: Mapping[str, int] = field(init=False, repr=False)
    _inherited: Mapping[str, FloatArray] = field(init=False, repr=False)

    def __init__(
        self,
        variables: Iterable[Variable] | Mapping[str, Variable],
        distributions: Mapping[str, Distribution],
        name: str = "",
    ) -> None:
        listed = list(variables.values() if isinstance(variables, Mapping) else variables)
        problems = network_problems(listed, distributions)
        if problems:
            raise NetworkError(problems)
        order = {v.id: v for v in listed}
        object.__setattr__(self, "variables", MappingProxyType(order))
        object.__setattr__(
            self, "distributions", MappingProxyType({v: distributions[v] for v in order})
        )
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "_position", {v: i for i, v in enumerate(order)})
        object.__setattr__(self, "_inherited", {})

    def __getstate__(self) -> dict[str, Any]:
        return {
            "variables": dict(self.variables),
            "distributions": dict(self.distributions),
            "name": self.name,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        Network.__init__(self, **state)

    def __len__(self) -> int:
        return len(self.variables)

    def __contains__(self, variable: object) -> bool:
        return variable in self.variables

    def __getitem__(self, variable: str) -> Variable:
        if variable not in self.variables:
            raise KeyError(f"no variable {variable!r}.{did_you_mean(variable, self.variables)}")
        return self.variables[variable]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Network):
            return NotImplemented
        return dict(self.variables) == dict(other.variables) and dict(
            self.distributions
        ) == dict(other.distributions)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        arcs = sum(len(d.parents) for d in self.distributions.values())
        label = f" {self.name!r}" if self.name else ""
        return f"<Network{label}: {len(self)} variables, {arcs} arcs>"

    def parents(self, variable: str) -> tuple[str, ...]:
        """Ids of the parents of `variable`."""
        return self.distributions[variable].parents

    @cached_property
    def children(self) -> Mapping[str, tuple[str, ...]]:
        """Ids of the children of every variable."""
        found: dict[str, list[str]] = {v: [] for v in self.variables}
        for child, distribution in self.distributions.items():
            for parent in distribution.parents:
                found[parent].append(child)
        return MappingProxyType({v: tuple(c) for v, c in found.items()})

    def sizes(self, ids: Iterable[str]) -> tuple[int, ...]:
        """Numbers of states of `ids`."""
        return tuple(len(self.variables[v]) for v in ids)

    def of_role(self, *roles: str) -> tuple[str, ...]:
        """Ids of the variables of the given roles, in model order."""
        return tuple(v.id for v in self.variables.values() if v.role in roles)

    @cached_property
    def topological_order(self) -> tuple[str, ...]:
        """Ids with every parent before its children; otherwise in model order."""
        placed: dict[str, None] = {}

        def place(start: str) -> None:
            stack = [(start, iter(self.parents(start)))]
            while stack:
                node, rest = stack[-1]
                nxt = next((p for p in rest if p not in placed), None)
                if nxt is None:
                    placed[node] = None
                    stack.pop()
                else:
                    stack.append((nxt, iter(self.parents(nxt))))

        for v in self.variables:
            if v not in placed:
                place(v)
        return tuple(placed)

    def ancestors(self, ids: Iterable[str]) -> frozenset[str]:
        """`ids` and everything upstream of them."""
        found: set[str] = set()
        stack = list(ids)
        while stack:
            v = stack.pop()
            if v not in found:
                found.add(v)
                stack.extend(self.parents(v))
        return frozenset(found)

    @cached_property
    def _odds_ratio_tables(self) -> Mapping[str, FloatArray]:
        tables: dict[str, FloatArray] = dict(self._inherited)
        for v in self.topological_order:
            distribution = self.distributions[v]
            if isinstance(distribution, OddsRatio) and v not in tables:
                upstream = self.ancestors(distribution.parents)
                joint = joint_of(
                    distribution.parents,
                    [
                        Factor((*self.parents(u), u), self._table(u, tables))
                        for u in self.topological_order
                        if u in upstream
                    ],
                )
                tables[v] = odds_ratio_table(distribution, joint)
        return tables

    def _table(self, variable: str, solved: Mapping[str, FloatArray]) -> FloatArray:
        distribution = self.distributions[variable]
        if isinstance(distribution, OddsRatio):
            return solved[variable]
        return distribution.table(self.sizes(distribution.parents))

    def table(self, variable: str) -> FloatArray:
        """P(variable | parents) in full, shape `(*parent sizes, size)`.

        Raises
        ------
        TooLargeError
            For a noisy-MAX of so many parents that its table cannot be written down.
        """
        self[variable]
        return self._table(variable, self._odds_ratio_tables)

    def parent_joint(self, variable: str) -> FloatArray:
        """P(parents of `variable`), one axis a parent; by full tables, so for few ancestors."""
        if variable not in self._parent_joints:
            parents = self.parents(variable)
            upstream = self.ancestors(parents)
            tables = [
                Factor((*self.parents(u), u), self.table(u))
                for u in self.topological_order if u in upstream
            ]
            self._parent_joints[variable] = frozen_array(joint_of(parents, tables))
        return self._parent_joints[variable]

    @cached_property
    def _parent_joints(self) -> dict[str, FloatArray]:
        return {}

    def arc_strength(self, parent: str, child: str) -> float:
        """How far the parent's state moves the child, between 0 and 1.

        The largest total variation distance between the child's distributions for two states of the
        parent: of a noisy-MAX with no other parent acting, else on average over the other parents'
        states (Koiter 2006, Visualizing inference in Bayesian networks, Delft).

        Raises
        ------
        KeyError
            When there is no such arc.
        """
        if parent not in self.parents(child):
            raise KeyError(f"no arc from {parent!r} to {child!r}")
        arc = parent, child
        if arc not in self._arc_strengths:
            distribution = self.distributions[child]
            at = distribution.parents.index(parent)
            if isinstance(distribution, NoisyMax):
                moved = max_convolution(
                    distribution.leak, distribution.links[at], distribution.toward_first
                )[:, None]
            else:
                table = np.moveaxis(self.table(child), at, 0)
                moved = table.reshape(table.shape[0], -1, table.shape[-1])
            apart = np.abs(moved[:, None] - moved[None, :]).sum(axis=-1) / 2
            self._arc_strengths[arc] = float(apart.mean(axis=-1).max())
        return self._arc_strengths[arc]

    @cached_property
    def _arc_strengths(self) -> dict[tuple[str, str], float]:
        return {}

    def factors_of(self, variable: str) -> tuple[Factor, ...]:
        """The small exact factors of P(variable | parents)."""
        if variable not in self._factors:
            distribution = self.distributions[variable]
            self._factors[variable] = (
                (Factor((*distribution.parents, variable), self.table(variable)),)
                if isinstance(distribution, OddsRatio)
                else distribution.factors(variable, self.sizes(distribution.parents))
            )
        return self._factors[variable]

    @cached_property
    def _factors(self) -> dict[str, tuple[Factor, ...]]:
        return {}

    def kind(self, variable: str) -> str:
        """The word that model files use for how `variable` depends on its parents."""
        distribution = self.distributions[variable]
        if isinstance(distribution, NoisyMax):
            if distribution.toward_first:
                return "noisy_nor"
            return "noisy_or" if len(self.variables[variable]) == 2 else "noisy_max"
        return distribution.kind

    def combines_toward_first(self, variable: str) -> bool:
        """Whether contributions to a noisy child combine by the minimum (noisy-NOR)."""
        distribution = self.distributions[variable]
        return isinstance(distribution, NoisyMax) and distribution.toward_first

    @cached_property
    def structure(self) -> str:
        """A short fingerprint of variables, states, arcs and kinds; not of the numbers."""
        parts = [
            f"{v.id}|{len(v)}|{d.kind}|{','.join(d.parents)}"
            for v, d in zip(self.variables.values(), self.distributions.values(), strict=True)
        ]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]

    def replace(self, distributions: Mapping[str, Distribution], name: str | None = None) -> Network:
        """A copy with some local distributions exchanged."""
        new = Network(
            self.variables,
            {**self.distributions, **distributions},
            self.name if name is None else name,
        )
        # Odds-ratio tables that the exchange cannot reach need not be solved again.
        kept = {
            v: table
            for v, table in self.__dict__.get("_odds_ratio_tables", self._inherited).items()
            if not self.ancestors([v]) & distributions.keys()
        }
        object.__setattr__(new, "_inherited", kept)
        return new

    def to_networkx(self) -> nx.DiGraph[str]:
        """The graph, node attributes: label, role, group, states."""
        import networkx as nx

        graph: nx.DiGraph[str] = nx.DiGraph(name=self.name)
        for v in self.variables.values():
            graph.add_node(v.id, label=v.name, role=v.role, group=v.group, states=v.states)
        for child in self.variables:
            graph.add_edges_from((parent, child) for parent in self.parents(child))
        return graph

    def to_pgmpy(self) -> Any:
        """This network as a pgmpy `DiscreteBayesianNetwork` (see `interchange.pgmpy`)."""
        from bayesnet.interchange.pgmpy import to_pgmpy

        return to_pgmpy(self)


def network_problems(
    variables: Iterable[Variable], distributions: Mapping[str, Distribution]
) -> list[Problem]:
    """Everything that keeps these variables and distributions from being a network."""
    problems: list[Problem] = []
    known: dict[str, Variable] = {}
    for v in variables:
        if v.id in known:
            problems.append(Problem("is defined twice", v.id))
        if not v.states:
            problems.append(Problem("has no states", v.id))
        if len(set(v.states)) < len(v.states):
            problems.append(Problem(f"has a state twice: {', '.join(v.states)}", v.id))
        if v.bins is not None and len(v.bins.edges) != len(v.states) + 1:
            problems.append(
                Problem(f"has {len(v.states)} states but {len(v.bins.edges)} bin edges", v.id)
            )
        known[v.id] = v
    for child in distributions:
        if child not in known:
            problems.append(
                Problem(f"a distribution of an unknown variable.{did_you_mean(child, known)}", child)
            )
    arcs: dict[str, tuple[str, ...]] = {}
    for v in known.values():
        distribution = distributions.get(v.id)
        if distribution is None:
            problems.append(Problem("has no distribution", v.id))
            continue
        unknown = [p for p in distribution.parents if p not in known]
        for p in unknown:
            problems.append(Problem(f"unknown parent {p!r}.{did_you_mean(p, known)}", v.id))
        if len(set(distribution.parents)) < len(distribution.parents):
            problems.append(Problem("names a parent twice", v.id))
        elif not unknown:
            sizes = [len(known[p]) for p in distribution.parents]
            problems += [
                Problem(text, v.id) for text in distribution.shape_problems(sizes, len(v))
            ]
        arcs[v.id] = tuple(p for p in distribution.parents if p in known)
    cycle = _find_cycle(arcs)
    if cycle:
        problems.append(Problem("the arcs form a cycle: " + " -> ".join(cycle), cycle[0]))
    return problems


def _find_cycle(parents: Mapping[str, tuple[str, ...]]) -> list[str]:
    """A cycle in arc direction (first id repeated at the end), or an empty list."""
    done: set[str] = set()
    for start in parents:
        path: dict[str, None] = {}
        stack = [(start, iter(parents[start]))] if start not in done else []
        path[start] = None
        while stack:
            node, rest = stack[-1]
            nxt = next((p for p in rest if p not in done), None)
            if nxt is None:
                done.add(node)
                path.pop(node, None)
                stack.pop()
            elif nxt in path:
                ids = list(path)
                loop = ids[ids.index(nxt) :]
                return [nxt, *reversed(loop)]
            else:
                path[nxt] = None
                stack.append((nxt, iter(parents.get(nxt, ()))))
    return []
