"""A page for a clinical network: columns from what is known before, over causes and mechanisms, to findings.

Neither `dot` nor Sugiyama's method gives this page: they place each node for the arcs alone, which tears
families of causes and body systems apart and sets 118 findings in one column. So the columns and the
blocks in them are fixed by what the variables are, and only the order inside a block is free; there
the barycentre heuristic of the same methods (Sugiyama et al. 1981) keeps crossings few.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations

import numpy as np

from bayesnet.diagnosis.words import FAMILIES
from bayesnet.network import Network
from bayesnet.viz.style import FONT, words

__all__ = ["Block", "Page", "page_of", "text_width"]

#: Everything in points of a page whose labels are set in this size.
SIZE = 7.0
TITLE = 11.0
LINE = 8.6
ROW = 10.4
HEADING = 12.0
AFTER_BLOCK = 5.0
TOP = 26.0
TO_TEXT = 6.5
WRAP = 30
#: Space for the lines between columns; findings follow each other closely.
GAP, NARROW_GAP = 54.0, 24.0
#: Sheets of the A series, on their long side; most slides are a little wider.
ASPECT = 2**0.5

FINDINGS = ("history", "examination", "test", "questionnaire", "programme")
#: Column title, and the roles in it.
COLUMNS = (
    ("Known before", ("context",)),
    ("Causes", ("cause",)),
    ("Mechanisms", ("mechanism", "outcome", "")),
    ("Findings", FINDINGS),
)
ROLE_WORDS = {
    "history": "History", "examination": "Examination", "test": "Tests",
    "questionnaire": "Questionnaires", "programme": "Programme", "outcome": "Outcome",
}


@dataclass(frozen=True, slots=True)
class Block:
    """Variables under one heading."""

    heading: str
    role: str
    group: str
    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Page:
    """Where everything goes; x to the right, y down, in points at a label size of `SIZE`.

    Attributes
    ----------
    width, height : float
    titles : tuple of (str, x, y)
        Above the columns.
    headings : tuple of (Block, x, y)
    at : dict id -> (x, y)
        The dot of each variable; its label starts `TO_TEXT` further right.
    lines : dict id -> str
        The label, in lines.
    right : dict id -> x
        Where the label ends.
    columns : dict id -> int
    """

    width: float
    height: float
    titles: tuple[tuple[str, float, float], ...]
    headings: tuple[tuple[Block, float, float], ...]
    at: dict[str, tuple[float, float]]
    lines: dict[str, str]
    right: dict[str, float]
    columns: dict[str, int]


def _heading(role: str, group: str) -> str:
    if role == "cause":
        return FAMILIES.get(group, words(group))
    prefix = ROLE_WORDS.get(role, "")
    inner = group.removesuffix(f"_{role}").removesuffix("_review").replace("_", " ")
    if role in ("context", "mechanism", "outcome", "") or inner in (role, ""):
        return prefix or (words(group) if group not in (role, "") else "")
    return f"{prefix}: {inner}"


def _blocks(network: Network, roles: Sequence[str]) -> list[Block]:
    found: dict[tuple[str, str], list[str]] = {}
    for role in roles:
        for v in network.variables.values():
            if v.role == role:
                found.setdefault((role, v.group), []).append(v.id)
    return [Block(_heading(*key), *key, tuple(ids)) for key, ids in found.items()]


def _height(block: Block, lines: dict[str, str]) -> float:
    rows = sum(ROW + LINE * lines[v].count("\n") for v in block.ids)
    return rows + (HEADING if block.heading else 0) + AFTER_BLOCK


def _split(heights: Sequence[float], parts: int) -> list[slice]:
    """Cut a list into consecutive parts so that the tallest is as short as can be."""
    n = len(heights)
    best = min(
        combinations(range(1, n), parts - 1),
        key=lambda cuts: max(
            sum(heights[a:b]) for a, b in zip((0, *cuts), (*cuts, n), strict=True)
        ),
    )
    return [slice(a, b) for a, b in zip((0, *best), (*best, n), strict=True)]


def text_width(text: str, size: float, weight: str = "normal") -> float:
    """Width in points of the longest line of `text`, set in `size` points."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextToPath

    font = FontProperties(family=FONT, size=size, weight=weight)
    measure = TextToPath().get_text_width_height_descent
    return max(float(measure(line, font, ismath=False)[0]) for line in text.split("\n"))


