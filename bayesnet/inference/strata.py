"""Programs for groups of patients: what is known of nearly everyone makes theirs smaller.

Age and sex touch half of a clinical network, and so couple it; where they are known, a program that
holds them at their values does the same sums with a fraction of the work. Which program answers for
a patient depends on that patient's evidence alone, so that answers do not change with the company a
patient is in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from itertools import accumulate
from typing import Any

import numpy as np
import numpy.typing as npt

from bayesnet.inference.program import Program, compile_program
from bayesnet.inference.run import Backend, CodeArray, Marginals, run, run_codes
from bayesnet.network import Network
from bayesnet.network.factor import FloatArray

__all__ = ["Strata"]

Known = tuple[int, ...]
UNKNOWN = -1


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
    """

    network: Network
    by: tuple[str, ...] = ()
    order: Sequence[str] | None = None

    @cached_property
    def position(self) -> dict[str, int]:
        """Where each variable starts along the evidence axis, the same for every group."""
        sizes = self.network.sizes(self.network.variables)
        starts = [0, *accumulate(sizes)][:-1]
        return dict(zip(self.network.variables, starts, strict=True))

    @cached_property
    def width(self) -> int:
        """Length of the evidence axis."""
        return sum(self.network.sizes(self.network.variables))

    @cached_property
    def _programs(self) -> dict[Known, Program]:
        return {}

    def known(self, vectors: Mapping[str, FloatArray]) -> dict[str, str]:
        """The states of `by` that a patient's likelihood vectors leave no doubt about."""
        return {
            v: self.network[v].states[int(vectors[v].argmax())]
            for v in self.by if v in vectors and (vectors[v] > 0).sum() == 1
        }

    def program(self, known: Known | None = None) -> Program:
        """The program for patients whose states of `by` are `known` (-1: not known)."""
        key = (UNKNOWN,) * len(self.by) if known is None else known
        if key not in self._programs:
            given = {v: k for v, k in zip(self.by, key, strict=True) if k != UNKNOWN}
            first = tuple(min(k, 0) for k in key)
            if first not in self._programs:
                states = {v: self.network[v].states[0] for v in given}
                self._programs[first] = compile_program(
                    self.network, given=states, order=self.order
                )
            self._programs[key] = self._programs[first].holding(given)
        return self._programs[key]

    def run(
        self, likelihood: FloatArray, targets: Iterable[str] | None = None, *,
        backend: Backend = "auto", threads: int | None = None,
    ) -> Marginals:
        """As `bayesnet.inference.run.run`, by group."""
        known = np.full((len(likelihood), len(self.by)), UNKNOWN)
        for i, v in enumerate(self.by):
            start = self.position[v]
            possible = likelihood[:, start : start + len(self.network[v])] > 0
            known[:, i] = np.where(possible.sum(axis=1) == 1, possible.argmax(axis=1), UNKNOWN)
        return self._by_group(
            known, targets,
            lambda p, rows: run(p, likelihood[rows], targets, backend=backend, threads=threads),
        )

    def run_codes(
        self, codes: CodeArray, targets: Iterable[str] | None = None, *, threads: int | None = None
    ) -> Marginals:
        """As `bayesnet.inference.run.run_codes`, by group."""
        names = list(self.network.variables)
        if codes.ndim != 2 or codes.shape[1] != len(names):
            return run_codes(self.program(), codes, targets, threads=threads)  # says what is wrong
        known = codes[:, [names.index(v) for v in self.by]].astype(int)
        # What is no state goes to the whole program, which says so.
        known[(known < 0) | (known >= self.network.sizes(self.by))] = UNKNOWN
        return self._by_group(
            known, targets, lambda p, rows: run_codes(p, codes[rows], targets, threads=threads)
        )

    def __getstate__(self) -> dict[str, Any]:
        # Compiling again is quicker than sending programs to a worker.
        return {f.name: getattr(self, f.name) for f in fields(self)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    def _by_group(
        self, known: npt.NDArray[np.int_], targets: Iterable[str] | None,
        answer: Callable[[Program, npt.NDArray[np.intp] | slice], Marginals],
    ) -> Marginals:
        groups, group = np.unique(known, axis=0, return_inverse=True)
        if len(groups) <= 1:
            key = tuple(groups[0].tolist()) if len(groups) else None
            return answer(self.program(key), slice(None))
        wanted = list(self.network.variables if targets is None else targets)
        posteriors = {v: np.empty((len(known), len(self.network[v]))) for v in wanted}
        log_evidence = np.empty(len(known))
        for g, key in enumerate(groups.tolist()):
            rows = np.flatnonzero(group == g)
            found = answer(self.program(tuple(key)), rows)
            for v in wanted:
                posteriors[v][rows] = found.posteriors[v]
            log_evidence[rows] = found.log_evidence
        return Marginals(posteriors, log_evidence)
