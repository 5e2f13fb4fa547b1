"""Network -> model folder: the inverse of `reader`, provenance included."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from bayesnet.modelfile.reader import ORDER_FILE, SHORTCUTS_FILE, ModelDocument, Parameter
from bayesnet.network import (
    TWO_STATES,
    Mixture,
    Network,
    NoisyMax,
    OddsRatio,
    SensitivitySpecificity,
    Table,
    Variable,
)
from bayesnet.network.factor import FloatArray
from bayesnet.studies import write_studies

__all__ = ["variable_block", "write_model"]

#: Beside a model whose parameters were learned: the evidence table, and the data.
STUDIES_FILE = "studies.csv"
PATHWAYS_FILE = "pathways.yaml"
PUBLISHED_FILE = "published.yaml"
_Sources = Mapping[tuple[str, ...], Parameter]


def write_model(document: ModelDocument, folder: str | os.PathLike[str]) -> Path:
    """Write `document` as a model folder: `model.yaml` and one file a role.

    Parameters
    ----------
    document : ModelDocument
        Numbers are taken from its network, sources from its parameters.
    folder : path
        Made if it does not exist. The evidence table is referred to, not copied, unless parameters
        were learned: then it is written beside the model, with a row for the data. A
        pathways file, an elimination order and published results to compare with are copied; what
        was written about the old numbers (card notes, real patients) is not.

    Returns
    -------
    Path
        The folder.
    """
    root = Path(folder)
    root.mkdir(parents=True, exist_ok=True)
    network = document.network
    sources: dict[str, dict[tuple[str, ...], Parameter]] = {}
    for p in document.parameters:
        sources.setdefault(p.variable, {})[p.key] = p
    parts = {}
    for role in dict.fromkeys(v.role for v in network.variables.values()):
        blocks = {
            v: variable_block(network, v, sources.get(v, {})) for v in network.of_role(role)
        }
        parts[role] = [f"{role}.yaml"]
        (root / f"{role}.yaml").write_text(_dump(blocks), encoding="utf-8")
    manifest = document.manifest.model_dump(exclude_none=True)
    manifest["parts"] = parts
    if document.added:
        write_studies(document.studies.values(), root / STUDIES_FILE)
        manifest["studies"] = STUDIES_FILE
    elif document.manifest.studies is not None:
        table = (document.folder / document.manifest.studies).resolve()
        manifest["studies"] = os.path.relpath(table, root.resolve())
    (root / "model.yaml").write_text(_dump(manifest), encoding="utf-8")
    for name in (ORDER_FILE, SHORTCUTS_FILE, PATHWAYS_FILE, PUBLISHED_FILE):
        source = document.folder / name
        if source.exists() and not (root / name).exists():
            shutil.copyfile(source, root / name)
    return root


def _dump(data: Mapping[str, Any]) -> str:
    return yaml.safe_dump(
        dict(data), default_flow_style=None, sort_keys=False, allow_unicode=True, width=110
    )


def variable_block(network: Network, id: str, sources: _Sources) -> dict[str, Any]:
    """The YAML block of one variable as plain data."""
    v = network[id]
    block: dict[str, Any] = {"label": v.name}
    if v.ask:
        block["ask"] = v.ask
    block["group"] = v.group or "variables"
    if v.states != TWO_STATES:
        block["states"] = list(v.states)
    if v.bins is not None:
        block["unit"] = v.bins.unit
        block["bins"] = list(v.bins.edges)
    if v.note:
        block["note"] = v.note
    if v.codes:
        block["codes"] = {system: list(codes) for system, codes in v.codes.items()}
    kind, spec = _spec(network, v, sources)
    block[kind] = spec
    return block


def _spec(network: Network, v: Variable, sources: _Sources) -> tuple[str, dict[str, Any]]:
    d = network.distributions[v.id]
    if isinstance(d, Table):
        if not d.parents:
            return "table", _entry(_full(v, d.probabilities), sources.get(()))
        return "table", {
            "given": list(d.parents),
            "rows": _rows(network, v, d.probabilities, d.parents, (), sources),
        }
    if isinstance(d, NoisyMax):
        rest = len(v) - 1 if d.toward_first else 0
        links = {
            parent: _entry(
                _by_state(network[parent], link, lambda row: _partial(v, row, rest)),
                sources.get((parent,)),
            )
            for parent, link in zip(d.parents, d.links, strict=True)
        }
        return network.kind(v.id), {**links, "leak": _entry(_partial(v, d.leak, rest), sources.get(("leak",)))}
    if isinstance(d, Mixture):
        spec: dict[str, Any] = {}
        for parent, part, weight in zip(d.parents, d.components, d.weights, strict=True):
            entry = _entry(
                _by_state(network[parent], part, lambda row: _full(v, row)),
                sources.get((parent,)),
            )
            if weight[1] != 1:
                entry["weight"] = float(weight[1])
            spec[parent] = entry
        return "mixture", {**spec, "none": _entry(_full(v, d.none), sources.get(("none",)))}
    if isinstance(d, SensitivitySpecificity):
        of = network[d.parents[0]]
        sensitivity: Any = (
            float(d.sensitivity[0])
            if len(of) == 2
            else dict(zip(of.states[1:], d.sensitivity.tolist(), strict=True))
        )
        return "sensitivity_specificity", {
            "of": of.id,
            "sensitivity": _entry(sensitivity, sources.get(("sensitivity",))),
            "specificity": _entry(float(d.specificity), sources.get(("specificity",))),
        }
    assert isinstance(d, OddsRatio)
    if d.by is None:
        prevalence = _entry(_partial(v, d.prevalence[0], 0), sources.get(("prevalence",)))
    else:
        prevalence = {"by": d.by} | {
            state: _entry(_partial(v, row, 0), sources.get(("prevalence", state)))
            for state, row in zip(network[d.by].states, d.prevalence, strict=True)
        }
    ratios = {
        parent: _entry(
            _by_state(network[parent], ratio, lambda row: _ratio(v, row)),
            sources.get((parent,)),
            "or",
        )
        for parent, ratio in zip(d.risk_factors, d.odds_ratios, strict=True)
    }
    return "odds_ratio", {"prevalence": prevalence, **ratios}


def _entry(value: Any, source: Parameter | None, key: str = "p") -> dict[str, Any]:
    entry: dict[str, Any] = {key: value}
    if source is None:
        return {**entry, "expert": "No source recorded."}
    if source.studies:
        entry["studies"] = list(source.studies)
    if source.expert:
        entry["expert"] = source.expert
    if source.spread is not None:
        entry["spread"] = (
            list(source.spread) if isinstance(source.spread, tuple) else source.spread
        )
    if source.note:
        entry["note"] = source.note
    if source.background is not None:
        entry["background"] = {
            "p": dict(source.background.rates), "without": list(source.background.without),
        }
    return entry


def _full(v: Variable, row: FloatArray) -> Any:
    if len(v) == 2:
        return float(row[1])
    return dict(zip(v.states, row.tolist(), strict=True))


def _partial(v: Variable, row: FloatArray, rest: int) -> Any:
    """All states but the one that takes the remainder."""
    if len(v) == 2:
        return float(row[1 - rest])
    return {s: float(p) for i, (s, p) in enumerate(zip(v.states, row, strict=True)) if i != rest}


def _ratio(v: Variable, row: FloatArray) -> Any:
    if len(v) == 2 or np.all(row[1:] == row[1]):
        return float(row[1])
    return dict(zip(v.states[1:], row[1:].tolist(), strict=True))


def _by_state(parent: Variable, rows: FloatArray, one: Any) -> Any:
    if len(parent) == 2:
        return one(rows[1])
    return {state: one(row) for state, row in zip(parent.states[1:], rows[1:], strict=True)}


def _rows(
    network: Network,
    v: Variable,
    table: FloatArray,
    parents: tuple[str, ...],
    path: tuple[str, ...],
    sources: _Sources,
) -> Any:
    if not parents:
        return _entry(_full(v, table), sources.get(path))
    return {
        state: _rows(network, v, part, parents[1:], (*path, state), sources)
        for state, part in zip(network[parents[0]].states, table, strict=True)
    }
