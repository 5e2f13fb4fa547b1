"""Many patients: tables in, a posterior for every row out, from memory, from files, on a cluster."""

from bayesnet.cohort.encode import Encoded, encode
from bayesnet.cohort.frame import diagnose_frame
from bayesnet.cohort.mapping import ColumnMapping, read_mapping
from bayesnet.cohort.simulate import simulate
from bayesnet.cohort.stream import Scored, score
from bayesnet.cohort.suggest import suggest_mapping

__all__ = [
    "ColumnMapping",
    "Encoded",
    "Scored",
    "diagnose_frame",
    "encode",
    "read_mapping",
    "score",
    "simulate",
    "suggest_mapping",
]
