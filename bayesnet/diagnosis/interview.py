"""An interview that asks the most useful question first and stops when answers stop mattering."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from bayesnet.diagnosis.information import NextFinding, next_findings
from bayesnet.diagnosis.naming import finding_ids
from bayesnet.errors import EvidenceError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bayesnet.diagnosis.result import Diagnosis
    from bayesnet.model import DiagnosticModel

__all__ = ["Interview", "interview"]

#: What a person asks before any test is ordered.
TALK = ("context", "history", "questionnaire", "programme")
#: Stop when every single further answer leaves the decision alone with this probability ...
SAME_DECISION = 0.97
#: ... and none is expected to tell this many bits.
FEW_BITS = 0.02


@dataclass(frozen=True)
class Interview:
    """A state of an interview. Immutable: each answer gives a new one.

    Attributes
    ----------
    model : DiagnosticModel
    findings : dict
        Known at the start and answered since.
    asked : tuple of str
        Questions put so far, in order, with those answered by "don't know".
    kinds : tuple of str
        What may be asked (`bayesnet.diagnosis.information.KINDS`).
    by : str
        `information` or `utility`.
    causes : tuple of str, optional
        Causes the information is about; all by default.
    """

    model: DiagnosticModel = field(repr=False)
    findings: Mapping[str, Any]
    asked: tuple[str, ...] = ()
    kinds: tuple[str, ...] = TALK
    by: str = "information"
    causes: tuple[str, ...] | None = None

    @property
    def diagnosis(self) -> Diagnosis:
        """The answer so far."""
        return self.model.diagnose(self.findings)

    def candidates(self) -> tuple[NextFinding, ...]:
        """Questions still open, most useful first."""
        found = next_findings(self.diagnosis, self.kinds, self.by, self.causes)
        return tuple(f for f in found if f.finding not in self.asked)

    def question(self) -> NextFinding | None:
        """The next question, or None when the interview is over."""
        found = self.candidates()
        if not found or self._settled(found):
            return None
        return found[0]

    @staticmethod
    def _settled(found: tuple[NextFinding, ...]) -> bool:
        return min(f.same_decision for f in found) >= SAME_DECISION and max(
            f.information for f in found
        ) < FEW_BITS

    def answer(self, finding: str, value: Any) -> Interview:
        """The interview after an answer; None for "don't know".

        Raises
        ------
        EvidenceError
            When the value is not understood.
        """
        from bayesnet.inference import likelihoods_of

        likelihoods_of(self.model.network, {finding: value})
        known = dict(self.findings)
        if value is not None:
            known[finding] = value
        return replace(self, findings=known, asked=(*self.asked, finding))

    def back(self) -> Interview:
        """The interview before the last question."""
        if not self.asked:
            return self
        known = {v: x for v, x in self.findings.items() if v != self.asked[-1]}
        return replace(self, findings=known, asked=self.asked[:-1])

    def plot(
        self, ax: Axes | None = None, causes: Sequence[str] | int = 5, theme: str = "light"
    ) -> Axes:
        """Draw the probabilities after each answer (`bayesnet.viz.interview_figure`)."""
        from bayesnet.viz.interview_figure import plot_interview

        return plot_interview(self, ax=ax, causes=causes, theme=theme)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, to save and resume."""
        return {
            "model": self.model.name, "version": self.model.version,
            "findings": dict(self.findings), "asked": list(self.asked), "kinds": list(self.kinds),
            "by": self.by, "causes": None if self.causes is None else list(self.causes),
        }

    @classmethod
    def from_dict(cls, model: DiagnosticModel, data: Mapping[str, Any]) -> Interview:
        """Resume a saved interview.

        Raises
        ------
        EvidenceError
            When it was saved with another model.
        """
        lacking = [k for k in ("model", "findings", "asked", "kinds", "by") if k not in data]
        if lacking:
            raise EvidenceError([
                f"this is no saved interview (it lacks {', '.join(lacking)}): name a file written by "
                "`bayesnet interview --save`"
            ])
        if data["model"] != model.name:
            raise EvidenceError(
                [f"the interview was saved with the model {data['model']!r}, not {model.name!r}"]
            )
        return cls(
            model, dict(data["findings"]), tuple(data["asked"]), tuple(data["kinds"]),
            str(data["by"]), None if data.get("causes") is None else tuple(data["causes"]),
        )


def interview(
    model: DiagnosticModel,
    findings: Mapping[str, Any] | None = None,
    kinds: tuple[str, ...] = TALK,
    by: str = "information",
    causes: tuple[str, ...] | None = None,
) -> Generator[NextFinding, Any, Diagnosis]:
    """Questions, most useful first: send each answer back (None for "don't know").

    Examples
    --------
    >>> talk = model.interview({"age": 44})          # doctest: +SKIP
    >>> question = next(talk)                        # doctest: +SKIP
    >>> question = talk.send("present")              # doctest: +SKIP
    """
    chosen = (kinds,) if isinstance(kinds, str) else kinds
    state = Interview(model, finding_ids(model.network, findings or {}), kinds=chosen, by=by, causes=causes)
    while (question := state.question()) is not None:
        state = state.answer(question.finding, (yield question))
    return state.diagnosis
