"""Patients as they are asked about, for whom programs are to be fast."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from bayesnet.cohort.simulate import draw_patients

if TYPE_CHECKING:
    from bayesnet.model import DiagnosticModel

__all__ = ["KNOWN_FINDINGS", "typical_codes"]

#: How many findings are known of a patient: a few answers, an interview, an examination with tests.
KNOWN_FINDINGS = (15, 25, 25, 40, 60)


def typical_codes(model: DiagnosticModel, n: int, seed: int = 0) -> npt.NDArray[np.int8]:
    """Simulated patients, shape `(n, variables)`: states, or -1 where unknown.

    Known are the strata of the model and as many findings, at random, as `KNOWN_FINDINGS` says in
    turn.
    """
    network = model.network
    rng = np.random.default_rng(seed)
    states = draw_patients(model, n, rng, {})
    hidden = ("cause", "mechanism", "outcome")
    findings = [
        v for v, x in network.variables.items()
        if x.role not in hidden and v not in model.strata.by
    ]
    names = list(network.variables)
    codes = np.full((n, len(names)), -1, np.int8)
    for v in model.strata.by:
        codes[:, names.index(v)] = states[v]
    rank = rng.random((n, len(findings))).argsort(axis=1).argsort(axis=1)
    known = rank < np.resize(KNOWN_FINDINGS, n)[:, None]
    for j, v in enumerate(findings):
        codes[known[:, j], names.index(v)] = states[v][known[:, j]]
    return codes
