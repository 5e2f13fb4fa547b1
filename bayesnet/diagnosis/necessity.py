"""Did PT fail because of this cause? Pearl's probability of necessity for a noisy-OR outcome."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bayesnet.network import Network, NoisyMax
from bayesnet.network.factor import FloatArray

__all__ = ["necessity", "outcome_links"]


def outcome_links(network: Network, outcome: str) -> dict[str, FloatArray]:
    """The link of each parent of the outcome: P(failure from this parent alone), by its state.

    Raises
    ------
    TypeError
        When the outcome is not a two-state noisy-OR.
    """
    distribution = network.distributions[outcome]
    if not isinstance(distribution, NoisyMax) or len(network[outcome]) != 2:
        raise TypeError(f"{outcome} must be a noisy_or with two states")
    return {
        parent: link[:, 1]
        for parent, link in zip(distribution.parents, distribution.links, strict=True)
    }


def necessity(
    links: Mapping[str, FloatArray],
    given_success: Mapping[str, FloatArray],
    odds_of_success: float,
) -> dict[str, float]:
    """Probability, for each cause, that it is present and failure would not have come without it.

    With e the findings other than the outcome and S_c the event of success had the link of c been
    removed, the probability of necessity (Pearl 2009, Causality, definition 9.2.1) is
    [P(S_c | e) - P(S | e)] / P(F | e). In a noisy-OR, P(S | x) is a product over parents of
    1 - link, so P(S_c, x | e) = P(S, x | e) / (1 - link_c(x_c)) and the difference becomes

        P(S | e) / P(F | e) * sum_x P(x_c = x | e, S) link_c(x) / (1 - link_c(x)),

    a sum of non-negative terms.

    Parameters
    ----------
    links : mapping cause -> ndarray
        From `outcome_links`; all below one.
    given_success : mapping cause -> ndarray
        P(cause | e, success), by state.
    odds_of_success : float
        P(success | e) / P(failure | e).
    """
    return {
        cause: float(odds_of_success * np.sum(given_success[cause] * link / (1 - link)))
        for cause, link in links.items()
        if cause in given_success
    }
