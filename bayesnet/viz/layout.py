"""Where the nodes of a graph go: layers in which arcs cross little, and places that do not collide.

The order within the layers comes from Graphviz's `dot` where it is installed (Gansner et al. 1993,
IEEE Trans Softw Eng 19:214), else from igraph's implementation of Sugiyama, Tagawa & Toda (1981, IEEE
Trans Syst Man Cybern 11:109). Both know nothing of our boxes, so the places along a layer are found
here: least squares to the neighbours under minimum distances, exactly, by pooling adjacent violators
(Barlow et al. 1972). Answers are cached, since a notebook draws the same network again and again.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np

from bayesnet.errors import BayesnetError

__all__ = [
    "Routed", "crossings", "layered_order", "longest_path_layers", "places", "routed", "separated",
]

Arcs = tuple[tuple[str, str], ...]
Layers = tuple[tuple[str, ...], ...]
#: Room kept free where an arc passes a layer.
LANE = 6.0


def longest_path_layers(parents: Mapping[str, Sequence[str]], order: Sequence[str]) -> Layers:
    """Layers by the longest path from a root; `order` has parents before children."""
    depth: dict[str, int] = {}
    for v in order:
        depth[v] = 1 + max((depth[p] for p in parents[v]), default=-1)
    layers: list[list[str]] = [[] for _ in range(max(depth.values(), default=-1) + 1)]
    for v, d in depth.items():
        layers[d].append(v)
    return tuple(tuple(layer) for layer in layers)


def layered_order(layers: Layers, arcs: Arcs, engine: str = "") -> Layers:
    """The same layers, each reordered so that few arcs cross.

    Parameters
    ----------
    layers : tuple of tuple of str
    arcs : tuple of (str, str)
        Arcs within a layer are allowed and play no part.
    engine : str
        `dot` or `igraph`; the first that is there by default.
    """
    level = {v: i for i, layer in enumerate(layers) for v in layer}
    links = [
        (a, b) if level[a] < level[b] else (b, a) for a, b in arcs if level[a] != level[b]
    ]
    if not links:
        return layers
    found = _by_dot(level, links) if _engine(engine) == "dot" else _by_igraph(level, links)
    return tuple(tuple(sorted(layer, key=found.__getitem__)) for layer in layers)


def _engine(wanted: str) -> str:
    return wanted or ("dot" if shutil.which("dot") else "igraph")


def _by_dot(level: Mapping[str, int], links: Sequence[tuple[str, str]]) -> dict[str, float]:
    ids = {v: f"n{i}" for i, v in enumerate(level)}
    depth = max(level.values()) + 1
    # A chain of anchors holds each layer at its rank.
    lines = ["digraph {", " -> ".join(f"r{d}" for d in range(depth)) + ";"]
    for d in range(depth):
        members = " ".join(ids[v] for v in level if level[v] == d)
        lines.append(f"{{rank=same; r{d}; {members}}}")
    lines += [f"{ids[a]} -> {ids[b]};" for a, b in links]
    try:
        done = subprocess.run(
            ["dot", "-Tplain"], input="\n".join([*lines, "}"]), capture_output=True, text=True,
            check=True, timeout=60,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise BayesnetError(f"Graphviz could not lay the network out: {error}") from error
    at = {
        parts[1]: float(parts[2])
        for parts in map(str.split, done.stdout.splitlines())
        if parts and parts[0] == "node"
    }
    return {v: at[i] for v, i in ids.items()}


def _by_igraph(level: Mapping[str, int], links: Sequence[tuple[str, str]]) -> dict[str, float]:
    import igraph  # type: ignore[import-untyped,unused-ignore]

    index = {v: i for i, v in enumerate(level)}
    graph = igraph.Graph(
        n=len(index), edges=[(index[a], index[b]) for a, b in links], directed=True
    )
    drawn = graph.layout_sugiyama(layers=list(level.values()), maxiter=1000)
    return {v: float(drawn[i][0]) for v, i in index.items()}


def crossings(layers: Layers, arcs: Arcs) -> int:
    """How many pairs of arcs between the same two layers cross."""
    level = {v: i for i, layer in enumerate(layers) for v in layer}
    place = {v: i for layer in layers for i, v in enumerate(layer)}
    spans: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for a, b in arcs:
        if level[a] != level[b]:
            first, second = (a, b) if level[a] < level[b] else (b, a)
            spans.setdefault((level[first], level[second]), []).append(
                (place[first], place[second])
            )
    total = 0
    for ends in spans.values():
        x = np.array(ends)
        apart = np.sign(x[:, None, 0] - x[None, :, 0]) * np.sign(x[:, None, 1] - x[None, :, 1])
        total += int((apart < 0).sum()) // 2
    return total


def separated(
    wanted: Sequence[float], sizes: Sequence[float], gap: float,
    weights: Sequence[float] | None = None,
) -> list[float]:
    """Centres as near to `wanted` as can be (least squares), in order, `gap` apart edge to edge.

    Parameters
    ----------
    wanted, sizes : sequences of float
        Wished centre and extent of each item, in the order in which they follow each other.
    gap : float
    weights : sequence of float, optional
        Of the squares; alike by default.
    """
    if not len(wanted):
        return []
    heavy = [1.0] * len(wanted) if weights is None else weights
    half = np.asarray(sizes, float) / 2
    offset = np.concatenate([[0.0], np.cumsum(half[:-1] + half[1:] + gap)])
    blocks: list[tuple[float, float, int]] = []
    for x, w in zip(np.asarray(wanted, float) - offset, heavy, strict=True):
        mean, weight, n = float(x), w, 1
        while blocks and blocks[-1][0] > mean:
            before, other, m = blocks.pop()
            mean = (mean * weight + before * other) / (weight + other)
            weight, n = weight + other, n + m
        blocks.append((mean, weight, n))
    pooled = np.repeat([b[0] for b in blocks], [b[2] for b in blocks])
    return [float(x) for x in pooled + offset]


def places(
    layers: Layers, arcs: Arcs, sizes: tuple[tuple[str, float], ...], gap: float, sweeps: int = 60
) -> dict[str, float]:
    """Centre of every node along its layer: near its neighbours, without collisions.

    Parameters
    ----------
    layers : tuple of tuple of str
        In order. Ids with a space are lanes (`routed`), which are kept straight: arcs between two
        lanes pull eight times as hard as others, to a lane twice (Gansner et al. 1993, section 4).
    arcs : tuple of (str, str)
    sizes : tuple of (str, float)
        Extent of each node along the layer.
    gap : float
        Least distance between two nodes of a layer.
    sweeps : int
    """
    extent = dict(sizes)
    near: dict[str, list[tuple[str, float]]] = {v: [] for layer in layers for v in layer}
    level = {v: i for i, layer in enumerate(layers) for v in layer}
    for a, b in arcs:
        if level[a] != level[b]:
            pull = (1.0, 2.0, 8.0)[(" " in a) + (" " in b)]
            near[a].append((b, pull))
            near[b].append((a, pull))
    weight = {v: sum(w for _, w in us) or 1e-3 for v, us in near.items()}
    at: dict[str, float] = {}
    for layer in layers:
        placed = separated([0.0] * len(layer), [extent[v] for v in layer], gap)
        at |= dict(zip(layer, placed, strict=True))
    for sweep in range(sweeps):
        for layer in layers if sweep % 2 else layers[::-1]:
            wanted = [
                sum(at[u] * w for u, w in near[v]) / weight[v] if near[v] else at[v] for v in layer
            ]
            placed = separated(
                wanted, [extent[v] for v in layer], gap, [weight[v] for v in layer]
            )
            at |= dict(zip(layer, placed, strict=True))
    return at


@dataclass(frozen=True, slots=True)
class Routed:
    """Places of the nodes, and the lanes in which arcs pass the layers between their ends.

    Attributes
    ----------
    layers : tuple of tuple of str
        In order, without the lanes.
    at : dict id -> float
        Centre of each node along its layer.
    lanes : dict (parent, child) -> tuple of (layer index, place)
        From the earlier layer to the later; empty for arcs between neighbouring layers.
    """

    layers: Layers
    at: Mapping[str, float]
    lanes: Mapping[tuple[str, str], tuple[tuple[int, float], ...]]


def routed(
    layers: Layers, arcs: Arcs, sizes: tuple[tuple[str, float], ...], gap: float, engine: str = ""
) -> Routed:
    """Order and places of nodes, with a free lane wherever an arc passes a layer.

    Parameters
    ----------
    layers, arcs, sizes, gap
        As for `places`; the order inside the layers is free.
    engine : str
        As for `layered_order`.
    """
    return _routed(layers, arcs, sizes, gap, _engine(engine))


@lru_cache(maxsize=64)
def _routed(
    layers: Layers, arcs: Arcs, sizes: tuple[tuple[str, float], ...], gap: float, engine: str
) -> Routed:
    level = {v: i for i, layer in enumerate(layers) for v in layer}
    deep = [list(layer) for layer in layers]
    short: list[tuple[str, str]] = []
    chains: dict[tuple[str, str], list[str]] = {}
    for a, b in arcs:
        first, last = (a, b) if level[a] <= level[b] else (b, a)
        # No id of a variable has a space.
        chain = [f"{a} {b} {i}" for i in range(level[first] + 1, level[last])]
        for i, lane in enumerate(chain, start=level[first] + 1):
            deep[i].append(lane)
        chains[a, b] = chain
        way = [first, *chain, last]
        short += list(pairwise(way))
    ordered = layered_order(tuple(tuple(layer) for layer in deep), tuple(short), engine)
    lanes = tuple((lane, LANE) for chain in chains.values() for lane in chain)
    at = places(ordered, tuple(short), (*sizes, *lanes), gap)
    return Routed(
        tuple(tuple(v for v in layer if v in level) for layer in ordered),
        {v: at[v] for v in level},
        {
            arc: tuple(
                (i, at[lane])
                for i, lane in enumerate(chain, start=min(level[arc[0]], level[arc[1]]) + 1)
            )
            for arc, chain in chains.items()
        },
    )
