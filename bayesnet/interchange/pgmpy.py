"""Networks to and from pgmpy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from bayesnet.errors import NetworkError
from bayesnet.network import Network, NoisyMax, Table, Variable
from bayesnet.network.distributions import max_convolution
from bayesnet.network.factor import FloatArray

__all__ = ["from_pgmpy", "to_pgmpy"]

#: A noisy-MAX whose full table has more entries goes out as a chain of helper nodes.
LARGEST_NOISY_TABLE = 256


def to_pgmpy(network: Network) -> Any:
    """The same distribution as a pgmpy `DiscreteBayesianNetwork`.

    A noisy-MAX with many parents becomes a chain of helper nodes `<child>__after_<parent>`, each
    the maximum of the one before and one parent's contribution, so that no table explodes; summing
    the helpers out gives the original exactly (Heckerman & Breese 1996, IEEE Trans SMC 26:826).

    Returns
    -------
    pgmpy.models.DiscreteBayesianNetwork
        With `state_names`; `check_model()` is true.
    """
    from pgmpy.factors.discrete import TabularCPD
    from pgmpy.models import DiscreteBayesianNetwork

    graph = DiscreteBayesianNetwork()
    graph.add_nodes_from(network.variables)

    def add(child: str, states: tuple[str, ...], parents: list[str], table: FloatArray) -> None:
        graph.add_edges_from((p, child) for p in parents)
        flat = np.moveaxis(table, -1, 0).reshape(len(states), -1)
        names = {child: list(states), **{p: list(known[p]) for p in parents}}
        graph.add_cpds(
            TabularCPD(
                child,
                len(states),
                flat,
                evidence=parents or None,
                evidence_card=list(table.shape[:-1]) or None,
                state_names=names,
            )
        )
        known[child] = states

    known: dict[str, tuple[str, ...]] = {v.id: v.states for v in network.variables.values()}
    for v in network.variables.values():
        distribution = network.distributions[v.id]
        parents = list(distribution.parents)
        entries = math.prod(network.sizes(parents)) * len(v)
        if not isinstance(distribution, NoisyMax) or entries <= LARGEST_NOISY_TABLE:
            add(v.id, v.states, parents, network.table(v.id))
            continue
        before: str | None = None
        so_far = distribution.leak
        for i, (parent, link) in enumerate(zip(parents, distribution.links, strict=True)):
            last = i == len(parents) - 1
            name = v.id if last else f"{v.id}__after_{parent}"
            if before is None:
                table = max_convolution(so_far, link, distribution.toward_first)
                add(name, v.states, [parent], table)
            else:
                table = max_convolution(
                    np.eye(len(v))[:, None, :], link[None], distribution.toward_first
                )
                add(name, v.states, [before, parent], table)
            before = name
    return graph


def from_pgmpy(model: Any) -> Network:
    """A `Network` from any pgmpy discrete network with tabular CPDs.

    Parameters
    ----------
    model : pgmpy.models.DiscreteBayesianNetwork
        Every node needs a CPD. State names are turned into strings.

    Raises
    ------
    NetworkError
        For what is no such network, and naming every node without a table.
    """
    if not (hasattr(model, "nodes") and hasattr(model, "get_cpds")):
        raise NetworkError([
            f"expected a network of pgmpy, such as a DiscreteBayesianNetwork, not {type(model).__name__}"
        ])
    cpds = {node: model.get_cpds(node) for node in model.nodes()}
    problems = [
        f"node {node!r} has no CPD; add one with model.add_cpds(...)" if cpd is None
        else f"node {node!r} has a {type(cpd).__name__}; only tables (TabularCPD) can be read"
        for node, cpd in cpds.items() if not hasattr(cpd, "to_factor")
    ]
    if problems:
        raise NetworkError(problems)
    variables, tables = [], {}
    for node, cpd in cpds.items():
        parents = [p for p in cpd.variables if p != node]
        values = np.asarray(cpd.to_factor().values, dtype=np.float64)
        axes = [cpd.variables.index(p) for p in parents] + [cpd.variables.index(node)]
        variables.append(Variable(str(node), tuple(str(s) for s in cpd.state_names[node])))
        tables[str(node)] = Table(tuple(map(str, parents)), np.transpose(values, axes))
    return Network(variables, tables, str(getattr(model, "name", "") or ""))
