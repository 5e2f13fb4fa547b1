"""What every command shares: the app, its options, printing, errors, progress."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.markup import escape
from typer.core import TyperGroup

from bayesnet.errors import BayesnetError

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from rich.table import Table

#: The commands as people come to need them; what is not named comes last.
NEEDED = (
    "diagnose", "why", "next", "attribute", "sure", "actions", "whatif", "interview", "cases",
    "plot", "serve", "score", "cohort", "simulate", "query", "model", "evaluate",
)  # fmt: skip


#: More columns than any table has.
WIDEST = 10_000


class _Needed(TyperGroup):
    def list_commands(self, ctx: Any) -> list[str]:
        names = super().list_commands(ctx)
        return sorted(names, key=lambda n: NEEDED.index(n) if n in NEEDED else len(NEEDED))


app = typer.Typer(
    name="bayesnet",
    cls=_Needed,
    epilog="Examples:  bayesnet diagnose --case wahl-2013  |  bayesnet interview --age 44 --sex female  |  "
    "bayesnet diagnose --help",
    help="Why did physical therapy fail for this person's back pain? Exact probabilities, with "
    "reasons. Decision support for education and research; not a medical device.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
model_app = typer.Typer(
    help="Check and show models.", no_args_is_help=True,
    epilog="Examples:  bayesnet model show pt_failure fever  |  bayesnet model check --strict models/pt_failure",
)
app.add_typer(model_app, name="model")

JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")]
ModelOption = Annotated[
    str, typer.Option("--model", "-m", help="A shipped model's name, a model folder, or a model in one .yaml file.")
]


def own_folder(path: str) -> None:
    """Refuse to write into a shipped model that is named, not given as a folder."""
    from bayesnet.shipped import shipped_models

    if path in shipped_models() and not Path(path).exists():
        raise BayesnetError(
            f"{path} is the model that comes with the package, which is left as it is: write a copy "
            f"of your own (bayesnet.load({path!r}).write('my_model')) and name its folder"
        )


def empty_folder(folder: Path, overwrite: bool) -> None:
    """Refuse to write a model over files that are there, unless that is wanted."""
    if folder.exists() and not folder.is_dir():
        raise BayesnetError(f"{folder} is a file: name a folder")
    if not overwrite and folder.is_dir() and any(folder.iterdir()):
        raise BayesnetError(f"{folder} has files already: name another folder, or add --overwrite")


def fail(message: str) -> NoReturn:
    """Say what is wrong on standard error and leave with exit code 2."""
    Console(stderr=True, highlight=False, soft_wrap=True).print(
        f"[bold red]error:[/] {escape(message)}"
    )
    raise typer.Exit(2)


@contextmanager
def clear_errors() -> Iterator[None]:
    """Errors of ours go to standard error in plain words, with exit code 2."""
    try:
        yield
    except BayesnetError as error:
        fail(str(error))


def write_figure(draw: Callable[[], Axes], path: Path) -> None:
    """Draw to a file, never to a window; the file's ending is looked at before anything is computed.

    Raises
    ------
    BayesnetError
        For another ending than .svg, .pdf or .png, or when the file cannot be written.
    """
    from bayesnet.viz.save import check_ending, save_figure

    check_ending(path)
    import matplotlib.pyplot as plt

    plt.switch_backend("agg")
    axes = draw()
    save_figure(axes, path)
    plt.close(axes.get_figure(root=True))


def print_json(data: Any) -> None:
    """Indented JSON on standard output."""
    sys.stdout.write(json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a table for JSON, which has no NaN."""
    return [
        {str(k): None if isinstance(x, float) and math.isnan(x) else x for k, x in r.items()}
        for r in frame.to_dict("records")
    ]


def console() -> Console:
    """Standard output, wrapped to the terminal."""
    return Console(highlight=False, soft_wrap=False)


def print_whole(table: Table) -> bool:
    """Print a table without cutting a word; False when the terminal is too narrow for that.

    Where the output goes to a file or another program there is no width to keep to.
    """
    out = console()
    needed = out.measure(table, options=out.options.update(max_width=WIDEST)).maximum
    if out.is_terminal and needed > out.width:
        return False
    wide = Console(highlight=False, width=max(needed, out.width))
    with wide.capture() as written:
        wide.print(table)
    print("\n".join(line.rstrip() for line in written.get().splitlines()))  # noqa: T201
    return True


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        from bayesnet import __version__

        typer.echo(f"bayesnet {__version__}")
        raise typer.Exit


@contextmanager
def progress(total: int, what: str) -> Iterator[Callable[[int], None]]:
    """A progress bar on standard error; call the given function with the number done."""
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.update(task, completed=done)


def each_once(option: str, pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Named values as a mapping; a name that comes twice is a mistake, not a correction."""
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            fail(f"{option}: {name} is given twice; give it once")
        found[name] = value
    return found
