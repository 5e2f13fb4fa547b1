"""A real browser, a real `bayesnet serve`, a real JupyterLab; for the tests and the screenshots."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[1]
TOKEN = "explorer"


def chromium() -> str | None:
    """The system's Chromium."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


@contextmanager
def launched():
    """Chromium, driven by Playwright."""
    from playwright.sync_api import sync_playwright

    # A container's root may not use the sandbox.
    flags = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=flags)
        yield browser
        browser.close()


def _environment(**more: str) -> dict[str, str]:
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1", **more}


@contextmanager
def _running(command: list[str], pattern: str, **options) -> Iterator[re.Match]:
    """The process, once it has printed what `pattern` finds."""
    process = subprocess.Popen(
        [sys.executable, "-m", *command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, **options,
    )
    said = []
    try:
        for line in process.stdout:
            said.append(line)
            if found := re.search(pattern, line):
                break
        else:
            raise RuntimeError("".join(said))
        yield found
    finally:
        process.terminate()
        try:
            process.communicate(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


@contextmanager
def web_server() -> Iterator[str]:
    """`bayesnet serve` on a free port; its address."""
    command = ["bayesnet", "serve", "--port", "0"]
    with _running(command, r"http://\S+", cwd=ROOT, env=_environment()) as found:
        yield found.group()


def notebook(cells: list[str]) -> str:
    """A notebook's text."""
    return json.dumps({
        "nbformat": 4, "nbformat_minor": 5,
        "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
        "cells": [
            {"cell_type": "code", "id": f"cell-{i}", "metadata": {}, "source": source, "outputs": [],
             "execution_count": None}
            for i, source in enumerate(cells)
        ],
    })


@contextmanager
def jupyter_server(cells: list[str], dark: bool = False) -> Iterator[str]:
    """A JupyterLab with one notebook, whose settings are thrown away; the notebook's address."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        shown = Path(folder, "notebooks")
        shown.mkdir()
        (shown / "explorer.ipynb").write_text(notebook(cells), encoding="utf-8")
        homes = {
            name: str(Path(folder, name.lower()))
            for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR",
                         "JUPYTERLAB_WORKSPACES_DIR", "JUPYTERLAB_SETTINGS_DIR")
        }
        settings = Path(homes["JUPYTERLAB_SETTINGS_DIR"], "@jupyterlab", "apputils-extension")
        settings.mkdir(parents=True)
        for name, values in {
            "notification": {"fetchNews": "false", "checkForUpdates": False},
            "themes": {"theme": "JupyterLab Dark" if dark else "JupyterLab Light"},
        }.items():
            (settings / f"{name}.jupyterlab-settings").write_text(json.dumps(values), encoding="utf-8")
        command = [
            "jupyterlab", "--no-browser", "--ServerApp.ip=127.0.0.1", "--ServerApp.port=0",
            f"--IdentityProvider.token={TOKEN}", "--allow-root", f"--ServerApp.root_dir={shown}",
        ]
        options = {"cwd": shown, "env": _environment(**homes)}
        with _running(command, r"http://127\.0\.0\.1:\d+/lab", **options) as found:
            _wait_for(f"{found.group().removesuffix('/lab')}/api?token={TOKEN}")
            yield f"{found.group()}/tree/explorer.ipynb?token={TOKEN}"


def _wait_for(url: str, patience: float = 20) -> None:
    end = time.monotonic() + patience
    while True:
        try:
            urllib.request.urlopen(url, timeout=2).read()
            return
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)
