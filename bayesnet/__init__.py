"""Why did physical therapy fail for this person's back pain? Exact probabilities, with reasons.

>>> import bayesnet
>>> model = bayesnet.load("pt_failure")
>>> result = model.diagnose({"age": 34, "exercise_response": "better", "rest_response": "worse"})
>>> result.causes.head()  # doctest: +SKIP

Decision support for education and research; not a medical device.
"""

from bayesnet.errors import (
    BayesnetError,
    CaseFileError,
    EvidenceError,
    ImpossibleEvidenceError,
    ModelFileError,
    NetworkError,
    NetworkFileError,
    TooLargeError,
)
from bayesnet.model import DiagnosticModel, Model, Posterior, from_pgmpy, load, read_network
from bayesnet.network import Network

__version__ = "0.1.0"

__all__ = [
    "BayesnetError",
    "CaseFileError",
    "DiagnosticModel",
    "EvidenceError",
    "ImpossibleEvidenceError",
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
