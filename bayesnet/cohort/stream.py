"""Score a table on disk, block by block, so that it may be larger than memory and may be interrupted.

Every block is written to a folder beside the output, `OUT.partial`, under a name of its own: first
aside, then renamed, so that a file there is always whole. A run that is started again with the same
input, model and options goes on after the last finished block. At the end the blocks become the
output, again aside first. The cuts between blocks depend on the input and the options alone, so the
output is the same to the last byte whether the run was interrupted or not.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayesnet.cohort.frame import (
    answers_frame,
    check_processors,
    factors_answer,
    unused_columns,
    usable_mapping,
)
from bayesnet.cohort.mapping import ColumnMapping
from bayesnet.cohort.source import Block, Piece, TableSource, open_table
from bayesnet.diagnosis.result import check_causes
from bayesnet.errors import BayesnetError, CohortError, Problem, did_you_mean

if TYPE_CHECKING:
    import pyarrow as pa

    from bayesnet.model import DiagnosticModel

__all__ = ["Job", "Scored", "bytes_of", "score", "score_piece"]

#: What the process needs before it reads a row, and for every row of a block (measured, rounded up).
BASE_MEMORY, ROW_MEMORY = 420 << 20, 8_000
MOST_ROWS, FEWEST_ROWS = 50_000, 1_000
_PART = re.compile(r"\d{8}-\d{5}\.parquet")
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


@dataclass(frozen=True)
class Scored:
    """What was written.

    Attributes
    ----------
    output : Path
    rejects : Path or None
        CSV of row number and reason; None when every row was good.
    rows, good, bad : int
    resumed : int
        Rows that an earlier, interrupted run had finished.
    notes : tuple of str
    """

    output: Path
    rejects: Path | None
    rows: int
    good: int
    bad: int
    resumed: int
    notes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Job:
    """What every block of a run needs; sent once to each worker of a cluster."""

    model: DiagnosticModel
    source: TableSource
    mapping: ColumnMapping
    keep: tuple[str, ...]
    folder: Path
    ending: str
    size: int
    attribution: bool
    threads: int | None


def bytes_of(text: str) -> int:
    """`1GiB`, `500 MB`, `2g` as bytes.

    Raises
    ------
    CohortError
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)i?B?\s*", text, re.IGNORECASE)
    if match is None:
        raise CohortError([f"{text!r} is not an amount of memory; write such as 1GiB or 800MiB"])
    return int(float(match[1]) * _UNITS[match[2].upper()])


