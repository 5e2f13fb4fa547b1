"""Charts of the answers: shares of the failure, weights of evidence, sensitivity, next questions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bayesnet.viz.style import FAMILY_COLOURS, INK, MUTED

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from bayesnet.diagnosis.attribution import Attribution
    from bayesnet.diagnosis.explanation import Explanation
    from bayesnet.diagnosis.uncertainty import Sensitivity

__all__ = ["plot_attribution", "plot_next", "plot_tornado", "plot_waterfall"]

FOR, AGAINST = "#0072B2", "#D55E00"


def _axes(ax: Axes | None, rows: int, width: float = 8.0) -> Axes:
    import matplotlib.pyplot as plt

    if ax is None:
        _, ax = plt.subplots(figsize=(width, 0.36 * rows + 1.2), layout="constrained")
    for side in ("top", "right", "left"):
        ax.spines[side].set_visible(False)
    ax.tick_params(length=0)
    ax.grid(axis="x", color="#e6e6e6", linewidth=0.8)
    ax.set_axisbelow(True)
    return ax


def plot_attribution(attribution: Attribution, ax: Axes | None = None, top: int = 8) -> Axes:
    """Bars of the shares; a line to the total effect, which counts what causes do together twice."""
    shares = attribution.shares[:top]
    ax = _axes(ax, len(shares) + 2)
    rest = sum(s.share for s in attribution.shares[top:])
    for y, s in enumerate(shares):
        colour = FAMILY_COLOURS.get(s.family, MUTED)
        ax.barh(y, s.share, height=0.62, color=colour, linewidth=0)
        ax.plot([s.total_effect] * 2, [y - 0.36, y + 0.36], color=INK, linewidth=1.4)
        ax.text(max(s.share, s.total_effect) + 0.008, y, f"{s.share:.0%}", va="center", fontsize=9,
                color=INK)
    for k, value in enumerate((rest, attribution.unexplained)):
        y = len(shares) + k
        ax.barh(y, value, height=0.62, color="#cccccc", linewidth=0)
        ax.text(value + 0.008, y, f"{value:.0%}", va="center", fontsize=9, color=INK)
    labels = [s.label for s in shares] + ["All other causes", "None of the causes in the model"]
    ax.set_yticks(range(len(labels)), labels)
    ax.invert_yaxis()
    ax.set_xlim(left=0)
    ax.xaxis.set_major_formatter(lambda x, _: f"{x:.0%}")
    ax.set_title("Why therapy failed: shares that add up", loc="left", color=INK, fontsize=12)
    ax.set_xlabel("share of the failure (line: would have succeeded without this cause)", color=MUTED)
    return ax


def plot_waterfall(explanation: Explanation, ax: Axes | None = None, top: int = 12) -> Axes:
    """From the probability before the findings to the one with them, a finding a step.

    Steps are the weights in the order asked, which add up; small ones are drawn together.
    """
    listed = sorted(explanation.findings, key=lambda f: -abs(f.step))
    kept = {f.finding for f in listed[:top]}
    steps = [(f.words, f.step) for f in explanation.findings if f.finding in kept]
    other = sum(f.step for f in explanation.findings if f.finding not in kept)
    if len(listed) > top:
        steps.append((f"{len(listed) - top} other findings", other))
    ax = _axes(ax, len(steps) + 2, 9.0)
    start = 10 * np.log10(explanation.prior / (1 - explanation.prior))
    at = start
    ax.plot([start, start], [-0.4, 0.6], color=INK, linewidth=1.4)
    for y, (_, step) in enumerate(steps, start=1):
        ax.barh(y, step, left=at, height=0.62, color=FOR if step > 0 else AGAINST, linewidth=0)
        ax.text(max(at, at + step) + 0.2, y, f"{step:+.1f}", va="center", fontsize=8, color=INK)
        at += step
        ax.plot([at, at], [y + 0.31, y + 0.69], color=MUTED, linewidth=0.8)
    end = len(steps) + 1
    ax.plot([at, at], [end - 0.4, end + 0.4], color=INK, linewidth=1.4)
    from bayesnet.diagnosis.words import percent

    ax.set_yticks(
        range(end + 1),
        [f"before: {percent(explanation.prior)}", *[w for w, _ in steps],
         f"with all findings: {percent(explanation.posterior)}"],
    )
    ax.invert_yaxis()
    than = f" rather than {explanation.model.network[explanation.against].name}" if explanation.against else ""
    ax.set_title(f"Why {explanation.label}{than}", loc="left", color=INK, fontsize=12)
    ax.set_xlabel("log odds in decibans (10: ten to one; blue for, orange against)", color=MUTED)
    ax.margins(x=0.08)
    return ax


def plot_tornado(sensitivity: Sensitivity, ax: Axes | None = None, top: int = 12) -> Axes:
    """Posterior over the 95 % range of each parameter, widest first."""
    rows = sensitivity.table.head(top)
    ax = _axes(ax, len(rows), 9.0)
    for y, r in enumerate(rows.to_dict("records")):
        for end, colour in ((r["posterior_low"], AGAINST), (r["posterior_high"], FOR)):
            ax.barh(y, end - sensitivity.posterior, left=sensitivity.posterior, height=0.62,
                    color=colour, linewidth=0)
    ax.axvline(sensitivity.posterior, color=INK, linewidth=1.2)
    ax.set_yticks(range(len(rows)), list(rows["parameter"]))
    ax.invert_yaxis()
    ax.xaxis.set_major_formatter(lambda x, _: f"{x:.0%}")
    ax.set_title(f"What {sensitivity.cause.replace('_', ' ')} hangs on", loc="left", color=INK,
                 fontsize=12)
    ax.set_xlabel(
        "posterior with the parameter at its low (orange) and high (blue) end", color=MUTED
    )
    return ax


def plot_next(found: pd.DataFrame, ax: Axes | None = None, top: int = 10) -> Axes:
    """Expected information of the next findings (`Diagnosis.next`)."""
    rows = found.head(top)
    ax = _axes(ax, len(rows))
    ax.barh(range(len(rows)), rows["information"], height=0.62, color=FOR, linewidth=0)
    ax.set_yticks(range(len(rows)), [f.replace("_", " ") for f in rows["finding"]])
    ax.invert_yaxis()
    ax.set_xlabel("expected information about the causes, bits (ranked per unit of burden)",
                  color=MUTED)
    ax.set_title("What to find out next", loc="left", color=INK, fontsize=12)
    return ax
