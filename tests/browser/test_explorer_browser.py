"""The explorer in a real browser: on `bayesnet serve` and in JupyterLab, by click and by key."""

from __future__ import annotations

import json
import re

import pytest
from accessibility import FOCUS_RING, problems

from bayesnet.diagnosis.words import percent, ratio
from bayesnet.shipped import data_file
from bayesnet.validation import read_cases

SPA = "axial_spondyloarthritis"


def state(page, finding, name):
    return page.locator(f".bn-row[data-finding={finding}] .bn-state[data-state='{name}']")


def posterior(page, cause=SPA):
    return float(page.locator(f".bn-cause[data-cause={cause}]").get_attribute("data-posterior"))


def shows(page, model, evidence, cause=SPA):
    """Wait until the page shows what Python computes for `evidence`, to the last bit."""
    wanted = model.diagnose(evidence)[cause]
    value = json.dumps(wanted.posterior)
    page.locator(f".bn-cause[data-cause={cause}][data-posterior='{value}']").wait_for(timeout=8000)
    assert posterior(page, cause) == wanted.posterior
    return wanted


def set_states(page, findings):
    """Click a state of each finding, found by searching for it."""
    search = page.get_by_role("searchbox", name="Search findings")
    for finding, name in findings.items():
        search.fill(finding.replace("_", " "))
        state(page, finding, name).click()
    search.fill("")


def show_all_causes(page):
    for group in page.locator(".bn-group > .bn-link").all():
        group.click()


@pytest.fixture
def page(browser, web_url):
    context = browser.new_context(viewport={"width": 1600, "height": 1000})
    context.set_default_timeout(8000)
    opened = context.new_page()
    opened.broken = []
    opened.on("pageerror", lambda e: opened.broken.append(str(e)))
    opened.on("console", lambda m: opened.broken.append(m.text) if m.type == "error" else None)
    opened.asked = []
    opened.on("request", lambda r: opened.asked.append(r.url))
    opened.goto(web_url)
    opened.get_by_role("region", name="bayesnet explorer").wait_for()
    show_all_causes(opened)
    yield opened
    assert opened.broken == []
    assert all(url.startswith(web_url) for url in opened.asked), "something was fetched from elsewhere"
    context.close()


def test_clicks_set_clear_and_undo(page, model, artefact):
    shows(page, model, {})
    state(page, "rest_response", "worse").click()
    shows(page, model, {"rest_response": "worse"})
    state(page, "exercise_response", "better").click()
    both = {"rest_response": "worse", "exercise_response": "better"}
    wanted = shows(page, model, both)
    cause = page.locator(f".bn-cause[data-cause={SPA}]")
    # The words are those of the command line.
    assert cause.locator(".bn-cause-value").inner_text() == percent(wanted.necessity)
    assert percent(wanted.posterior) in cause.inner_text()
    assert f"LR {ratio(wanted.likelihood_ratio)}" in cause.inner_text()
    cause.click()  # a chosen cause is drawn wherever it ranks
    node = page.locator(f"[data-node={SPA}]")
    assert percent(wanted.posterior) in node.get_attribute("aria-label")
    assert state(page, "rest_response", "worse").get_attribute("aria-checked") == "true"
    page.screenshot(path=artefact())
    state(page, "rest_response", "worse").click()
    shows(page, model, {"exercise_response": "better"})
    assert state(page, "rest_response", "worse").get_attribute("aria-checked") == "false"
    page.get_by_role("button", name="Undo").click()
    shows(page, model, both)
    page.get_by_role("button", name="Undo").click()
    shows(page, model, {"rest_response": "worse"})
    page.get_by_role("button", name="Reset").click()
    shows(page, model, {})


def test_keyboard_alone_sets_a_finding(page, model, artefact):
    page.get_by_role("searchbox", name="Search findings").focus()
    page.keyboard.type("stiff back")
    page.keyboard.press("Tab")  # the one section that matches
    assert page.evaluate("document.activeElement.tagName") == "SUMMARY"
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")  # past "not sure", to the states
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.dataset.state") == "over_30_min"
    ring = page.evaluate_handle("document.activeElement").evaluate(FOCUS_RING)
    assert ring["visible"]
    assert ring["width"] >= 2
    assert ring["line"] == "solid"
    page.screenshot(path=artefact())
    page.keyboard.press("Space")
    shows(page, model, {"morning_stiffness": "over_30_min"})
    page.keyboard.press("Enter")  # focus has stayed; again clears
    shows(page, model, {})


