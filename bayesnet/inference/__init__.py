"""Compile a network once, then answer for many patients, exactly."""

from bayesnet.inference.compile import compile_program
from bayesnet.inference.evidence import (
    Findings,
    likelihood_of,
    likelihood_row,
    likelihoods_of,
    stack_rows,
)
from bayesnet.inference.program import Program
from bayesnet.inference.run import Marginals, run, run_codes
from bayesnet.inference.shortcuts import Shortcut
from bayesnet.inference.strata import Strata

__all__ = [
    "Findings",
    "Marginals",
    "Program",
    "Shortcut",
    "Strata",
    "compile_program",
    "likelihood_of",
    "likelihood_row",
    "likelihoods_of",
    "run",
    "run_codes",
    "stack_rows",
]
