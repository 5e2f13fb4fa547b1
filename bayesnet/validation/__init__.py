"""How good is a model? Published cases and the figures that describe its answers."""

from bayesnet.validation.cases import (
    Case,
    CaseScore,
    Evaluation,
    evaluate,
    read_cases,
    shipped_case,
    shipped_cases,
)
from bayesnet.validation.intervals import wilson_interval

__all__ = [
    "Case", "CaseScore", "Evaluation", "evaluate", "read_cases", "shipped_case", "shipped_cases",
    "wilson_interval",
]
