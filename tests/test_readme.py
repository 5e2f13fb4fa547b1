"""README shows what really comes out. `python tests/test_readme.py` writes the outputs anew."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
BLOCK = re.compile(r"```(python|console)\n(.*?)```(?:\n\n?```text\n(.*?)```)?", re.DOTALL)


def output_of_python(code: str, names: dict) -> str:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(code, "README.md", "exec"), names)
    return out.getvalue()


def output_of_console(block: str) -> str:
    command = block.splitlines()[0].removeprefix("$ ")
    assert command.startswith("bayesnet ")
    done = subprocess.run(
        [sys.executable, "-m", *shlex.split(command)], capture_output=True, text=True, check=True,
        cwd=ROOT, env={**os.environ, "COLUMNS": "118", "PYTHONIOENCODING": "utf-8",
                       "NO_COLOR": "1", "TERM": "dumb"},
    )
    return f"$ {command}\n" + "\n".join(x.rstrip() for x in done.stdout.splitlines()) + "\n"


def blocks():
    return list(BLOCK.finditer(README.read_text(encoding="utf-8")))


def test_readme_has_blocks():
    kinds = [m.group(1) for m in blocks()]
    assert "python" in kinds
    assert "console" in kinds


def test_python_blocks_print_what_readme_says(monkeypatch):
    monkeypatch.chdir(ROOT)
    names: dict = {}
    for m in blocks():
        if m.group(1) == "python":
            out = output_of_python(m.group(2), names)
            if m.group(3) is not None:
                assert out == m.group(3)


@pytest.mark.parametrize("index", range(sum(m.group(1) == "console" for m in blocks())))
def test_console_blocks_print_what_readme_says(index):
    block = [m for m in blocks() if m.group(1) == "console"][index]
    assert output_of_console(block.group(2)) == block.group(2)


def write() -> None:
    names: dict = {}

    def fresh(m: re.Match) -> str:
        if m.group(1) == "console":
            return f"```console\n{output_of_console(m.group(2))}```"
        out = output_of_python(m.group(2), names)
        text = f"```python\n{m.group(2)}```"
        return text if m.group(3) is None else f"{text}\n\n```text\n{out}```"

    os.chdir(ROOT)
    README.write_text(BLOCK.sub(fresh, README.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    write()