def test_network_by_keyboard_explains_a_cause(page, model):
    known = {"crp_or_esr": "raised", "rest_response": "worse", "exercise_response": "better"}
    set_states(page, known)
    shows(page, model, known)
    first = page.locator(".bn-node[tabindex='0']")
    assert first.count() == 1  # one stop for Tab; arrows do the rest
    first.focus()
    for _ in range(12):
        if page.evaluate("document.activeElement.dataset.node") == SPA:
            break
        page.keyboard.press("ArrowDown")
    if page.evaluate("document.activeElement.dataset.node") != SPA:
        page.locator(f"[data-node={SPA}]").focus()
    page.keyboard.press("Enter")
    why = model.diagnose(known).why(SPA)
    page.get_by_role("heading", name=f"Why {why.label}?").wait_for()
    weights = page.locator(".bn-weights tbody .bn-weight").all_inner_texts()
    wanted = []
    for _, weight, members in why.blocks():
        wanted += [weight] if len(members) == 1 else [weight, *(f.weight for f in members)]
    assert len(wanted) == 1 + (1 + 2)
    assert weights == [f"{w:+.1f}" for w in wanted]
    page.get_by_text("2 findings together, by way of inflammatory pain").wait_for()


def test_virtual_evidence_by_slider(page, model):
    page.get_by_role("searchbox", name="Search findings").fill("fever")
    row = page.locator(".bn-row[data-finding=fever]")
    row.get_by_role("button", name="Not sure: Fever").click()
    slider = row.get_by_role("slider")
    slider.focus()
    for _ in range(3):
        slider.press("PageUp")
    level = int(slider.input_value())
    assert 50 < level < 100
    evidence = {"fever": {"absent": (100 - level) / 100, "present": level / 100}}
    shows(page, model, evidence, "vertebral_infection")


def test_age_and_its_limits(page, model):
    age = page.locator(".bn-row[data-finding=age] input[type=number]")
    age.fill("71")
    age.press("Enter")
    shows(page, model, {"age": 71})
    age.fill("12")
    age.press("Enter")
    assert "outside 18 to 110 years" in page.get_by_role("alert").inner_text()
    assert posterior(page) == model.diagnose({"age": 71})[SPA].posterior


def test_published_case_question_and_copies(page, model, artefact):
    case = next(c for c in read_cases(data_file("cases", "dev_cases.jsonl")) if c.id == "medbullets-017")
    page.get_by_role("combobox", name="Load a published case").select_option(case.id)
    shows(page, model, case.evidence())
    assert case.summary in page.locator(".bn-story").inner_text()
    assert not page.get_by_text("Axial spondyloarthritis", exact=True).locator("visible=true").filter(
        has=page.locator(".bn-published")).count()
    page.get_by_role("button", name="Test", exact=True).click()
    first = page.locator(".bn-questions > li").first
    finding = first.get_attribute("data-finding")
    expected = model.diagnose(case.evidence()).next(["test"])
    assert finding == expected["finding"].iloc[0]
    page.screenshot(path=artefact())
    answer = model.network[finding].states[-1]
    first.locator(f".bn-state[data-state='{answer}']").click()
    evidence = {**case.evidence(), finding: answer}
    shows(page, model, evidence)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy JSON").click()
    assert json.loads(page.evaluate("navigator.clipboard.readText()")) == evidence
    page.get_by_role("button", name="Copy Python").click()
    names: dict = {}
    exec(page.evaluate("navigator.clipboard.readText()"), names)
    assert names["result"][SPA].posterior == posterior(page)


def test_ranking_follows_python(page, model):
    state(page, "rest_response", "worse").click()
    result = model.diagnose({"rest_response": "worse"})
    shows(page, model, {"rest_response": "worse"})
    for by in ("posterior", "likelihood_ratio", "necessity"):
        page.get_by_role("combobox", name="Rank by").select_option(by)
        shown = page.locator(".bn-ranked").first.locator(".bn-cause").evaluate_all(
            "all => all.map(e => e.dataset.cause)"
        )
        assert shown == [r.cause for r in result.ranked("diagnoses", by)]


def test_hover_lights_the_paths(page):
    set_states(page, {"crp_or_esr": "raised", "rest_response": "worse"})
    page.locator("[data-node=rest_response]").wait_for()
    page.locator(f"[data-node={SPA}]").hover()
    page.wait_for_selector(".bn-edge.bn-lit")
    lit = page.locator(".bn-node.bn-lit").evaluate_all("all => all.map(e => e.dataset.node)")
    assert {SPA, "inflammatory_pain", "pain_pattern", "rest_response"} <= set(lit)
    assert "depression" not in lit


