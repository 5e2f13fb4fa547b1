"""Writing a figure to a file: the same figure gives the same bytes, whatever the day and the user's settings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayesnet.errors import BayesnetError, did_you_mean

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["FORMATS", "check_ending", "save_figure"]

#: Endings that can be written. No dates and no version in any of them.
FORMATS: dict[str, dict[str, Any]] = {
    "svg": {"Date": None, "Creator": "bayesnet"},
    "pdf": {"CreationDate": None, "Creator": "bayesnet", "Producer": None},
    "png": {"Software": "bayesnet"},
}


def check_ending(path: str | Path) -> str:
    """The format that `path` ends in.

    Raises
    ------
    BayesnetError
        When it is not one of `FORMATS`.
    """
    ending = Path(path).suffix.lower().removeprefix(".")
    if ending not in FORMATS:
        raise BayesnetError(
            f"cannot write {path}: a figure ends in .svg, .pdf or .png.{did_you_mean(ending, FORMATS)}"
        )
    return ending


def save_figure(ax: Axes, path: str | Path, dpi: int = 200) -> None:
    """Write the figure of `ax` as SVG, PDF or PNG, by the ending of `path`.

    Letters are drawn as outlines in SVG and embedded in PDF, so that all three look alike on a
    machine without the font. User's settings of matplotlib are left as they are.

    Raises
    ------
    BayesnetError
        For another ending, or when the file cannot be written.
    """
    import matplotlib as mpl

    ending = check_ending(path)
    figure = ax.get_figure(root=True)
    assert figure is not None
    settings: dict[Any, Any] = {"svg.hashsalt": "bayesnet", "svg.fonttype": "path", "pdf.fonttype": 42,
                "savefig.bbox": None, "savefig.transparent": False}
    try:
        with mpl.rc_context(settings):
            figure.savefig(
                path, format=ending, dpi=dpi, bbox_inches="tight", pad_inches=0.15,
                facecolor=figure.get_facecolor(), metadata=FORMATS[ending],
            )
    except OSError as error:
        raise BayesnetError(f"cannot write {path}: {error.strerror or error}") from error
