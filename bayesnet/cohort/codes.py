"""What a registry's code for a state probably stands for. A guess, for a person to confirm."""

from __future__ import annotations

import contextlib
import difflib
import re
from collections.abc import Mapping
from typing import Any

from bayesnet.network import Variable

__all__ = ["ALIKE", "code_text", "is_missing_code", "legend", "plain", "state_like"]

#: Two names are alike from this share of common letters (difflib's ratio).
ALIKE = 0.75
_PRESENT = ("1", "yes", "y", "true", "t", "pos", "positive", "present", "abnormal")
_ABSENT = ("0", "no", "n", "false", "f", "neg", "negative", "absent", "not present", "normal")
#: Words that say yes or no to a finding with grades; a number could be a grade.
_ANY, _NONE = ("yes", "y", "true"), ("no", "n", "false")
#: First states that mean "nothing found", so that yes and no have a meaning.
_BASELINE = ("absent", "none", "no", "negative", "normal", "no_relief")
#: Numbers and words that registries write for a cell that nobody filled.
_MISSING = (
    "-1", "-8", "-9", "-99", "-999", "-9999", "99", "999", "9999", ".", "-", "dk", "don t know",
    "do not know", "not done", "not recorded", "not asked", "not available", "refused",
)
_WHOLE = re.compile(r"(-?\d+)\.0*")
_LEGEND = re.compile(r"(-?\w+)\s*[=:]\s*([A-Za-z_][A-Za-z_ ]*)")


def code_text(value: Any) -> str:
    """A code in one spelling, whichever kind of table it is from: 1.0 is `1`, TRUE is `true`."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    text = str(value).strip()
    if text.lower() in ("true", "false"):
        return text.lower()
    whole = _WHOLE.fullmatch(text)
    return whole[1] if whole else text


def plain(text: str) -> str:
    """Small letters, with one space for everything that is neither letter nor digit."""
    return re.sub(r"[^a-z0-9]+", " ", text.lower()).strip()


def is_missing_code(text: str) -> bool:
    """Whether a value that is no state of its variable looks like a code for "not known"."""
    written = text.strip().lower()
    with contextlib.suppress(ValueError, OverflowError):
        written = code_text(float(written))
    return written in _MISSING or plain(written) in _MISSING


def legend(column: str) -> Mapping[str, str]:
    """Codes that a column's own name explains: `sex (1=male, 2=female)`."""
    return {code: words.strip() for code, words in _LEGEND.findall(column)}


def state_like(variable: Variable, text: str) -> str | tuple[str, ...] | None:
    """The state, or the states, that a code probably stands for; None when it could be any.

    0 and 1 speak only of what is there or not: for sex, or for grades, they could mean anything.
    """
    word, states = plain(text), variable.states
    exact = {plain(s): s for s in states}
    labelled = None if word in exact else re.fullmatch(r"\d+ (\D+)|(\D+) \d+", word)
    if labelled:
        word = labelled[1] or labelled[2]
    if word in exact:
        return exact[word]
    if states[0] in _BASELINE:
        if len(states) == 2 and word in _PRESENT + _ABSENT:
            return states[int(word in _PRESENT)]
        if word in _NONE:
            return states[0]
        if word in _ANY:
            return states[1:]
    if labelled:
        return None
    initials = [s for s in states if len(word) == 1 and s.startswith(word)]
    if len(initials) == 1:
        return initials[0]
    for close in difflib.get_close_matches(word, exact, 1, ALIKE):
        # "abnormal" is like "normal", and its opposite.
        if not word.endswith(close) and not close.endswith(word):
            return exact[close]
    return None
