"""Programs for groups of patients: what is known of nearly everyone makes theirs smaller.

Age and sex touch half of a clinical network, and so couple it; where they are known, a program that
holds them at their values does the same sums with a fraction of the work. Where they are not known,
the answer is the mixture of those for every state that they may have,

    P(x | evidence) = sum_s P(s | evidence) P(x | s, evidence),   P(s | evidence) ~ P(s, evidence)

(cutset conditioning; Pearl 1988, section 4.3.2). All these programs together can cost less than the
one that leaves the variables open: their tables stay in the processor's cache. Which programs answer
for a patient depends on that patient's evidence alone, so that answers do not change with the
company a patient is in.

A noisy-OR y of very many parents, on which nothing depends, is left out of the programs. That y is
absent is a product over its parents, so two programs answer, and

    P(x, y) = P(x) - P(x, no y)

(the difference loses no more digits than a hub within a program does, `compile_program`). Whoever
asks for both P(x | y) and P(x | no y) asks for P(x) and P(x, no y), one program each.

And each of these programs may have shortcuts, for patients in whom costly findings are absent or
unknown (`bayesnet.inference.shortcuts`).
"""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from functools import cached_property
from itertools import accumulate
from typing import Any

import numpy as np
import numpy.typing as npt

from bayesnet.inference.compile import compile_program, separable
from bayesnet.inference.hubs import double_weights, leaf_hub
from bayesnet.inference.orders import counted_multiplications
from bayesnet.inference.program import Program
from bayesnet.inference.run import (
    Backend,
    CodeArray,
    Joined,
    Marginals,
    as_marginals,
    checked_codes,
    checked_likelihood,
    run_codes_joined,
    run_joined,
)
from bayesnet.inference.shortcuts import Shortcut, Shortcuts
from bayesnet.network import Network
from bayesnet.network.factor import FloatArray

__all__ = ["Strata", "mixture_pays"]

#: The states of `by`; and last, where the hub is left out, the state its double is held at.
Known = tuple[int, ...]
BoolArray = npt.NDArray[np.bool_]
Tables = Mapping[str, Sequence[FloatArray]]
Rows = npt.NDArray[np.intp] | slice
UNKNOWN = -1
#: Instead of the place of a shortcut: the program for any findings.
WHOLE = -1
#: Programs for all states together may take so many times the multiplications of the one that
#: leaves them open: each of theirs takes some two thirds of the time.
DEARER = 1.7
#: Patients so few that threads are put to better use on strata than on tiles.
SMALL_BATCH = 512


