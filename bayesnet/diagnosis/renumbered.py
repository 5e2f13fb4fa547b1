"""Patients under many sets of the model's numbers at once, one row of the engine each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from bayesnet.inference import Marginals, stack_rows
from bayesnet.inference.absent import absent_findings, likelihood_of_absence
from bayesnet.network import Network
from bayesnet.network.factor import FloatArray

if TYPE_CHECKING:
    from bayesnet.model import DiagnosticModel

__all__ = ["Parts", "parts_of", "run_renumbered"]

#: The arrays of one variable: one for a table; leak and links for a noisy-MAX.
Parts = list[FloatArray]


def parts_of(network: Network, variable: str) -> Parts:
    """The arrays that `run` takes for a free variable, as the network has them."""
    return [f.values for f in network.factors_of(variable)]


def run_renumbered(
    model: DiagnosticModel, patients: Sequence[Mapping[str, FloatArray]],
    targets: Iterable[str], tables: Mapping[str, Parts], n: int,
) -> list[Marginals]:
    """Posteriors of each patient under `n` sets of numbers.

    Parameters
    ----------
    model : DiagnosticModel
    patients : sequence of mapping id -> ndarray
        Likelihood vectors.
    targets : iterable of str
        Causes.
    tables : mapping id -> list of ndarray
        The numbers of some variables, each with the `n` sets along its first axis; a number that is
        zero in the model is zero in every set. The others are as in the model.
    n : int
    """
    network = model.network
    absent = absent_findings(network, patients, model.causes)
    standing = {
        v: likelihood_of_absence(network, v, tables.get(v) or parts_of(network, v)) for v in absent
    }
    rests = [{v: x for v, x in known.items() if v not in standing} for known in patients]
    strata = model.free_strata({*(p for v in absent for p in network.parents(v))}.union(*rests))
    found = []
    for known, rest in zip(patients, rests, strict=True):
        likelihood = np.repeat(stack_rows(strata, [rest]), n, axis=0)
        for v in absent:
            for parent, vectors in standing[v].items() if v in known else ():
                at = strata.position[parent]
                likelihood[:, at : at + vectors.shape[-1]] *= vectors
        found.append(strata.run(likelihood, targets, tables=tables))
    return found
