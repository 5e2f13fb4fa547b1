"""Tables on disk, a block of rows at a time: CSV and (partitioned) Parquet."""

from __future__ import annotations

import bisect
import codecs
import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bayesnet.cohort.encode import Factor, factor_of_arrow
from bayesnet.errors import CohortError, MissingExtraError, Problem

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

__all__ = ["Block", "Piece", "TableSource", "open_table", "read_whole", "write_frame"]

#: Bytes of CSV that are parsed at a time; a row must fit.
CSV_BYTES = 4 << 20
DELIMITERS = ",;\t|"
CSV_ENDINGS = (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz")


@dataclass(frozen=True)
class Piece:
    """A part of a table that can be read by itself: a row group of a file, or a whole CSV."""

    file: str
    group: int
    first: int
    rows: int | None
    constants: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, eq=False)
class Block:
    """Some rows of a table.

    Attributes
    ----------
    factors : tuple of Factor
    table : pyarrow.Table
        The same columns.
    numbers : ndarray of int
        Row numbers in the whole table, from 0.
    unreadable : dict int -> str
        Rows in between that could not be read.
    """

    factors: tuple[Factor, ...]
    table: pa.Table
    numbers: npt.NDArray[np.int64]
    unreadable: dict[int, str]


@dataclass(frozen=True)
class TableSource:
    """A table on disk.

    Attributes
    ----------
    path : Path
    kind : str
        `csv` or `parquet`.
    names : tuple of str
    pieces : tuple of Piece
    rows : int or None
        None where counting would mean reading everything (CSV).
    bytes : int
    notes : tuple of str
        What a person should know: another encoding, columns that come twice.
    encoding, delimiter : str
        Of a CSV.
    """

    path: Path
    kind: str
    names: tuple[str, ...]
    pieces: tuple[Piece, ...]
    rows: int | None
    bytes: int
    notes: tuple[str, ...] = ()
    encoding: str = "utf-8"
    delimiter: str = ","

    def blocks(self, piece: Piece, size: int, columns: Iterable[str]) -> Iterator[Block]:
        """The piece's rows, at most `size` at a time, always cut at the same places."""
        wanted = set(columns)
        if self.kind == "csv":
            yield from _csv_blocks(self, size, wanted)
        else:
            yield from _parquet_blocks(piece, size, wanted)


def _pyarrow() -> Any:
    try:
        import pyarrow
    except ImportError as error:
        raise MissingExtraError("reading tables", "cohort") from error
    return pyarrow


def read_whole(path: str | Path) -> tuple[pa.Table, dict[int, str]]:
    """A table that fits in memory, and the rows that cannot be read (they are left out).

    Raises
    ------
    CohortError
    """
    pyarrow = _pyarrow()
    source = open_table(path)
    parts, unreadable = [], {}
    for piece in source.pieces:
        for block in source.blocks(piece, 100_000, source.names):
            parts.append(block.table)
            unreadable.update(block.unreadable)
    if not parts:
        return pyarrow.table({n: pyarrow.array([], pyarrow.string()) for n in source.names}), unreadable
    return pyarrow.concat_tables(parts, promote_options="permissive"), unreadable


def open_table(path: str | Path) -> TableSource:
    """Look at a table: its columns, size and pieces.

    Raises
    ------
    CohortError
        When it is missing, empty, or neither CSV nor Parquet.
    """
    _pyarrow()
    file = Path(path)
    if not file.exists():
        raise CohortError([Problem("there is no such file", str(file))])
    try:
        if file.is_dir() or file.suffix in (".parquet", ".pq"):
            return _open_parquet(file)
        if file.name.lower().endswith(CSV_ENDINGS):
            return _open_csv(file)
    except OSError as error:
        raise CohortError([Problem(f"cannot be read: {error}", str(file))]) from error
    raise CohortError([Problem(
        "expected .csv, .tsv (also .gz), .parquet, or a folder of Parquet files", str(file)
    )])


def write_frame(frame: pd.DataFrame, path: Path) -> None:
    """Write a pandas frame as .csv or .parquet."""
    pa = _pyarrow()
    table = pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None)
    try:
        if path.suffix == ".csv":
            import pyarrow.csv as pc

            words = [c.cast(c.type.value_type) if pa.types.is_dictionary(c.type) else c for c in table.columns]
            plain = pa.table(words, names=table.column_names)
            pc.write_csv(plain, path, pc.WriteOptions(quoting_style="needed"))
        else:
            import pyarrow.parquet as pq

            pq.write_table(table, path)
    except OSError as error:
        raise CohortError([Problem(f"cannot be written: {error}", str(path))]) from error


