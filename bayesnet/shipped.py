"""Where the shipped models and data are: beside the package in a checkout, inside it when installed."""

from __future__ import annotations

from pathlib import Path

__all__ = ["data_file", "model_folder", "shipped_models"]

_PACKAGE = Path(__file__).resolve().parent


def _root() -> Path:
    return _PACKAGE if (_PACKAGE / "models").is_dir() else _PACKAGE.parent


def shipped_models() -> tuple[str, ...]:
    """Names that `bayesnet.load` knows."""
    return tuple(sorted(p.parent.name for p in (_root() / "models").glob("*/model.yaml")))


def model_folder(name: str) -> Path:
    """Folder of a shipped model."""
    return _root() / "models" / name


def data_file(*parts: str) -> Path:
    """A shipped data file, for example `data_file("cases", "dev_cases.jsonl")`."""
    return _root().joinpath("data", *parts)
