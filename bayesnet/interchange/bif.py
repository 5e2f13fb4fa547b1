"""Read and write the Interchange Format for Bayesian Networks (BIF 0.15), plain or gzipped."""

from __future__ import annotations

import gzip
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np

from bayesnet.errors import NetworkError, NetworkFileError, Problem, did_you_mean
from bayesnet.network import Network, Table, Variable

__all__ = ["parse_bif", "read_bif", "write_bif"]

_TOKEN = re.compile(
    r"""(?P<skip>\s+|//[^\n]*|/\*.*?\*/)|(?P<punct>[{}()\[\]|,;])|"(?P<quoted>[^"]*)"|(?P<word>[^\s{}()\[\]|,;"]+)""",
    re.DOTALL,
)
#: What needs no quotation marks: no comment, and nothing that ends a word.
_WORD = re.compile(r"""(?!//|/\*)[^\s{}()\[\]|,;"]+""")
#: Read as a sign even in quotation marks, or as the end of the text.
_NO_NAMES = ("", *"{}()[]|,;")


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    line: int


class _Tokens:
    def __init__(self, text: str, name: str) -> None:
        self.name = name
        self.items = list(self._scan(text))
        self.at = 0

    def _scan(self, text: str) -> Iterator[_Token]:
        position, line = 0, 1
        while position < len(text):
            match = _TOKEN.match(text, position)
            if match is None:
                self.fail(f"unexpected character {text[position]!r}", line)
            if match.lastgroup != "skip":
                quoted = match.group("quoted")
                yield _Token(match.group() if quoted is None else quoted, line)
            line += match.group().count("\n")
            position = match.end()

    def fail(self, message: str, line: int | None = None) -> NoReturn:
        if line is None:
            line = self.items[min(self.at, len(self.items) - 1)].line if self.items else 1
        raise NetworkFileError([Problem(message, f"{self.name}:{line}")])

    def peek(self) -> str:
        return self.items[self.at].text if self.at < len(self.items) else ""

    def next(self) -> _Token:
        if self.at >= len(self.items):
            self.fail("the file ends in the middle of a block")
        self.at += 1
        return self.items[self.at - 1]

    def expect(self, *texts: str) -> None:
        for text in texts:
            token = self.next()
            if token.text != text:
                self.fail(f"expected {text!r}, found {token.text!r}", token.line)

    def until(self, *ends: str) -> list[_Token]:
        """Words up to (and without) one of `ends`, commas left out."""
        found = []
        while self.peek() not in ends:
            token = self.next()
            if token.text != ",":
                found.append(token)
        return found

    def skip_statement(self) -> None:
        while self.next().text != ";":
            pass


def _numbers(tokens: _Tokens) -> list[float]:
    values = []
    for token in tokens.until(";"):
        try:
            values.append(float(token.text))
        except ValueError:
            tokens.fail(f"expected a number, found {token.text!r}", token.line)
    tokens.expect(";")
    return values


def parse_bif(text: str, name: str = "BIF") -> Network:
    """Read a network from BIF text.

    Raises
    ------
    NetworkFileError
        With the line of what is wrong.
    """
    tokens = _Tokens(text, name)
    title = ""
    variables: dict[str, Variable] = {}
    tables: dict[str, Table] = {}
    lines: dict[str, int] = {}
    while tokens.peek():
        token = tokens.next()
        if token.text == "network":
            title = " ".join(t.text for t in tokens.until("{"))
            _skip_block(tokens)
        elif token.text == "variable":
            variable = _variable(tokens)
            if variable.id in variables:
                tokens.fail(f"variable {variable.id} is defined twice", token.line)
            variables[variable.id] = variable
            lines[variable.id] = token.line
        elif token.text == "probability":
            child, table = _probability(tokens, variables)
            if child in tables:
                tokens.fail(f"the probabilities of {child} are given twice", token.line)
            tables[child] = table
            lines[child] = token.line
        else:
            tokens.fail(
                f"expected network, variable or probability, found {token.text!r}", token.line
            )
    if not variables:
        raise NetworkFileError([Problem("has no variables; is it a BIF file?", name)])
    try:
        return Network(variables, tables, title)
    except NetworkError as error:
        raise NetworkFileError(
            Problem(f"{p.where}: {p.message}", f"{name}:{lines.get(p.where, 1)}")
            for p in error.problems
        ) from error


def _skip_block(tokens: _Tokens) -> None:
    tokens.expect("{")
    while tokens.next().text != "}":
        pass


def _variable(tokens: _Tokens) -> Variable:
    id = tokens.next().text
    states: list[str] = []
    tokens.expect("{")
    while tokens.peek() != "}":
        token = tokens.next()
        if token.text == "type":
            tokens.expect("discrete", "[")
            declared = tokens.next()
            tokens.expect("]", "{")
            states = [t.text for t in tokens.until("}")]
            tokens.expect("}", ";")
            if declared.text != str(len(states)):
                tokens.fail(
                    f"{id} declares {declared.text} states and lists {len(states)}", declared.line
                )
        else:
            tokens.skip_statement()
    tokens.expect("}")
    if not states:
        tokens.fail(f"{id} has no states")
    return Variable(id, tuple(states))


