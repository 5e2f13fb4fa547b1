"""What an accessibility checker would say of the explorer, asked of the page itself."""

from __future__ import annotations

#: Roles of WAI-ARIA 1.2 that the explorer may use.
ROLES = {
    "alert", "button", "group", "img", "list", "listitem", "radio", "radiogroup", "region", "status",
}

#: Accessible names after the parts of the Accessible Name Computation that the page relies on.
NAMES = """root => {
  const text = id => (document.getElementById(id)?.textContent ?? "").trim();
  const name = e => (e.getAttribute("aria-labelledby") ?? "").split(" ").map(text).join(" ").trim()
    || (e.getAttribute("aria-label") ?? "").trim()
    || [...(e.labels ?? [])].map(l => l.textContent.trim()).join(" ")
    || (["INPUT", "SELECT"].includes(e.tagName) ? "" : e.textContent.trim());
  const controls = "button, input, select, textarea, a, summary, [role=button], [role=radio], " +
    "[role=radiogroup], [role=region], [role=group], [tabindex]";
  return [...root.querySelectorAll(controls)].filter(e => !e.closest("[aria-hidden=true]") && !name(e))
    .map(e => e.outerHTML.slice(0, 160));
}"""

ROLES_USED = """root => [root, ...root.querySelectorAll("[role]")].map(e => e.getAttribute("role"))"""

BAD_REFERENCES = """root => [...root.querySelectorAll("[aria-labelledby]")].flatMap(
  e => e.getAttribute("aria-labelledby").split(" ")).filter(id => !document.getElementById(id))"""

REPEATED_IDS = """() => {
  const ids = [...document.querySelectorAll(".bn-explorer [id]")].map(e => e.id);
  return ids.filter((id, i) => ids.indexOf(id) !== i);
}"""

#: Contrast of visible text with what is painted behind it (WCAG 2.2, 1.4.3: 4.5 to 1, large text 3).
CONTRAST = """root => {
  const parse = c => (c.match(/[\\d.]+/g) ?? [0, 0, 0, 0]).map(Number);
  const over = ([r, g, b, a = 1], below) => [r, g, b].map((x, i) => x * a + below[i] * (1 - a));
  const luminance = c => c.map(x => x / 255).map(x => x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4)
    .reduce((sum, x, i) => sum + x * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = e => {
    const layers = [];
    for (let p = e; p; p = p.parentElement) {
      const box = p.matches?.("g.bn-node") ? p.querySelector(".bn-box") : null;
      layers.push(parse(box ? getComputedStyle(box).fill : getComputedStyle(p).backgroundColor));
    }
    return layers.reverse().reduce((below, c) => over(c, below), [255, 255, 255]);
  };
  const poor = [];
  const seen = [];
  for (const e of root.querySelectorAll("*")) {
    const words = [...e.childNodes].filter(n => n.nodeType === 3).map(n => n.textContent.trim()).join("");
    const box = e.getBoundingClientRect();
    if (!words || !box.width || e.closest(":disabled, option, title, .bn-hidden")) continue;
    const style = getComputedStyle(e);
    const ground = behind(e);
    const ink = over(parse(e instanceof SVGElement ? style.fill : style.color), ground);
    const [hi, lo] = [luminance(ink), luminance(ground)].sort((a, b) => b - a);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    const ratio = (hi + 0.05) / (lo + 0.05);
    seen.push(ratio);
    if (ratio < (large ? 3 : 4.5)) poor.push(`${words.slice(0, 40)}: ${ratio.toFixed(2)}`);
  }
  return { poor, count: seen.length };
}"""

#: Controls smaller than 24 by 24 pixels (WCAG 2.2, 2.5.8); links in running text are exempt.
SMALL_TARGETS = """root => [...root.querySelectorAll("button, select, input")].filter(e => {
  const box = e.getBoundingClientRect();
  return box.width && !e.matches(".bn-link") && (box.width < 24 || box.height < 24);
}).map(e => e.outerHTML.slice(0, 120))"""

FOCUS_RING = """e => {
  const style = getComputedStyle(e);
  return { visible: e.matches(":focus-visible"), width: parseFloat(style.outlineWidth), line: style.outlineStyle };
}"""


def problems(explorer) -> list[str]:
    """Everything that is wrong with the part of the page under `explorer` (a Playwright locator)."""
    found = [f"no name: {e}" for e in explorer.evaluate(NAMES)]
    found += [f"role {r}" for r in set(explorer.evaluate(ROLES_USED)) - ROLES]
    found += [f"names a missing id: {i}" for i in explorer.evaluate(BAD_REFERENCES)]
    found += [f"id twice: {i}" for i in explorer.page.evaluate(REPEATED_IDS)]
    contrast = explorer.evaluate(CONTRAST)
    assert contrast["count"] > 100, "hardly any text was measured"
    found += [f"contrast: {c}" for c in contrast["poor"]]
    found += [f"too small: {e}" for e in explorer.evaluate(SMALL_TARGETS)]
    return found