def test_whole_network_zoom_and_pan(page, model, artefact):
    page.get_by_role("button", name="Whole network").click()
    page.locator("[data-node=hla_b27]").wait_for()
    assert page.locator(".bn-node").count() == len(model.network)
    world = page.locator(".bn-svg > g")
    before = world.get_attribute("transform")
    page.get_by_role("button", name="Zoom in").click()
    zoomed = world.get_attribute("transform")
    assert zoomed != before
    box = page.locator(".bn-canvas").bounding_box()
    page.mouse.move(box["x"] + 5, box["y"] + 200)
    page.mouse.down()
    page.mouse.move(box["x"] + 105, box["y"] + 230, steps=4)
    page.mouse.up()
    assert world.get_attribute("transform") != zoomed
    page.screenshot(path=artefact())


SIZES = """() => {
  const seen = (n) => !n.closest('.bn-hidden') && n.getBoundingClientRect().width > 0;
  const all = [...document.querySelectorAll('.bn-explorer *')].filter(seen);
  const told = all.filter((n) => [...n.childNodes].some((c) => c.nodeType === 3 && c.textContent.trim()));
  const size = (n) => parseFloat(getComputedStyle(n).fontSize) * (n.closest('svg') ? n.getScreenCTM().a : 1);
  const pressed = all.filter((n) => n.matches('button, select, input, summary, [role=button]'));
  const least = (n) => Math.min(n.getBoundingClientRect().width, n.getBoundingClientRect().height);
  const name = (n) => n.getAttribute('class') ?? n.tagName;
  return {
    letters: told.map((n) => [size(n), name(n)]), targets: pressed.map((n) => [least(n), name(n)]),
    wide: document.documentElement.scrollWidth,
  };
}"""


@pytest.mark.parametrize("width", [430, 1024, 1400])
def test_letters_can_be_read_and_fingers_hit(browser, web_url, width):
    """12 pixels and more, in the network too; on a phone, 40 pixels to touch; nothing sticks out."""
    tab = browser.new_page(viewport={"width": width, "height": 900}, reduced_motion="reduce")
    tab.goto(web_url)
    tab.get_by_role("combobox", name="Load a published case").select_option("medbullets-017")
    tab.locator(".bn-cause[data-cause=axial_spondyloarthritis]").click()
    tab.locator(".bn-weights").wait_for()
    found = tab.evaluate(SIZES)
    tab.close()
    assert min(found["letters"])[0] >= 11.99, min(found["letters"])
    assert found["wide"] == width
    if width < 700:
        assert min(found["targets"])[0] >= 39.9, min(found["targets"])


def test_bars_say_what_they_are_drawn_to(page, model):
    page.get_by_role("combobox", name="Load a published case").select_option("medbullets-017")
    page.locator(".bn-chip").first.wait_for()
    scale = page.locator(".bn-group").first.locator(".bn-scale span")
    bar = page.locator(".bn-cause").first
    for measure, marks in (("necessity", ["0", "10 %", "20 %"]), ("posterior", ["0", "50 %", "100 %"])):
        page.get_by_role("combobox", name="Rank by").select_option(measure)
        assert scale.all_inner_texts() == marks
        end = float(marks[-1].removesuffix(" %")) / 100
        width = float(bar.locator(".bn-fill").get_attribute("style").split("width: ")[1].split("%")[0])
        assert width / 100 == pytest.approx(float(bar.get_attribute(f"data-{measure}")) / end, abs=1e-3)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [768, 1600])
def test_accessible(browser, web_url, scheme, width, artefact):
    context = browser.new_context(
        viewport={"width": width, "height": 1000}, color_scheme=scheme, reduced_motion="reduce"
    )
    page = context.new_page()
    page.goto(web_url)
    page.get_by_role("combobox", name="Load a published case").select_option("acsm-myeloma-56m")
    page.locator(".bn-triage[data-level=urgent]").wait_for()
    page.locator(".bn-cause").first.click()
    page.locator(".bn-weights").wait_for()
    page.locator(".bn-section summary").first.click()
    explorer = page.get_by_role("region", name="bayesnet explorer")
    page.screenshot(path=artefact(), full_page=True)
    assert problems(explorer) == []
    # Nothing sticks out to the side, and the disclaimer is there.
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert "Not a medical device" in page.locator(".bn-foot").inner_text()
    live = page.locator("[aria-live=polite]").inner_text()
    assert live.startswith("Urgent. Most probable diagnosis:")
    context.close()


