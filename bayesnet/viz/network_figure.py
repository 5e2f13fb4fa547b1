"""The whole network in one picture."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesnet.errors import BayesnetError, did_you_mean
from bayesnet.network import Network
from bayesnet.viz.influence import influence
from bayesnet.viz.layout import Layers, longest_path_layers, routed
from bayesnet.viz.page import (
    BULGE,
    KEY,
    LANDSCAPE,
    LINE,
    MARGIN,
    POINTS,
    PORTRAIT,
    SIZE,
    TITLE,
    TO_TEXT,
    WIDE_BULGE,
    Page,
    page_of,
    text_width,
)
from bayesnet.viz.style import FONT, Theme, new_axes, paint, theme_named

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.path import Path

    from bayesnet.network.factor import FloatArray

__all__ = ["curve", "path_through", "plot_network"]

MARKERS = {
    "context": "o", "cause": "s", "mechanism": "h", "outcome": "*", "history": "o",
    "examination": "s", "test": "D", "questionnaire": "^", "programme": "P", "": "o",
}
#: Sheets by name: what a page has room for, in inches.
SHEETS = {"landscape": LANDSCAPE, "portrait": PORTRAIT}
#: Width of the key to the lines, in points of the page.
LEGEND = 330.0


def plot_network(
    network: Network, ax: Axes | None = None, theme: str = "light", of: str | None = None,
    sheet: str = "landscape",
) -> Axes:
    """Draw the network: clinical models in columns by role, others in layers.

    A line is the stronger the more its parent changes its child (`bayesnet.viz.influence`).

    Parameters
    ----------
    network : Network
    ax : matplotlib Axes, optional
        A new figure by default, as large as the sheet; labels grow and shrink with the axes.
    theme : str
        `light` or `dark`.
    of : str, optional
        A variable, or a group of variables such as a family of causes: only this, what acts on it
        and what it acts on. Needs a model whose variables have roles.
    sheet : str
        `landscape` (10 by 7 inches) or `portrait` (7 by 9.7); on both, `pt_failure` is printed in
        letters of 6 points and more.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    BayesnetError
        For an unknown theme, sheet, variable or group.
    """
    chosen = theme_named(theme)
    if sheet not in SHEETS:
        raise BayesnetError(
            f"no sheet {sheet!r}: expected landscape or portrait.{did_you_mean(sheet, SHEETS)}"
        )
    if any(v.role for v in network.variables.values()):
        return _plot_page(network, ax, chosen, _around(network, of), SHEETS[sheet])
    if of is not None:
        raise BayesnetError("only of a model whose variables have roles can a part be drawn")
    return _plot_layers(network, ax, chosen)


def _around(network: Network, of: str | None) -> tuple[str, ...]:
    """The variables of that name or of that group."""
    if of is None:
        return ()
    if of in network.variables:
        return (of,)
    found = tuple(v.id for v in network.variables.values() if v.group == of)
    if not found:
        groups = {v.group for v in network.variables.values() if v.group}
        raise BayesnetError(
            f"no variable and no group {of!r}.{did_you_mean(of, [*network.variables, *sorted(groups)])}"
        )
    return found


def curve(
    x0: float, y0: float, x1: float, y1: float, bow: float = 0.0, vertical: bool = False
) -> FloatArray:
    """A cubic Bezier curve, shape (4, 2): an S, or with `bow` an arc that bulges to the left."""
    reach = (x1 - x0) / 2
    ends = np.array([[x0, y0], [x0 + reach, y0], [x1 - reach, y1], [x1, y1]])
    if bow:
        ends[1:3, 0] = min(x0, x1) - bow
    if vertical:
        half = (y1 - y0) / 2
        ends = np.array([[x0, y0], [x0, y0 + half], [x1, y1 - half], [x1, y1]])
    return ends


def path_through(curves: Sequence[FloatArray]) -> Path:
    """One line along Bezier curves that follow each other, straight where there is a gap."""
    from matplotlib.path import Path

    codes = [Path.MOVETO]
    for i in range(len(curves)):
        codes += [Path.LINETO] * (i > 0) + [Path.CURVE4] * 3
    points = [curves[0][:1], *(c if i else c[1:] for i, c in enumerate(curves))]
    return Path(np.vstack(points), codes)


def _scale(ax: Axes, width: float, height: float) -> float:
    """Points on paper for one unit of the page."""
    figure = ax.get_figure(root=True)
    assert figure is not None
    box = ax.get_position()
    across, down = figure.get_size_inches() * POINTS
    return float(min(box.width * across / width, box.height * down / height))


def _plot_page(
    network: Network, ax: Axes | None, theme: Theme, around: Sequence[str],
    sheet: tuple[float, float],
) -> Axes:
    from matplotlib.collections import PathCollection
    from matplotlib.path import Path

    if ax is not None:
        figure, box = ax.get_figure(root=True), ax.get_position()
        assert figure is not None
        wide, high = figure.get_size_inches()
        sheet = float(box.width * wide), float(box.height * high)
    page = page_of(network, sheet, around)
    # A small network still needs room for the key.
    across = max(page.width, LEGEND)
    width, height = across + 2 * MARGIN, page.size[1]
    if ax is None:
        inches = page.scale(sheet) * width / POINTS
        ax = new_axes(inches, inches * height / width, layout=None)
        ax.set_position((0, 0, 1, 1))
    paint(ax, theme)
    ax.set_axis_off()
    ax.set_xlim(-MARGIN, across + MARGIN)
    ax.set_ylim(page.height + KEY + MARGIN, -MARGIN)
    ax.set_aspect("equal")
    unit = _scale(ax, width, height)
    segments, colours, widths = [], [], []
    arcs = sorted((influence(network, p, v), p, v) for p, v in page.arcs)
    for strength, parent, child in arcs:
        (x0, y0), (x1, y1) = page.at[parent], page.at[child]
        before, after = page.columns[parent], page.columns[child]
        if before == after:
            # A curve goes three quarters of the way to its handles.
            bow = min(4 + 0.09 * abs(y1 - y0), (WIDE_BULGE if before else BULGE) / 0.75)
            segments.append(curve(x0 - 2.5, y0, x1 - 2.5, y1, bow=bow))
        elif before < after:
            segments.append(curve(page.right[parent] + 2, y0, x1 - 2.5, y1))
        else:
            segments.append(curve(x0 - 2.5, y0, page.right[child] + 2, y1))
        colours.append((_colour(network, parent, theme), _alpha(strength)))
        widths.append(_line_width(strength) * unit)
    ax.add_collection(PathCollection(
        [Path(s, [1, 4, 4, 4]) for s in segments], facecolors="none", edgecolors=colours,
        linewidths=widths, zorder=1, gid="arcs",
    ))
    # Lines that pass behind a label fade there.
    fade = {"facecolor": theme.paper, "alpha": 0.8, "linewidth": 0,
            "boxstyle": f"square,pad={0.4 / SIZE}"}
    for v, (x, y) in page.at.items():
        ax.plot(x, y, MARKERS[network[v].role], markersize=3.6 * unit, zorder=3,
                color=_colour(network, v, theme), markeredgewidth=0)
        ax.text(x + TO_TEXT, y, page.lines[v], fontsize=SIZE * unit, va="center", color=theme.ink,
                zorder=4, fontfamily=FONT, linespacing=0.94, bbox=fade, gid=f"label:{v}",
                weight="bold" if v in around else "normal")
        if v in page.hubs:
            below = y + LINE * (page.lines[v].count("\n") + 2) / 2
            ax.text(x + TO_TEXT, below, _hub_words(network, v, page), fontsize=SIZE * unit,
                    va="center", color=theme.muted, zorder=4, fontfamily=FONT, bbox=fade,
                    gid=f"hub:{v}")
    for block, text, x, y in page.headings:
        ax.text(x, y, text, fontsize=SIZE * unit, weight="bold", va="center", linespacing=0.94,
                color=theme.colour(block.role, block.group), zorder=4, fontfamily=FONT,
                bbox=fade, gid=f"heading:{block.heading}")
    for text, x, y in page.titles:
        ax.text(x, y, text, fontsize=TITLE * unit, weight="bold", va="center", color=theme.ink,
                zorder=4, fontfamily=FONT)
    count = len(arcs) + sum(map(len, page.hubs.values()))
    part = " in part" if around else ""
    said = f"{network.name}{part}: {len(page.at)} variables, {count} arcs"
    _key(ax, said, across, page.height + KEY * 0.72, unit, theme)
    return ax


def _hub_words(network: Network, hub: str, page: Page) -> str:
    """The arcs into it, which are not drawn."""
    parents = page.hubs[hub]
    causes = all(network[p].role == "cause" for p in parents)
    every = causes and len(parents) == len(network.of_role("cause"))
    return f"from {'all ' if every else ''}{len(parents)} {'causes' if causes else 'variables'}"


def _alpha(strength: float) -> float:
    return 0.13 + 0.42 * strength


def _line_width(strength: float) -> float:
    return 0.25 + 1.35 * strength


def _key(ax: Axes, name: str, width: float, y: float, unit: float, theme: Theme) -> None:
    """Name and size on the left; how strong a line is on the right."""
    small: dict[str, Any] = {"fontsize": SIZE * unit, "va": "center", "fontfamily": FONT}
    long = f"{name}, read from left to right (cause to effect). Colour: where an arc starts."
    if text_width(long, SIZE) + LEGEND < width:
        ax.text(0, y, long, color=theme.muted, **small)
    else:
        said = long if text_width(long, SIZE) < width else name
        ax.text(0, y - 11, said, color=theme.muted, **small)
    x = width
    for strength in (0.9, 0.5, 0.1):
        ax.text(x, y, f"{strength:g}", color=theme.muted, ha="right", **small)
        ax.plot([x - 38, x - 13], [y, y], color=theme.ink, alpha=_alpha(strength),
                linewidth=_line_width(strength) * unit, solid_capstyle="butt")
        x -= 48
    ax.text(x - 2, y, "largest change of probability that an arc makes:", color=theme.muted,
            ha="right", **small)


def _colour(network: Network, variable: str, theme: Theme) -> str:
    v = network[variable]
    return theme.colour(v.role, v.group)


def _plot_layers(network: Network, ax: Axes | None, theme: Theme) -> Axes:
    """Layers by longest path from a root, top to bottom."""
    from matplotlib.patches import PathPatch

    parents = {v: network.parents(v) for v in network.variables}
    layers: Layers = longest_path_layers(parents, network.topological_order)
    arcs = tuple((p, v) for v in network.variables for p in parents[v])
    lines = {v.id: textwrap.fill(v.name, 16) for v in network.variables.values()}
    extent = {v: 5.0 * max(map(len, text.split("\n"))) + 12 for v, text in lines.items()}
    way = routed(layers, arcs, tuple(extent.items()), 12.0)
    layers, x = way.layers, way.at
    rows = [max(lines[v].count("\n") for v in layer) for layer in layers]
    y = np.cumsum([0.0, *[46.0 + 9 * r for r in rows[:-1]]]) if layers else np.zeros(0)
    at = {v: (x[v], float(y[i])) for i, layer in enumerate(layers) for v in layer}
    left = min((x[v] - extent[v] / 2 for v in x), default=0) - 8
    right = max((x[v] + extent[v] / 2 for v in x), default=1) + 8
    bottom = float(y[-1]) + 24 if layers else 1.0
    if ax is None:
        inches = (right - left) / POINTS, (bottom + 24) / POINTS
        ax = new_axes(max(3.0, inches[0]), max(2.0, inches[1]), layout=None)
        ax.set_position((0, 0, 1, 1))
    paint(ax, theme)
    ax.set_axis_off()
    ax.set_xlim(left, right)
    ax.set_ylim(bottom, -24)
    ax.set_aspect("equal")
    unit = _scale(ax, right - left, bottom + 24)
    for parent, child in arcs:
        (x0, y0), (x1, y1) = at[parent], at[child]
        high = 9 + 4.5 * lines[child].count("\n")
        strength = influence(network, parent, child)
        stops = [(x0, y0)]
        for layer, across in way.lanes[parent, child]:
            stops += [(across, float(y[layer]) - 8), (across, float(y[layer]) + 8)]
        stops.append((x1, y1 - high))
        # Even pairs of stops bend; the odd ones are a straight lane.
        bends = [curve(*a, *b, vertical=True) for a, b in list(pairwise(stops))[::2]]
        ax.add_patch(PathPatch(
            path_through(bends), fill=False, edgecolor=theme.muted, alpha=0.35 + 0.6 * strength,
            linewidth=(0.5 + 1.8 * strength) * unit, zorder=1, gid=f"arc:{parent}:{child}",
        ))
        ax.annotate("", (x1, y1 - high + 1), (x1, y1 - high - 1), zorder=2, arrowprops={
            "arrowstyle": "-|>", "color": theme.muted, "linewidth": 0,
            "mutation_scale": 8 * unit, "shrinkA": 0, "shrinkB": 0})
    for v, (across, down) in at.items():
        ax.text(across, down, lines[v], ha="center", va="center", fontsize=7.5 * unit, zorder=3,
                color=theme.ink, fontfamily=FONT, linespacing=1.1, gid=f"label:{v}",
                bbox={"boxstyle": "round,pad=0.35", "facecolor": theme.paper,
                      "edgecolor": _colour(network, v, theme), "linewidth": 0.9 * unit})
    return ax
