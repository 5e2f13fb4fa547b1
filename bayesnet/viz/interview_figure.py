"""How the probabilities moved with each answer of an interview."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from bayesnet.diagnosis.naming import cause_ids
from bayesnet.diagnosis.words import finding_words, percent
from bayesnet.viz.style import FONT, bar_axes, footer, theme_named, title

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bayesnet.diagnosis.interview import Interview

__all__ = ["course_of", "plot_interview"]

STYLES = (("o", "-"), ("s", (0, (5, 1.5))), ("^", (0, (2, 1))), ("D", (0, (3, 1, 1, 1))),
          ("v", (0, (1, 1))), ("P", "-"), ("X", (0, (5, 1.5))), ("*", (0, (2, 1))))


def course_of(
    interview: Interview, causes: Sequence[str] | int = 5
) -> tuple[list[str], dict[str, list[float]]]:
    """What was answered, in words, and each cause's probability after it.

    Parameters
    ----------
    interview : Interview
    causes : sequence of str, or int
        Causes to follow, by id or label, or how many: those whose probability moved most.

    Returns
    -------
    answers : list of str
        The first is the start; length n + 1.
    course : dict cause -> list of float
        Of the same length.

    Raises
    ------
    EvidenceError
        For an unknown cause.
    """
    states = [interview]
    while states[0].asked:
        states.insert(0, states[0].back())
    network = interview.model.network
    found = [s.diagnosis for s in states]
    every = {c: [d[c].posterior for d in found] for c in interview.model.causes}
    if isinstance(causes, int):
        moved = sorted(every, key=lambda c: (min(every[c]) - max(every[c]), -every[c][-1]))
        chosen = sorted(moved[:causes], key=lambda c: -every[c][-1])
    else:
        chosen = cause_ids(network, interview.model.causes, causes)
    start = "; ".join(finding_words(network[v], x) for v, x in found[0].findings.items())
    answers = [f"Start ({start})" if start else "Start"]
    for v in interview.asked:
        if v in interview.findings:
            answers.append(finding_words(network[v], interview.findings[v]))
        else:
            answers.append(f"{network[v].name}: not known")
    return answers, {c: every[c] for c in chosen}


def plot_interview(
    interview: Interview, ax: Axes | None = None, causes: Sequence[str] | int = 5,
    theme: str = "light",
) -> Axes:
    """Probabilities from the first question, at the top, to the last.

    Parameters
    ----------
    interview : Interview
    ax : matplotlib Axes, optional
        A new figure by default.
    causes : sequence of str, or int
        As for `course_of`.
    theme : str
        `light` or `dark`.
    """
    chosen = theme_named(theme)
    network = interview.model.network
    answers, course = course_of(interview, causes)
    ax = bar_axes(ax, len(answers) + 4, chosen, 10.4)
    ax.grid(axis="y", color=chosen.grid, linewidth=0.5)
    colours = (chosen.speaks_for, chosen.speaks_against, *[
        chosen.families[f] for f in ("programme", "psychosocial", "fallback")])
    for i, (cause, values) in enumerate(course.items()):
        marker, dashes = STYLES[i % len(STYLES)]
        ax.plot(values, range(len(values)), marker=marker, linestyle=dashes, markersize=5,
                linewidth=1.6, color=colours[i % len(colours)], gid=f"course:{cause}",
                label=textwrap.fill(f"{network[cause].name}, {percent(values[-1])}", 30))
    ax.set_yticks(range(len(answers)), answers, fontsize=9, fontfamily=FONT)
    ax.set_ylim(len(answers) - 0.6, -0.4)
    ax.margins(x=0.05)
    ax.set_xlim(left=0)
    ax.xaxis.set_major_formatter(lambda x, _: f"{100 * x:g} %")
    ax.set_xlabel("probability after the answer", color=chosen.muted, fontfamily=FONT)
    ax.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, handlelength=3.2,
              labelcolor=chosen.ink, prop={"family": FONT, "size": 8.5})
    title(ax, f"An interview of {len(answers) - 1} questions", chosen)
    footer(ax, interview.model, chosen, 40)
    return ax
