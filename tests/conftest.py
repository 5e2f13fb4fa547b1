from __future__ import annotations

from pathlib import Path

import pytest

import bayesnet

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def model() -> bayesnet.DiagnosticModel:
    return bayesnet.load("pt_failure")


@pytest.fixture(scope="session")
def networks() -> Path:
    return HERE / "networks"
