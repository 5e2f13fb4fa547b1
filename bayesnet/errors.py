"""Errors that say what is wrong, where, and what to write instead."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = [
    "BayesnetError",
    "CaseFileError",
    "CohortError",
    "EvidenceError",
    "ImpossibleEvidenceError",
    "MissingExtraError",
    "ModelFileError",
    "NetworkError",
    "NetworkFileError",
    "Problem",
    "TooLargeError",
    "did_you_mean",
]


#: An error message lists so many problems and counts the rest.
MOST_SHOWN = 40


class BayesnetError(Exception):
    """Base class of every error that bayesnet raises on purpose."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, and where.

    Attributes
    ----------
    message : str
        What is wrong and what was expected.
    where : str
        File and line, row, variable or key; empty when there is no better place to point at.
    """

    message: str
    where: str = ""

    def __str__(self) -> str:
        return f"{self.where}: {self.message}" if self.where else self.message


class _ListOfProblems(BayesnetError, ValueError):
    """An error that reports every problem found, not only the first."""

    def __init__(self, problems: Iterable[Problem | str]) -> None:
        self.problems: tuple[Problem, ...] = tuple(
            p if isinstance(p, Problem) else Problem(p) for p in problems
        )
        super().__init__(self._text())

    def __reduce__(self) -> Any:
        # A worker of a cluster sends its errors home.
        return type(self), (self.problems,)

    def _text(self) -> str:
        if len(self.problems) == 1:
            return str(self.problems[0])
        count = len(self.problems)
        shown = [f"  - {p}" for p in self.problems[:MOST_SHOWN]]
        if count > MOST_SHOWN:
            shown.append(f"  ... and {count - MOST_SHOWN:,} more (all in `.problems`)")
        return "\n".join([f"{count:,} problems:", *shown])


class NetworkError(_ListOfProblems):
    """The variables and distributions do not make a Bayesian network."""


class ModelFileError(_ListOfProblems):
    """A model folder cannot be read; every problem has its file and line."""


class NetworkFileError(_ListOfProblems):
    """A network file of another format (BIF ...) cannot be read."""


class CaseFileError(_ListOfProblems):
    """A file of published cases cannot be read."""


class EvidenceError(_ListOfProblems):
    """A patient's findings are not understood: unknown id or state, wrong type, out of range."""


class ImpossibleEvidenceError(BayesnetError, ValueError):
    """The findings together have probability zero under the network.

    Attributes
    ----------
    clashing : tuple of str
        A smallest set of findings that cannot hold together.
    """

    def __init__(self, message: str, clashing: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.clashing = tuple(clashing)


class CohortError(_ListOfProblems):
    """A table, or the file that says what its columns mean, cannot be used; every problem is listed."""


class TooLargeError(BayesnetError, MemoryError):
    """A table that an exact answer needs would not fit; the message gives its size."""


class MissingExtraError(BayesnetError, ImportError):
    """Something optional is not installed; the message says what to install.

    Parameters
    ----------
    what : str
        What needs it, in words.
    extra : str
        The extra of this package that brings it.
    """

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs more packages: pip install 'bayesnet[{extra}]'")
        self.named = what, extra

    def __reduce__(self) -> Any:
        return type(self), self.named


def did_you_mean(
    word: object, known: Iterable[str], count: int = 3, ids: Mapping[str, str] | None = None
) -> str:
    """`" Did you mean ...?"` with the closest known words, or an empty string.

    Parameters
    ----------
    word : object
        What was written.
    known : iterable of str
        What could have been written.
    count : int
        The most suggestions to give.
    ids : mapping str -> str, optional
        What to write for some of the known words (the id for a label).
    """
    text = _as_id(str(word).strip())
    options = {_as_id(k): (ids or {}).get(k, k) for k in known}
    close = difflib.get_close_matches(text, options, n=count, cutoff=0.6)
    if len(close) < count and len(text) >= 4:
        close += [k for k in options if k not in close and (text in k or k in text)]
    initials = [k for k in options if len(text) == 1 and k.startswith(text)]
    if len(initials) == 1:
        close = initials
    if not close:
        return ""
    names = list(dict.fromkeys(options[c] for c in close))[:count]
    listed = names[0] if len(names) == 1 else ", ".join(names[:-1]) + " or " + names[-1]
    return f" Did you mean {listed}?"


def _as_id(text: str) -> str:
    return text.lower().replace(" ", "_").replace("-", "_")
