"""The failure divided among its causes, as bars."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bayesnet.viz.style import FONT, bar_axes, footer, theme_named, title

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bayesnet.diagnosis.attribution import Attribution

__all__ = ["plot_attribution"]


def plot_attribution(
    attribution: Attribution, ax: Axes | None = None, top: int = 8, theme: str = "light"
) -> Axes:
    """Bars of the shares; a tick at the total effect of each cause alone.

    A cause's total effect is smaller than its share where others would have made PT fail anyway.

    Parameters
    ----------
    attribution : Attribution
    ax : matplotlib Axes, optional
        A new figure by default.
    top : int
        Causes with a bar of their own.
    theme : str
        `light` or `dark`.
    """
    from bayesnet.diagnosis.words import averted, percent, question

    chosen = theme_named(theme)
    shares = attribution.shares[:top]
    ax = bar_axes(ax, len(shares) + 3, chosen, 9.4)
    others = attribution.shares[top:]
    bars = [
        *((s.label, s.share, chosen.colour("cause", s.family)) for s in shares),
        *([("All other causes", sum(s.share for s in others), chosen.rest)] if others else []),
        ("None of the causes in the model", attribution.unexplained, chosen.rest),
    ]
    for y, (_, value, colour) in enumerate(bars):
        ax.barh(y, value, height=0.62, color=colour, linewidth=0, gid=f"share:{y}")
        tick = shares[y].total_effect if y < len(shares) else 0.0
        if y < len(shares):
            ax.plot([tick, tick], [y - 0.38, y + 0.38], color=chosen.ink, linewidth=1.5,
                    solid_capstyle="butt", gid=f"total:{y}")
        ax.annotate(percent(value), (max(value, tick), y), (5, 0), textcoords="offset points",
                    va="center", fontsize=9, color=chosen.ink, fontfamily=FONT)
    ax.set_yticks(range(len(bars)), [label for label, _, _ in bars], fontfamily=FONT)
    ax.set_ylim(len(bars) - 0.4, -0.6)
    ax.margins(x=0.09)
    ax.set_xlim(left=0)
    ax.xaxis.set_major_formatter(lambda x, _: f"{100 * x:g} %")
    title(ax, f"{question(attribution.model)}: shares that add up to one", chosen)
    ax.set_xlabel("share of the failure", color=chosen.muted, fontfamily=FONT)
    footer(ax, attribution.model, chosen, 40,
           f"Tick: probability that {averted(attribution.model)} had this cause alone been absent; lower "
           "than the share where other causes would have been enough.")
    return ax
