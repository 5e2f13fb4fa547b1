"""Importing stays light; pictures need no display."""

from __future__ import annotations

import subprocess
import sys


def imported(statement: str) -> set[str]:
    code = f"import sys; {statement}; print(' '.join({{m.split('.')[0] for m in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_import_brings_no_heavy_library():
    heavy = {"pgmpy", "pandas", "matplotlib", "networkx", "scipy", "sklearn", "pydantic", "typer",
             "anywidget", "traitlets", "starlette", "uvicorn"}
    assert not heavy & imported("import bayesnet")


def test_diagnosis_brings_neither_pgmpy_nor_matplotlib():
    statement = "import bayesnet; bayesnet.load('pt_failure').diagnose({'fever': True})"
    assert not {"pgmpy", "matplotlib", "pandas", "networkx"} & imported(statement)
