"""Screenshots of the explorer on a published case: `make pictures`."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from servers import jupyter_server, launched, web_server  # noqa: E402

IMAGES = ROOT / "docs" / "images"
CASE = "medbullets-017"
CAUSE = "axial_spondyloarthritis"
CELL = (
    "import bayesnet\n"
    "from bayesnet.validation import shipped_case\n\n"
    "model = bayesnet.load('pt_failure')\n"
    f"result = model.diagnose(shipped_case('{CASE}').evidence('findings'))\n"
    "result.explore()"
)


def page(browser) -> None:
    """The page of `bayesnet serve`, with a cause explained."""
    with web_server() as url:
        tab = browser.new_page(viewport={"width": 1440, "height": 900}, reduced_motion="reduce")
        tab.goto(url)
        tab.get_by_role("combobox", name="Load a published case").select_option(CASE)
        tab.locator(f".bn-cause[data-cause={CAUSE}]").click()
        tab.locator(".bn-weights").wait_for()
        tab.mouse.move(0, 0)
        tab.screenshot(path=str(IMAGES / "explorer.png"))


def notebook(browser) -> None:
    """The widget in a dark JupyterLab."""
    with jupyter_server([CELL], dark=True) as url:
        tab = browser.new_page(viewport={"width": 1440, "height": 1000}, reduced_motion="reduce")
        tab.goto(url)
        tab.locator(".jp-Cell .cm-content").first.wait_for(timeout=30000)
        tab.wait_for_timeout(5000)  # until the kernel is connected
        tab.locator(".jp-Cell .cm-content").first.click()
        tab.keyboard.press("Shift+Enter")
        tab.locator(f".bn-cause[data-cause={CAUSE}]").wait_for(timeout=30000)
        tab.get_by_role("tab", name="File Browser").first.click()
        tab.wait_for_timeout(1500)
        tab.screenshot(path=str(IMAGES / "explorer_notebook.png"))


if __name__ == "__main__":
    with launched() as chromium:
        page(chromium)
        notebook(chromium)