# ------------------------------------------------------------------ Parquet


def _open_parquet(path: Path) -> TableSource:
    import pyarrow as pa
    import pyarrow.parquet as pq

    files = [path] if path.is_file() else sorted(
        f for f in path.rglob("*.parquet") if not f.name.startswith(("_", "."))
    )
    if not files:
        raise CohortError([Problem("has no .parquet files", str(path))])
    pieces: list[Piece] = []
    names: dict[str, None] = {}
    first = 0
    for f in files:
        try:
            with pq.ParquetFile(f) as opened:
                meta = opened.metadata
                names |= dict.fromkeys(opened.schema_arrow.names)
                sizes = [meta.row_group(g).num_rows for g in range(meta.num_row_groups)]
        except (pa.ArrowInvalid, OSError) as error:
            raise CohortError([Problem(f"is not Parquet: {error}", str(f))]) from error
        inside = f.relative_to(path).parts[:-1] if path.is_dir() else ()
        constants = tuple((k, v) for p in inside for k, eq, v in [p.partition("=")] if eq)
        names |= dict.fromkeys(k for k, _ in constants)
        for g, n in enumerate(sizes):
            pieces.append(Piece(str(f), g, first, n, constants))
            first += n
    total = sum(f.stat().st_size for f in files)
    return TableSource(path, "parquet", tuple(names), tuple(pieces), first, total)


def _parquet_blocks(piece: Piece, size: int, wanted: set[str]) -> Iterator[Block]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(piece.file) as looked:
        schema = looked.schema_arrow
    words = [f.name for f in schema if pa.types.is_string(f.type) or pa.types.is_large_string(f.type)]
    names = [n for n in schema.names if n in wanted]
    at = piece.first
    with pq.ParquetFile(piece.file, read_dictionary=words) as file:
        if not names:
            for start in range(0, piece.rows or 0, size):
                n = min(size, (piece.rows or 0) - start)
                yield _block(pa.table({}), n, at + start, piece, wanted)
            return
        for batch in file.iter_batches(size, row_groups=[piece.group], columns=names):
            yield _block(pa.Table.from_batches([batch]), batch.num_rows, at, piece, wanted)
            at += batch.num_rows


def _block(table: pa.Table, n: int, at: int, piece: Piece, wanted: set[str]) -> Block:
    import pyarrow as pa

    factors = [factor_of_arrow(c, table.column(i)) for i, c in enumerate(table.column_names)]
    for k, v in piece.constants:
        if k in wanted:
            factors.append(Factor(k, np.zeros(n, np.int32), [v]))
            table = table.append_column(k, pa.array([v] * n))
    return Block(tuple(factors), table, np.arange(at, at + n), {})


# ------------------------------------------------------------------ CSV


def _open_csv(path: Path) -> TableSource:
    encoding, notes = _encoding_of(path)
    with io.TextIOWrapper(_stream(path), encoding, newline="") as text:
        head = text.readline()
    if not head.strip():
        raise CohortError([Problem("is empty: expected a line of column names", str(path))])
    delimiter = max(DELIMITERS, key=head.count)
    names = [n.lstrip("\ufeff").strip() for n in next(csv.reader([head], delimiter=delimiter))]
    twice = sorted({n for n in names if names.count(n) > 1})
    if twice:
        notes.append(f"columns that come twice are read together: {', '.join(map(repr, twice))}")
    piece = Piece(str(path), 0, 0, None)
    return TableSource(
        path, "csv", tuple(names), (piece,), None, path.stat().st_size, tuple(notes), encoding, delimiter,
    )


def _stream(path: Path) -> Any:
    import gzip

    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")


