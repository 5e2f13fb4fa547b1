"""Rows per second of `bayesnet score`, beside the engine alone: `make bench-cohort` (ROWS=...)."""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

import bayesnet
from bayesnet.cohort.encode import encode, factor_of_pandas
from bayesnet.cohort.mapping import default_mapping

HERE = Path(__file__).parent


def patients(model: bayesnet.DiagnosticModel, rows: int) -> pd.DataFrame:
    """Simulated patients in whom therapy failed: age and sex, and a sixth of the rest."""
    known = set(model.strata.by)
    return model.simulate(
        rows, seed=1, given={"pt_failure": True},
        missing={v: 0.83 for v in model.network.variables if v not in known},
    )


def make_table(path: Path, rows: int) -> None:
    """A Parquet file of simulated patients: a quarter of a million, again and again."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    model = bayesnet.load("pt_failure")
    part = min(rows, 250_000)
    frame = patients(model, part)
    table = pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None)
    with pq.ParquetWriter(path, table.schema) as writer:
        for start in range(0, rows, part):
            writer.write_table(table.slice(0, min(part, rows - start)))


def engine_rate() -> float:
    """Rows a second of the engine alone, on the same kind of rows."""
    model = bayesnet.load("pt_failure")
    frame = patients(model, 100_000)
    factors = [factor_of_pandas(c, frame[c]) for c in frame.columns]
    codes = encode(
        model.network, tuple(model.network.variables), factors, len(frame),
        default_mapping(model.network, frame.columns),
    ).codes.copy()
    codes[:, list(model.network.variables).index("pt_failure")] = 1
    model.strata.run_codes(codes[:20_000], model.causes)
    best = np.inf
    for _ in range(3):
        start = time.perf_counter()
        model.strata.run_codes(codes, model.causes)
        best = min(best, time.perf_counter() - start)
    return len(codes) / best


def scoring(source: str, out: str, jobs: int, result: multiprocessing.Queue) -> None:
    """One run of `score`, in a process of its own: seconds and peak MiB."""
    from bayesnet.cohort import score

    start = time.perf_counter()
    score(bayesnet.load("pt_failure"), source, out, memory="1GiB", jobs=jobs)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    result.put((time.perf_counter() - start, peak))


def scoring_on_workers(source: str, out: str, workers: int, result: multiprocessing.Queue) -> None:
    """One run of `score` on a local Dask cluster: seconds (peak memory is the workers' own)."""
    from distributed import Client, LocalCluster

    from bayesnet.cohort import score

    with LocalCluster(
        n_workers=workers, threads_per_worker=1, processes=True, dashboard_address=None
    ) as cluster, Client(cluster) as client:
        start = time.perf_counter()
        score(bayesnet.load("pt_failure"), source, out, memory="1GiB", dask=client)
        result.put((time.perf_counter() - start, float("nan")))


def measured(rows: int) -> str:
    """The table as Markdown."""
    alone = engine_rate()
    every = os.cpu_count() or 1
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "patients.parquet")
        make_table(source, rows)
        lines = [
            f"`bayesnet score` of {rows:,} rows ({source.stat().st_size / 2**20:.0f} MiB of Parquet) with a "
            f"budget of 1 GiB. The engine alone answers {alone:,.0f} rows a second on {every} processors.\n",
            "| run | rows/s | share of the engine alone | seconds | peak MiB |",
            "|---|---|---|---|---|",
        ]
        runs = [
            *((scoring, jobs, f"{jobs} processors" if jobs > 1 else "1 processor") for jobs in (1, every)),
            *((scoring_on_workers, n, f"Dask, {n} worker{'s' * (n > 1)}") for n in (1, every)),
        ]
        for run, jobs, name in runs:
            context = multiprocessing.get_context("spawn")
            result = context.Queue()
            out = str(Path(folder, f"{name}.parquet"))
            process = context.Process(target=run, args=(str(source), out, jobs, result))
            process.start()
            seconds, peak = result.get()
            process.join()
            share = f"{rows / seconds / alone:.0%}" if jobs == every else ""
            shown = f"{peak:.0f}" if np.isfinite(peak) else ""
            lines.append(f"| {name} | {rows / seconds:,.0f} | {share} | {seconds:.0f} | {shown} |")
            print(lines[-1], flush=True)
    return "\n".join(lines)


def interrupted(rows: int, after: float) -> None:
    """Print how long a whole run takes, and one that is killed with SIGKILL and given again."""

    def run(source: Path, out: Path, kill: float | None = None) -> str:
        start = time.perf_counter()
        command = [sys.executable, "-m", "bayesnet", "score", str(source), "-o", str(out), "--memory", "1GiB"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        if kill is not None:
            time.sleep(kill)
            process.kill()
        said = process.communicate()[0].strip().splitlines()
        return f"{time.perf_counter() - start:.0f} s, exit {process.returncode}; {'; '.join(said)}"

    def digest(path: Path) -> str:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    with tempfile.TemporaryDirectory() as folder:
        source, whole, parts = (Path(folder, f"{n}.parquet") for n in ("in", "whole", "parts"))
        make_table(source, rows)
        print(f"engine alone: {engine_rate():,.0f} rows/s")
        print("whole:", run(source, whole))
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        print(f"peak: {peak:.0f} MiB; output: {whole.stat().st_size / 2**20:,.0f} MiB")
        print("killed:", run(source, parts, after))
        print("again:", run(source, parts))
        print("same bytes:", digest(whole) == digest(parts))


def main() -> None:
    """Measure, and write the table into benchmarks/README.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument(
        "--interrupt", type=float, metavar="SECONDS",
        help="Instead: one whole run, and one killed after SECONDS and resumed, compared byte by byte.",
    )
    asked = parser.parse_args()
    if asked.interrupt is not None:
        interrupted(asked.rows, asked.interrupt)
        return
    text = measured(asked.rows)
    report = HERE / "README.md"
    before, _, rest = report.read_text(encoding="utf-8").partition("<!-- cohort -->\n")
    _, _, after = rest.partition("<!-- /cohort -->\n")
    report.write_text(f"{before}<!-- cohort -->\n{text}\n<!-- /cohort -->\n{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
