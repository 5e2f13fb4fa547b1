"""On which parameters one cause's probability hangs: a tornado chart."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from bayesnet.viz.style import FONT, bar_axes, footer, theme_named, title

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bayesnet.diagnosis.sensitivity import Sensitivity

__all__ = ["plot_tornado"]

WRAP = 52


def plot_tornado(
    sensitivity: Sensitivity, ax: Axes | None = None, top: int = 12, theme: str = "light"
) -> Axes:
    """Posterior over the 95 % range of each parameter, widest first.

    Parameters
    ----------
    sensitivity : Sensitivity
    ax : matplotlib Axes, optional
        A new figure by default.
    top : int
        Parameters to draw.
    theme : str
        `light` or `dark`.
    """
    from bayesnet.diagnosis.words import amount, parameter_words, percent

    chosen = theme_named(theme)
    network = sensitivity.model.network
    rows = sensitivity.table.head(top)
    ax = bar_axes(ax, 1.35 * len(rows) + 2, chosen, 10.4)
    now = sensitivity.posterior
    labels = []
    for y, r in enumerate(rows.to_dict("records")):
        ends = ((float(r["posterior_low"]), float(r["low"]), chosen.speaks_against, "////"),
                (float(r["posterior_high"]), float(r["high"]), chosen.speaks_for, None))
        for end, value, colour, hatch in ends:
            ax.barh(y, end - now, left=now, height=0.6, color=colour, linewidth=0, hatch=hatch,
                    edgecolor=chosen.paper, gid=f"{'low' if hatch else 'high'}:{y}")
            right = end > now or (end == now and not hatch)
            ax.annotate(amount(value), (end, y), (4 if right else -4, 0),
                        textcoords="offset points", va="center", ha="left" if right else "right",
                        fontsize=8, color=chosen.muted, fontfamily=FONT)
        labels.append(textwrap.fill(parameter_words(network, str(r["parameter"])), WRAP))
    ax.axvline(now, color=chosen.ink, linewidth=1.3)
    ax.set_yticks(range(len(rows)), labels, fontsize=8.5, fontfamily=FONT, linespacing=1.1)
    ax.set_ylim(len(rows) - 0.4, -0.6)
    ax.margins(x=0.12)
    ax.xaxis.set_major_formatter(lambda x, _: f"{100 * x:g} %")
    title(ax, f"What the probability of {network[sensitivity.cause].name}, {percent(now)}, hangs on",
          chosen)
    ax.set_xlabel("probability with one number of the model at the ends of its range",
                  color=chosen.muted, fontfamily=FONT)
    footer(ax, sensitivity.model, chosen, 40,
           "Numbers at the bars: the ends of the parameter's 95 % range; hatched where it is low, "
           "plain where high.")
    return ax
