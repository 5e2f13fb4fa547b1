"""What a network is: variables, local distributions, the graph."""

from bayesnet.network.distributions import (
    Distribution,
    Mixture,
    NoisyMax,
    OddsRatio,
    SensitivitySpecificity,
    Table,
)
from bayesnet.network.factor import Factor
from bayesnet.network.network import Network
from bayesnet.network.variable import TWO_STATES, Bins, Variable

__all__ = [
    "TWO_STATES",
    "Bins",
    "Distribution",
    "Factor",
    "Mixture",
    "Network",
    "NoisyMax",
    "OddsRatio",
    "SensitivitySpecificity",
    "Table",
    "Variable",
]
