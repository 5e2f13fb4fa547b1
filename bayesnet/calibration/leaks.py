"""Solve leaks so that a finding is as common without its causes as studies say.

A study's false-positive rate counts everyone without the cause under study, and the other causes of
the model produce part of it; one minus a specificity is therefore too much for a leak. In a
noisy-MAX P(X <= k) is a product of the leak's own cumulative probability and a factor that the
leak does not touch (Diez 1993, UAI, eq. 17), so that the leak follows in closed form:
L'(k) = L(k) * wanted P(X <= k) / present P(X <= k).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bayesnet.errors import ModelFileError, Problem
from bayesnet.inference import compile_program, run, stack_rows
from bayesnet.modelfile.reader import Background, ModelDocument, Parameter
from bayesnet.network import Network, NoisyMax
from bayesnet.network.factor import FloatArray

if TYPE_CHECKING:
    from bayesnet.inference import Program

__all__ = ["SolvedLeak", "rates_without", "solve_leaks", "write_leaks"]

#: A leak is never zero: no finding is impossible without the causes that a model names.
SMALLEST_LEAK = 1e-4
#: Digits kept in the file.
DIGITS = 3
#: A finding that hangs on another solved one needs a second pass.
MOST_PASSES = 5


@dataclass(frozen=True, slots=True)
class SolvedLeak:
    """One leak before and after.

    Attributes
    ----------
    parameter : Parameter
    before, after : dict state -> probability
    rates : dict state -> probability
        What the model gives with the new leak; differs from the published background where the
        named causes alone already produce more.
    """

    parameter: Parameter
    before: dict[str, float]
    after: dict[str, float]
    rates: dict[str, float]


def rates_without(
    network: Network, program: Program, wanted: Iterable[tuple[str, Background]]
) -> list[FloatArray]:
    """P(finding | the background's causes absent), one array of states each."""
    asked = list(wanted)
    rows = []
    for _, background in asked:
        rows.append({c: np.eye(len(network[c]))[0] for c in background.without})
    if not rows:
        return []
    found = run(program, stack_rows(program, rows), sorted({v for v, _ in asked}))
    return [found.posteriors[v][i] for i, (v, _) in enumerate(asked)]


def solve_leaks(document: ModelDocument) -> list[SolvedLeak]:
    """Leaks that give every stated background rate.

    Parameters
    ----------
    document : ModelDocument
        Leaks with a `background` are solved; the others stay.
    """
    stated = [
        (p, p.background) for p in document.parameters if p.background is not None
    ]
    network = document.network
    start = {p.variable: _noisy(network, p.variable).leak for p, _ in stated}
    asked = [(p.variable, b) for p, b in stated]
    leaks = dict(start)
    for _ in range(MOST_PASSES):
        current = network.replace(
            {v: replace(_noisy(network, v), leak=leak) for v, leak in leaks.items()}
        )
        rates = _rates(current, document, asked)
        new = {
            v: _solved(leaks[v], rate, b) for (v, b), rate in zip(asked, rates, strict=True)
        }
        if all(np.allclose(new[v], leaks[v], rtol=1e-9, atol=0) for v in leaks):
            break
        leaks = new
    rounded = {v: _rounded(x) for v, x in leaks.items()}
    final = network.replace(
        {v: replace(_noisy(network, v), leak=leak) for v, leak in rounded.items()}
    )
    rates = _rates(final, document, asked)
    return [
        SolvedLeak(
            p,
            _named(network, p.variable, start[p.variable]),
            _named(network, p.variable, rounded[p.variable]),
            _named(network, p.variable, rate),
        )
        for (p, _), rate in zip(stated, rates, strict=True)
    ]


def _rates(
    network: Network, document: ModelDocument, asked: list[tuple[str, Background]]
) -> list[FloatArray]:
    program = compile_program(network, order=document.elimination_order)
    return rates_without(network, program, asked)


def _noisy(network: Network, variable: str) -> NoisyMax:
    distribution = network.distributions[variable]
    assert isinstance(distribution, NoisyMax)
    return distribution


def _solved(leak: FloatArray, rate: FloatArray, background: Background) -> FloatArray:
    wanted = np.array([0.0, *background.rates.values()])
    wanted[0] = 1 - wanted.sum()
    now, goal = np.cumsum(rate)[:-1], np.cumsum(wanted)[:-1]
    cumulative = np.minimum(np.cumsum(leak)[:-1] * goal / now, 1 - SMALLEST_LEAK)
    cumulative = np.maximum.accumulate(cumulative)
    solved: FloatArray = np.diff(np.concatenate([[0.0], cumulative, [1.0]]))
    return solved


def _rounded(leak: FloatArray) -> FloatArray:
    rest = np.array([float(f"{x:.{DIGITS}g}") for x in leak[1:]])
    return np.concatenate([[1 - rest.sum()], rest])


def _named(network: Network, variable: str, row: FloatArray) -> dict[str, float]:
    return dict(zip(network[variable].states[1:], row[1:].tolist(), strict=True))


_LEAK = re.compile(r"(leak:\s*\{\s*p:\s*)(\{[^{}]*\}|[0-9.eE+-]+)")


def write_leaks(document: ModelDocument, solved: Iterable[SolvedLeak]) -> list[Path]:
    """Put solved leaks into the model's own files, changing nothing else.

    Raises
    ------
    ModelFileError
        If a leak is not written as `leak: {p: ...}` on one line.
    """
    texts: dict[Path, list[str]] = {}
    problems = []
    for s in solved:
        name, _, line = s.parameter.where.rpartition(":")
        path = document.folder / Path(name).name
        lines = texts.setdefault(path, path.read_text(encoding="utf-8").splitlines(keepends=True))
        states = s.after
        shown = (
            f"{next(iter(states.values())):g}"
            if len(states) == 1
            else "{" + ", ".join(f"{k}: {p:g}" for k, p in states.items()) + "}"
        )
        changed, hits = _LEAK.subn(rf"\g<1>{shown}", lines[int(line) - 1], count=1)
        if not hits:
            problems.append(Problem("write the leak as `leak: {p: ...}` on one line", s.parameter.where))
        lines[int(line) - 1] = changed
    if problems:
        raise ModelFileError(problems)
    for path, lines in texts.items():
        path.write_text("".join(lines), encoding="utf-8")
    return list(texts)
