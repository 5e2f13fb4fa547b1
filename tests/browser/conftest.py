from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest
from servers import chromium, jupyter_server, launched, web_server

ARTEFACTS = Path(__file__).parent / "artefacts"

CELLS = [
    "import bayesnet\nmodel = bayesnet.load('pt_failure')\n"
    "explorer = bayesnet.Explorer(model, {'age': 34, 'sex': 'male'})\nexplorer",
    "explorer.evidence = {'age': 26, 'rest_response': 'worse', 'crp_or_esr': 'raised'}\n"
    "print('set from Python')",
    "print(sorted(explorer.evidence.items()), explorer.chosen, "
    "repr(explorer.result['axial_spondyloarthritis'].posterior))",
]


def need(condition: bool, what: str) -> None:
    """Skip with the reason; where everything must be there (CI), fail."""
    if not condition:
        message = f"browser tests need {what}"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)


def installed(*packages: str) -> bool:
    return all(importlib.util.find_spec(p) is not None for p in packages)


@pytest.fixture(scope="session")
def browser():
    need(installed("playwright"), "playwright: pip install 'bayesnet[test]'")
    need(chromium() is not None, "Chromium: make browser, or apt-get install chromium")
    ARTEFACTS.mkdir(exist_ok=True)
    with launched() as started:
        yield started


@pytest.fixture(scope="session")
def web_url():
    need(installed("starlette", "uvicorn"), "starlette and uvicorn: pip install 'bayesnet[web]'")
    with web_server() as url:
        yield url


@pytest.fixture(scope="session")
def jupyter_url():
    need(installed("jupyterlab", "anywidget"), "JupyterLab: pip install 'bayesnet[notebook]'")
    with jupyter_server(CELLS) as url:
        yield url


@pytest.fixture
def artefact(request):
    """Where this test's screenshots go."""
    return lambda name="": str(ARTEFACTS / f"{request.node.name}{name}.png")
