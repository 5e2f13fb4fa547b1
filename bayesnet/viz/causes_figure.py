"""The leading causes of one patient as bars."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from bayesnet.viz.style import FONT, bar_axes, beside, footer, theme_named, title

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bayesnet.diagnosis.result import Diagnosis
    from bayesnet.diagnosis.uncertainty import Intervals

__all__ = ["plot_causes"]


def plot_causes(
    diagnosis: Diagnosis, ax: Axes | None = None, top: int = 8, by: str = "necessity",
    intervals: Intervals | bool = False, theme: str = "light",
) -> Axes:
    """Draw the leading diagnoses and contributors.

    Light bar: probability that the cause is present. Dark bar: probability that PT failed because
    of it. Tick: the probability before any finding. Whiskers: credible interval of the first. Hue: the
    family of the cause.

    Parameters
    ----------
    diagnosis : Diagnosis
    ax : matplotlib Axes, optional
        A new figure by default.
    top : int
        Causes a group.
    by : str
        `necessity`, `posterior` or `likelihood_ratio`.
    intervals : Intervals or bool
        Credible intervals to draw; True computes them (`Diagnosis.intervals`, 1000 draws, seed 0).
    theme : str
        `light` or `dark`.

    Returns
    -------
    matplotlib Axes
    """
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    from bayesnet.diagnosis.words import (
        FAMILIES,
        GROUPS,
        because,
        headline,
        name_of,
        percent,
        ratio,
    )

    chosen = theme_named(theme)
    spans = diagnosis.intervals() if intervals is True else intervals or None
    ranges = (
        {} if spans is None else
        {
            str(c): (float(low), float(high))
            for c, low, high in zip(
                *(spans.table[k] for k in ("cause", "posterior_low", "posterior_high")), strict=True
            )
        }
    )
    groups = [
        (heading, diagnosis.ranked(group, by)[:top])
        for group, heading in GROUPS.items()
    ]
    groups = [(heading, ranked) for heading, ranked in groups if ranked]
    rows = sum(len(ranked) + 1.4 for _, ranked in groups)
    ax = bar_axes(ax, rows + 2, chosen, 9.4)
    columns = {"probability": 12.0, **({"interval": 68.0} if ranges else {}),
               "LR": 156.0 if ranges else 68.0}
    for text, x in columns.items():
        beside(ax, -0.75, x, text, chosen, heading=True)
    y = 0.0
    ticks, labels = [], []
    for heading, ranked in groups:
        ax.text(-0.01, y, heading, ha="right", va="center", weight="bold", color=chosen.ink,
                transform=ax.get_yaxis_transform(), fontfamily=FONT)
        y += 1
        for r in ranked:
            colour = chosen.colour("cause", r.family)
            ax.barh(y, r.posterior, height=0.72, color=colour, alpha=0.32, linewidth=0,
                    gid=f"posterior:{r.cause}")
            if not math.isnan(r.necessity):
                ax.barh(y, r.necessity, height=0.34, color=colour, linewidth=0,
                        gid=f"necessity:{r.cause}")
            ax.plot([r.prior, r.prior], [y - 0.42, y + 0.42], color=chosen.ink, linewidth=1.5,
                    solid_capstyle="butt", gid=f"prior:{r.cause}")
            cells = {"probability": percent(r.posterior), "LR": ratio(r.likelihood_ratio)}
            if ranges:
                low, high = ranges[r.cause]
                ax.plot([low, high], [y, y], color=chosen.ink, linewidth=0.9, marker="|",
                        markersize=5, gid=f"interval:{r.cause}")
                cells["interval"] = f"{percent(low)} – {percent(high)}"
            for column, text in cells.items():
                beside(ax, y, columns[column], text, chosen)
            ticks.append(y)
            labels.append(name_of(r))
            y += 1
        y += 0.4
    ax.set_yticks(ticks, labels, fontfamily=FONT)
    ax.set_ylim(y - 0.6, -0.6)
    ax.set_xlim(0, 1)
    ax.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "25 %", "50 %", "75 %", "100 %"], fontfamily=FONT)
    handles: list[Line2D | Patch] = [
        Patch(facecolor=chosen.ink, alpha=0.32, label="probability that it is present"),
        Patch(facecolor=chosen.ink, label=because(diagnosis.model)),
        Line2D([], [], color=chosen.ink, linewidth=1.5, marker="|", linestyle="", markersize=9,
               markeredgewidth=1.5, label="before any finding"),
    ]
    if spans is not None:
        handles.append(
            Line2D([], [], color=chosen.ink, linewidth=0.9, marker="|", markersize=5,
                   label=f"{spans.level:.0%} credible interval")
        )
    shown = {r.family for _, ranked in groups for r in ranked}
    hues: list[Line2D | Patch] = [
        Patch(facecolor=chosen.colour("cause", f), label=name)
        for f, name in FAMILIES.items() if f in shown
    ]
    # Two columns: what the marks mean, what the hues mean.
    lines = max(len(handles), len(hues))
    for marks in (handles, hues):
        marks += [Line2D([], [], linestyle="", label="") for _ in range(lines - len(marks))]
    ax.legend(
        handles=[*handles, *hues], loc="upper left", bbox_to_anchor=(0, 0), ncols=2, frameon=False,
        borderaxespad=2.4, borderpad=0, columnspacing=2.4, handlelength=1.6,
        labelcolor=chosen.ink, prop={"family": FONT, "size": 8},
    )
    title(ax, headline(diagnosis), chosen)
    footer(ax, diagnosis.model, chosen, 26 + 13.5 * lines)
    return ax
