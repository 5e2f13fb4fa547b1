"""The whole network in one picture."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from bayesnet.network import Network
from bayesnet.viz.style import FAMILY_COLOURS, INK, MUTED, ROLE_COLOURS, words

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_network"]

#: Columns from left to right: who the patient is, causes, mechanisms, what is seen.
COLUMNS = (
    ("context",),
    ("cause",),
    ("mechanism", "outcome"),
    ("history",),
    ("examination", "programme"),
    ("test", "questionnaire"),
)
ROLE_TITLES = {
    "context": "Known before", "cause": "Causes", "mechanism": "Mechanisms", "outcome": "Outcome",
    "history": "History", "examination": "Examination", "test": "Tests",
    "questionnaire": "Questionnaires", "programme": "Programme",
}


def plot_network(network: Network, ax: Axes | None = None) -> Axes:
    """Draw the network: clinical models in columns by role, others in layers.

    Parameters
    ----------
    network : Network
    ax : matplotlib Axes, optional
        A new figure, large enough for all labels, by default.

    Returns
    -------
    matplotlib Axes
    """
    if any(v.role for v in network.variables.values()):
        return _plot_columns(network, ax)
    return _plot_layers(network, ax)


def _curves(segments: Iterable[tuple[float, float, float, float]]) -> list[np.ndarray]:
    """Smooth horizontal S-curves from (x0, y0) to (x1, y1); a bow where the column is the same."""
    t = np.linspace(0, 1, 24)[:, None]
    curves = []
    for x0, y0, x1, y1 in segments:
        reach = (x1 - x0) / 2 if abs(x1 - x0) > 1e-9 else -0.35
        points = np.array([[x0, y0], [x0 + reach, y0], [x1 - abs(reach), y1], [x1, y1]])
        if reach < 0:
            points[2, 0] = x1 + reach
        weights = np.hstack([(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3])
        curves.append(weights @ points)
    return curves


def _plot_columns(network: Network, ax: Axes | None) -> Axes:
    import matplotlib.pyplot as plt
    from matplotlib.collections import LineCollection

    blocks = [
        [(role, group, ids) for role in roles for group, ids in _grouped(network, role)]
        for roles in COLUMNS
    ]
    heights = [
        sum(len(ids) + 1.6 for _, _, ids in column) + 0.9 * len({role for role, _, _ in column})
        for column in blocks
    ]
    tallest = max(heights)
    if ax is None:
        _, ax = plt.subplots(figsize=(19, 0.24 * tallest + 1.2), dpi=72, layout="constrained")
    place: dict[str, tuple[float, float]] = {}
    for x, (column, height) in enumerate(zip(blocks, heights, strict=True)):
        y: float = (tallest - height) / 2
        last_role = None
        for role, group, ids in column:
            title = ROLE_TITLES[role]
            heading = words(group) if group and group != role else ""
            if role != last_role:
                ax.text(x + 0.03, y - 0.7, title, fontsize=11, weight="bold", color=INK,
                        va="center")
                y += 0.9
            if heading and heading.lower() != title.lower():
                ax.text(x + 0.03, y - 0.75, heading, fontsize=8, style="italic", color=MUTED,
                        va="center")
            last_role = role
            for v in ids:
                place[v] = (float(x), y)
                y += 1
            y += 1.6
    segments, colours = [], []
    for child in network.variables:
        for parent in network.parents(child):
            (x0, y0), (x1, y1) = place[parent], place[child]
            segments.append((x0, y0, x1, y1))
            colours.append(_colour(network, parent))
    ax.add_collection(
        LineCollection(_curves(segments), colors=colours, linewidths=0.7, alpha=0.28, zorder=1)
    )
    for v, (left, top) in place.items():
        ax.plot(left, top, "o", markersize=4.5, color=_colour(network, v), zorder=3)
        ax.text(
            left + 0.03, top, network[v].name, fontsize=7.5, va="center", color=INK, zorder=4,
            bbox={"facecolor": "white", "alpha": 0.78, "pad": 0.4, "linewidth": 0},
        )
    ax.set_xlim(-0.42, len(COLUMNS) - 0.25)
    ax.set_ylim(tallest, -1.8)
    ax.axis("off")
    arcs = len(segments)
    ax.set_title(
        f"{network.name}: {len(network)} variables, {arcs} arcs", loc="left", fontsize=12,
        color=INK,
    )
    return ax


def _grouped(network: Network, role: str) -> list[tuple[str, list[str]]]:
    groups: dict[str, list[str]] = {}
    for v in network.variables.values():
        if v.role == role:
            groups.setdefault(v.group, []).append(v.id)
    return list(groups.items())


def _colour(network: Network, variable: str) -> str:
    v = network[variable]
    if v.role == "cause":
        return FAMILY_COLOURS.get(v.group, ROLE_COLOURS["cause"])
    return ROLE_COLOURS[v.role]


def _plot_layers(network: Network, ax: Axes | None) -> Axes:
    """Layers by longest path from a root; within a layer by the mean place of the parents."""
    import matplotlib.pyplot as plt

    depth: dict[str, int] = {}
    for v in network.topological_order:
        depth[v] = 1 + max((depth[p] for p in network.parents(v)), default=-1)
    layers: list[list[str]] = [[] for _ in range(max(depth.values(), default=0) + 1)]
    for v, d in depth.items():
        layers[d].append(v)
    x: dict[str, float] = {}
    for layer in layers:
        wanted = {
            v: float(np.mean([x[p] for p in network.parents(v)])) if network.parents(v) else 0.0
            for v in layer
        }
        layer.sort(key=wanted.__getitem__)
        for i, v in enumerate(layer):
            x[v] = i - (len(layer) - 1) / 2
    widest = max(len(layer) for layer in layers)
    longest = max(len(network[v].name) for v in network.variables)
    if ax is None:
        size = (max(4.0, widest * max(0.9, 0.085 * longest)), max(3.0, 1.05 * len(layers)))
        _, ax = plt.subplots(figsize=size, layout="constrained")
    for child in network.variables:
        for parent in network.parents(child):
            ax.annotate(
                "", (x[child], -depth[child] + 0.16), (x[parent], -depth[parent] - 0.16),
                arrowprops={"arrowstyle": "-|>", "color": MUTED, "alpha": 0.6, "linewidth": 0.8,
                            "shrinkA": 0, "shrinkB": 0},
            )
    for v in network.variables:
        ax.text(
            x[v], -depth[v], network[v].name, ha="center", va="center", fontsize=8, color=INK,
            bbox={"boxstyle": "round,pad=0.3", "facecolor": "#eaf2f8",
                  "edgecolor": ROLE_COLOURS[""], "linewidth": 0.8},
        )
    ax.set_xlim(-widest / 2, widest / 2)
    ax.set_ylim(-len(layers) + 0.4, 0.6)
    ax.axis("off")
    return ax
