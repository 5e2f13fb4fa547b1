"""A variable of a network: its id, its states, and how people speak of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["ROLES", "TWO_STATES", "Bins", "Variable"]

TWO_STATES = ("absent", "present")

#: What part a variable plays. Plain networks (BIF files) use the empty role.
ROLES = (
    "",
    "context",
    "cause",
    "mechanism",
    "outcome",
    "history",
    "examination",
    "test",
    "questionnaire",
    "programme",
)


@dataclass(frozen=True, slots=True)
class Bins:
    """How a number becomes a state: state i covers `edges[i] <= x < edges[i + 1]`.

    Attributes
    ----------
    edges : tuple of float
        One more than there are states, increasing. The last edge itself is included.
    unit : str
        Unit of the number, for messages and labels.
    """

    edges: tuple[float, ...]
    unit: str = ""

    def index(self, number: float) -> int | None:
        """Index of the state that covers `number`, or None when it lies outside."""
        if not self.edges[0] <= number <= self.edges[-1]:
            return None
        for i in range(len(self.edges) - 2):
            if number < self.edges[i + 1]:
                return i
        return len(self.edges) - 2


@dataclass(frozen=True, slots=True)
class Variable:
    """A discrete variable.

    Attributes
    ----------
    id : str
        The name used in code, files and data.
    states : tuple of str
        In order; the first is the baseline (normal, least severe).
    label : str
        Short name for people.
    ask : str
        The question to put, the sign to look for, or the test to do.
    role : str
        One of `ROLES`.
    group : str
        Family of a cause, body system of a finding.
    bins : Bins or None
        Set when numbers are accepted in place of states.
    note : str
        What a reader of the model should know.
    codes : dict system -> tuple of codes
        ICD-10, HPO or LOINC codes, where one was verified.
    """

    id: str
    states: tuple[str, ...] = TWO_STATES
    label: str = ""
    ask: str = ""
    role: str = ""
    group: str = ""
    bins: Bins | None = None
    note: str = ""
    codes: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False)

    @property
    def name(self) -> str:
        """The label, or the id in words when there is none."""
        return self.label or self.id.replace("_", " ")

    @property
    def is_two_state(self) -> bool:
        """Whether the states are exactly absent and present."""
        return self.states == TWO_STATES

    def __len__(self) -> int:
        return len(self.states)
