"""A page for a clinical network: columns from what is known before, over causes and mechanisms, to findings.

Neither `dot` nor Sugiyama's method gives this page: they place each node for the arcs alone, which tears
families of causes and body systems apart and sets 118 findings in one column. So the columns and the
blocks in them are fixed by what the variables are, and only the order inside a block is free; there
the barycentre heuristic of the same methods (Sugiyama et al. 1981) keeps crossings few.
"""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import combinations

import numpy as np

from bayesnet.diagnosis.words import FAMILIES
from bayesnet.network import Network
from bayesnet.viz.style import FONT, words

__all__ = ["BULGE", "HUB", "LANDSCAPE", "PORTRAIT", "WIDE_BULGE", "Block", "Page", "page_of", "text_width"]

#: Everything in points of a page whose labels are set in this size.
SIZE = 7.0
TITLE = 11.0
LINE = 7.7
ROW = 9.1
HEADING = 10.6
AFTER_BLOCK = 4.0
TOP = 23.0
TO_TEXT = 6.0
#: Letters in a line of a label: the page with the largest print is taken.
WRAPS = tuple(range(30, 12, -1))
#: Space for the lines between columns; findings follow each other closely.
GAP, NARROW_GAP = 34.0, 14.0
#: Room below for the key, and around it all.
KEY, MARGIN = 27.0, 3.0
#: What a page has room for, in inches: 10 by 7 and 7 by 9.7 with the rim of a file (`save_figure`).
LANDSCAPE, PORTRAIT = (9.7, 6.7), (6.7, 9.4)
#: How far arcs inside a column bulge to its left; the first column has less room.
BULGE, WIDE_BULGE = 7.0, 15.0
#: A small network is not blown up beyond this.
LARGEST = 1.3
POINTS = 72.0
#: More arcs than these into one variable are told in words.
HUB = 20

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
    headings : tuple of (Block, text in lines, x, y)
    at : dict id -> (x, y)
        The dot of each variable; its label starts `TO_TEXT` further right.
    lines : dict id -> str
        The label, in lines.
    right : dict id -> x
        Where the label ends.
    columns : dict id -> int
    arcs : tuple of (parent, child)
        The arcs to draw.
    hubs : dict id -> parents
        Variables into which too many arcs run to draw them; room for a line in words is left
        under their labels.
    """

    width: float
    height: float
    titles: tuple[tuple[str, float, float], ...]
    headings: tuple[tuple[Block, str, float, float], ...]
    at: dict[str, tuple[float, float]]
    lines: dict[str, str]
    right: dict[str, float]
    columns: dict[str, int]
    arcs: tuple[tuple[str, str], ...]
    hubs: dict[str, tuple[str, ...]]

    @property
    def size(self) -> tuple[float, float]:
        """Width and height with the key and the margins."""
        return self.width + 2 * MARGIN, self.height + KEY + 2 * MARGIN

    def scale(self, sheet: tuple[float, float]) -> float:
        """Points on paper for one of the page, on a sheet of so many inches."""
        return min(LARGEST, *(POINTS * s / x for s, x in zip(sheet, self.size, strict=True)))


def _heading(role: str, group: str) -> str:
    if role == "cause":
        return FAMILIES.get(group, words(group))
    prefix = ROLE_WORDS.get(role, "")
    inner = group.removesuffix(f"_{role}").removesuffix("_review").replace("_", " ")
    if role in ("context", "mechanism", "outcome", "") or inner in (role, ""):
        return prefix or (words(group) if group not in (role, "") else "")
    return f"{prefix}: {inner}"


def _blocks(network: Network, roles: Sequence[str], shown: Collection[str]) -> list[Block]:
    found: dict[tuple[str, str], list[str]] = {}
    for role in roles:
        for v in network.variables.values():
            if v.role == role and v.id in shown:
                found.setdefault((role, v.group), []).append(v.id)
    return [Block(_heading(*key), *key, tuple(ids)) for key, ids in found.items()]


def _titled(title: str, blocks: list[Block]) -> tuple[str, list[Block]]:
    """A column and its title: a heading that is alone in the middle column, as the outcome's is, is its title."""
    if title == "Mechanisms" and [b.role for b in blocks] == ["outcome"]:
        return blocks[0].heading, [replace(blocks[0], heading="")]
    return title, blocks


def _filled(text: str, wrap: int) -> str:
    return textwrap.fill(text, wrap, break_long_words=False)


@dataclass(frozen=True, slots=True)
class _Labels:
    """Every text of the page, in lines of so many letters."""

    lines: Mapping[str, str]
    wide: Mapping[str, float]
    wrap: int
    hubs: Collection[str]

    def heading(self, block: Block) -> str:
        # Bold letters are wider, and a heading starts further to the left.
        return _filled(block.heading, self.wrap)

    def row(self, variable: str) -> float:
        return ROW + LINE * (self.lines[variable].count("\n") + (variable in self.hubs))

    def height(self, block: Block) -> float:
        rows = sum(self.row(v) for v in block.ids)
        over = HEADING + LINE * self.heading(block).count("\n") if block.heading else 0.0
        return rows + over + AFTER_BLOCK

    def tall(self, column: Sequence[Block]) -> float:
        return sum(map(self.height, column))


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


@lru_cache(maxsize=4096)
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


def page_of(
    network: Network, sheet: tuple[float, float] = LANDSCAPE, around: Collection[str] = ()
) -> Page:
    """The page of a network whose variables have roles; computed once for each structure.

    Parameters
    ----------
    network : Network
    sheet : (width, height)
        In inches; of the possible pages, the one that is largest on it.
    around : ids
        Only these variables, their parents and their children, and only the arcs at these; the
        whole network when empty.
    """
    shown = tuple((v.id, v.name, v.role, v.group) for v in network.variables.values())
    chosen = frozenset(around)
    return _cached(_Key(network, (network.structure, shown)), sheet, chosen)