def score(
    model: DiagnosticModel,
    source: str | Path,
    output: str | Path,
    *,
    mapping: ColumnMapping | None = None,
    keep: Sequence[str] = (),
    attribution: bool = False,
    memory: str = "1GiB",
    jobs: int | None = None,
    dask: str | Any = None,
    progress: Callable[[int, int | None], None] | None = None,
) -> Scored:
    """Score a CSV or Parquet table into another.

    Parameters
    ----------
    model : DiagnosticModel
    source : path
        CSV (also .gz), Parquet, or a folder of Parquet files (`key=value` folders become columns).
    output : path
        `.parquet`, `.csv`, or a name without an ending: a folder of Parquet files. One line for
        every good row, with its number in the input (`row`, from 0).
    mapping : ColumnMapping, optional
    keep : sequence of str
        Columns of the input that are copied to the output; `NAME_given` where the output has a
        column of that name itself.
    attribution : bool
        As for `diagnose_frame`.
    memory : str
        Budget of the process; sets how many rows are worked on at a time.
    jobs : int, optional
        Processors to use; all by default.
    dask : str or dask.distributed.Client, optional
        Address of a Dask scheduler whose workers see the same files.
    progress : callable, optional
        Called with the rows done and all rows (None when not known beforehand).

    Returns
    -------
    Scored

    Raises
    ------
    CohortError
        When the input, the output or an option cannot be used.
    """
    check_causes(model)
    table = open_table(source)
    out = Path(output)
    ending = out.suffix.lower()
    check_processors(jobs, "jobs")
    with _clear_errors_of(out):
        _check_output(out, Path(source))
    used = usable_mapping(model, table.names, mapping)
    unused = unused_columns(model, table.names, used, keep)
    for name in keep:
        if name not in table.names:
            raise CohortError([f"--keep: no column {name!r}.{did_you_mean(name, table.names)}"])
        if table.names.count(name) > 1:
            raise CohortError([f"--keep: column {name!r} comes twice; give one of them another name"])
    limit = bytes_of(memory)
    size = max(FEWEST_ROWS, min(MOST_ROWS, (limit - BASE_MEMORY) // ROW_MEMORY))
    folder = out.with_name(out.name + ".partial")
    job = Job(model, table, used, tuple(dict.fromkeys(keep)), folder, ".csv" if ending == ".csv" else ".parquet",
              size, attribution, jobs)
    with _clear_errors_of(out):
        return _scored(job, out, dask, progress, (*table.notes, *unused))


@contextmanager
def _clear_errors_of(out: Path) -> Iterator[None]:
    """What the system says of files, as an error of ours."""
    try:
        yield
    except OSError as error:
        said = f"cannot be read or written: {error.strerror or error}"
        raise CohortError([Problem(said, str(error.filename or out))]) from error


def _check_output(out: Path, source: Path) -> None:
    """Refuse what cannot be written, and what would be lost by writing, before anything is computed."""
    ending = out.suffix.lower()
    said = ""
    if ending not in ("", ".parquet", ".csv"):
        said = "expected .parquet, .csv or a folder name"
    elif out.resolve() == source.resolve():
        said = "the output would replace the input"
    elif ending and out.is_dir():
        said = "is a folder: name a file in it"
    elif not ending and out.is_file():
        said = "is a file: expected .parquet, .csv or the name of a folder"
    elif out.is_dir() and not all(_PART.fullmatch(f.name) for f in out.iterdir()):
        said = "has files that are not of an earlier run: name another folder"
    elif not out.name:
        said = "has no name: name a folder in it"
    if said:
        raise CohortError([Problem(said, str(out))])


def _scored(
    job: Job, out: Path, dask: str | Any, progress: Callable[[int, int | None], None] | None,
    notes: tuple[str, ...],
) -> Scored:
    folder = job.folder
    _begin(job)
    resumed = sum(d["rows"] for d in _done(folder).values())
    try:
        _score_pieces(job, dask, progress)
    except (BayesnetError, OSError):
        # Nothing to go on with, and the folder would be in the way of another try.
        if not _done(folder):
            shutil.rmtree(folder, ignore_errors=True)
        raise
    done = _done(folder)
    rows = sum(d["rows"] for d in done.values())
    bad = sum(d["bad"] for d in done.values())
    if not done:
        _write_block(job, "00000000-00000", _empty_block(job))
    rejects = _gather_rejects(folder, out) if bad else None
    if not bad:
        _rejects_of(out).unlink(missing_ok=True)  # of an earlier run
    _gather(job, out)
    shutil.rmtree(folder)
    return Scored(out, rejects, rows, rows - bad, bad, resumed, notes)


def _begin(job: Job) -> None:
    """Make the folder of blocks, or check that the one that is there is of the same run."""
    source = job.source
    stamp = {
        "input": [
            [p.file, p.group, p.rows, os.stat(p.file).st_size, os.stat(p.file).st_mtime_ns]
            for p in source.pieces
        ],
        "model": hashlib.sha256(
            repr([(v, d) for v, d in job.model.network.distributions.items()]).encode()
        ).hexdigest(),
        "mapping": repr(sorted(job.mapping.columns.items())) + repr(job.mapping.not_known),
        "keep": list(job.keep), "attribution": job.attribution, "rows": job.size, "to": job.ending,
    }
    text = json.dumps(stamp, sort_keys=True, indent=1)
    run = job.folder / "run.json"
    if run.is_file():
        if run.read_text(encoding="utf-8") == text:
            return
        raise CohortError([Problem(
            "is left over from a run with another input, model or other options; "
            "give those again to go on with it, or delete it to begin anew", str(job.folder),
        )])
    try:
        job.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CohortError([Problem(f"cannot be made: {error.strerror}", str(job.folder))]) from error
    _replace(run, partial(_write_text, text=text))


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _replace(path: Path, write: Callable[[Path], None]) -> None:
    """Write aside, then rename."""
    aside = path.with_name(path.name + f".{os.getpid()}.tmp")
    write(aside)
    os.replace(aside, path)


def _done(folder: Path) -> dict[str, dict[str, int]]:
    return {
        f.stem: json.loads(f.read_text(encoding="utf-8")) for f in sorted(folder.glob("*.done"))
    }


def _score_pieces(
    job: Job, dask: str | Any, progress: Callable[[int, int | None], None] | None
) -> None:
    total, rows = job.source.rows, 0

    def tell(n: int) -> None:
        nonlocal rows
        rows += n
        if progress:
            progress(rows, total)

    if dask is not None:
        from bayesnet.cohort.cluster import score_on_cluster

        score_on_cluster(job, dask, tell)
        return
    for i in range(len(job.source.pieces)):
        for n in score_piece(job, i):
            tell(n)


def score_piece(job: Job, i: int) -> Iterator[int]:
    """Score one piece, block by block; yields the rows of each block once it is written."""
    piece = job.source.pieces[i]
    done = {k: d for k, d in _done(job.folder).items() if k.startswith(f"{i:08d}-")}
    if done and piece.rows is not None and sum(d["rows"] for d in done.values()) == piece.rows:
        yield piece.rows
        return
    for k, block in enumerate(job.source.blocks(piece, job.size, _needed(job, piece))):
        name = f"{i:08d}-{k:05d}"
        rows = len(block.numbers) + len(block.unreadable)
        if name not in done:
            _write_block(job, name, block)
        yield rows


def _needed(job: Job, piece: Piece) -> list[str]:
    return [*job.mapping.columns, *job.keep]


def _empty_block(job: Job) -> Block:
    import numpy as np
    import pyarrow as pa

    table = pa.table({n: pa.array([], pa.string()) for n in job.keep})
    return Block((), table, np.zeros(0, np.int64), {})


def _names_kept(keep: Sequence[str], answers: Sequence[str]) -> dict[str, str]:
    """The names in the output of the columns that are copied: another where the answer has one so named."""
    taken = {"row", *answers}
    found = {}
    for column in keep:
        name = column
        while name in taken or (name != column and name in keep):
            name += "_given"
        found[column] = name
        taken.add(name)
    return found


def _write_block(job: Job, name: str, block: Block) -> None:
    import numpy as np
    import pyarrow as pa

    answers = factors_answer(
        job.model, block.factors, len(block.numbers), job.mapping, job.attribution, job.threads
    )
    frame = answers_frame(job.model, [answers], job.attribution, with_errors=False)
    table = pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None)
    for at, (column, name_there) in enumerate(_names_kept(job.keep, table.column_names).items()):
        kept = block.table.column(column)
        if pa.types.is_dictionary(kept.type):
            kept = kept.cast(kept.type.value_type)
        table = table.add_column(at, name_there, kept)
    table = table.add_column(0, "row", pa.array(block.numbers, pa.int64()))
    bad = {int(block.numbers[r]): said for r, said in answers.bad.items()} | block.unreadable
    if answers.bad:
        good = np.ones(len(block.numbers), bool)
        good[list(answers.bad)] = False
        table = table.filter(pa.array(good))
    _replace(job.folder / f"{name}{job.ending}", partial(_write_table, table=table))
    if bad:
        _replace(job.folder / f"{name}.rejects", partial(_write_rejects, bad=bad))
    counts = {"rows": len(block.numbers) + len(block.unreadable), "bad": len(bad)}
    _replace(job.folder / f"{name}.done", partial(_write_text, text=json.dumps(counts)))


def _write_table(path: Path, table: pa.Table) -> None:
    if path.name.split(".")[-3] == "csv":
        import pyarrow as pa
        import pyarrow.csv as pc

        words = [f.name for f in table.schema if _is_dictionary(f.type)]
        for name in words:
            i = table.column_names.index(name)
            column = table.column(i)
            table = table.set_column(i, name, column.cast(column.type.value_type))
        for column in table.schema:
            if pa.types.is_nested(column.type):
                raise CohortError([
                    f"--keep: column {column.name!r} is of {column.type}, which CSV cannot hold: "
                    "write .parquet, or leave the column out"
                ])
        pc.write_csv(table, path, pc.WriteOptions(quoting_style="needed"))
    else:
        with _writer(path, table.schema) as writer:
            writer.write_table(table)


def _is_dictionary(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_dictionary(kind))


def _writer(path: Path, schema: pa.Schema) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    words = [
        f.name for f in schema
        if _is_dictionary(f.type) or pa.types.is_string(f.type) or pa.types.is_large_string(f.type)
    ]
    # Probabilities hardly repeat: a dictionary of them, or packing, would cost time and save nothing.
    return pq.ParquetWriter(
        path, schema, use_dictionary=words or False, compression="none", write_statistics=False
    )


def _write_rejects(path: Path, bad: dict[int, str]) -> None:
    import csv

    with path.open("w", encoding="utf-8", newline="") as file:
        out = csv.writer(file, lineterminator="\n")
        for row in sorted(bad):
            said = " ".join(bad[row].split())
            # A spreadsheet must not take what a cell says for a formula.
            out.writerow([row, f"'{said}" if said[:1] in "=+-@" else said])


def _rejects_of(out: Path) -> Path:
    return out.with_name(f"{out.stem}.rejects.csv")


def _gather_rejects(folder: Path, out: Path) -> Path:
    path = _rejects_of(out)

    def write(aside: Path) -> None:
        with aside.open("wb") as file:
            file.write(b"row,reason\n")
            for part in sorted(folder.glob("*.rejects")):
                file.write(part.read_bytes())

    _replace(path, write)
    return path


def _gather(job: Job, out: Path) -> None:
    parts = sorted(job.folder.glob(f"*-*{job.ending}"))
    if out.suffix == "":
        made = out.with_name(out.name + ".tmp")
        shutil.rmtree(made, ignore_errors=True)
        made.mkdir()
        for part in parts:
            os.link(part, made / part.name)
        if out.is_dir():
            shutil.rmtree(out)
        os.replace(made, out)
    elif job.ending == ".csv":
        _replace(out, partial(_join_csv, parts=parts))
    else:
        _replace(out, partial(_join_parquet, parts=parts))


def _join_csv(path: Path, parts: Sequence[Path]) -> None:
    with path.open("wb") as file:
        for i, part in enumerate(parts):
            with part.open("rb") as piece:
                header = piece.readline()
                if i == 0:
                    file.write(header)
                shutil.copyfileobj(piece, file, 1 << 22)


def _join_parquet(path: Path, parts: Sequence[Path]) -> None:
    import pyarrow.parquet as pq

    with _writer(path, pq.read_schema(parts[0])) as writer:
        for part in parts:
            writer.write_table(pq.read_table(part, memory_map=True))
