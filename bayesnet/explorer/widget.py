"""The explorer in a notebook: a widget whose state is traits, so that code and clicks stay in step.

>>> explorer = bayesnet.Explorer(model, {"age": 34})
>>> explorer.evidence = {**explorer.evidence, "fever": True}
>>> explorer.result.causes
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayesnet.errors import BayesnetError, EvidenceError, MissingExtraError
from bayesnet.explorer.view import Picture, cases_view, error_view, model_view, picture

try:
    import anywidget
    import traitlets
except ImportError as error:
    raise MissingExtraError("the explorer", "notebook") from error

if TYPE_CHECKING:
    from bayesnet.model import DiagnosticModel

__all__ = ["Explorer"]

_STATIC = Path(__file__).parent / "static"


class Explorer(anywidget.AnyWidget):
    """The network one can see and touch, for one patient.

    Parameters
    ----------
    model : DiagnosticModel
    evidence : mapping, optional
        Findings to begin with, as for `model.diagnose`.

    Attributes
    ----------
    evidence : dict
        What is known, by the ids of the findings. Assign a new dictionary to change it; findings that are wrong raise and
        leave everything as it was.
    result : Diagnosis
        The answer to `evidence`; read only.
    chosen : str
        The id of the cause that is explained, empty for none; a label may be assigned.

    Raises
    ------
    EvidenceError, ImpossibleEvidenceError
        When `evidence` or `chosen` is wrong, also on assignment.
    MissingExtraError
        When the extra `notebook` is not installed.
    """

    _esm = _STATIC / "explorer.js"
    _css = _STATIC / "explorer.css"

    evidence = traitlets.Any()
    result = traitlets.Any(read_only=True)
    chosen = traitlets.Unicode("")
    _model = traitlets.Dict().tag(sync=True)
    _view = traitlets.Dict().tag(sync=True)
    _request = traitlets.Dict().tag(sync=True)

    def __init__(self, model: DiagnosticModel, evidence: Mapping[str, Any] | None = None) -> None:
        if not hasattr(model, "diagnose"):
            raise EvidenceError(
                ["the explorer needs a clinical model, with causes and findings: bayesnet.load(...)"]
            )
        self._source = model
        self._answers = 0
        self._last: tuple[tuple[str, str], Picture] | None = None
        begin = {} if evidence is None else evidence
        drawn = self._picture(begin, "")
        super().__init__(
            _model={**model_view(model), "cases": cases_view(model)}, _view=self._numbered(drawn)
        )
        self.evidence = begin

    def _picture(self, evidence: Mapping[str, Any], chosen: str) -> Picture:
        """The picture of these findings; the last one is kept."""
        key = (repr(evidence), chosen)
        if self._last is None or self._last[0] != key:
            self._last = key, picture(self._source, evidence, chosen)
        return self._last[1]

    def _numbered(self, drawn: Picture) -> dict[str, Any]:
        return {**drawn.view, "answers": self._answers}

    @traitlets.validate("evidence")
    def _valid_evidence(self, proposal: Any) -> dict[str, Any]:
        return dict(self._picture(proposal["value"], self.chosen).diagnosis.findings)

    @traitlets.validate("chosen")
    def _valid_chosen(self, proposal: Any) -> str:
        return str(self._picture(self.evidence, str(proposal["value"])).view["chosen"])

    @traitlets.observe("evidence", "chosen")
    def _changed(self, _: Any) -> None:
        drawn = self._picture(self.evidence, self.chosen)
        self.set_trait("result", drawn.diagnosis)
        self._view = self._numbered(drawn)

    @traitlets.observe("_request")
    def _asked(self, change: Any) -> None:
        """A click: `{number, evidence, chosen}`. What cannot be answered is said on the page."""
        request = change["new"]
        self._answers = request["number"]
        try:
            self._picture(request["evidence"], request["chosen"])
        except BayesnetError as error:
            self._view = {**self._view, "answers": self._answers, "error": error_view(error)}
            return
        self.evidence = request["evidence"]
        self.chosen = request["chosen"]
        self._view = self._numbered(self._picture(self.evidence, self.chosen))

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        """The widget; where none can be shown (GitHub, a mail), the ranked causes as a table."""
        bundle = super()._repr_mimebundle_(**kwargs)
        if bundle is None:
            return None
        data, metadata = bundle
        return {**data, "text/html": self.result._repr_html_()}, metadata

    def __repr__(self) -> str:
        return f"<Explorer of {self._source!r}: {len(self.evidence)} findings>"