def _ordered(columns: list[list[Block]], arcs: Sequence[tuple[str, str]]) -> list[list[Block]]:
    """Inside each block, by the mean height of the neighbours in other columns."""
    column_of = {v: i for i, c in enumerate(columns) for b in c for v in b.ids}
    near: dict[str, list[str]] = {v: [] for v in column_of}
    for a, b in arcs:
        if column_of[a] != column_of[b]:
            near[a].append(b)
            near[b].append(a)
    # The outcome hangs on all causes and would pull them all to one place.
    crowded = {v for v, us in near.items() if len(us) > len(column_of) / 8}
    near = {v: [u for u in us if u not in crowded] for v, us in near.items()}
    for _ in range(8):
        for i in [*range(len(columns)), *reversed(range(len(columns)))]:
            height = {
                v: k / max(1, sum(len(b.ids) for b in c))
                for c in columns
                for k, v in enumerate(v for b in c for v in b.ids)
            }
            columns[i] = [
                Block(b.heading, b.role, b.group, tuple(sorted(
                    b.ids,
                    key=lambda v: float(np.mean([height[u] for u in near[v]])) if near[v]
                    else height[v],
                )))
                for b in columns[i]
            ]
    return columns


def page_of(network: Network) -> Page:
    """The page of a network whose variables have roles; computed once for each structure."""
    shown = tuple((v.id, v.name, v.role, v.group) for v in network.variables.values())
    return _cached(_Key(network, (network.structure, shown)))


class _Key:
    """A network told apart by what its page shows."""

    def __init__(self, network: Network, shown: object) -> None:
        self.network, self.shown = network, shown

    def __hash__(self) -> int:
        return hash(self.shown)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and self.shown == other.shown


@lru_cache(maxsize=8)
def _cached(key: _Key) -> Page:
    network = key.network
    lines = {v.id: textwrap.fill(v.name, WRAP) for v in network.variables.values()}
    arcs = [(p, v) for v in network.variables for p in network.parents(v)]
    listed = [(title, _blocks(network, roles)) for title, roles in COLUMNS]
    first = [(title, blocks) for title, blocks in listed if blocks]
    pages = []
    most = len(first[-1][1]) if first[-1][0] == "Findings" else 1
    for parts in range(1, min(most, 6) + 1):
        columns, titles = [b for _, b in first], [t for t, _ in first]
        if first[-1][0] == "Findings":
            heights = [_height(b, lines) for b in columns[-1]]
            split = [columns[-1][s] for s in _split(heights, parts)]
            columns, titles = [*columns[:-1], *split], [*titles, *[""] * (parts - 1)]
        pages.append((columns, titles))
    drawn = [_drawn(columns, titles, arcs, lines) for columns, titles in pages]
    return min(drawn, key=lambda p: abs(np.log(p.width / p.height / ASPECT)))


def _drawn(
    columns: list[list[Block]], titles: list[str], arcs: Sequence[tuple[str, str]],
    lines: dict[str, str],
) -> Page:
    columns = _ordered(columns, arcs)
    wide = {v: text_width(text, SIZE) for v, text in lines.items()}
    heights = [sum(_height(b, lines) for b in column) for column in columns]
    tallest = max(heights) - AFTER_BLOCK
    at, right, column_of = {}, {}, {}
    headings, tops = [], []
    x = TO_TEXT
    for i, column in enumerate(columns):
        spare = tallest + AFTER_BLOCK - heights[i]
        count = sum(len(b.ids) for b in column)
        # Room to spare goes between blocks first, then between rows.
        between = min(spare / max(1, len(column) - 1), 3 * ROW) if len(column) > 1 else 0.0
        each = (spare - between * (len(column) - 1)) / count
        y = TOP
        tops.append((titles[i], x - TO_TEXT / 2, 6.0))
        for block in column:
            if block.heading:
                headings.append((block, x - TO_TEXT / 2, y + HEADING / 2 - 2))
                y += HEADING
            for v in block.ids:
                tall = ROW + LINE * lines[v].count("\n") + each
                at[v] = (x, y + tall / 2)
                right[v] = x + TO_TEXT + wide[v]
                column_of[v] = i
                y += tall
            y += AFTER_BLOCK + between
        last_gap = titles[i + 1] == "" if i + 1 < len(titles) else True
        gap = NARROW_GAP if last_gap else GAP
        widest = max(
            *(wide[v] for b in column for v in b.ids),
            *(text_width(b.heading, SIZE, "bold") - TO_TEXT for b in column),
            # A title may reach into the gap behind it, not up to the next title.
            text_width(titles[i], TITLE, "bold") + LINE - TO_TEXT - gap if titles[i] else 0.0,
        )
        x += TO_TEXT + widest + gap
    return Page(
        x - NARROW_GAP + TO_TEXT, TOP + tallest, tuple(tops), tuple(headings), at, lines, right,
        column_of,
    )
