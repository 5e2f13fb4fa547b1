"""Many patients at once: probabilities as a heat map."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bayesnet.errors import BayesnetError
from bayesnet.viz.style import FONT, THEMES, footer, new_axes, paint, theme_named, title, words

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from bayesnet.model import DiagnosticModel

__all__ = ["plot_cohort"]

#: More rows than this are drawn without their names, and without numbers in the cells.
NAMED = 70
NUMBERED = 400


def plot_cohort(
    posteriors: pd.DataFrame, ax: Axes | None = None, model: DiagnosticModel | None = None,
    theme: str = "light",
) -> Axes:
    """Rows are patients or strata, columns causes; the darker (in dark, the lighter) the more probable.

    Parameters
    ----------
    posteriors : DataFrame
        Probabilities; the index names the rows, the columns the causes.
    ax : matplotlib Axes, optional
        A new figure by default.
    model : DiagnosticModel, optional
        Labels the causes, orders them by family, and brings its disclaimer.
    theme : str
        `light` or `dark`.

    Raises
    ------
    BayesnetError
        When there is nothing to draw, or other values than probabilities.
    """
    from matplotlib.colors import LinearSegmentedColormap

    chosen = theme_named(theme)
    if posteriors.empty:
        raise BayesnetError("posteriors: no rows or no columns")
    values = posteriors.to_numpy(float)
    if not ((values >= 0) & (values <= 1)).all():
        raise BayesnetError("posteriors: expected probabilities from 0 to 1")
    columns = [str(c) for c in posteriors.columns]
    if model is not None:
        rank = {f: i for i, f in enumerate(chosen.families)}
        order = sorted(
            range(len(columns)),
            key=lambda i: rank.get(model.network[columns[i]].group, 9)
            if columns[i] in model.network else 9,
        )
        columns, values = [columns[i] for i in order], values[:, order]
    known = model.network.variables if model is not None else {}
    labels = [known[c].name if c in known else words(c) for c in columns]
    rows, width = values.shape
    if ax is None:
        ax = new_axes(max(6.5, 2.6 + 0.36 * width), max(4.2, 2.6 + (0.21 if rows <= NAMED else 0.06) * rows))
    paint(ax, chosen)
    # One hue from paper to deep blue: in grey it is the same order, and for every kind of sight.
    deep = "#08306b" if chosen is THEMES["light"] else "#d6ecff"
    scale = LinearSegmentedColormap.from_list("probability", [chosen.paper, chosen.speaks_for, deep])
    image = ax.pcolormesh(values, cmap=scale, vmin=0, vmax=1, edgecolors=chosen.grid,
                          linewidth=0.4 if rows <= NAMED else 0.0, gid="heat")
    ax.set_ylim(rows, 0)
    ax.set_xticks(np.arange(width) + 0.5, labels, rotation=60, ha="left", rotation_mode="anchor",
                  fontsize=8, fontfamily=FONT)
    ax.xaxis.tick_top()
    named = rows <= NAMED
    ax.set_yticks(np.arange(rows) + 0.5 if named else [],
                  [str(i) for i in posteriors.index] if named else [], fontsize=8, fontfamily=FONT)
    ax.tick_params(length=0, colors=chosen.ink)
    for spine in ax.spines.values():
        spine.set_visible(False)
    if model is not None:
        for label, c in zip(ax.get_xticklabels(), columns, strict=True):
            if c in known:
                label.set_color(chosen.colour(known[c].role, known[c].group))
    if values.size <= NUMBERED:
        for (i, j), p in np.ndenumerate(values):
            if p >= 0.005:
                dark_cell = (p > 0.4) == (chosen is THEMES["light"])
                ax.text(j + 0.5, i + 0.5, f"{100 * p:.0f}", ha="center", va="center", fontsize=7,
                        color="#ffffff" if dark_cell else "#1d1f21" if p > 0.4 or
                        chosen is THEMES["light"] else chosen.ink, fontfamily=FONT)
    figure = ax.get_figure(root=True)
    assert figure is not None
    bar = figure.colorbar(image, ax=ax, shrink=0.5, aspect=18, pad=0.02)
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=0, colors=chosen.ink, labelsize=8, labelfontfamily=FONT)
    bar.ax.yaxis.set_major_formatter(lambda x, _: f"{100 * x:.0f} %")
    figure.set_facecolor(chosen.paper)
    title(ax, f"Probability of each cause, {rows:,} rows", chosen)
    if model is not None:
        footer(ax, model, chosen, 8)
    return ax
