"""What all pictures share: two themes, axes to draw on, the footer.

The hues are Okabe & Ito's (2008, Color Universal Design), safe for colour blindness; on white they are
darker, on dark paper lighter, so that words in them can be read. Nothing is told by colour alone: place, shape, dashes or words say it too.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bayesnet.errors import BayesnetError, did_you_mean

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bayesnet.model import DiagnosticModel

__all__ = [
    "THEMES", "Theme", "bar_axes", "beside", "footer", "new_axes", "paint", "theme_named", "title", "words",
]

#: Charts come out in the font that ships with matplotlib, so that they are the same everywhere.
FONT = "DejaVu Sans"


@dataclass(frozen=True)
class Theme:
    """Colours of a picture.

    Attributes
    ----------
    name : str
    paper, ink, muted, grid : str
        Background, text, secondary text, grid lines.
    speaks_for, speaks_against : str
        Evidence for and against a cause; low and high ends of a range.
    rest : str
        What is not broken down further.
    families, roles : dict
        Colour of a cause's family, of a variable's role.
    """

    name: str
    paper: str
    ink: str
    muted: str
    grid: str
    speaks_for: str
    speaks_against: str
    rest: str
    families: Mapping[str, str]
    roles: Mapping[str, str]

    def colour(self, role: str, group: str = "") -> str:
        """Colour of a variable by its role, of a cause by its family."""
        if role == "cause":
            return self.families.get(group, self.roles["cause"])
        return self.roles[role]


def _theme(name: str, **colours: str) -> Theme:
    c = colours
    families = {
        "underlying": c["vermilion"], "structural": c["blue"], "fallback": c["grey"],
        "psychosocial": c["purple"], "programme": c["green"],
    }
    findings = dict.fromkeys(
        ("history", "examination", "test", "questionnaire", "programme"), c["sky"]
    )
    roles = {
        "context": c["grey"], "cause": c["vermilion"], "mechanism": c["orange"],
        "outcome": c["ink"], "": c["blue"], **findings,
    }
    return Theme(
        name, c["paper"], c["ink"], c["muted"], c["grid"], c["blue"], c["vermilion"], c["rest"],
        families, roles,
    )


THEMES = {
    t.name: t
    for t in (
        _theme(
            "light", paper="#ffffff", ink="#1d1f21", muted="#5f6368", grid="#e4e4e4",
            rest="#c4c7ca", vermilion="#C05200", blue="#0072B2", grey="#6f6f6f", purple="#AB4A83",
            green="#00825E", orange="#BF8300", sky="#2778AA",
        ),
        _theme(
            "dark", paper="#16181b", ink="#ececec", muted="#a3a8ae", grid="#34383d",
            rest="#5b6167", vermilion="#F28B46", blue="#5AB4EC", grey="#a8a8a8", purple="#E59CC9",
            green="#34C79B", orange="#F0B53C", sky="#8CCBF0",
        ),
    )
}


def theme_named(name: str) -> Theme:
    """The theme `light` or `dark`.

    Raises
    ------
    BayesnetError
        For another name.
    """
    if name not in THEMES:
        raise BayesnetError(f"no theme {name!r}: expected light or dark.{did_you_mean(name, THEMES)}")
    return THEMES[name]


def words(id: str) -> str:
    """An id as words, with a capital first letter."""
    text = id.replace("_", " ")
    return text[:1].upper() + text[1:]


def new_axes(width: float, height: float, layout: str | None = "constrained") -> Axes:
    """Axes on a new figure of `width` by `height` inches.

    The figure is pyplot's, so that a notebook shows it. Where pyplot has been told to open windows
    and there is no display, it is a plain figure, to be saved.
    """
    options: Any = {"figsize": (width, height), "layout": layout}
    try:
        import matplotlib.pyplot as plt

        return plt.figure(**options).add_subplot()
    except ImportError:
        from matplotlib.figure import Figure

        return Figure(**options).add_subplot()


def paint(ax: Axes, theme: Theme) -> None:
    """Background and ink of the theme, on the axes and, when they stand alone, on the figure."""
    ax.set_facecolor(theme.paper)
    figure = ax.get_figure(root=True)
    if figure is not None and len(figure.axes) == 1:
        figure.set_facecolor(theme.paper)
    for label in (*ax.get_xticklabels(), *ax.get_yticklabels()):
        label.set_fontfamily(FONT)
    ax.tick_params(length=0, colors=theme.ink, labelfontfamily=FONT)
    for spine in ax.spines.values():
        spine.set_color(theme.muted)


def bar_axes(ax: Axes | None, rows: float, theme: Theme, width: float = 9.0) -> Axes:
    """Axes for `rows` horizontal bars: no frame, a light grid across."""
    ax = ax or new_axes(width, 0.34 * rows + 1.5)
    paint(ax, theme)
    for side in ("top", "right", "left"):
        ax.spines[side].set_visible(False)
    ax.spines["bottom"].set_color(theme.grid)
    ax.grid(axis="x", color=theme.grid, linewidth=0.8)
    ax.set_axisbelow(True)
    ax.use_sticky_edges = False
    return ax


def beside(ax: Axes, y: float, points: float, text: str, theme: Theme, heading: bool = False) -> None:
    """A cell of a table, `points` to the right of the axes, in the row `y`."""
    ax.annotate(
        text, (1, y), (points, 0), xycoords=ax.get_yaxis_transform(), textcoords="offset points",
        va="center", fontsize=8 if heading else 9, color=theme.muted if heading else theme.ink,
        fontfamily=FONT, annotation_clip=False,
    )


def title(ax: Axes, text: str, theme: Theme, above: float = 12) -> None:
    """A title on the left, so many points above the axes."""
    ax.set_title(text, loc="left", color=theme.ink, fontsize=12, pad=above, fontfamily=FONT)


def footer(ax: Axes, model: DiagnosticModel, theme: Theme, below: float, note: str = "") -> None:
    """What the marks mean, the model and its disclaimer, `below` points under the axes."""
    width = 108
    said = f"{model.name} {model.version}. {model.disclaimer}"
    lines = [line for text in (note, said) if text for line in textwrap.wrap(text, width)]
    ax.annotate(
        "\n".join(lines), (0, 0), (0, -below), xycoords="axes fraction",
        textcoords="offset points", fontsize=7.5, color=theme.muted, va="top", ha="left",
        linespacing=1.4, fontfamily=FONT, annotation_clip=False, gid="footer",
    )
