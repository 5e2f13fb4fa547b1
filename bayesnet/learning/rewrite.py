"""Learned numbers back into a network and its parameters, and what changed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from bayesnet.learning.local import Local, OddsRatioLocal, conditional_mix
from bayesnet.learning.selection import label_of
from bayesnet.modelfile.reader import ModelDocument, Parameter
from bayesnet.modelfile.writer import variable_block
from bayesnet.network import Network, OddsRatio

__all__ = ["changed_numbers", "derived", "network_of", "value_of", "values_of"]


def network_of(network: Network, locals_: Mapping[str, Local]) -> Network:
    """The network with learned numbers.

    The prevalence of an odds-ratio variable is stated for the mix of risk factors of the network it
    is in. A learned one is restated at the new mix, so that its table is the learned one; a frozen
    one stays as written, and its intercept is solved anew.
    """
    new = network.replace({
        v: x.distribution() for v, x in locals_.items() if not isinstance(x, OddsRatioLocal)
    })
    for v in network.topological_order:
        x = locals_.get(v)
        if not isinstance(x, OddsRatioLocal):
            continue
        mix = conditional_mix(new.parent_joint(v), len(x.mix))
        made = x.at_mix(mix)
        rate = np.where(x.held[:, None], x.base.prevalence, made.prevalence)
        new = new.replace({v: OddsRatio(made.parents, rate, made.odds_ratios, made.by)})
    return new


def derived(document: ModelDocument, how: str, **changed: Any) -> ModelDocument:
    """The document with other numbers, and a version that says so: `0.1.0+fitted`.

    Parameters
    ----------
    document : ModelDocument
    how : str
        `fitted` or `recalibrated`; joins those of before (`0.1.0+fitted.recalibrated`).
    **changed
        Fields of the document.
    """
    version = document.manifest.version
    marked = f"{version}{'.' if '+' in version else '+'}{how}"
    return replace(
        document, manifest=document.manifest.model_copy(update={"version": marked}), **changed
    )


def value_of(block: Mapping[str, Any], kind: str, key: Sequence[str]) -> Any:
    """The number or numbers of one parameter in a variable's YAML block."""
    entry = block[kind]
    if kind == "table" and "rows" in entry:
        entry = entry["rows"]
    for word in key:
        entry = entry[word]
    return entry["or"] if "or" in entry else entry["p"]


def values_of(network: Network, parameters: Iterable[Parameter]) -> dict[str, Any]:
    """Label -> value as a model file would say it."""
    blocks: dict[str, dict[str, Any]] = {}
    found = {}
    for p in parameters:
        if p.variable not in blocks:
            blocks[p.variable] = variable_block(network, p.variable, {})
        found[label_of(p)] = value_of(blocks[p.variable], network.kind(p.variable), p.key)
    return found


def leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], float]]:
    """(states, number) of a value that may be nested by state."""
    if isinstance(value, Mapping):
        for state, inner in value.items():
            yield from leaves(inner, (*path, str(state)))
    else:
        yield path, float(value)


def changed_numbers(
    before: Mapping[str, Any], after: Mapping[str, Any]
) -> list[tuple[str, str, float, float]]:
    """(label, states, before, after) of every number."""
    found = []
    for label, value in before.items():
        new = dict(leaves(after[label]))
        found += [(label, "/".join(path), x, new[path]) for path, x in leaves(value)]
    return found
