"""What to find out next, as bars."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from bayesnet.viz.style import FONT, bar_axes, beside, footer, theme_named, title

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bayesnet.diagnosis.result import Diagnosis

__all__ = ["plot_next"]

#: Points to the right of the bars.
COLUMNS = {"kind": 10.0, "gain": 92.0, "burden": 132.0}


def plot_next(
    diagnosis: Diagnosis, ax: Axes | None = None, kinds: Iterable[str] | None = None,
    by: str = "information", top: int = 10, theme: str = "light",
) -> Axes:
    """Expected information of the next findings, in the order in which they are worth their burden.

    Parameters
    ----------
    diagnosis : Diagnosis
    ax : matplotlib Axes, optional
        A new figure by default.
    kinds, by
        As for `Diagnosis.next`.
    top : int
        Findings to draw.
    theme : str
        `light` or `dark`.
    """
    chosen = theme_named(theme)
    network = diagnosis.model.network
    found = diagnosis.next(kinds, by).head(top)
    ax = bar_axes(ax, len(found) + 3, chosen, 9.4)
    for text, x in COLUMNS.items():
        beside(ax, -0.75, x, text, chosen, heading=True)
    for y, r in enumerate(found.to_dict("records")):
        bits = float(r["information"])
        ax.barh(y, bits, height=0.62, color=chosen.speaks_for, linewidth=0,
                gid=f"information:{r['finding']}")
        ax.annotate(f"{bits:.2f}", (bits, y), (4, 0), textcoords="offset points",
                    va="center", fontsize=8.5, color=chosen.ink, fontfamily=FONT)
        kind = "known before" if r["kind"] == "context" else r["kind"]
        cells = {"kind": kind, "gain": f"{r['utility']:.2f}", "burden": f"{r['burden']:.2f}"}
        for column, text in cells.items():
            beside(ax, y, COLUMNS[column], text, chosen)
    ax.set_yticks(range(len(found)), [network[f].name for f in found["finding"]], fontfamily=FONT)
    ax.set_ylim(max(len(found), 1) - 0.4, -0.6)
    ax.margins(x=0.12)
    ax.set_xlim(left=0)
    title(ax, "What to find out next", chosen)
    ax.set_xlabel("expected information about the causes, bits", color=chosen.muted,
                  fontfamily=FONT)
    unit = diagnosis.model.pathways.unit
    footer(ax, diagnosis.model, chosen, 40,
           f"Ordered by {'information' if by == 'information' else 'gain'} for the burden of finding out. Gain: what "
           f"acting on the answer is expected to be worth over acting now{f'; both in {unit}' if unit else ''}.")
    return ax
