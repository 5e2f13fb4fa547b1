"""Weights of evidence for one cause, from the probability before the findings to the one with them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from bayesnet.errors import BayesnetError
from bayesnet.viz.style import FONT, bar_axes, footer, theme_named, title

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bayesnet.diagnosis.explanation import Explanation

__all__ = ["plot_waterfall"]

#: Probabilities to mark on the scale, and closer ones where it is short.
LEVELS = (0.0001, 0.001, 0.003, 0.01, 0.03, 0.1, 0.2, 0.3, 0.5, 0.7, 0.8, 0.9, 0.97, 0.99, 0.997,
          0.999, 0.9999)
DENSE = (*(i / 1000 for i in range(1, 10)), *(i / 100 for i in range(1, 100)),
         *(i / 1000 for i in range(991, 1000)))
#: Decibans that round to nothing.
NOTHING = 0.05


def plot_waterfall(
    explanation: Explanation, ax: Axes | None = None, top: int = 12, theme: str = "light"
) -> Axes:
    """From the probability before the findings to the one with them, a finding a step.

    Steps are the weights in the order asked, which add up; those that are small, or would be
    written as 0.0, are drawn together.

    Parameters
    ----------
    explanation : Explanation
    ax : matplotlib Axes, optional
        A new figure by default.
    top : int
        Findings with a step of their own.
    theme : str
        `light` or `dark`.

    Raises
    ------
    BayesnetError
        When the findings settle the cause: no weight leads to 0 or 100 %.
    """
    from bayesnet.diagnosis.words import percent

    chosen = theme_named(theme)
    if not all(0 < p < 1 for p in (explanation.prior, explanation.posterior)):
        raise BayesnetError(
            f"{explanation.label}: the findings settle it ({percent(explanation.posterior)}), so "
            "there are no weights to draw; leave out the finding that says so"
        )
    listed = sorted(explanation.findings, key=lambda f: -abs(f.step))
    kept = {f.finding for f in listed[:top] if abs(f.step) >= NOTHING}
    steps = [(f.words, f.step) for f in explanation.findings if f.finding in kept]
    others = [f for f in explanation.findings if f.finding not in kept]
    if others:
        name = others[0].words if len(others) == 1 else f"{len(others)} other findings"
        steps.append((name, sum(f.step for f in others)))
    ax = bar_axes(ax, len(steps) + 3, chosen, 9.4)
    at = 10 * math.log10(explanation.prior / (1 - explanation.prior))
    ax.plot([at, at], [-0.4, 0.69], color=chosen.ink, linewidth=1.6, solid_capstyle="butt",
            gid="before")
    for y, (_, step) in enumerate(steps, start=1):
        for_it = step >= 0
        ax.barh(y, step, left=at, height=0.62, linewidth=0, gid=f"step:{y - 1}",
                color=chosen.speaks_for if for_it else chosen.speaks_against,
                hatch=None if for_it else "////", edgecolor=chosen.paper)
        # Beside the free end, where the next step does not start.
        ax.annotate(f"{step:+.1f}" if abs(step) >= NOTHING else "0", (at + step, y), (4 if for_it else -4, 0),
                    textcoords="offset points", va="center", ha="left" if for_it else "right",
                    fontsize=8.5, color=chosen.ink, fontfamily=FONT)
        at += step
        ax.plot([at, at], [y + 0.31, y + 0.69], color=chosen.muted, linewidth=0.9)
    end = len(steps) + 1
    ax.plot([at, at], [end - 0.31, end + 0.4], color=chosen.ink, linewidth=1.6,
            solid_capstyle="butt", gid="after")
    ax.set_yticks(
        range(end + 1),
        [f"before any finding: {percent(explanation.prior)}", *[w for w, _ in steps],
         f"with all findings: {percent(explanation.posterior)}"],
        fontfamily=FONT,
    )
    for label in (ax.get_yticklabels()[0], ax.get_yticklabels()[-1]):
        label.set_fontweight("bold")
    ax.set_ylim(end + 0.6, -0.6)
    ax.margins(x=0.09)
    _percent_scale(ax)
    network = explanation.model.network
    than = f" rather than {network[explanation.against].name}" if explanation.against else ""
    title(ax, f"Why {explanation.label}{than}", chosen)
    ax.set_xlabel("probability, spaced by its odds", color=chosen.muted, fontfamily=FONT)
    footer(
        ax, explanation.model, chosen, 40,
        "Numbers at the bars: decibans of evidence, given the findings above (10: ten to one; 3: two "
        "to one). Plain bars speak for it, hatched ones against.",
    )
    return ax


def _percent_scale(ax: Axes) -> None:
    """Label the log-odds axis with probabilities, as many as fit."""
    low, high = ax.get_xlim()
    inside: dict[float, float] = {}
    for levels in (LEVELS, DENSE):
        at = {p: 10 * math.log10(p / (1 - p)) for p in levels}
        inside = {p: x for p, x in at.items() if low <= x <= high}
        if len(inside) > 2:
            break
    kept: dict[float, float] = {}
    for p, x in inside.items():
        if not kept or x - list(kept.values())[-1] >= (high - low) / 9:
            kept[p] = x
    ax.set_xlim(low, high)
    ax.set_xticks(list(kept.values()), [f"{100 * p:g} %" for p in kept], fontfamily=FONT)
