"""The model card's comparisons with patients' data are what the command computes today."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

NUMBER = re.compile(r"[+-]?\d[\d,]*\.?\d*(?:e[+-]?\d+)?")


def test_committed_comparisons_are_those_of_the_command():
    run = subprocess.run(
        [sys.executable, "data/surveys/compare.py"], capture_output=True, text=True, check=True
    )
    written = Path("models/pt_failure/real_patients.md").read_text(encoding="utf-8")
    hint = "run: python data/surveys/compare.py --write"
    assert NUMBER.sub("#", run.stdout).replace(" *", "") == NUMBER.sub("#", written).replace(" *", ""), hint
    for a, b in zip(NUMBER.findall(run.stdout), NUMBER.findall(written), strict=True):
        # Another machine may round another way in the last digit.
        x, y = (float(t.replace(",", "").rstrip(".") or 0) for t in (a, b))
        digits = len(b.partition(".")[2]) if "e" not in b else 9
        assert abs(x - y) <= 1.01 * 10 ** -digits + 0.02 * abs(y), (a, b, hint)
