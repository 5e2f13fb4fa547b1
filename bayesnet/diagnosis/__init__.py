"""The questions asked of a network about a patient."""

from bayesnet.diagnosis.result import CauseResult, Diagnosis

__all__ = ["CauseResult", "Diagnosis"]
