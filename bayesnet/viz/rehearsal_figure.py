"""How fast interviews with simulated patients find the reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bayesnet.validation.intervals import wilson_interval
from bayesnet.validation.rehearsal import STRATEGIES
from bayesnet.viz.style import FONT, new_axes, paint, theme_named, title

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bayesnet.validation.rehearsal import Rehearsal

__all__ = ["plot_rehearsal"]


def plot_rehearsal(rehearsal: Rehearsal, ax: Axes | None = None, theme: str = "light") -> Axes:
    """Share of patients with the true reason in the top three, with 95 % Wilson bands."""
    colours = theme_named(theme)
    lines = {
        "next_best": (colours.families["structural"], "-"),
        "best_form": (colours.families["programme"], "--"),
        "fixed": (colours.families["underlying"], ":"),
    }
    ax = ax or new_axes(7.5, 4.4)
    asked = range(rehearsal.questions + 1)
    for strategy, (colour, line) in lines.items():
        share = rehearsal.share(strategy)
        bands = [wilson_interval(round(s * rehearsal.patients), rehearsal.patients) for s in share]
        ax.fill_between(asked, [b[0] for b in bands], [b[1] for b in bands], color=colour,
                        alpha=0.12, linewidth=0)
        mean = rehearsal.mean_questions(strategy)
        ax.plot(asked, share, color=colour, linestyle=line, linewidth=2,
                label=f"{STRATEGIES[strategy]} (mean {mean:.0f} questions)")
    if "consultation" in rehearsal.within_reach:
        reach = rehearsal.within_reach["consultation"]
        ax.axhline(reach, color=colours.muted, linewidth=0.8)
        ax.text(rehearsal.questions, reach + 0.01, "every answer and sign known", ha="right",
                va="bottom", fontsize=8, color=colours.muted, fontfamily=FONT)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    ax.set_ylim(0, 1)
    ax.set_xlim(0, rehearsal.questions)
    ax.yaxis.set_major_formatter(lambda y, _: f"{y:.0%}")
    ax.set_xlabel("questions answered", color=colours.muted, fontfamily=FONT)
    ax.set_ylabel("true reason among the first three", color=colours.muted, fontfamily=FONT)
    title(ax, f"Interviews with {rehearsal.patients} simulated patients", colours)
    paint(ax, colours)
    # Below the picture: inside, every corner is crossed by a line for some number of questions.
    ax.legend(frameon=False, loc="upper left", bbox_to_anchor=(0, -0.13), borderaxespad=0,
              labelcolor=colours.ink, prop={"family": FONT})
    return ax