def test_docs_page_asks_the_api(browser, web_url, model, artefact):
    context = browser.new_context(viewport={"width": 1100, "height": 900})
    page = context.new_page()
    asked = []
    page.on("request", lambda r: asked.append(r.url))
    page.goto(f"{web_url}/docs")
    page.get_by_role("button", name="Try /v1/diagnose").click()
    out = page.locator("section", has_text="POST /v1/diagnose").locator("pre")
    out.get_by_text("disclaimer").wait_for()
    status, _, text = out.inner_text().partition("\n")
    assert status == "200"
    given = json.loads(text)
    assert given["causes"] == json.loads(json.dumps(model.diagnose(given["findings"]).to_dict()["causes"]))
    page.screenshot(path=artefact())
    assert all(url.startswith(web_url) for url in asked)
    context.close()


@pytest.fixture(scope="module")
def lab(browser, jupyter_url):
    from playwright.sync_api import TimeoutError as PlaywrightTimeout

    context = browser.new_context(viewport={"width": 1720, "height": 1100})
    context.set_default_timeout(8000)
    opened = context.new_page()
    # On a busy machine JupyterLab asks about the kernel that is still starting.
    opened.add_locator_handler(
        opened.locator("dialog.jp-Dialog"),
        lambda dialog: dialog.locator(".jp-Dialog-button.jp-mod-accept").click(),
    )
    opened.goto(jupyter_url)
    opened.locator(".jp-Cell .cm-content").first.wait_for(timeout=30000)
    # While the kernel connects, a cell that is run is dropped without a word.
    taken = opened.locator(".jp-Cell").first.locator(".jp-InputPrompt", has_text=re.compile(r"[*\d]"))
    for _ in range(15):
        run_cell(opened, 0)
        try:
            taken.wait_for(timeout=2000)
            break
        except PlaywrightTimeout:
            continue
    opened.get_by_role("region", name="bayesnet explorer").wait_for(timeout=30000)
    show_all_causes(opened)
    yield opened
    context.close()


def run_cell(page, index):
    page.locator(".jp-Cell .cm-content").nth(index).click()
    page.keyboard.press("Shift+Enter")


def printed(page, index):
    return page.locator(".jp-Cell").nth(index).locator(".jp-OutputArea-output").last


def test_jupyter_clicks_reach_python_and_back(lab, model, artefact):
    shows(lab, model, {"age": 34, "sex": "male"})
    state(lab, "rest_response", "worse").click()
    evidence = {"age": 34, "sex": "male", "rest_response": "worse"}
    wanted = shows(lab, model, evidence)
    lab.locator(f".bn-cause[data-cause={SPA}]").click()
    lab.get_by_role("heading", name="Why Axial spondyloarthritis?").wait_for()
    lab.screenshot(path=artefact())
    run_cell(lab, 2)
    output = printed(lab, 2)
    output.get_by_text("rest_response").wait_for()
    assert output.inner_text().strip() == (
        f"{sorted(evidence.items())} {SPA} {wanted.posterior!r}"
    )
    run_cell(lab, 1)
    after = {"age": 26, "rest_response": "worse", "crp_or_esr": "raised"}
    shows(lab, model, after)
    assert state(lab, "crp_or_esr", "raised").get_attribute("aria-checked") == "true"
    assert lab.locator(".bn-chip").count() == 3
    # What Python did can be undone by hand.
    lab.get_by_role("button", name="Undo").click()
    shows(lab, model, evidence)


def test_jupyter_leaves_keys_to_the_explorer(lab, model):
    cells = lab.locator(".jp-Cell").count()
    lab.get_by_role("button", name="Reset").click()
    shows(lab, model, {})
    search = lab.get_by_role("searchbox", name="Search findings")
    search.fill("course")
    target = state(lab, "course", "improving")
    target.focus()
    lab.keyboard.press("ArrowRight")
    lab.keyboard.press("b")  # in a notebook's command mode: insert a cell below
    lab.keyboard.press("Space")
    shows(lab, model, {"course": "stable"})
    assert lab.locator(".jp-Cell").count() == cells
    search.fill("")


def test_jupyter_accessible(lab, artefact):
    explorer = lab.get_by_role("region", name="bayesnet explorer")
    lab.screenshot(path=artefact())
    assert problems(explorer) == []
