"""Shortcuts: small programs for patients in whom costly findings are absent or not known.

The work of exact inference in a network of noisy-ORs grows with the findings that are present: an
absent one couples no causes, an unknown one says nothing (Heckerman 1989, "A tractable inference
algorithm for diagnosing multiple diseases", UAI; Shachter 1986, Oper Res 34:871, for the unknown).
A program for any findings pays for all of them in every patient. So beside it a network may have
some programs that each leave out a set of findings, for all patients in whom none of these counts;
the cheapest that fits a patient answers. Which one that is depends on the patient's evidence alone,
so that answers do not change with the company a patient is in.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from bayesnet.inference.compile import separable
from bayesnet.inference.hubs import leaf_hub
from bayesnet.inference.orders import LARGEST_PROGRAM, given_order, searched_order
from bayesnet.inference.steps import Compiler
from bayesnet.network import Network, NoisyMax
from bayesnet.network.factor import FloatArray

__all__ = [
    "Shortcut", "Shortcuts", "search_shortcuts", "written_shortcuts",
]

BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.intp]
#: Orders to try for each candidate, and for each shortcut that is kept.
QUICK, LONG = 1500, 20_000
#: A finding is costly as long as leaving it out saves this share of what is left.
LEAST_SAVING = 0.01
#: Candidates to weigh against each other, and patients that they are weighed on.
CANDIDATES, WEIGHED = 240, 1000


@dataclass(frozen=True)
class Shortcut:
    """A program for patients in whom none of some findings counts.

    Attributes
    ----------
    without : frozenset of str
        Findings without children: noisy-MAX ones are neutral (absent) or unknown, others unknown.
    order : tuple of str
        An elimination order for the rest.
    """

    without: frozenset[str]
    order: tuple[str, ...]


@dataclass(frozen=True)
class Shortcuts:
    """The shortcuts of a network, cheapest first, and whom each of them fits.

    Attributes
    ----------
    network : Network
    all : tuple of Shortcut
    """

    network: Network
    all: tuple[Shortcut, ...]
    _usable: dict[frozenset[str], tuple[IntArray, FloatArray]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @cached_property
    def findings(self) -> tuple[str, ...]:
        """The findings that some shortcut leaves out."""
        some = frozenset[str]().union(*(s.without for s in self.all))
        return tuple(v for v in self.network.variables if v in some)

    @cached_property
    def _columns(self) -> IntArray:
        names = list(self.network.variables)
        return np.array([names.index(v) for v in self.findings], np.intp)

    @cached_property
    def _neutral(self) -> npt.NDArray[np.int8]:
        """The state of each finding that couples nothing; -1 where there is none."""
        return np.array([neutral_state(self.network, v) for v in self.findings], np.int8)

    @cached_property
    def _starts(self) -> IntArray:
        sizes = self.network.sizes(self.network.variables)
        return np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.intp)

    @cached_property
    def _sizes(self) -> IntArray:
        return np.array(self.network.sizes(self.findings), np.intp)

    def counts_in_codes(self, codes: npt.NDArray[np.int8]) -> BoolArray:
        """Which of `findings` count, for state indices (-1: unknown) of all variables.

        Returns
        -------
        ndarray of bool
            Shape `(patients, findings)`.
        """
        known = codes[:, self._columns]
        counts: BoolArray = (known >= 0) & (known != self._neutral)
        return counts

    def counts_in_likelihood(self, likelihood: FloatArray) -> BoolArray:
        """The same for likelihoods of all states of all variables."""
        ones = np.add.reduceat(likelihood == 1, self._starts, axis=1, dtype=np.intp)
        zeros = np.add.reduceat(likelihood == 0, self._starts, axis=1, dtype=np.intp)
        at = self._columns
        unknown = ones[:, at] == self._sizes
        has_neutral = self._neutral >= 0
        neutral = likelihood[:, self._starts[at] + np.maximum(self._neutral, 0)] == 1
        absent = has_neutral & neutral & (zeros[:, at] == self._sizes - 1)
        counts: BoolArray = ~(unknown | absent)
        return counts

    def fitting(self, counts: BoolArray, wanted: Collection[str]) -> IntArray:
        """The first shortcut that fits each patient and can tell of all `wanted`; -1 where none does.

        Parameters
        ----------
        counts : ndarray of bool
            Shape `(patients, findings)`.
        wanted : collection of str
            Variables whose posteriors are asked for.
        """
        asked = frozenset(wanted).intersection(self.findings)
        if asked not in self._usable:
            able = [i for i, s in enumerate(self.all) if not s.without & asked]
            table = [[float(v in self.all[i].without) for i in able] for v in self.findings]
            self._usable[asked] = np.array(able, np.intp), np.array(table).reshape(len(self.findings), len(able))
        index, left_out = self._usable[asked]
        if not len(index):
            return np.full(len(counts), -1, np.intp)
        fits = counts.astype(np.float64) @ left_out == 0
        first = fits.argmax(axis=1)
        return np.where(fits.any(axis=1), index[first], -1)


def neutral_state(network: Network, variable: str) -> int:
    """The state of a noisy-MAX variable that says no parent has acted; -1 for other variables."""
    distribution = network.distributions[variable]
    return distribution.neutral if isinstance(distribution, NoisyMax) else -1


def left_out_of(network: Network) -> tuple[str, ...]:
    """The findings that a shortcut may leave out: without children, and not the hub."""
    used = {p for d in network.distributions.values() for p in d.parents}
    hub = leaf_hub(network)
    return tuple(v for v in network.variables if v not in used and v != hub)


class _Costs:
    """Multiplications of programs that leave findings out, in the best order found for each."""

    def __init__(self, network: Network, given: Iterable[str]) -> None:
        hub = leaf_hub(network)
        self.network = network
        self.observed = [v for v in network.variables if v != hub]
        self.held = dict.fromkeys(given, 0) | ({f"{hub}'": 0} if hub is not None else {})
        self.separable = frozenset(separable(network))

    def compiler(self, without: frozenset[str]) -> Compiler:
        apart = without & self.separable
        seen = [v for v in self.observed if v not in without or v in apart]
        return Compiler(self.network, seen, frozenset(), given=self.held, free_hubs=True, apart=apart)

    def counted(self, without: frozenset[str], order: Sequence[str]) -> float:
        """In an order for more variables."""
        compiler = self.compiler(without)
        found = given_order(compiler, order)
        assert found is not None
        return compiler.cost(found.order)

    def searched(
        self, without: frozenset[str], order: Sequence[str], steps: int, seed: int
    ) -> tuple[float, tuple[str, ...]]:
        """From that order, or from a greedy one."""
        from bayesnet.inference.annealing import anneal

        compiler = self.compiler(without)
        starts = [given_order(compiler, order), searched_order(compiler, 4, seed, LARGEST_PROGRAM)]
        costs = [(compiler.cost(s.order), s.order) for s in starts if s is not None]
        cost, start = min(costs)
        best, _ = anneal(
            (compiler.work(),), np.array([1.0 / cost]), np.array(start), steps, 0.01, seed
        )
        found = best.tolist()
        return compiler.cost(found), tuple(compiler.names[v] for v in found)


def search_shortcuts(
    network: Network,
    order: Sequence[str],
    codes: npt.NDArray[np.int8],
    given: Iterable[str] = (),
    most: int = 16,
    seed: int = 0,
    on_progress: Callable[[float], None] | None = None,
) -> tuple[Shortcut, ...]:
    """Search for shortcuts that save most in patients like some.

    The costly findings are peeled off one by one, those first whose absence saves most. Each patient
    asks for the program that keeps, of the costliest few, what counts in that patient; of these
    programs those are kept, one after the other, that save most in all patients together (greedy
    facility location; Cornuejols, Fisher & Nemhauser 1977, Manage Sci 23:789).

    Parameters
    ----------
    network : Network
    order : sequence of str
        An elimination order for the program of any findings.
    codes : ndarray of int8
        Patients to do well on, shape `(patients, variables)`; -1 where unknown.
    given : iterable of str
        Variables known of most patients.
    most : int
        Shortcuts to keep.
    seed : int
        Same seed, same shortcuts.
    on_progress : callable, optional
        Called with the share that is done.

    Returns
    -------
    tuple of Shortcut
        Cheapest first.
    """
    costs = _Costs(network, given)
    report = on_progress or (lambda _: None)
    nothing = frozenset[str]()
    everything = costs.counted(nothing, order)
    peeled = _peeled(network, costs, everything, order, seed, report)
    if not peeled:
        return ()
    probe = Shortcuts(network, (Shortcut(frozenset(peeled), ()),))
    counts = probe.counts_in_codes(codes[:WEIGHED])
    at = {v: i for i, v in enumerate(probe.findings)}
    asked: dict[frozenset[str], int] = {}
    for first in _prefixes(len(peeled)):
        for row in counts:
            without = frozenset(v for v in peeled[:first] if not row[at[v]])
            if without:
                asked[without] = asked.get(without, 0) + 1
    candidates = sorted(asked, key=lambda w: (-asked[w], sorted(w)))[:CANDIDATES]
    priced: dict[frozenset[str], tuple[float, tuple[str, ...]]] = {}
    for i, without in enumerate(candidates):
        priced[without] = costs.searched(without, order, QUICK, seed)
        report(0.3 + 0.5 * (i + 1) / len(candidates))
    fits = {
        w: ~counts[:, [at[v] for v in w]].any(axis=1) for w in candidates
    }
    best = np.full(len(counts), everything)
    chosen: list[frozenset[str]] = []
    while len(chosen) < most:
        saved = {
            w: float(np.maximum(best - priced[w][0], 0)[fits[w]].sum()) for w in candidates
        }
        pick = max(candidates, key=lambda w: saved[w])
        if saved[pick] <= LEAST_SAVING * best.sum():
            break
        best = np.where(fits[pick], np.minimum(best, priced[pick][0]), best)
        chosen.append(pick)
    kept = []
    for i, without in enumerate(chosen):
        kept.append((*costs.searched(without, priced[without][1], LONG, seed), without))
        report(0.8 + 0.2 * (i + 1) / len(chosen))
    kept.sort(key=lambda k: k[0])
    return tuple(Shortcut(without, found) for cost, found, without in kept if cost < everything)


def _prefixes(n: int) -> list[int]:
    """How many of the costliest findings a candidate may leave out."""
    return sorted({max(1, round(n * share)) for share in (0.25, 0.5, 1.0)})


def _peeled(
    network: Network, costs: _Costs, everything: float, order: Sequence[str], seed: int,
    report: Callable[[float], None],
) -> list[str]:
    """The findings worth leaving out, that first which saves most."""
    left = list(left_out_of(network))
    peeled: list[str] = []
    cost, current = everything, tuple(order)
    while left:
        without = frozenset(peeled)
        quick = sorted((costs.counted(without | {v}, current), v) for v in left)[:4]
        found = [(*costs.searched(without | {v}, current, QUICK, seed), v) for _, v in quick]
        best, current_found, pick = min(found, key=lambda f: (f[0], f[2]))
        if best > (1 - LEAST_SAVING) * cost:
            break
        cost, current = best, current_found
        peeled.append(pick)
        left.remove(pick)
        report(0.3 * (1 - len(left) / len(left_out_of(network))))
    return peeled


def written_shortcuts(network: Network, shortcuts: Iterable[Shortcut]) -> str:
    """As JSON, one shortcut a line, for the network's structure."""
    lines = [
        json.dumps({"without": sorted(s.without), "order": list(s.order)}) for s in shortcuts
    ]
    body = ",\n".join(lines)
    return f'{{"structure": "{network.structure}", "shortcuts": [\n{body}\n]}}\n'
