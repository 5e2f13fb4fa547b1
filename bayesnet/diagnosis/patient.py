"""Read one patient's findings from YAML or JSON, and say what is wrong with them, all at once."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bayesnet.errors import EvidenceError, Problem

__all__ = ["parse_json", "parse_patient", "read_patient"]

#: Whoever quotes the first key means JSON; `{age: 54}` is YAML in its flow style.
_JSON = re.compile(r"\s*\{\s*[\"}]")


def read_patient(path: str) -> dict[str, Any]:
    """Findings from a YAML or JSON file, or from standard input when `path` is `-`.

    The file is a mapping of variable to value; the keys `findings` and `tests` (as in the case
    files) may hold such mappings instead.

    Raises
    ------
    EvidenceError
        When the file cannot be read, is malformed (with the line), or repeats a key.
    """
    if path == "-":
        return parse_patient(sys.stdin.buffer.read(), "standard input")
    try:
        raw = Path(path).read_bytes()
    except OSError as error:
        raise EvidenceError([Problem(f"cannot be read: {error.strerror}", path)]) from error
    return parse_patient(raw, path)


def parse_patient(raw: bytes | str, name: str) -> dict[str, Any]:
    """Like `read_patient`, from text."""
    text = _decoded(raw, name)
    data = parse_json(text, name) if _JSON.match(text) else _yaml(text, name)
    if data is None:
        data = {}
    if not isinstance(data, dict):
        raise EvidenceError(
            [Problem(f"expected a mapping such as `age: 54`, not {type(data).__name__}", name)]
        )
    if isinstance(data.get("findings"), Mapping):
        tests = data.get("tests") or {}
        both = sorted(set(data["findings"]) & set(tests))
        if both:
            raise EvidenceError(
                [Problem(f"{k!r} is in both findings and tests; keep one", name) for k in both]
            )
        data = {**data["findings"], **tests}
    return data


def _yaml(text: str, name: str) -> Any:
    from bayesnet.modelfile.source import parse_yaml

    source = parse_yaml(text, name)
    if source.problems:
        raise EvidenceError(source.problems)
    return source.data


def _decoded(raw: bytes | str, name: str) -> str:
    if isinstance(raw, str):
        return raw
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise EvidenceError([Problem(f"is not UTF-8 text (byte {error.start})", name)]) from error


def parse_json(raw: bytes | str, name: str) -> Any:
    """JSON whose keys are each given once.

    Raises
    ------
    EvidenceError
        When it is malformed (with the line), or repeats a key.
    """
    text = _decoded(raw, name)
    repeated: list[str] = []

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for key, value in pairs:
            if key in out:
                repeated.append(key)
            out[key] = value
        return out

    def constant(word: str) -> None:
        raise EvidenceError([Problem(f"{word} is not JSON; write null for what is not known", name)])

    try:
        data = json.loads(text, object_pairs_hook=unique, parse_constant=constant)
    except EvidenceError:
        raise
    except (ValueError, RecursionError) as error:
        line = getattr(error, "lineno", 1)
        unsaid = "nested too deeply" if isinstance(error, RecursionError) else "a number is too long"
        said = getattr(error, "msg", unsaid)
        raise EvidenceError([Problem(f"is not valid JSON: {said}", f"{name}:{line}")]) from error
    if repeated:
        raise EvidenceError(
            [Problem(f"{key!r} is given twice; keep one", name) for key in dict.fromkeys(repeated)]
        )
    return data
