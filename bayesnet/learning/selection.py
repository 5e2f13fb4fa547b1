"""Which parameters may change: by variable, by label, or by kind."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bayesnet.errors import BayesnetError, did_you_mean
from bayesnet.modelfile.reader import Parameter
from bayesnet.network import Mixture, Network, NoisyMax, OddsRatio

__all__ = ["KINDS", "LearningError", "chosen_parameters", "label_of"]

#: Words for parameters of one kind.
KINDS = ("prevalences", "odds_ratios", "links", "leaks", "tables")


class LearningError(BayesnetError, ValueError):
    """Learning was asked for something that cannot be done; the message says what to do instead."""


def label_of(parameter: Parameter) -> str:
    """`variable/key`, as in a tornado chart."""
    return "/".join((parameter.variable, *parameter.key))


def kind_of(network: Network, parameter: Parameter) -> str:
    """One of `KINDS`."""
    d = network.distributions[parameter.variable]
    if isinstance(d, OddsRatio):
        return "prevalences" if parameter.key[0] == "prevalence" else "odds_ratios"
    if isinstance(d, NoisyMax):
        return "leaks" if parameter.key == ("leak",) else "links"
    if isinstance(d, Mixture):
        return "leaks" if parameter.key == ("none",) else "links"
    # A table without parents is how often something is so.
    return "tables" if d.parents else "prevalences"


def chosen_parameters(
    network: Network,
    parameters: Sequence[Parameter],
    learn: str | Iterable[str],
    keep: str | Iterable[str] = (),
) -> tuple[Parameter, ...]:
    """The parameters named by `learn` and not by `keep`.

    Parameters
    ----------
    network : Network
    parameters : sequence of Parameter
    learn, keep : str or iterable of str
        `all`, one of `KINDS`, ids of variables, or labels `variable/key`.

    Raises
    ------
    LearningError
        For a word that names nothing, or where nothing is left.
    """
    wanted = _named(network, parameters, learn)
    if not wanted:
        raise LearningError(
            f"learn={learn!r} chooses no parameter of this model. "
            f"Expected all, {', '.join(KINDS)}, a variable, or variable/parent"
        )
    kept = _named(network, parameters, keep)
    found = tuple(p for i, p in enumerate(parameters) if i in wanted and i not in kept)
    if not found:
        raise LearningError("nothing is left to learn: every chosen parameter is kept")
    return found


def _named(network: Network, parameters: Sequence[Parameter], words: str | Iterable[str]) -> set[int]:
    found: set[int] = set()
    for word in [words] if isinstance(words, str) else words:
        if word == "all":
            new = set(range(len(parameters)))
        elif word in KINDS:
            new = {i for i, p in enumerate(parameters) if kind_of(network, p) == word}
        elif word in network:
            new = {i for i, p in enumerate(parameters) if p.variable == word}
        else:
            new = {i for i, p in enumerate(parameters) if label_of(p) == word}
            if not new:
                labels = [label_of(p) for p in parameters]
                raise LearningError(
                    f"no parameter {word!r}.{did_you_mean(word, [*KINDS, *network.variables, *labels])} "
                    f"Expected all, {', '.join(KINDS)}, a variable, or variable/parent"
                )
        found |= new
    return found
