"""One patient's part of the network: what was found, the leading causes, and the ways between them."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from bayesnet.diagnosis.words import because, finding_words, headline, percent
from bayesnet.viz.layout import Arcs, Layers, Routed, longest_path_layers, routed
from bayesnet.viz.network_figure import curve, path_through
from bayesnet.viz.page import text_width
from bayesnet.viz.style import FONT, Theme, new_axes, paint, theme_named

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bayesnet.diagnosis.result import Diagnosis

__all__ = ["Box", "PatientNetwork", "patient_network", "plot_patient_network"]

#: Decibans under which a finding says too little of a cause to be drawn; 1 is odds of 1.26.
LITTLE = 0.5
SIZE = 8.0
LINE = 10.6
WRAP = 24
PAD = 6.0
GAP, COLUMN_GAP = 11.0, 60.0
BOW = 40.0
COLUMN_TITLES = {0: "Known before", 1: "Causes", 2: "Mechanisms", 3: "Findings"}
POINTS = 72.0


@dataclass(frozen=True, slots=True)
class Box:
    """A variable of the picture.

    Attributes
    ----------
    id, label : str
    column : int
        0 known before, 1 cause, 2 mechanism, 3 finding.
    observed : str
        The state found, in words; empty when it was not asked.
    posterior, prior : float
        Of being present (where there are more than two states, of the one that rose most; of a
        cause in any degree), given that PT failed, with and before the findings; 1 when observed.
    state : str
        The state that the probability is of, in words; empty for presence.
    necessity : float
        Of a cause; else NaN.
    """

    id: str
    label: str
    column: int
    observed: str
    posterior: float
    prior: float
    state: str = ""
    necessity: float = float("nan")

    @property
    def change(self) -> float:
        """Posterior less prior."""
        return self.posterior - self.prior


@dataclass(frozen=True, slots=True)
class PatientNetwork:
    """What is drawn of one patient.

    Attributes
    ----------
    boxes : dict id -> Box
    weights : dict (parent, child) -> float
        Decibans: the strongest weight of evidence that passes along the arc, with its sign. That of a
        finding is its own with all others known or, if larger, its part (the mean) of what the
        findings of its mechanism say together.
    left_out : tuple of str
        Findings that say little of the causes shown, in words.
    """

    boxes: Mapping[str, Box]
    weights: Mapping[tuple[str, str], float]
    left_out: tuple[str, ...]


def _leading(diagnosis: Diagnosis, causes: int) -> list[str]:
    """The first by necessity (fewer of the contributors), then those that rose most."""
    half = max(1, causes // 2)
    by = "posterior" if math.isnan(diagnosis.results[0].necessity) else "necessity"
    chosen = [r.cause for r in diagnosis.ranked("diagnoses", by)[:half]]
    chosen += [r.cause for r in diagnosis.ranked("contributors", by)[: max(1, half // 2)]]
    moved = sorted(diagnosis.results, key=lambda r: r.prior - r.posterior)
    chosen += [r.cause for r in moved if r.cause not in chosen]
    return chosen[:causes]


def patient_network(diagnosis: Diagnosis, causes: int = 6) -> PatientNetwork:
    """Choose what matters for one patient.

    Parameters
    ----------
    diagnosis : Diagnosis
    causes : int
        So many causes: those because of which PT most probably failed, then those whose
        probability the findings raised most.
    """
    model = diagnosis.model
    network = model.network
    chosen = _leading(diagnosis, causes)
    weights: dict[tuple[str, str], float] = {}
    told: set[str] = set()
    for c in chosen:
        why = diagnosis.why(c)
        # Findings that repeat each other say little one by one, but not together.
        shared = {f: g.weight / len(g.findings) for g in why.together for f in g.findings}
        for f in why.findings:
            weight = max(f.weight, shared[f.finding], key=abs)
            if abs(weight) < LITTLE or "..." in f.path:
                continue
            told.add(f.finding)
            for u, v in pairwise(f.path):
                arc = (u, v) if u in network.parents(v) else (v, u)
                if abs(weight) > abs(weights.get(arc, 0.0)):
                    weights[arc] = weight
    ids = [v for v in network.variables if v in {x for arc in weights for x in arc} | set(chosen)]
    unknown = [v for v in ids if v not in told and v not in diagnosis.findings]
    given = {model.outcome: diagnosis.findings.get(model.outcome, True)} if model.outcome else {}
    after = diagnosis.posterior(*unknown) if unknown else {}
    before = model.posterior(unknown, given) if unknown else {}
    boxes = {}
    for v in ids:
        variable = network[v]
        column = {"context": 0, "cause": 1, "mechanism": 2, "outcome": 2}.get(variable.role, 3)
        if v in diagnosis.findings:
            said = finding_words(variable, diagnosis.findings[v]).removeprefix(f"{variable.name}: ")
            boxes[v] = Box(v, variable.name, column, said, 1.0, 1.0)
        elif v in model.causes:
            r = diagnosis[v]
            boxes[v] = Box(v, variable.name, column, "", r.posterior, r.prior,
                           necessity=r.necessity)
        else:
            states = after[v]
            state = max(variable.states[1:], key=lambda s: states[s] - before[v][s])
            boxes[v] = Box(
                v, variable.name, column, "", states[state], before[v][state],
                "" if len(states) == 2 else state.replace("_", " "),
            )
    left_out = tuple(
        finding_words(network[f], x) for f, x in diagnosis.findings.items()
        if x is not None and f not in boxes and f != model.outcome
    )
    return PatientNetwork(boxes, weights, left_out)


def _lines(box: Box, because: str) -> list[str]:
    """The text of a box; its first lines are the label."""
    lines = textwrap.wrap(box.label, WRAP)
    if box.observed:
        return [*lines, *textwrap.wrap(box.observed, WRAP)]
    now, before = percent(box.posterior), percent(box.prior)
    arrow = "▲" if box.change > 0 else "▼"
    lines += textwrap.wrap(box.state, WRAP)
    lines.append(f"{now}, as before" if now == before else f"{now} {arrow} from {before}")
    if not math.isnan(box.necessity):
        lines.append(f"{because}: {percent(box.necessity)}")
    return lines


def _layers(shown: PatientNetwork) -> tuple[Layers, list[int]]:
    """Columns from left to right; mechanisms that feed others come before them."""
    layers: list[tuple[str, ...]] = []
    columns: list[int] = []
    for column in range(4):
        members = [v for v, b in shown.boxes.items() if b.column == column]
        inner = {v: [a for a, b in shown.weights if b == v and a in members] for v in members}
        split = (
            longest_path_layers(inner, _parents_first(inner)) if column == 2 else (tuple(members),)
        )
        for layer in split:
            if layer:
                layers.append(layer)
                columns.append(column)
    return tuple(layers), columns


def _parents_first(parents: Mapping[str, Iterable[str]]) -> list[str]:
    placed: list[str] = []
    while len(placed) < len(parents):
        placed += [v for v in parents if v not in placed and set(parents[v]) <= set(placed)]
    return placed


def plot_patient_network(
    diagnosis: Diagnosis, ax: Axes | None = None, causes: int = 6, theme: str = "light"
) -> Axes:
    """Draw what matters for one patient: findings, leading causes, and the ways between.

    A box is filled as far as its variable is probable, with a tick where it was before the
    findings. A line is as wide as the weight of evidence along it (decibans), solid where it speaks
    for the cause at its end, dashed where against; where it serves several causes, for the one of
    which it says most. Findings have a thick frame and their state.

    Parameters
    ----------
    diagnosis : Diagnosis
    ax : matplotlib Axes, optional
        A new figure by default; boxes and labels grow and shrink with the axes.
    causes : int
        See `patient_network`.
    theme : str
        `light` or `dark`.

    Returns
    -------
    matplotlib Axes
    """
    chosen = theme_named(theme)
    shown = patient_network(diagnosis, causes)
    layers, columns = _layers(shown)
    arcs: Arcs = tuple(shown.weights)
    failed = because(diagnosis.model).removeprefix("PT ")
    texts = {v: _lines(b, failed) for v, b in shown.boxes.items()}
    high = {v: LINE * len(t) + 2 * PAD for v, t in texts.items()}
    way = routed(layers, arcs, tuple(high.items()), GAP)
    layers, y = way.layers, way.at
    wide = [max(_width(texts[v]) for v in layer) + 2 * PAD for layer in layers]
    left = [sum(wide[:i]) + COLUMN_GAP * i for i in range(len(layers))]
    top = min(y[v] - high[v] / 2 for v in y)
    bottom = max(y[v] + high[v] / 2 for v in y)
    total = left[-1] + wide[-1]
    note = _note(shown, diagnosis, total)
    foot = 34 + 9.6 * len(note)
    first = set(layers[0])
    # Arcs among what was known before bulge to the left.
    margin = 12 + (BOW if any(a in first and b in first for a, b in arcs) else 0)
    width, height = max(total, 430) + margin + 12, bottom - top + 62 + foot
    if ax is None:
        ax = new_axes(width / POINTS, height / POINTS, layout=None)
        ax.set_position((0, 0, 1, 1))
    paint(ax, chosen)
    ax.set_axis_off()
    ax.set_xlim(-margin, width - margin)
    ax.set_ylim(bottom + foot, top - 62)
    ax.set_aspect("equal")
    figure = ax.get_figure(root=True)
    assert figure is not None
    across, down = figure.get_size_inches() * POINTS
    box = ax.get_position()
    unit = float(min(box.width * across / width, box.height * down / height))
    place = {
        v: (left[i], y[v], wide[i], high[v]) for i, layer in enumerate(layers) for v in layer
    }
    ax.text(0, top - 50, headline(diagnosis),
            fontsize=12 * unit, color=chosen.ink, va="center", fontfamily=FONT)
    for i, column in enumerate(columns):
        if i == 0 or columns[i - 1] != column:
            ax.text(left[i], top - 18, COLUMN_TITLES[column], fontsize=9.5 * unit, weight="bold",
                    color=chosen.ink, va="center", fontfamily=FONT)
    spans = list(zip(left, wide, strict=True))
    _draw_lines(ax, shown, way, place, spans, unit, chosen)
    for v, b in shown.boxes.items():
        variable = diagnosis.model.network[v]
        colour = chosen.colour(variable.role, variable.group)
        _draw_box(ax, b, texts[v], place[v], colour, unit, chosen)
    _draw_key(ax, max(total, 430), bottom + 24, unit, chosen)
    ax.text(0, bottom + 40, "\n".join(note), fontsize=7 * unit, color=chosen.muted, va="top",
            fontfamily=FONT, linespacing=1.3, gid="footer")
    return ax


def _width(lines: Iterable[str]) -> float:
    return max(text_width(line, SIZE, "bold") for line in lines)


def _note(shown: PatientNetwork, diagnosis: Diagnosis, width: float) -> list[str]:
    letters = int(max(width, 430) / 4.0)
    said = f"{diagnosis.model.name} {diagnosis.model.version}. {diagnosis.model.disclaimer}"
    notes = [said]
    if shown.left_out:
        notes.insert(0, f"Not drawn, as they say little of these causes (under {LITTLE:g} decibans): "
                     + "; ".join(shown.left_out) + ".")
    return [line for n in notes for line in textwrap.wrap(n, letters)]


def _draw_lines(
    ax: Axes, shown: PatientNetwork, way: Routed,
    place: Mapping[str, tuple[float, float, float, float]], spans: list[tuple[float, float]],
    unit: float, theme: Theme,
) -> None:
    from matplotlib.patches import PathPatch

    for (parent, child), weight in sorted(shown.weights.items(), key=lambda x: abs(x[1])):
        first, last = sorted((parent, child), key=lambda v: place[v][0])
        x0, y0, w0, _ = place[first]
        x1, y1, _, _ = place[last]
        if x0 == x1:
            bends = [curve(x0, y0, x1, y1, bow=min(14 + 0.12 * abs(y1 - y0), BOW))]
        else:
            # Straight across each layer in its lane, bending between the layers.
            stops = [(x0 + w0, y0)]
            for layer, y in way.lanes[parent, child]:
                left, wide = spans[layer]
                stops += [(left, y), (left + wide, y)]
            stops.append((x1, y1))
            bends = [curve(*a, *b) for a, b in list(pairwise(stops))[::2]]
        ax.add_patch(PathPatch(
            path_through(bends), fill=False, zorder=1, gid=f"arc:{parent}:{child}",
            capstyle="butt", linewidth=_line_width(weight) * unit, **_stroke(weight, theme),
        ))


def _line_width(weight: float) -> float:
    """Points for a weight of evidence, in proportion up to 15 decibans."""
    return 0.35 + 0.45 * min(abs(weight), 15.0)


def _stroke(weight: float, theme: Theme) -> dict[str, Any]:
    if weight >= 0:
        return {"color": theme.speaks_for, "alpha": 0.75, "linestyle": "-"}
    return {"color": theme.speaks_against, "alpha": 0.85, "linestyle": (0, (1.8, 0.9))}


def _draw_box(
    ax: Axes, box: Box, lines: list[str], place: tuple[float, float, float, float], colour: str,
    unit: float, theme: Theme,
) -> None:
    from matplotlib.patches import FancyBboxPatch, Rectangle

    x, y, w, h = place
    style = "round,pad=0,rounding_size=4"
    frame = FancyBboxPatch(
        (x, y - h / 2), w, h, boxstyle=style, facecolor=theme.paper, zorder=3,
        edgecolor=theme.ink if box.observed else colour,
        linewidth=(1.8 if box.observed else 0.9) * unit, gid=f"box:{box.id}",
    )
    ax.add_patch(frame)
    fill = Rectangle((x, y - h / 2), w * box.posterior, h, facecolor=colour, linewidth=0, zorder=4,
                     alpha=0.16 if box.observed else 0.36, gid=f"fill:{box.id}")
    ax.add_patch(fill)
    fill.set_clip_path(frame)
    if not box.observed:
        at = x + w * box.prior
        ax.plot([at, at], [y + h / 2 - 5.5, y + h / 2 - 0.5], color=theme.ink, zorder=5,
                linewidth=1.4 * unit, solid_capstyle="butt", gid=f"prior:{box.id}")
    label = len(textwrap.wrap(box.label, WRAP))
    top = y - LINE * (len(lines) - 1) / 2
    for i, line in enumerate(lines):
        bold = i < label if not box.observed else i >= label
        ax.text(x + PAD, top + LINE * i, line, fontsize=SIZE * unit, va="center", zorder=6,
                color=theme.ink, weight="bold" if bold else "normal", fontfamily=FONT,
                gid=f"text:{box.id}")


def _draw_key(ax: Axes, width: float, y: float, unit: float, theme: Theme) -> None:
    """Weights for and against, and what the filling says."""
    small: dict[str, Any] = {
        "fontsize": 7 * unit, "va": "center", "color": theme.muted, "fontfamily": FONT,
    }
    x = 0.0
    for text, weights in (("decibans (10: ten to one) for", (1.0, 5.0, 10.0)), ("against", (-1.0, -5.0, -10.0))):
        ax.text(x, y, text, **small)
        x += text_width(text, 7) + 5
        for weight in weights:
            ax.plot([x, x + 22], [y, y], linewidth=_line_width(weight) * unit,
                    solid_capstyle="butt", dash_capstyle="butt", **_stroke(weight, theme))
            ax.text(x + 25, y, f"{abs(weight):g}", **small)
            x += 42
        x += 4
    told = "filled as far as probable; tick: before"
    if x + text_width(told, 7) < width:
        ax.text(width, y, told, ha="right", **small)