def _probability(tokens: _Tokens, variables: dict[str, Variable]) -> tuple[str, Table]:
    tokens.expect("(")
    named = tokens.until(")")
    tokens.expect(")", "{")
    bar = [i for i, t in enumerate(named) if t.text == "|"]
    parents = [t.text for t in named[bar[0] + 1 :]] if bar else []
    for t in named:
        if t.text != "|" and t.text not in variables:
            tokens.fail(f"unknown variable {t.text!r}.{did_you_mean(t.text, variables)}", t.line)
    child = named[0].text
    if (bar[0] if bar else len(named)) != 1:
        tokens.fail("expected one variable before |", named[0].line)
    sizes = [len(variables[p]) for p in parents]
    size = len(variables[child])
    table = np.full((*sizes, size), np.nan)
    given: set[tuple[int, ...]] = set()
    while tokens.peek() != "}":
        token = tokens.next()
        if token.text == "table":
            values = _numbers(tokens)
            if len(values) != table.size:
                tokens.fail(f"{child}: {len(values)} numbers, expected {table.size}", token.line)
            if given:
                tokens.fail(f"{child}: a table of rows that are given already", token.line)
            given.update(np.ndindex(*sizes))
            # A flat table runs over the child first, then over the parents.
            table = np.moveaxis(np.reshape(values, (size, *sizes)), 0, -1)
        elif token.text == "default":
            row = _numbers(tokens)
            if len(row) != size:
                tokens.fail(f"{child}: {len(row)} numbers, expected {size}", token.line)
            table[np.isnan(table[..., 0])] = row
        elif token.text == "(":
            states = tokens.until(")")
            tokens.expect(")")
            if len(states) != len(parents):
                tokens.fail(
                    f"{child}: {len(states)} parent states, expected {len(parents)}", token.line
                )
            index = []
            for parent, state in zip(parents, states, strict=True):
                known = variables[parent].states
                if state.text not in known:
                    tokens.fail(
                        f"{state.text!r} is not a state of {parent}; expected {', '.join(known)}",
                        state.line,
                    )
                index.append(known.index(state.text))
            if tuple(index) in given:
                row_name = ", ".join(s.text for s in states)
                tokens.fail(f"{child}: the row ({row_name}) is given twice", token.line)
            given.add(tuple(index))
            row = _numbers(tokens)
            if len(row) != size:
                tokens.fail(f"{child}: {len(row)} numbers, expected {size}", token.line)
            table[tuple(index)] = row
        else:
            tokens.skip_statement()
    tokens.expect("}")
    if np.isnan(table).any():
        missing = np.argwhere(np.isnan(table[..., 0]))[0]
        row_name = ", ".join(
            variables[p].states[i] for p, i in zip(parents, missing, strict=True)
        )
        tokens.fail(f"{child}: no row for ({row_name})")
    return child, Table(tuple(parents), table)


def read_bif(path: Path) -> Network:
    """Read a `.bif` or `.bif.gz` file.

    Raises
    ------
    NetworkFileError
        If the file cannot be read, with the line of what is wrong.
    """
    name = str(path)
    try:
        raw = path.read_bytes()
        if raw[:2] == b"\x1f\x8b":
            raw = gzip.decompress(raw)
        text = raw.decode("utf-8-sig")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise NetworkFileError([Problem(f"cannot be read: {reason}", name)]) from error
    return parse_bif(text, name)


def write_bif(network: Network) -> str:
    """BIF text of `network`, every distribution as its full table.

    Names that are more than a word are quoted.

    Raises
    ------
    NetworkFileError
        For names that BIF cannot hold: empty, with a quotation mark, or a single bracket or comma.
    TooLargeError
        When a noisy-MAX has too many parents to be written as a table.
    """
    used = [network.name or "unknown", *(x for v in network.variables.values() for x in (v.id, *v.states))]
    written = {name: _written(name) for name in used}
    bad = [name for name, text in written.items() if not text]
    if bad:
        raise NetworkFileError([
            f"the name {name!r} cannot be written in BIF, which has no sign for it: choose another" for name in bad
        ])
    lines = [f"network {written[network.name or 'unknown']} {{", "}"]
    for v in network.variables.values():
        lines += [
            f"variable {written[v.id]} {{",
            f"  type discrete [ {len(v)} ] {{ {', '.join(written[s] for s in v.states)} }};",
            "}",
        ]
    for v in network.variables.values():
        parents = network.parents(v.id)
        given = f" | {', '.join(written[p] for p in parents)}" if parents else ""
        lines.append(f"probability ( {written[v.id]}{given} ) {{")
        table = network.table(v.id)
        if not parents:
            lines.append(f"  table {', '.join(map(repr, map(float, table)))};")
        else:
            for index in itertools.product(*(range(n) for n in network.sizes(parents))):
                names = ", ".join(
                    written[network[p].states[i]] for p, i in zip(parents, index, strict=True)
                )
                row = ", ".join(repr(float(x)) for x in table[index])
                lines.append(f"  ({names}) {row};")
        lines.append("}")
    return "\n".join(lines) + "\n"


def _written(name: str) -> str:
    """A name as a word or in quotation marks; empty if it cannot be read back."""
    if _WORD.fullmatch(name):
        return name
    return "" if '"' in name or name in _NO_NAMES else f'"{name}"'
