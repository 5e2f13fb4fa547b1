"""Read YAML and remember on which line everything stood."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from bayesnet.errors import Problem

__all__ = ["Source", "read_yaml"]

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class Source:
    """A YAML file as plain data, with the line of every key.

    Attributes
    ----------
    path : str
        For messages.
    data : object
        dict, list, str, float, int, bool or None. Keys are always strings. Only `true` and `false`
        are booleans (YAML 1.2), so that states called `no` or `off` stay words.
    lines : mapping of tuple -> int
        Line (from 1) of the key or item at each path from the top.
    problems : list of Problem
        Syntax errors and keys written twice.
    """

    path: str
    data: Any
    lines: Mapping[tuple[str, ...], int]
    problems: tuple[Problem, ...] = field(default=())

    def part(self, *keys: str) -> Source:
        """The entry at `keys` as a source of its own, on the same lines of the same file."""
        data = self.data
        for k in keys:
            data = data[k]
        n = len(keys)
        inside = {p[n:]: line for p, line in self.lines.items() if len(p) > n and p[:n] == keys}
        return Source(self.path, data, inside)

    def where(self, *keys: object) -> str:
        """`file:line` of the entry at `keys`, or of its nearest known ancestor."""
        path = tuple(str(k) for k in keys)
        while path and path not in self.lines:
            path = path[:-1]
        line = self.lines.get(path)
        return f"{self.path}:{line}" if line else self.path


def _scalar(node: yaml.ScalarNode) -> Any:
    text = node.value
    if node.style in ('"', "'", "|", ">"):
        return text
    if text in ("", "~", "null"):
        return None
    if text in ("true", "false"):
        return text == "true"
    if text[0].isdigit() or text[0] in "+-.":
        for kind in (int, float):
            try:
                return kind(text.replace("_", "x"))
            except ValueError:
                continue
    return text


def read_yaml(path: Path, name: str | None = None) -> Source:
    """Read one YAML file.

    Parameters
    ----------
    path : Path
    name : str, optional
        How messages call the file; its path by default.

    Raises
    ------
    OSError
        If the file cannot be read. Errors inside the file are in `Source.problems`.
    """
    return parse_yaml(path.read_bytes(), name or str(path))


def parse_yaml(raw: bytes | str, name: str) -> Source:
    """Like `read_yaml`, from text."""
    problems: list[Problem] = []
    lines: dict[tuple[str, ...], int] = {}

    def build(node: yaml.Node, path: tuple[str, ...]) -> Any:
        if isinstance(node, yaml.MappingNode):
            out: dict[str, Any] = {}
            for key_node, value_node in node.value:
                key = str(key_node.value) if isinstance(key_node, yaml.ScalarNode) else None
                line = key_node.start_mark.line + 1
                if key is None:
                    problems.append(Problem("a key must be a word", f"{name}:{line}"))
                    continue
                here = (*path, key)
                if key in out:
                    problems.append(
                        Problem(
                            f"{key!r} is written twice (first on line {lines[here]}); keep one",
                            f"{name}:{line}",
                        )
                    )
                    continue
                lines[here] = line
                out[key] = build(value_node, here)
            return out
        if isinstance(node, yaml.SequenceNode):
            items = []
            for i, item in enumerate(node.value):
                lines[(*path, str(i))] = item.start_mark.line + 1
                items.append(build(item, (*path, str(i))))
            return items
        assert isinstance(node, yaml.ScalarNode)
        return _scalar(node)

    data: Any = None
    try:
        if isinstance(raw, bytes):
            raw = raw.decode("utf-8-sig")
        root = yaml.compose(raw, Loader=_Loader)
        if root is not None:
            data = build(root, ())
    except UnicodeDecodeError as error:
        problems.append(Problem(f"is not UTF-8 text (byte {error.start})", name))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{name}:{mark.line + 1}" if mark else name
        said = getattr(error, "problem", None) or str(error)
        problems.append(Problem(f"is not valid YAML: {said}", where))
    except RecursionError:
        problems.append(Problem("is nested too deeply", name))
    return Source(name, data, lines, tuple(problems))
