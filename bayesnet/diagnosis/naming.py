"""What a person calls a variable: its id, or the label that tables and figures show."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from bayesnet.errors import EvidenceError, Problem, did_you_mean
from bayesnet.inference import Findings
from bayesnet.network import Network

__all__ = ["cause_id", "cause_ids", "closest", "finding_ids", "known_as", "where_listed"]

#: What a variable is that is no cause and no finding.
_KINDS = {
    "context": "something known beforehand", "mechanism": "a hidden mechanism", "outcome": "the outcome",
}
#: So many causes are listed in an error; of more, it says where the list is.
FEW = 8


def known_as(network: Network, name: str, among: Iterable[str] | None = None) -> str | None:
    """The id of the variable that is called so, or None.

    Parameters
    ----------
    network : Network
    name : str
        An id or a label, in small or capital letters.
    among : iterable of str, optional
        Ids that may be meant; all by default.

    Raises
    ------
    EvidenceError
        When several variables have this label.
    """
    ids = list(network.variables if among is None else among)
    if name in ids:
        return name
    plain = _plain(name)
    if plain in map(_plain, ids):
        return next(id for id in ids if _plain(id) == plain)
    meant = [id for id in ids if _plain(network[id].name) == plain]
    if len(meant) > 1:
        raise EvidenceError([f"{name!r} is the label of several: write {' or '.join(meant)}"])
    return meant[0] if meant else None


def cause_id(network: Network, causes: Iterable[str], name: str) -> str:
    """The id of the cause that is called so.

    Raises
    ------
    EvidenceError
        When there is none, with the id that was probably meant, or where the list is.
    """
    ids = list(causes)
    found = known_as(network, name, ids)
    if found is not None:
        return found
    other = known_as(network, name)
    if other is not None:
        role = network[other].role
        raise EvidenceError([f"no cause {name!r}: that is {_KINDS.get(role, f'a finding ({role})')}.{where_listed(ids)}"])
    raise EvidenceError([f"no cause {name!r}.{closest(network, ids, name) or where_listed(ids)}"])


def cause_ids(network: Network, causes: Iterable[str], names: str | Iterable[str]) -> list[str]:
    """The ids of several causes, each named by its id or label; one alone may be a word.

    Raises
    ------
    EvidenceError
        With every name that is not known.
    """
    ids = list(causes)
    found: list[str] = []
    problems: list[Problem | str] = []
    for name in [names] if isinstance(names, str) else names:
        try:
            found.append(cause_id(network, ids, name))
        except EvidenceError as error:
            problems += error.problems
    if problems:
        raise EvidenceError(problems)
    return found


def finding_ids(network: Network, findings: Findings) -> dict[str, Any]:
    """Findings by the ids of their variables; a label may stand for an id.

    Names that are not known stay as they are: what reads the findings reports them with the rest.

    Raises
    ------
    EvidenceError
        When these are no findings by name, a label is that of several, or two names are of one finding.
    """
    if not isinstance(findings, Mapping):
        raise EvidenceError([
            f"findings must be a mapping of variable to state, such as {{'age': 54}}, not {type(findings).__name__}"
        ])
    found: dict[str, Any] = {}
    named: dict[str, str] = {}
    for name, value in findings.items():
        id = name if name in network or not isinstance(name, str) else known_as(network, name) or name
        if id in named:
            raise EvidenceError([f"{named[id]!r} and {name!r} are the same finding; keep one"])
        found[id], named[id] = value, name
    return found


def closest(network: Network, among: Iterable[str], name: str) -> str:
    """`" Did you mean ...?"` with the ids whose id or label is like `name`, or an empty string."""
    labels = {network[id].name: id for id in among}
    return did_you_mean(name, [*labels.values(), *labels], ids=labels)


def where_listed(causes: Iterable[str]) -> str:
    """The causes, or where they are listed, as the end of an error."""
    ids = list(causes)
    if len(ids) <= FEW:
        return f" Causes: {', '.join(ids)}."
    return " model.causes, or bayesnet model show --role cause, lists the causes."


def _plain(text: str) -> str:
    return " ".join(str(text).casefold().replace("_", " ").replace("-", " ").split())