@dataclass(frozen=True, eq=False)
class Strata:
    """A network compiled for each group of patients when the first of them comes.

    Attributes
    ----------
    network : Network
    by : tuple of str
        The variables whose known values make the groups; without any there is one group.
    order : sequence of str or None
        An elimination order (`compile_program`).
    evidence_on : frozenset of str or None
        The variables that evidence may come on; all by default. What has none sums to one and is
        left out of the programs.
    free : frozenset of str
        The variables whose numbers may be given anew for every row (`compile_program`); one that is
        zero in the network stays zero. Their programs are made for a few patients, so the mixture
        always answers: it compiles one small program.
    shortcuts : tuple of Shortcut
        Programs that leave findings out, cheapest first.
    """

    network: Network
    by: tuple[str, ...] = ()
    order: Sequence[str] | None = None
    evidence_on: frozenset[str] | None = None
    free: frozenset[str] = frozenset()
    shortcuts: tuple[Shortcut, ...] = ()

    @cached_property
    def _fitting(self) -> Shortcuts:
        return Shortcuts(self.network, self.shortcuts)

    @cached_property
    def position(self) -> dict[str, int]:
        """Where each variable starts along the evidence axis, the same for every group."""
        starts = [0, *accumulate(self._sizes)][:-1]
        return dict(zip(self.network.variables, starts, strict=True))

    @cached_property
    def width(self) -> int:
        """Length of the evidence axis."""
        return sum(self._sizes)

    @cached_property
    def _sizes(self) -> tuple[int, ...]:
        return self.network.sizes(self.network.variables)

    @cached_property
    def hub(self) -> str | None:
        """What the programs leave out."""
        hub = leaf_hub(self.network)
        seen = self.evidence_on is None or hub in self.evidence_on
        return hub if seen and hub not in self.by else None

    @cached_property
    def _programs(self) -> dict[tuple[Known, int], Program]:
        return {}

    @cached_property
    def _mixed(self) -> dict[tuple[bool, ...], bool]:
        return {}

    def known(self, vectors: Mapping[str, FloatArray]) -> dict[str, str]:
        """The states of `by` that a patient's likelihood vectors leave no doubt about."""
        return {
            v: self.network[v].states[int(vectors[v].argmax())]
            for v in self.by if v in vectors and (vectors[v] > 0).sum() == 1
        }

    def program_of(self, vectors: Mapping[str, FloatArray]) -> Program:
        """The program that holds what a patient's likelihood vectors leave no doubt about."""
        known = self.known(vectors)
        return self.program(
            tuple(
                self.network[v].states.index(known[v]) if v in known else UNKNOWN for v in self.by
            )
        )

    def program(self, known: Known | None = None, shortcut: int = WHOLE) -> Program:
        """The program for patients whose states of `by` are `known` (-1: not known).

        With one state more, the program without the hub; `shortcut` is the place of one.
        """
        held = (UNKNOWN,) * len(self.by) if known is None else known
        key = held, shortcut
        if key not in self._programs:
            names = self.by
            seen = set(self.network.variables if self.evidence_on is None else self.evidence_on)
            apart, order = frozenset[str](), self.order
            if shortcut != WHOLE:
                without, order = self.shortcuts[shortcut].without, self.shortcuts[shortcut].order
                apart = without & self._separable
                seen -= without - apart
            if len(held) > len(self.by):
                assert self.hub is not None
                names = (*names, f"{self.hub}'")
                seen.remove(self.hub)
            given = {v: k for v, k in zip(names, held, strict=True) if k != UNKNOWN}
            first = tuple(min(k, 0) for k in held), shortcut
            if first not in self._programs:
                states = {v: self.network[v.removesuffix("'")].states[0] for v in given}
                # A program for a few patients is not worth a long search; one with free numbers runs
                # some thousand rows of one patient.
                self._programs[first] = compile_program(
                    self.network, evidence_on=seen, free=self.free, zeros_stay=True,
                    free_hubs=True, given=states, apart=apart, order=order,
                    tries=2 if self.free else 8,
                    climb=2000 if self.free else 0,
                )
            self._programs[key] = self._programs[first].holding(given)
        return self._programs[key]

    def run(
        self, likelihood: FloatArray, targets: Iterable[str] | None = None, *,
        tables: Tables | None = None, backend: Backend = "auto", threads: int | None = None,
    ) -> Marginals:
        """As `bayesnet.inference.run.run`, by group; the evidence axis holds all variables."""
        likelihood = checked_likelihood(self.width, likelihood)
        possible = [
            likelihood[:, self.position[v] : self.position[v] + len(self.network[v])] > 0
            for v in self.by
        ]
        of_hub = None
        if self.hub is not None:
            at = self.position[self.hub]
            of_hub = likelihood[:, at : at + 2]
        counts = self._fitting.counts_in_likelihood(likelihood) if self.shortcuts else None
        return self._with_hub(
            len(likelihood), possible, of_hub, counts, self._wanted(targets),
            lambda p, rows, n, wanted: run_joined(
                p, self._read_by(p, likelihood[rows]), wanted, _cut(tables, p, rows), backend, n
            ),
            threads,
        )

    def run_codes(
        self, codes: CodeArray, targets: Iterable[str] | None = None, *, threads: int | None = None
    ) -> Marginals:
        """As `bayesnet.inference.run.run_codes`, by group."""
        names = list(self.network.variables)
        codes = checked_codes(names, self._sizes, codes)
        possible = []
        for v in self.by:
            column = codes[:, names.index(v), None]
            possible.append((column < 0) | (column == np.arange(len(self.network[v]))))
        of_hub = None
        if self.hub is not None:
            states = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
            of_hub = states[codes[:, names.index(self.hub)]]
        counts = self._fitting.counts_in_codes(codes) if self.shortcuts else None
        return self._with_hub(
            len(codes), possible, of_hub, counts, self._wanted(targets),
            lambda p, rows, n, wanted: run_codes_joined(p, self._read_codes(p, codes[rows]), wanted, n),
            threads,
        )

    def _with_hub(
        self, patients: int, possible: Sequence[BoolArray], of_hub: FloatArray | None,
        counts: BoolArray | None, wanted: frozenset[str],
        answer: Callable[[Program, Rows, int | None, frozenset[str]], Joined], threads: int | None,
    ) -> Marginals:
        """The mixture, and the hub itself where it is wanted; `of_hub` is its likelihood."""
        hub = self.hub
        shortcut = None if counts is None else self._fitting.fitting(counts, wanted)

        def mixture(weights: FloatArray | None, targets: frozenset[str]) -> Marginals:
            return self._mixture(
                patients, possible, shortcut, weights, targets,
                lambda p, rows, n: answer(p, rows, n, targets), threads,
            )

        if hub is None or of_hub is None:
            return mixture(None, wanted)
        toward_first = self.network.combines_toward_first(hub)
        found = mixture(double_weights(of_hub, toward_first), wanted - {hub})
        if hub not in wanted:
            return found
        # All the evidence but that on the hub, with its double at either state.
        ends = np.stack([
            mixture(np.tile(double, (patients, 1)), frozenset()).log_evidence for double in np.eye(2)
        ])
        with np.errstate(invalid="ignore", divide="ignore"):
            first, second = np.exp(ends - ends.max(axis=0))
            states = (first - second, second) if toward_first else (first, second - first)
            joint = of_hub * np.stack(states, axis=1)
            posterior = joint / joint.sum(axis=1, keepdims=True)
        both = {**found.posteriors, hub: posterior}
        return Marginals({v: both[v] for v in self.network.variables if v in both}, found.log_evidence)

    def __getstate__(self) -> dict[str, Any]:
        # Compiling again is quicker than sending programs to a worker.
        return {f.name: getattr(self, f.name) for f in fields(self)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    @cached_property
    def _separable(self) -> frozenset[str]:
        return frozenset(separable(self.network))

    def _read_codes(self, program: Program, codes: CodeArray) -> CodeArray:
        """The columns that a program reads."""
        if len(program.variables) == len(self.network.variables):
            return codes
        place = {v: i for i, v in enumerate(self.network.variables)}
        return codes[:, [place[v] for v in program.variables]]

    def _read_by(self, program: Program, likelihood: FloatArray) -> FloatArray:
        """The part of the evidence axis that a program reads."""
        if program.width == self.width:
            return likelihood
        starts = np.repeat([self.position[v] for v in program.variables], program.sizes)
        within = np.arange(program.width) - np.repeat(program.offsets, program.sizes)
        return likelihood[:, starts + within]

    def _wanted(self, targets: Iterable[str] | None) -> frozenset[str]:
        return frozenset(self.network.variables if targets is None else targets)

    def _is_mixed(self, unknown: tuple[bool, ...]) -> bool:
        """Whether the programs for all states of the `unknown` ones of `by` answer for them."""
        if self.free:
            return True
        if unknown not in self._mixed:
            self._mixed[unknown] = mixture_pays(
                self.network, self.evidence_on, self.by, unknown, self.order
            )
        return self._mixed[unknown]

    def _parts(
        self, patients: int, possible: Sequence[BoolArray]
    ) -> Iterator[tuple[Known, npt.NDArray[np.intp]]]:
        """What to hold for which patients, in an order that is the same for each of them."""
        unknown = np.zeros((patients, len(self.by)), bool)
        for i, states in enumerate(possible):
            unknown[:, i] = states.sum(axis=1) != 1
        pattern = unknown @ (1 << np.arange(len(self.by)))
        mixed = np.ones(patients, bool)
        for code in np.unique(pattern).tolist():
            rows = np.flatnonzero(pattern == code)
            left_open = unknown[rows[0]]
            if self._is_mixed(tuple(left_open.tolist())):
                continue
            mixed[rows] = False
            known = np.full((len(rows), len(self.by)), UNKNOWN)
            for i in np.flatnonzero(~left_open).tolist():
                known[:, i] = possible[i][rows].argmax(axis=1)
            groups, group = np.unique(known, axis=0, return_inverse=True)
            for g, key in enumerate(groups.tolist()):
                yield tuple(key), rows[group.ravel() == g]
        met = (np.flatnonzero(states[mixed].any(axis=0)).tolist() for states in possible)
        for key in itertools.product(*met):
            here = mixed.copy()
            for states, k in zip(possible, key, strict=True):
                here &= states[:, k]
            if here.any():
                yield key, np.flatnonzero(here)

    def _weighted_parts(
        self, patients: int, possible: Sequence[BoolArray], shortcut: npt.NDArray[np.intp] | None,
        weights: FloatArray | None,
    ) -> Iterator[tuple[Known, int, npt.NDArray[np.intp], FloatArray | None]]:
        """The parts by shortcut, with both states of the hub's double where they count."""
        for key, all_rows in self._parts(patients, possible):
            for taken, rows in _by_shortcut(all_rows, shortcut):
                if weights is None:
                    yield key, taken, rows, None
                    continue
                for state in (0, 1):
                    weight = weights[rows, state]
                    counts = weight != 0
                    if counts.all():
                        yield (*key, state), taken, rows, weight
                    elif counts.any():
                        yield (*key, state), taken, rows[counts], weight[counts]

    def _answers(
        self, parts: Iterable[tuple[Known, int, npt.NDArray[np.intp], FloatArray | None]],
        answer: Callable[[Program, Rows, int | None], Joined], threads: int | None,
    ) -> Iterator[tuple[Rows, FloatArray | None, Joined]]:
        """The rows of each part, how much it counts for them and what its program says of them."""
        ready = [
            (self.program(key, taken), _as_slice(rows), weight) for key, taken, rows, weight in parts
        ]
        sizes = [_length(rows) for _, rows, _ in ready]
        workers = min(threads or os.cpu_count() or 1, len(ready))
        if workers < 2 or 2 * sum(n > SMALL_BATCH for n in sizes) > len(ready):
            for program, rows, weight in ready:
                yield rows, weight, answer(program, rows, threads)
            return
        # The first of each structure alone: what it lays out serves the others.
        laid_out: set[int] = set()
        others = []
        for program, rows, weight in ready:
            if id(program.plans) in laid_out:
                others.append((program, rows, weight))
                continue
            laid_out.add(id(program.plans))
            yield rows, weight, answer(program, rows, threads)
        with ThreadPoolExecutor(workers) as pool:
            found = pool.map(lambda part: answer(part[0], part[1], 1), others)
            for (_, rows, weight), joined in zip(others, found, strict=True):
                yield rows, weight, joined

    def _mixture(
        self, patients: int, possible: Sequence[BoolArray], shortcut: npt.NDArray[np.intp] | None,
        weights: FloatArray | None, wanted: frozenset[str],
        answer: Callable[[Program, Rows, int | None], Joined], threads: int | None,
    ) -> Marginals:
        variables = tuple(self.network.variables)
        sizes = self._sizes
        # Sums so far, in units of exp(highest): that of the weights, and that of the posteriors
        # times their weights. A patient with one part only gets its numbers as they are.
        highest, weight = np.full(patients, -np.inf), np.zeros(patients)
        posterior = np.zeros((patients, sum(len(self.network[v]) for v in wanted)))

        def add(
            at: Rows, share: FloatArray | None, found: FloatArray, log_evidence: FloatArray
        ) -> None:
            likely = np.isfinite(log_evidence)
            if not likely.all():
                at = np.arange(patients)[at][likely]
                found, log_evidence = found[likely], log_evidence[likely]
                share = None if share is None else share[likely]
            top = np.maximum(highest[at], log_evidence)
            old, new = np.exp(highest[at] - top), np.exp(log_evidence - top)
            if share is not None:
                new *= share
            highest[at] = top
            weight[at] = weight[at] * old + new
            if old.any() or (new != 1).any():
                found *= new[:, None]
                found += posterior[at] * old[:, None]
            posterior[at] = found

        parts = self._weighted_parts(patients, possible, shortcut, weights)
        for at, share, (found, log_evidence) in self._answers(parts, answer, threads):
            add(at, share, found, log_evidence)
        mixed = weight != 1
        with np.errstate(invalid="ignore", divide="ignore"):
            posterior[mixed] /= weight[mixed, None]
            log_evidence = highest + np.log(weight)
        return as_marginals(variables, sizes, wanted, (posterior, log_evidence))


def _by_shortcut(
    rows: npt.NDArray[np.intp], shortcut: npt.NDArray[np.intp] | None
) -> Iterator[tuple[int, npt.NDArray[np.intp]]]:
    """Rows of one part by the shortcut that each takes."""
    if shortcut is None:
        yield WHOLE, rows
        return
    taken = shortcut[rows]
    for one in np.unique(taken).tolist():
        yield one, rows[taken == one]


def _length(rows: Rows) -> int:
    return rows.stop - rows.start if isinstance(rows, slice) else len(rows)


def mixture_pays(
    network: Network, evidence_on: Iterable[str] | None, by: Sequence[str], unknown: Sequence[bool],
    order: Sequence[str] | None,
) -> bool:
    """Whether programs for all states of the `unknown` ones of `by` cost less than one for them open."""
    known = [v for v, u in zip(by, unknown, strict=True) if not u]
    states = math.prod(len(network[v]) for v in by if v not in known)
    return states == 1 or (
        states * counted_multiplications(network, evidence_on, by, order)
        <= DEARER * counted_multiplications(network, evidence_on, known, order)
    )


def _as_slice(rows: npt.NDArray[np.intp]) -> Rows:
    """Rows that follow one another as a slice, which copies nothing."""
    first, last = int(rows[0]), int(rows[-1])
    return slice(first, last + 1) if last - first + 1 == len(rows) else rows


def _cut(tables: Tables | None, program: Program, rows: Rows) -> Tables | None:
    """The given tables of some rows, as far as a program reads them."""
    if tables is None:
        return None
    return {v: [x[rows] for x in parts] for v, parts in tables.items() if v in program.table_nodes}
