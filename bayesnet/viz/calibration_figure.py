"""Whether what is said to have a probability of 20 % is there in 20 % of patients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bayesnet.network.factor import FloatArray
from bayesnet.validation.metrics import calibration_bins, checked
from bayesnet.viz.style import FONT, new_axes, paint, theme_named, title

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike

__all__ = ["plot_calibration"]


def plot_calibration(
    predicted: ArrayLike, outcome: ArrayLike, ax: Axes | None = None, bins: int = 10,
    name: str = "", theme: str = "light",
) -> Axes:
    """Share of outcomes over predicted probability, with 95 % Wilson intervals; below, how often each is said.

    Parameters
    ----------
    predicted, outcome, bins
        As for `calibration_bins`.
    ax : matplotlib Axes, optional
        A new figure by default.
    name : str
        What is predicted, for the title.
    theme : str
        `light` or `dark`.
    """
    chosen = theme_named(theme)
    p, y = checked(predicted, outcome)
    found = calibration_bins(p, y, bins)
    ax = ax or new_axes(5.6, 6.2)
    paint(ax, chosen)
    ax.set_axisbelow(True)
    ax.grid(color=chosen.grid, linewidth=0.8)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    ax.plot([0, 1], [0, 1], color=chosen.muted, linewidth=1, linestyle=(0, (4, 3)))
    at = [b.predicted for b in found]
    ax.fill_between(at, [b.low for b in found], [b.high for b in found], color=chosen.speaks_for,
                    alpha=0.16, linewidth=0, gid="band")
    ax.vlines(at, [b.low for b in found], [b.high for b in found], color=chosen.speaks_for,
              linewidth=1.2)
    ax.plot(at, [b.observed for b in found], color=chosen.speaks_for, marker="o", markersize=5.5,
            linewidth=1.4, gid="observed")
    ax.set_xlim(-0.02, 1.02)
    ax.set_ylim(-0.02, 1.02)
    ax.set_aspect("equal")
    shares = [0, 0.25, 0.5, 0.75, 1]
    marks = ["0", "25 %", "50 %", "75 %", "100 %"]
    ax.set_yticks(shares, marks, fontfamily=FONT)
    ax.set_xticks(shares, [""] * 5)
    ax.set_ylabel("share in whom it was so", color=chosen.muted, fontfamily=FONT)
    brier = float(((p - y) ** 2).mean())
    said = f"{len(p):,} predictions, {int(y.sum()):,} outcomes; Brier score {brier:.3f}"
    # Between the title and the axes: inside them it would lie on the grid, or on the points.
    ax.annotate(said, (0, 1), (0, 9), xycoords="axes fraction", textcoords="offset points",
                fontsize=9, color=chosen.muted, fontfamily=FONT, annotation_clip=False, gid="caption")
    title(ax, f"Calibration{': ' + name if name else ''}", chosen, 26)
    _histogram(ax, p, marks, chosen)
    return ax


def _histogram(ax: Axes, predicted: FloatArray, marks: list[str], theme: Any) -> None:
    below = ax.inset_axes((0, -0.17, 1, 0.13), sharex=ax)
    below.set_facecolor(theme.paper)
    below.hist(predicted, bins=np.linspace(0, 1, 41).tolist(), color=theme.rest, gid="histogram")
    for side in ("top", "right", "left"):
        below.spines[side].set_visible(False)
    below.spines["bottom"].set_color(theme.muted)
    below.tick_params(length=0, colors=theme.ink, labelfontfamily=FONT)
    below.set_yticks([])
    below.set_xticks([0, 0.25, 0.5, 0.75, 1], marks, fontfamily=FONT)
    ax.tick_params(labelbottom=False)
    below.set_xlabel("predicted probability; bars: how often it was said", color=theme.muted,
                     fontfamily=FONT)