def _encoding_of(path: Path) -> tuple[str, list[str]]:
    """The first of UTF-16 (by its mark), UTF-8, Windows-1252 and Latin-1 that can read all of it."""
    with _stream(path) as file:
        start = file.read(4)
    if start[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        return "utf-16", ["is UTF-16, not UTF-8"]
    if start[:3] == codecs.BOM_UTF8:
        return "utf-8-sig", []
    for encoding in ("utf-8", "cp1252"):
        decoder = codecs.getincrementaldecoder(encoding)()
        with _stream(path) as file:
            try:
                while part := file.read(1 << 22):
                    decoder.decode(part)
                decoder.decode(b"", final=True)
            except UnicodeDecodeError:
                continue
        return encoding, [] if encoding == "utf-8" else ["is not UTF-8; read as Windows-1252"]
    return "latin-1", ["is not UTF-8; read as Latin-1"]


def _csv_blocks(source: TableSource, size: int, wanted: set[str]) -> Iterator[Block]:
    import pyarrow as pa
    import pyarrow.csv as pc

    ragged: list[int] = []
    said: dict[int, str] = {}

    def skip(row: Any) -> str:
        number = row.number - 2
        ragged.append(number)
        said[number] = f"has {row.actual_columns} cells, not {row.expected_columns}"
        return "skip"

    # Columns that come twice need names of their own while they are read.
    inner = [f"{i}" for i in range(len(source.names))]
    keep = [i for i, n in enumerate(source.names) if n in wanted]
    raw = _stream(source.path)
    stream = raw if source.encoding in ("utf-8", "utf-8-sig") else _Utf8(raw, source.encoding)
    done, seen = 0, 0
    try:
        reader = pc.open_csv(
            stream,
            read_options=pc.ReadOptions(
                use_threads=False, block_size=CSV_BYTES, column_names=inner, skip_rows=1
            ),
            parse_options=pc.ParseOptions(
                delimiter=source.delimiter, newlines_in_values=True, invalid_row_handler=skip,
                # The empty cell of a single column is an empty line.
                ignore_empty_lines=len(inner) > 1,
            ),
            convert_options=pc.ConvertOptions(
                column_types=dict.fromkeys(inner, pa.string()), strings_can_be_null=True,
                null_values=[""], include_columns=[inner[i] for i in keep] or inner[:1],
            ),
        )
        for batch in reader:
            table = pa.Table.from_batches([batch])
            for start in range(0, table.num_rows, size):
                part = table.slice(start, size)
                numbers = _numbers(done, part.num_rows, ragged)
                last = int(numbers[-1])
                lost = {k: said[k] for k in ragged[seen:] if k <= last}
                seen += len(lost)
                yield _csv_block(source, part, keep, numbers, lost)
                done = last + 1
        rest = {k: said[k] for k in ragged[seen:]}
        if rest:
            yield _csv_block(source, pa.table({n: [] for n in inner[:1]}), keep[:0], np.zeros(0, np.int64), rest)
    except pa.ArrowInvalid as error:
        if "Empty CSV" in str(error):
            return
        where = f"{source.path}, after row {done - 1}" if done else str(source.path)
        message = "a row is longer than 4 MB, or a quotation mark is never closed"
        if "straddling" not in str(error):
            message = str(error).split("\n")[0]
        raise CohortError([Problem(f"cannot be read on: {message}", where)]) from error
    finally:
        raw.close()


def _numbers(first: int, count: int, ragged: Sequence[int]) -> npt.NDArray[np.int64]:
    """The next `count` row numbers from `first` that are not in `ragged` (sorted)."""
    skipped = ragged[bisect.bisect_left(ragged, first):]
    free = np.arange(first, first + count + len(skipped))
    return np.setdiff1d(free, skipped, assume_unique=True)[:count]


def _csv_block(
    source: TableSource, part: pa.Table, keep: Sequence[int], numbers: npt.NDArray[np.int64],
    lost: dict[int, str],
) -> Block:
    factors = tuple(
        factor_of_arrow(source.names[i], part.column(k)) for k, i in enumerate(keep)
    )
    return Block(factors, part.rename_columns([source.names[i] for i in keep] or ["_"][: part.num_columns]),
                 numbers, lost)


class _Utf8(io.RawIOBase):
    """A byte stream in another encoding, as UTF-8."""

    def __init__(self, raw: Any, encoding: str) -> None:
        self._raw = raw
        self._decoder = codecs.getincrementaldecoder(encoding)()
        self._left = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._left:
            part = self._raw.read(1 << 20)
            self._left = self._decoder.decode(part, final=not part).encode("utf-8")
            if not part:
                break
        n = min(len(buffer), len(self._left))
        buffer[:n] = self._left[:n]
        self._left = self._left[n:]
        return n
