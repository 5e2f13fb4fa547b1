"""Why did physical therapy fail for this person's back pain? Exact probabilities, with reasons.

>>> import bayesnet
>>> model = bayesnet.load("pt_failure")
>>> result = model.diagnose({"age": 34, "exercise_response": "better", "rest_response": "worse"})
>>> result.causes.head()  # doctest: +SKIP

Decision support for education and research; not a medical device.
"""

from typing import TYPE_CHECKING, Any

from bayesnet.errors import (
    BayesnetError,
    CaseFileError,
    EvidenceError,
    ImpossibleEvidenceError,
    MissingExtraError,
    ModelFileError,
    NetworkError,
    NetworkFileError,
    TooLargeError,
)
from bayesnet.model import DiagnosticModel, Model, Posterior, from_pgmpy, load, read_network
from bayesnet.network import Network

if TYPE_CHECKING:
    from bayesnet.explorer.widget import Explorer

__version__ = "0.1.0"

__all__ = [
    "BayesnetError",
    "CaseFileError",
    "DiagnosticModel",
    "EvidenceError",
    "Explorer",
    "ImpossibleEvidenceError",
    "MissingExtraError",
    "Model",
    "ModelFileError",
    "Network",
    "NetworkError",
    "NetworkFileError",
    "Posterior",
    "TooLargeError",
    "from_pgmpy",
    "load",
    "read_network",
]


def __getattr__(name: str) -> Any:
    """`Explorer` on first use: the widget's packages are an extra."""
    if name == "Explorer":
        from bayesnet.explorer.widget import Explorer

        return Explorer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