class _Key:
    """A network told apart by what its page shows."""

    def __init__(self, network: Network, shown: object) -> None:
        self.network, self.shown = network, shown

    def __hash__(self) -> int:
        return hash(self.shown)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and self.shown == other.shown


@lru_cache(maxsize=16)
def _cached(key: _Key, sheet: tuple[float, float], around: frozenset[str]) -> Page:
    network = key.network
    arcs = [
        (p, v) for v in network.variables for p in network.parents(v)
        if not around or v in around or p in around
    ]
    shown = {*around, *(v for arc in arcs for v in arc)} if around else set(network.variables)
    into: dict[str, list[str]] = {}
    for p, v in arcs:
        into.setdefault(v, []).append(p)
    hubs = {v: tuple(ps) for v, ps in into.items() if len(ps) > HUB}
    listed = [_titled(title, _blocks(network, roles, shown)) for title, roles in COLUMNS]
    first = [(title, blocks) for title, blocks in listed if blocks]
    most = len(first[-1][1]) if first[-1][0] == "Findings" else 1
    drawn = []
    sets = [_labels(network, shown, around, hubs, wrap) for wrap in WRAPS]
    for labels in sets:
        for parts in range(1, min(most, 6) + 1):
            columns, titles = [b for _, b in first], [t for t, _ in first]
            if first[-1][0] == "Findings":
                heights = [labels.height(b) for b in columns[-1]]
                split = [columns[-1][s] for s in _split(heights, parts)]
                columns, titles = [*columns[:-1], *split], [*titles, *[""] * (parts - 1)]
            tallest = max(labels.tall(c) for c in columns)
            # As narrow as a column can be without being taller than the tallest.
            narrow = [[x for x in sets if x.tall(c) <= tallest][-1] for c in columns]
            for each in ([labels] * len(columns), narrow):
                drawn.append((_drawn(columns, titles, arcs, each, hubs), columns, titles, each))
    aspect = sheet[0] / sheet[1]

    def worth(page: Page) -> tuple[float, float]:
        return -round(page.scale(sheet), 2), abs(float(np.log(page.size[0] / page.size[1] / aspect)))

    # The size of a page does not hang on the order inside its blocks.
    _, columns, titles, each = min(drawn, key=lambda d: worth(d[0]))
    return _drawn(_ordered(columns, arcs), titles, arcs, each, hubs)


def _labels(
    network: Network, shown: Collection[str], bold: Collection[str], hubs: Collection[str], wrap: int
) -> _Labels:
    lines = {v: _filled(network[v].name, wrap) for v in network.variables if v in shown}
    wide = {v: text_width(x, SIZE, "bold" if v in bold else "normal") for v, x in lines.items()}
    return _Labels(lines, wide, wrap, hubs)


def _drawn(
    columns: list[list[Block]], titles: list[str], arcs: Sequence[tuple[str, str]],
    each_labels: Sequence[_Labels], hubs: Mapping[str, tuple[str, ...]],
) -> Page:
    heights = [x.tall(column) for x, column in zip(each_labels, columns, strict=True)]
    tallest = max(heights) - AFTER_BLOCK
    at, right, column_of, lines = {}, {}, {}, {}
    headings, tops = [], []
    first = {v for b in columns[0] for v in b.ids}
    # Arcs inside the first column bulge to the left.
    x = TO_TEXT + (BULGE if any(first.issuperset(a) for a in arcs) else 0.0)
    for i, (column, labels) in enumerate(zip(columns, each_labels, strict=True)):
        wide = labels.wide
        spare = tallest + AFTER_BLOCK - heights[i]
        count = sum(len(b.ids) for b in column)
        # Room to spare goes between blocks first, then between rows.
        between = min(spare / max(1, len(column) - 1), 3 * ROW) if len(column) > 1 else 0.0
        each = min((spare - between * (len(column) - 1)) / count, 3 * ROW)
        y = TOP + (spare - between * (len(column) - 1) - each * count) / 2
        tops.append((titles[i], x - TO_TEXT / 2, 6.0))
        for block in column:
            if block.heading:
                tall = HEADING + LINE * labels.heading(block).count("\n")
                headings.append((block, labels.heading(block), x - TO_TEXT / 2, y + tall / 2 - 1.5))
                y += tall
            for v in block.ids:
                tall = labels.row(v) + each
                at[v] = (x, y + tall / 2 - LINE / 2 * (v in hubs))
                right[v] = x + TO_TEXT + wide[v]
                column_of[v] = i
                lines[v] = labels.lines[v]
                y += tall
            y += AFTER_BLOCK + between
        last_gap = titles[i + 1] == "" if i + 1 < len(titles) else True
        gap = NARROW_GAP if last_gap else GAP
        widest = max(
            *(wide[v] for b in column for v in b.ids),
            *(text_width(labels.heading(b), SIZE, "bold") - 1.5 * TO_TEXT for b in column if b.heading),
            # A title may reach into the gap behind it, not up to the next title.
            text_width(titles[i], TITLE, "bold") + LINE - TO_TEXT - gap if titles[i] else 0.0,
        )
        x += TO_TEXT + widest + gap
    return Page(
        x - NARROW_GAP + TO_TEXT, TOP + tallest, tuple(tops), tuple(headings), at, lines, right,
        column_of, tuple(a for a in arcs if a[1] not in hubs), dict(hubs),
    )
