"""Colours and names that all pictures share. The palette is Okabe & Ito's, safe for colour blindness."""

from __future__ import annotations

__all__ = ["FAMILY_COLOURS", "INK", "MUTED", "ROLE_COLOURS", "words"]

INK = "#222222"
MUTED = "#8a8a8a"

ROLE_COLOURS = {
    "context": "#999999",
    "cause": "#D55E00",
    "mechanism": "#CC79A7",
    "outcome": "#000000",
    "history": "#0072B2",
    "examination": "#009E73",
    "test": "#56B4E9",
    "questionnaire": "#E69F00",
    "programme": "#B8A200",
    "": "#0072B2",
}

FAMILY_COLOURS = {
    "underlying": "#D55E00",
    "structural": "#0072B2",
    "fallback": "#7f7f7f",
    "psychosocial": "#CC79A7",
    "programme": "#009E73",
}


def words(id: str) -> str:
    """An id as words, with a capital first letter."""
    text = id.replace("_", " ")
    return text[:1].upper() + text[1:]
