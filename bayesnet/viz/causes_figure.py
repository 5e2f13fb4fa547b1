"""The leading causes of one patient as bars."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from bayesnet.viz.style import FAMILY_COLOURS, INK, MUTED

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bayesnet.diagnosis.result import Diagnosis

__all__ = ["plot_causes"]


def plot_causes(
    diagnosis: Diagnosis, ax: Axes | None = None, top: int = 8, by: str = "necessity"
) -> Axes:
    """Draw the leading diagnoses and contributors.

    Light bar: probability that the cause is present. Dark bar: probability that PT failed because
    of it. Tick: the probability before any finding.

    Parameters
    ----------
    diagnosis : Diagnosis
    ax : matplotlib Axes, optional
        A new figure by default.
    top : int
        Causes a group.
    by : str
        `necessity`, `posterior` or `likelihood_ratio`.

    Returns
    -------
    matplotlib Axes
    """
    import matplotlib.pyplot as plt
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    from bayesnet.diagnosis.words import name_of, percent, ratio

    groups = [
        (title, diagnosis.ranked(group, by)[:top])
        for group, title in (("diagnoses", "Diagnoses"), ("contributors", "Person and programme"))
    ]
    groups = [(title, ranked) for title, ranked in groups if ranked]
    rows = sum(len(ranked) + 1.4 for _, ranked in groups)
    if ax is None:
        figure, ax = plt.subplots(figsize=(9.4, 0.34 * rows + 1.3), layout="constrained")
        engine = figure.get_layout_engine()
        assert engine is not None
        engine.set(rect=(0, 0, 0.95, 1))  # type: ignore[call-arg]
    y = 0.0
    ticks, labels = [], []
    for title, ranked in groups:
        ax.text(-0.005, y, title, ha="right", va="center", weight="bold", color=INK,
                transform=ax.get_yaxis_transform())
        y += 1
        for r in ranked:
            colour = FAMILY_COLOURS.get(r.family, MUTED)
            ax.barh(y, r.posterior, height=0.72, color=colour, alpha=0.3, linewidth=0)
            if not math.isnan(r.necessity):
                ax.barh(y, r.necessity, height=0.36, color=colour, linewidth=0)
            ax.plot([r.prior, r.prior], [y - 0.4, y + 0.4], color=INK, linewidth=1.4)
            ax.text(1.02, y, percent(r.posterior), ha="left", va="center", fontsize=9, color=INK)
            ax.text(1.17, y, ratio(r.likelihood_ratio), ha="left", va="center", fontsize=9,
                    color=INK)
            ticks.append(y)
            labels.append(name_of(r))
            y += 1
        y += 0.4
    ax.text(1.02, -0.9, "probability", fontsize=8, color=MUTED, va="center")
    ax.text(1.17, -0.9, "LR", fontsize=8, color=MUTED, va="center")
    ax.set_yticks(ticks, labels)
    ax.set_ylim(y - 0.6, -0.6)
    ax.set_xlim(0, 1)
    ax.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "25 %", "50 %", "75 %", "100 %"])
    ax.tick_params(length=0)
    ax.grid(axis="x", color="#e6e6e6", linewidth=0.8)
    ax.set_axisbelow(True)
    for side in ("top", "right", "left"):
        ax.spines[side].set_visible(False)
    ax.legend(
        handles=[
            Patch(facecolor=MUTED, alpha=0.3, label="probability that it is present"),
            Patch(facecolor=MUTED, label="probability that PT failed because of it"),
            Line2D([], [], color=INK, linewidth=1.4, label="before any finding"),
        ],
        loc="upper center", bbox_to_anchor=(0.45, -0.04), ncols=3, frameon=False, fontsize=8,
    )
    model = diagnosis.model
    ax.set_title(
        f"Why PT failed ({len(diagnosis.findings)} findings)", loc="left", color=INK, fontsize=12,
        pad=16,
    )
    ax.annotate(
        f"{model.name} {model.version}. For education and research; not a medical device.",
        (0, 0), (0, -52), xycoords="axes fraction", textcoords="offset points", fontsize=7,
        color=MUTED,
    )
    return ax
