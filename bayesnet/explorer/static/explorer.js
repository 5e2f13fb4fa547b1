// The explorer: findings on the left, the network in the middle, the answer on the right.
// It computes no probabilities. `_model` says what there is, `_view` what to draw; a click sends
// `_request` {number, evidence, chosen} and the next `_view` answers it.

const SVG = "http://www.w3.org/2000/svg";
const NODE = { group: 24, title: 30 };
const BOW = 26; // room for arcs within the first column
const TALL = { width: 166, gapX: 40, height: 54, gapY: 8, most: 30 };
const NARROW = { ...TALL, width: 130, gapX: 18 }; // for a canvas of fewer pixels than:
const NARROW_BELOW = 970;
const FLAT = { width: 272, gapX: 64, height: 31, gapY: 5, most: 5 };
const LABEL = 13; // pixels; as .bn-label in explorer.css
const SMALLEST_FIT = 12 / LABEL; // letters of 12 pixels; what then does not fit is reached by dragging
const FAMILIES = ["underlying", "structural", "fallback", "psychosocial", "programme"];
const GROUPS = { diagnoses: ["Diagnoses", 5], contributors: ["Person and programme", 3] };
const ASKED = { ask: "Ask", examine: "Examine", test: "Test" };
const LEVELS = { emergency: "Emergency", urgent: "Urgent", routine: "Routine" };
const MOST_UNDO = 200;
const PATIENCE = 8000; // milliseconds until the page says that nothing answers
let instances = 0;

// ---------------------------------------------------------------- words and small helpers

// As `bayesnet.diagnosis.words.percent`: never 0 % or 100 % unless it is that to twelve digits.
export function percent(p) {
  if (p === null || p === undefined || Number.isNaN(p)) return "-";
  p = Number(p.toPrecision(12));
  if (p === 0 || p === 1) return `${100 * p} %`;
  if (p < 0.001) return "<0.1 %";
  if (p > 0.999) return ">99.9 %";
  return p < 0.1 || p > 0.99 ? `${(100 * p).toFixed(1)} %` : `${(100 * p).toFixed(0)} %`;
}

// As `bayesnet.diagnosis.words.ratio`.
export function ratio(x, certain) {
  if (certain) return "certain";
  if (x === null || x === undefined) return "-";
  if (x >= 10) return Math.round(x).toLocaleString("en-US");
  return x >= 0.95 ? x.toFixed(1) : String(Number(x.toPrecision(2)));
}

const words = (text) => String(text).replaceAll("_", " ");
const capital = (text) => text.slice(0, 1).toUpperCase() + text.slice(1);
const signed = (x) => (x === null ? "certain" : `${x <= -0.05 ? "−" : "+"}${Math.abs(x).toFixed(1)}`);
const unbroken = (text) => text.replace(/(\d) %/g, "$1\u00a0%");
const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);

function make(tag, attributes = {}, ...children) {
  const svg = ["svg", "g", "path", "rect", "text", "tspan", "title", "line"].includes(tag);
  const node = svg ? document.createElementNS(SVG, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "on") {
      for (const [event, listener] of Object.entries(value)) node.addEventListener(event, listener);
    } else if (value !== null && value !== false) {
      node.setAttribute(name, value === true ? "" : value);
    }
  }
  node.append(...children.filter((c) => c !== null && c !== undefined));
  return node;
}

function button(text, attributes = {}, listener = null) {
  return make("button", { type: "button", ...attributes, on: listener ? { click: listener } : {} }, text);
}

function hidden(text) {
  return make("span", { class: "bn-hidden" }, text);
}

const ruler = document.createElement("canvas").getContext("2d");

function widthOf(text, bold = false) {
  ruler.font = `${bold ? 700 : 400} ${LABEL}px system-ui, sans-serif`;
  return ruler.measureText(text).width * 1.03;
}

// The text, cut where it would be wider than `width` pixels; `tail` is kept whole.
function cut(text, width, bold = false, tail = "") {
  if (widthOf(text + tail, bold) <= width) return text + tail;
  let kept = text;
  while (kept && widthOf(`${kept}…${tail}`, bold) > width) kept = kept.slice(0, -1);
  return `${kept.trimEnd()}…${tail}`;
}

// Text in at most `most` lines of `width` pixels.
function lines(text, width, most) {
  const found = [""];
  for (const word of text.split(" ")) {
    const longer = found.at(-1) ? `${found.at(-1)} ${word}` : word;
    if (found.length === most || !found.at(-1) || widthOf(longer) <= width) found[found.length - 1] = longer;
    else found.push(word);
  }
  return found.map((line) => cut(line, width));
}

// ---------------------------------------------------------------- the explorer

class Explorer {
  constructor(model, el) {
    this.model = model;
    this.about = model.get("_model");
    this.view = model.get("_view");
    this.id = `bn${(instances += 1)}-${Math.random().toString(36).slice(2, 8)}`;
    this.evidence = { ...this.view.evidence };
    this.chosen = this.view.chosen;
    this.number = this.view.answers;
    this.waiting = false;
    this.next = null;
    this.past = [];
    this.case = null;
    this.measure = "necessity";
    this.asking = "ask";
    this.showsAll = { diagnoses: false, contributors: false };
    this.whole = false;
    this.uncertain = new Set();
    this.rows = new Map();
    this.build(el);
    this.graph = new Graph(this, this.parts.canvas);
    this.draw();
    this.onView = () => this.answered();
    model.on("change:_view", this.onView);
    this.theme();
  }

  destroy() {
    this.model.off?.("change:_view", this.onView);
    this.graph.destroy();
    this.themes?.disconnect();
    this.dark?.removeEventListener("change", this.onTheme);
    clearTimeout(this.patience);
  }

  // Light or dark: as the notebook is, else as the system is.
  theme() {
    const body = document.body;
    this.dark = window.matchMedia("(prefers-color-scheme: dark)");
    this.onTheme = () => {
      let dark = this.dark.matches;
      if (body.dataset.jpThemeLight !== undefined) dark = body.dataset.jpThemeLight === "false";
      else if (body.classList.contains("vscode-dark")) dark = true;
      else if (body.classList.contains("vscode-light")) dark = false;
      this.root.dataset.theme = dark ? "dark" : "light";
    };
    this.dark.addEventListener("change", this.onTheme);
    this.themes = new MutationObserver(this.onTheme);
    this.themes.observe(body, { attributes: true });
    this.onTheme();
  }

  // ------------------------------------------------------------ asking and being answered

  change(evidence, { chosen = this.chosen, keep = true } = {}) {
    if (keep && !same(evidence, this.evidence)) this.remember();
    this.evidence = evidence;
    this.chosen = chosen;
    this.drawFindings();
    this.send();
  }

  remember() {
    this.past.push(this.evidence);
    if (this.past.length > MOST_UNDO) this.past.shift();
  }

  set(id, value) {
    const evidence = { ...this.evidence };
    if (value === null) delete evidence[id];
    else evidence[id] = value;
    this.change(evidence);
  }

  undo() {
    if (!this.past.length) return;
    this.uncertain.clear();
    this.change(this.past.pop(), { keep: false });
    this.say("Undone");
  }

  reset() {
    this.case = null;
    this.parts.cases.value = "";
    this.uncertain.clear();
    this.change({}, { chosen: "" });
    this.say("All findings cleared");
  }

  // One request at a time; while one is answered only the newest waits.
  send() {
    if (this.waiting) {
      this.next = true;
      return;
    }
    this.waiting = true;
    this.next = null;
    this.number += 1;
    this.model.set("_request", { number: this.number, evidence: this.evidence, chosen: this.chosen });
    this.model.save_changes();
    clearTimeout(this.patience);
    this.patience = setTimeout(() => {
      this.waiting = false;
      this.error("No answer yet. Is the notebook's kernel running, or busy with another cell?");
    }, PATIENCE);
  }

  answered() {
    this.view = this.model.get("_view");
    clearTimeout(this.patience);
    if (this.view.answers >= this.number) {
      this.waiting = false;
      if (this.next) {
        this.send();
        return;
      }
    } else if (this.waiting) return;
    this.number = Math.max(this.number, this.view.answers);
    if (!same(this.view.evidence, this.evidence)) {
      if (!this.view.error) this.remember();
      else this.past.pop();
      this.evidence = { ...this.view.evidence };
    }
    this.chosen = this.view.chosen;
    this.draw();
  }

  // ------------------------------------------------------------ the page's skeleton

  build(el) {
    const id = (name) => `${this.id}-${name}`;
    const p = (this.parts = {});
    p.live = make("div", { class: "bn-hidden", role: "status", "aria-live": "polite" });
    p.cases = make("select", { class: "bn-select", "aria-label": "Load a published case", on: {
      change: () => this.load(p.cases.value),
    } }, make("option", { value: "" }, "Load a published case"),
    ...this.about.cases.map((c) => make("option", { value: c.id }, `${c.id}: ${c.summary}`)));
    p.undo = button("Undo", { class: "bn-button" }, () => this.undo());
    p.reset = button("Reset", { class: "bn-button" }, () => this.reset());
    const python = button("Copy Python", { class: "bn-button" }, () => this.copy(this.python(), "Python"));
    const json = button("Copy JSON", { class: "bn-button" },
      () => this.copy(JSON.stringify(this.evidence, null, 2), "JSON"));
    const top = make("header", { class: "bn-top" },
      make("h2", { class: "bn-title" }, this.about.title),
      make("div", { class: "bn-tools", role: "group", "aria-label": "Patient" },
        p.cases, p.undo, p.reset, python, json));
    p.search = make("input", { class: "bn-search", type: "search", placeholder: "Search findings",
      "aria-label": "Search findings", on: { input: () => this.filter() } });
    p.story = make("div", { class: "bn-story" });
    p.known = make("div", { class: "bn-known" });
    p.none = make("p", { class: "bn-muted", hidden: true }, "No finding has these words.");
    p.list = make("div", { class: "bn-list" });
    this.buildFindings();
    const findings = make("section", { class: "bn-panel bn-findings", "aria-labelledby": id("findings") },
      make("div", { class: "bn-head" }, make("h3", { id: id("findings") }, "Findings"), p.search),
      make("div", { class: "bn-scroll" }, p.story, p.known, p.list, p.none));
    p.canvas = make("div", { class: "bn-canvas" });
    p.explained = make("div", { class: "bn-explained", hidden: true });
    p.patient = button("This patient", { class: "bn-segment", "aria-pressed": "true" }, () => this.showWhole(false));
    p.wholeButton = button("Whole network", { class: "bn-segment", "aria-pressed": "false" }, () => this.showWhole(true));
    p.large = button("Enlarge", { class: "bn-button", "aria-pressed": "false" }, () => this.enlarge());
    const zoom = (name, label, act) => button(name, { class: "bn-button bn-icon", "aria-label": label, title: label }, act);
    const middle = make("section", { class: "bn-panel bn-middle", "aria-labelledby": id("network") },
      make("div", { class: "bn-head" }, make("h3", { id: id("network") }, "Network"),
        make("div", { class: "bn-segments", role: "group", "aria-label": "What is drawn" }, p.patient, p.wholeButton),
        make("div", { class: "bn-zoom", role: "group", "aria-label": "Zoom" },
          zoom("−", "Zoom out", () => this.graph.zoom(1 / 1.25)),
          zoom("+", "Zoom in", () => this.graph.zoom(1.25)),
          button("Fit", { class: "bn-button" }, () => this.graph.fit()), p.large)),
      p.canvas,
      make("div", { class: "bn-legend", "aria-hidden": "true" },
        make("span", { class: "bn-key bn-key-known" }, "observed"),
        make("span", { class: "bn-key bn-key-bar" }, "probability now, 0 to 100 %"),
        make("span", { class: "bn-key bn-key-tick" }, "before the findings"),
        p.drag = make("span", { class: "bn-key", hidden: true }, "drag to see the rest"),
        p.hint = make("span", { class: "bn-key-hint" })),
      p.explained);
    p.alert = make("div", { class: "bn-alert", role: "alert", hidden: true });
    p.triage = make("div", { class: "bn-triage" });
    p.by = make("select", { class: "bn-select", "aria-label": "Rank by", on: {
      change: () => { this.measure = p.by.value; this.drawCauses(); },
    } }, ...Object.entries(this.about.measures).map(([value, said]) => make("option", { value }, said)));
    p.causes = make("div", { class: "bn-causes" });
    p.groups = {};
    for (const [group, [title]] of Object.entries(GROUPS)) {
      const list = make("ol", { class: "bn-ranked", "aria-label": title });
      const more = button("Show all", { class: "bn-link", "aria-expanded": "false" }, () => {
        this.showsAll[group] = !this.showsAll[group];
        this.drawCauses();
      });
      const scale = make("div", { class: "bn-scale", "aria-hidden": "true" });
      p.groups[group] = { list, more, scale, items: new Map() };
      p.causes.append(make("div", { class: "bn-group" }, make("h4", {}, title), scale, list, more));
    }
    p.next = make("div", { class: "bn-next" });
    const answer = make("section", { class: "bn-panel bn-answer", "aria-labelledby": id("answer") },
      make("div", { class: "bn-head" }, make("h3", { id: id("answer") }, this.about.question), p.by),
      make("div", { class: "bn-scroll" }, p.alert, p.triage, p.causes, p.next));
    p.grid = make("div", { class: "bn-grid" }, findings, middle, answer);
    this.root = make("div", { class: "bn-explorer", role: "region", "aria-label": "bayesnet explorer",
      // JupyterLab must not take our keys for its own commands; it looks at the focused element first.
      on: { focusin: (event) => event.target.setAttribute("data-lm-suppress-shortcuts", "true") } },
    make("div", { class: "bn-frame" }, top, p.grid,
      make("footer", { class: "bn-foot" }, make("strong", {}, `${this.about.name} ${this.about.version}. `),
        this.about.disclaimer)), p.live);
    el.append(this.root);
  }

  say(text) {
    this.parts.live.textContent = text;
  }

  error(message) {
    const { alert } = this.parts;
    alert.hidden = !message;
    alert.replaceChildren();
    if (message) {
      alert.append(make("strong", {}, "Not possible. "), message,
        button("Close", { class: "bn-link" }, () => this.error("")));
    }
  }

  enlarge() {
    const large = this.root.classList.toggle("bn-large");
    this.parts.large.setAttribute("aria-pressed", String(large));
    requestAnimationFrame(() => this.graph.fit());
  }

  showWhole(whole) {
    this.whole = whole;
    this.parts.patient.setAttribute("aria-pressed", String(!whole));
    this.parts.wholeButton.setAttribute("aria-pressed", String(whole));
    this.graph.draw(true);
  }

  load(name) {
    const found = this.about.cases.find((c) => c.id === name);
    if (!found) return;
    this.case = found;
    this.uncertain.clear();
    this.change({ ...found.evidence }, { chosen: "" });
    this.say(`Case ${name} loaded`);
  }

  // ------------------------------------------------------------ copying

  python() {
    const literal = (x) => {
      if (x === true) return "True";
      if (x === false) return "False";
      if (x === null) return "None";
      if (Array.isArray(x)) return `[${x.map(literal).join(", ")}]`;
      if (typeof x === "object") return `{${Object.entries(x).map(([k, v]) => `${JSON.stringify(k)}: ${literal(v)}`).join(", ")}}`;
      return JSON.stringify(x);
    };
    const items = Object.entries(this.evidence).map(([k, v]) => `    ${JSON.stringify(k)}: ${literal(v)},\n`);
    return `import bayesnet\n\nmodel = bayesnet.load(${JSON.stringify(this.about.source)})\n`
      + `result = model.diagnose({\n${items.join("")}})\nprint(result)\n`;
  }

  async copy(text, kind) {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      // Without permission or a secure page: select it in a field and copy that.
      const field = make("textarea", { class: "bn-hidden", "aria-hidden": "true" });
      field.value = text;
      this.root.append(field);
      field.select();
      document.execCommand("copy");
      field.remove();
    }
    this.toast(`Copied as ${kind}`);
  }

  toast(text) {
    this.say(text);
    const note = make("div", { class: "bn-toast", "aria-hidden": "true" }, text);
    this.root.append(note);
    setTimeout(() => note.remove(), 1800);
  }

  // ------------------------------------------------------------ findings

  buildFindings() {
    let last = null;
    this.sections = [];
    this.about.sections.forEach((section, i) => {
      if (section.section !== last) {
        this.parts.list.append(make("h4", { class: "bn-role" }, section.section));
        last = section.section;
      }
      const count = make("span", { class: "bn-count" });
      const body = make("div", { class: "bn-rows" });
      const details = make("details", { class: "bn-section" },
        make("summary", {}, make("span", { class: "bn-section-title" }, section.title), count), body);
      details.open = i === 0 || section.findings.includes("rest_response");
      for (const v of section.findings) {
        const row = this.findingRow(v, `${this.id}-f-${v}`);
        this.rows.set(v, row);
        body.append(row.element);
      }
      this.sections.push({ details, count, findings: section.findings });
      this.parts.list.append(details);
    });
  }

  // One finding: its name, a button for each state, an optional number, and sliders when unsure.
  findingRow(v, id) {
    const variable = this.about.variables[v];
    const label = make("span", { class: "bn-name", id, title: variable.ask }, variable.name);
    const states = this.stateButtons(v, id);
    const unsure = button("≈", { class: "bn-unsure", "aria-pressed": "false", title: "Not sure: weigh the states",
      "aria-label": `Not sure: ${variable.name}` }, () => {
      if (this.uncertain.has(v)) {
        this.uncertain.delete(v);
        if (this.isVirtual(v)) this.set(v, null);
      } else this.uncertain.add(v);
      this.drawFindings();
    });
    const number = variable.bins ? this.numberInput(v) : null;
    const sliders = make("div", { class: "bn-sliders", hidden: true });
    const element = make("div", { class: "bn-row", "data-finding": v },
      make("div", { class: "bn-line" }, label, unsure, number, states.element), sliders);
    return { element, states, unsure, number, sliders, made: false };
  }

  numberInput(v) {
    const { bins, name } = this.about.variables[v];
    const input = make("input", { class: "bn-number", type: "number", min: bins.low, max: bins.high,
      "aria-label": `${name}, ${bins.unit}`, placeholder: bins.unit, on: { change: () => {
        const value = input.value === "" ? null : Number(input.value);
        if (value === null || (value >= bins.low && value <= bins.high)) this.set(v, value);
        else this.error(`${name}: ${value} is outside ${bins.low} to ${bins.high} ${bins.unit}.`);
      } } });
    return input;
  }

  // A group of radio buttons: one click chooses, another on the same clears; arrows move.
  stateButtons(v, label) {
    const { states } = this.about.variables[v];
    const buttons = states.map((state) => button(words(state), {
      class: "bn-state", role: "radio", "aria-checked": "false", tabindex: "-1", "data-state": state,
    }, () => {
      const clear = this.single(v) === state;
      this.uncertain.delete(v);
      this.set(v, clear ? null : state);
    }));
    buttons[0].tabIndex = 0;
    const element = make("span", { class: "bn-states", role: "radiogroup", "aria-labelledby": label, on: {
      keydown: (event) => {
        const at = buttons.indexOf(event.target);
        const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
        if (at < 0 || !step) return;
        event.preventDefault();
        const to = buttons[(at + step + buttons.length) % buttons.length];
        buttons.forEach((b) => { b.tabIndex = b === to ? 0 : -1; });
        to.focus();
      },
    } }, ...buttons);
    return { element, buttons };
  }

  // The one state that is known, or null.
  single(v) {
    const { states } = this.about.variables[v];
    const open = (this.likelihood(v) ?? []).map((x, i) => (x > 0 ? i : -1)).filter((i) => i >= 0);
    return open.length === 1 ? states[open[0]] : null;
  }

  isVirtual(v) {
    const value = this.evidence[v];
    return value !== null && typeof value === "object" && !Array.isArray(value);
  }

  // Likelihood of each state of what is known: from the view, or before it answers from the click.
  likelihood(v) {
    const value = this.evidence[v];
    if (value === undefined || value === null) return null;
    const known = this.view.known.find((k) => k.id === v);
    if (known && same(this.view.evidence[v], value)) return known.likelihood;
    const { states } = this.about.variables[v];
    if (typeof value === "string") return states.map((s) => Number(s === value));
    if (Array.isArray(value)) return states.map((s) => Number(value.includes(s)));
    if (typeof value === "object") return states.map((s) => value[s] ?? 0);
    if (typeof value === "boolean" && states.length === 2) return states.map((_, i) => Number(i === Number(value)));
    return null;
  }

  buildSliders(v, row) {
    const { states, name } = this.about.variables[v];
    const two = states.length === 2;
    row.ranges = (two ? [states[1]] : states).map((state) => {
      const range = make("input", { type: "range", min: 0, max: 100, step: 1, value: 50,
        "aria-label": two ? `${name}: from ${words(states[0])} to ${words(state)}` : `${name}: likelihood of ${words(state)}`,
        on: { input: () => this.slide(v, row) } });
      const value = make("output", { class: "bn-slider-value" });
      row.sliders.append(make("div", { class: "bn-slider" },
        make("span", { class: "bn-slider-name" }, two ? words(states[0]) : words(state)), range,
        two ? make("span", { class: "bn-slider-name" }, words(state)) : null, value));
      return { range, value };
    });
    row.made = true;
  }

  slide(v, row) {
    const { states } = this.about.variables[v];
    const x = row.ranges.map(({ range }) => Number(range.value) / 100);
    const weights = states.length === 2 ? [Math.round(100 * (1 - x[0])) / 100, x[0]] : x;
    const start = row.sliding;
    row.sliding = true;
    clearTimeout(row.settled);
    row.settled = setTimeout(() => { row.sliding = false; }, 600);
    const value = weights.some((w) => w > 0) ? Object.fromEntries(states.map((s, i) => [s, weights[i]])) : null;
    const evidence = { ...this.evidence };
    if (value === null) delete evidence[v];
    else evidence[v] = value;
    this.change(evidence, { keep: !start }); // one drag is one step to undo
  }

  drawSliders(v, row, likelihood) {
    const open = this.uncertain.has(v) || this.isVirtual(v);
    row.sliders.hidden = !open;
    row.unsure.setAttribute("aria-pressed", String(open));
    if (!open) return;
    if (!row.made) this.buildSliders(v, row);
    const total = likelihood ? Math.max(...likelihood, 1e-12) : 1;
    const two = row.ranges.length === 1;
    row.ranges.forEach(({ range, value }, i) => {
      let x = two ? 0.5 : 1;
      if (likelihood) x = two ? likelihood[1] / (likelihood[0] + likelihood[1]) : likelihood[i] / (total > 1 ? total : 1);
      if (document.activeElement !== range || !row.sliding) range.value = String(Math.round(100 * x));
      value.textContent = two ? (likelihood ? `${Math.round(100 * (1 - x))} : ${Math.round(100 * x)}` : "50 : 50") : `${Math.round(100 * x)}`;
    });
  }

  drawFindings() {
    for (const [v, row] of this.rows) this.drawRow(v, row);
    for (const { details, count, findings } of this.sections) {
      const known = findings.filter((v) => this.evidence[v] !== undefined).length;
      count.textContent = known ? String(known) : "";
      count.setAttribute("aria-label", known ? `${known} known` : "none known");
      details.classList.toggle("bn-has", known > 0);
    }
    this.parts.undo.disabled = !this.past.length;
    this.parts.reset.disabled = !Object.keys(this.evidence).length;
  }

  drawRow(v, row) {
    const likelihood = this.likelihood(v);
    const open = likelihood ? likelihood.filter((x) => x > 0).length : 0;
    const virtual = this.isVirtual(v);
    const focused = row.states.buttons.includes(document.activeElement);
    row.element.classList.toggle("bn-set", likelihood !== null);
    row.states.buttons.forEach((b, i) => {
      const on = likelihood !== null && likelihood[i] > 0;
      b.setAttribute("aria-checked", String(on && open === 1));
      b.classList.toggle("bn-part", on && (open > 1 || virtual));
      if (!focused) b.tabIndex = (open === 1 ? on : i === 0) ? 0 : -1;
    });
    if (row.number && document.activeElement !== row.number) {
      row.number.value = typeof this.evidence[v] === "number" ? this.evidence[v] : "";
    }
    this.drawSliders(v, row, likelihood);
  }

  drawKnown() {
    const { known, story } = this.parts;
    known.replaceChildren();
    const ids = this.view.known;
    if (ids.length) {
      known.append(make("h4", {}, `Known (${ids.length})`), make("ul", { class: "bn-chips" },
        ...ids.map((k) => make("li", {}, button("", { class: "bn-chip", "aria-label": `Clear ${k.words}`,
          title: "Clear" }, () => { this.uncertain.delete(k.id); this.set(k.id, null); })))));
      known.querySelectorAll("button").forEach((b, i) => b.append(ids[i].words,
        make("span", { class: "bn-x", "aria-hidden": "true" }, "×")));
    } else known.append(make("p", { class: "bn-muted" }, "Nothing is known yet. Click a state below, or load a published case."));
    story.replaceChildren();
    if (this.case) {
      story.append(make("p", {}, this.case.summary), make("p", { class: "bn-cite" }, this.case.citation),
        make("details", {}, make("summary", {}, "Published diagnosis"),
          make("p", { class: "bn-published" }, this.case.diagnosis.join(", "))));
    }
  }

  filter() {
    const sought = this.parts.search.value.toLowerCase().trim().split(/\s+/).filter(Boolean);
    let any = false;
    for (const { details, findings } of this.sections) {
      let found = 0;
      for (const v of findings) {
        const { name, ask, states } = this.about.variables[v];
        const text = `${name} ${ask} ${states.map(words).join(" ")} ${words(v)}`.toLowerCase();
        const match = sought.every((word) => text.includes(word));
        this.rows.get(v).element.hidden = !match;
        found += Number(match);
      }
      details.hidden = found === 0;
      any ||= found > 0;
      if (sought.length) {
        details.dataset.was ??= String(details.open);
        details.open = found > 0;
      } else if (details.dataset.was) {
        details.open = details.dataset.was === "true";
        delete details.dataset.was;
      }
    }
    for (const heading of this.parts.list.querySelectorAll(".bn-role")) {
      let next = heading.nextElementSibling;
      let shown = false;
      while (next && !next.classList.contains("bn-role")) {
        shown ||= !next.hidden;
        next = next.nextElementSibling;
      }
      heading.hidden = !shown;
    }
    this.parts.none.hidden = any;
  }

  // ------------------------------------------------------------ the answer

  draw() {
    this.error(this.view.error ? this.view.error.message : "");
    if (this.case) {
      const told = Object.keys(this.case.evidence);
      if (told.filter((v) => v in this.evidence).length < told.length / 2) {
        this.case = null; // another patient by now
        this.parts.cases.value = "";
      }
    }
    this.drawFindings();
    this.drawKnown();
    this.drawTriage();
    this.drawCauses();
    this.drawNext();
    this.drawExplained();
    this.graph.draw();
    this.announce();
  }

  announce() {
    const top = this.view.causes.diagnoses;
    const first = top.rows.find((r) => r.cause === top.order.posterior[0]);
    const level = this.view.triage ? `${LEVELS[this.view.triage.level]}. ` : "";
    if (first && Object.keys(this.evidence).length) {
      this.say(`${level}Most probable diagnosis: ${first.label}, ${percent(first.posterior)}.`);
    }
  }

  drawTriage() {
    const { triage } = this.view;
    const box = this.parts.triage;
    const wasOpen = box.querySelector("details")?.open ?? false;
    box.hidden = !triage;
    box.replaceChildren();
    if (!triage) return;
    box.dataset.level = triage.level;
    box.append(make("div", { class: "bn-level" },
      make("span", { class: "bn-sign", "aria-hidden": "true" }, { emergency: "▲", urgent: "◆", routine: "●" }[triage.level]),
      LEVELS[triage.level]),
    make("ul", {}, ...triage.reasons.map((r) => make("li", {}, r))));
    if (triage.missing.length) {
      const more = make("details", {}, make("summary", {}, `${triage.missing.length} findings not known that could make it more urgent`),
        make("p", {}, triage.missing.join(", ")));
      more.open = wasOpen;
      box.append(more);
    }
  }

  drawCauses() {
    for (const [group, [, few]] of Object.entries(GROUPS)) {
      const part = this.parts.groups[group];
      const { rows, order } = this.view.causes[group];
      const byId = new Map(rows.map((r) => [r.cause, r]));
      const ids = order[this.measure];
      part.scale.replaceChildren(...this.scale().map((mark) => make("span", {}, mark)));
      const shown = ids.filter((c, i) => this.showsAll[group] || i < few || c === this.chosen);
      const before = new Map([...part.items].map(([c, item]) => [c, item.element.getBoundingClientRect().top]));
      const focused = part.list.contains(document.activeElement) ? document.activeElement : null;
      for (const [c, item] of part.items) if (!shown.includes(c)) { item.element.remove(); part.items.delete(c); }
      shown.forEach((c) => {
        if (!part.items.has(c)) part.items.set(c, this.causeRow(c));
        part.list.append(part.items.get(c).element);
        this.drawCause(part.items.get(c), byId.get(c), rows);
      });
      focused?.focus({ preventScroll: true });
      part.more.hidden = ids.length <= few;
      part.more.textContent = this.showsAll[group] ? "Show fewer" : `Show all ${ids.length}`;
      part.more.setAttribute("aria-expanded", String(this.showsAll[group]));
      if (!matchMedia("(prefers-reduced-motion: reduce)").matches) {
        for (const [c, item] of part.items) {
          const moved = before.has(c) ? before.get(c) - item.element.getBoundingClientRect().top : 0;
          if (moved) item.element.animate([{ transform: `translateY(${moved}px)` }, { transform: "none" }], { duration: 350, easing: "ease-out" });
        }
      }
    }
  }

  // Where the bars of necessity end: round, and the same for both groups.
  longest() {
    const most = Math.max(...Object.values(this.view.causes).flatMap((g) => g.rows).map((r) => r.necessity ?? 0));
    return [0.2, 0.4, 0.6, 0.8].find((x) => most <= x) ?? 1;
  }

  // What the start, the middle and the end of a bar stand for.
  scale() {
    if (this.measure === "likelihood_ratio") return ["÷ 100", "1", "× 100"];
    const end = this.measure === "necessity" ? this.longest() : 1;
    return ["0", `${Math.round(50 * end)} %`, `${Math.round(100 * end)} %`];
  }

  causeRow(c) {
    const name = make("span", { class: "bn-cause-name" });
    const value = make("span", { class: "bn-cause-value" });
    const fill = make("span", { class: "bn-fill" });
    const tick = make("span", { class: "bn-tick" });
    const bar = make("span", { class: "bn-bar", "aria-hidden": "true" }, fill, tick);
    const small = make("span", { class: "bn-cause-small" });
    const press = make("button", { type: "button", class: "bn-cause", "aria-pressed": "false", "data-cause": c,
      on: { click: () => this.choose(c), pointerenter: () => this.graph.light(c), pointerleave: () => this.graph.light(null) } },
    make("span", { class: "bn-cause-top" }, name, value), bar, small);
    return { element: make("li", {}, press), press, name, value, fill, tick, bar, small };
  }

  drawCause(item, r) {
    const { measure } = this;
    const shown = { necessity: percent(r.necessity), posterior: percent(r.posterior), likelihood_ratio: ratio(r.likelihood_ratio, r.certain) };
    item.press.dataset.posterior = String(r.posterior);
    item.press.dataset.necessity = String(r.necessity);
    item.press.setAttribute("aria-pressed", String(r.cause === this.chosen));
    item.name.textContent = r.label;
    item.value.textContent = shown[measure];
    const rest = {
      necessity: `present ${shown.posterior}, before ${percent(r.prior)} · LR ${shown.likelihood_ratio}`,
      posterior: `before ${percent(r.prior)} · LR ${shown.likelihood_ratio} · ${this.about.measures.necessity} ${shown.necessity}`,
      likelihood_ratio: `present ${shown.posterior}, before ${percent(r.prior)}`,
    };
    item.small.textContent = rest[measure];
    item.bar.classList.toggle("bn-diverging", measure === "likelihood_ratio");
    let from = 0;
    let width = measure === "necessity" ? (r.necessity ?? 0) / this.longest() : r.posterior;
    if (measure === "likelihood_ratio") {
      const x = r.certain ? 1 : Math.max(-1, Math.min(1, Math.log10(Math.max(r.likelihood_ratio ?? 1, 1e-9)) / 2));
      from = x < 0 ? 0.5 + x / 2 : 0.5;
      width = Math.abs(x) / 2;
    }
    item.fill.style.setProperty("left", `${100 * from}%`);
    item.fill.style.setProperty("width", `${100 * width}%`);
    item.fill.classList.toggle("bn-against", measure === "likelihood_ratio" && from < 0.5);
    item.tick.hidden = measure === "necessity";
    item.tick.style.setProperty("left", `${100 * (measure === "posterior" ? r.prior : 0.5)}%`);
  }

  choose(c) {
    this.change(this.evidence, { chosen: this.chosen === c ? "" : c });
  }

  drawNext() {
    const box = this.parts.next;
    const kinds = Object.keys(this.view.next).filter((k) => this.view.next[k].length);
    const active = box.contains(document.activeElement) ? document.activeElement.dataset.kind : null;
    box.replaceChildren();
    if (!kinds.length) return;
    if (!kinds.includes(this.asking)) [this.asking] = kinds;
    const tabs = kinds.map((k) => button(ASKED[k], { class: "bn-segment", "aria-pressed": String(k === this.asking), "data-kind": k },
      () => { this.asking = k; this.drawNext(); }));
    box.append(make("div", { class: "bn-next-head" }, make("h4", {}, "Best next"),
      make("div", { class: "bn-segments", role: "group", "aria-label": "Kind of question" }, ...tabs)));
    tabs.find((t) => t.dataset.kind === active)?.focus({ preventScroll: true });
    const items = this.view.next[this.asking].map((f, i) => {
      const id = `${this.id}-q${i}`;
      const variable = this.about.variables[f.finding];
      return make("li", { "data-finding": f.finding },
        make("p", { id, class: "bn-question" }, f.ask || f.label),
        make("div", { class: "bn-answers", role: "group", "aria-labelledby": id },
          variable.bins ? this.numberInput(f.finding) : null,
          ...variable.states.map((s) => button(words(s), { class: "bn-state", "data-state": s,
            title: `expected ${percent(f.probabilities[s])}` }, () => this.set(f.finding, s)))),
        make("span", { class: "bn-bits", title: "Expected fall of the uncertainty about the causes" },
          `${f.label} · ${f.information < 0.01 ? "<0.01" : f.information.toFixed(2)} bits`));
    });
    box.append(make("ol", { class: "bn-questions" }, ...items));
  }

  drawExplained() {
    const box = this.parts.explained;
    const why = this.view.explanation;
    box.hidden = !why;
    box.replaceChildren();
    this.parts.hint.textContent = why ? "lines: solid for, dashed against" : "click a cause to see why";
    if (!why) return;
    const most = Math.max(5, ...why.blocks.map((b) => Math.abs(b.weight ?? 30)));
    const bar = (weight) => {
      const w = weight ?? 30;
      const fill = make("span", { class: `bn-fill ${w < 0 ? "bn-against" : ""}` });
      const half = (50 * Math.min(1, Math.abs(w) / most));
      fill.style.setProperty("left", `${w < 0 ? 50 - half : 50}%`);
      fill.style.setProperty("width", `${half}%`);
      return make("td", { class: "bn-weight-bar" }, make("span", { class: "bn-bar bn-diverging", "aria-hidden": "true" }, fill));
    };
    const lit = (f) => ({ pointerenter: () => this.graph.light(f.finding), pointerleave: () => this.graph.light(null) });
    const row = (f) => make("tr", { on: lit(f) },
      make("th", { scope: "row" }, f.words, f.way ? make("span", { class: "bn-by" }, ` by way of ${f.way}`) : null),
      make("td", { class: "bn-weight" }, signed(f.weight)), bar(f.weight));
    const member = (f) => make("tr", { class: "bn-member", on: lit(f) }, make("th", { scope: "row", colspan: "3" },
      make("span", { class: "bn-weight" }, signed(f.weight)), f.words));
    // Findings of one mechanism repeat each other: first what they say together, then what each adds.
    const block = ({ mechanism, weight, findings }) => (findings.length === 1 ? [row(findings[0])] : [
      make("tr", { class: "bn-together" },
        make("th", { scope: "row" }, `${findings.length} findings together, by way of ${mechanism}`,
          make("span", { class: "bn-by" }, "; each of them, all others known:")),
        make("td", { class: "bn-weight" }, signed(weight)), bar(weight)),
      ...findings.map(member),
    ]);
    box.append(
      make("div", { class: "bn-explained-head" }, make("h4", {}, `Why ${why.label}?`),
        make("span", { class: "bn-muted" }, `${percent(why.prior)} before, ${percent(why.posterior)} with the findings`),
        button("×", { class: "bn-button bn-icon", "aria-label": "Close the explanation" }, () => this.choose(this.chosen))));
    if (why.findings.length) {
      box.append(make("table", { class: "bn-weights" },
        make("thead", {}, make("tr", {}, make("th", { scope: "col" }, "Finding"),
          make("th", { scope: "col", class: "bn-weight" }, "decibans"), make("td", { class: "bn-weight-bar" },
            make("span", { class: "bn-sides bn-muted" }, make("span", {}, "against", make("span", { class: "bn-most" }, ` ${signed(-most)}`)),
              make("span", {}, make("span", { class: "bn-most" }, `${signed(most)} `), "for"))))),
        make("tbody", {}, ...why.blocks.flatMap(block))),
      make("p", { class: "bn-muted bn-note" }, `All together ${signed(why.total)}. ${this.about.decibans} What a finding says depends on the others, so the rows need not add up.`));
    } else box.append(make("p", { class: "bn-muted" }, "No finding is known yet."));
    if (why.rivals.length) {
      box.append(make("p", { class: "bn-note" }, "Explained away in part by ",
        why.rivals.slice(0, 3).map((r) => `${r.label} (without it ${percent(r.posterior_without)})`).join(", "), "."));
    }
  }
}

// ---------------------------------------------------------------- the network

class Graph {
  constructor(explorer, canvas) {
    this.explorer = explorer;
    this.canvas = canvas;
    this.nodes = new Map();
    this.edges = [];
    this.size = { width: 1, height: 1 };
    this.at = { x: 0, y: 0, k: 1 };
    this.moved = false;
    this.current = null;
    this.edgeLayer = make("g", { class: "bn-edges" });
    this.titleLayer = make("g", { class: "bn-titles", "aria-hidden": "true" });
    this.nodeLayer = make("g", { class: "bn-nodes" });
    this.world = make("g", {}, this.edgeLayer, this.titleLayer, this.nodeLayer);
    this.svg = make("svg", { class: "bn-svg", role: "group",
      "aria-label": "Network. Arrow keys move between nodes, Enter explains a cause or goes to a finding.",
      on: {
        keydown: (event) => this.key(event),
        pointerdown: (event) => this.grab(event),
        pointermove: (event) => this.drag(event),
        pointerup: (event) => this.release(event),
        pointercancel: (event) => this.release(event),
      } }, this.world);
    this.pointers = new Map();
    this.wheel = (event) => {
      if (!event.ctrlKey && !event.metaKey) return; // plain scrolling belongs to the page
      event.preventDefault();
      this.zoom(Math.exp(-event.deltaY / 300), event.offsetX, event.offsetY);
    };
    this.svg.addEventListener("wheel", this.wheel, { passive: false });
    canvas.append(this.svg);
    this.resize = new ResizeObserver(() => { if (!this.moved) this.draw(); });
    this.resize.observe(canvas);
  }

  destroy() {
    this.resize.disconnect();
  }

  // ------------------------------------------------------------ drawing

  draw(anew = false) {
    const { explorer } = this;
    const graph = explorer.whole ? explorer.about.whole : explorer.view.graph;
    const shape = JSON.stringify([explorer.whole, graph.columns]);
    const changed = shape !== this.shape;
    this.shape = shape;
    const narrow = this.canvas.clientWidth < NARROW_BELOW ? NARROW : TALL;
    this.form = explorer.whole ? FLAT : narrow;
    const places = this.layout(graph);
    for (const [id, node] of this.nodes) {
      if (!places.has(id) || node.form !== this.form) { node.element.remove(); this.nodes.delete(id); }
    }
    for (const [id, place] of places) {
      if (!this.nodes.has(id)) this.nodes.set(id, this.makeNode(id));
      const node = this.nodes.get(id);
      node.place = place;
      node.element.style.setProperty("transform", `translate(${place.x}px, ${place.y}px)`);
      this.nodeLayer.append(node.element);
      this.drawNode(id, node);
    }
    if (!this.nodes.has(this.current)) this.current = explorer.chosen || this.nodes.keys().next().value;
    if (!this.nodes.has(this.current)) this.current = this.nodes.keys().next().value;
    this.rove();
    this.drawEdges(graph.edges);
    if (changed || anew) this.moved = false;
    if (!this.moved) this.fit();
    this.light(null);
  }

  layout(graph) {
    const { height } = this.form;
    const gapY = this.gap(graph);
    const places = new Map();
    const heights = graph.columns.map(({ groups }) => groups.reduce(
      (sum, g) => sum + g.nodes.length * (height + gapY) + (g.title ? NODE.group : 0), 0));
    const tallest = Math.max(1, ...heights);
    this.titleLayer.replaceChildren();
    graph.columns.forEach(({ title, groups }, i) => {
      const x = BOW + i * (this.form.width + this.form.gapX);
      let y = NODE.title + (this.explorer.whole ? 0 : (tallest - heights[i]) / 2);
      this.titleLayer.append(make("text", { x: x + 2, y: 14, class: "bn-column" }, title));
      for (const group of groups) {
        if (group.title) {
          this.titleLayer.append(make("text", { x: x + 2, y: y + 15, class: "bn-group-title" }, group.title));
          y += NODE.group;
        }
        for (const id of group.nodes) {
          places.set(id, { x, y });
          y += height + gapY;
        }
      }
    });
    this.size = { width: this.span(graph), height: tallest + NODE.title };
    return places;
  }

  span(graph) {
    const { width, gapX } = this.form;
    return graph.columns.length * (width + gapX) - gapX + BOW;
  }

  // Nodes stand further apart where the canvas is tall.
  gap(graph) {
    const { height, gapY, most } = this.form;
    const { clientWidth: w, clientHeight: h } = this.canvas;
    const width = this.span(graph);
    const count = Math.max(1, ...graph.columns.map(({ groups }) => groups.reduce((n, g) => n + g.nodes.length, 0)));
    const free = w && h ? ((h - 40) * width) / (w - 32) - NODE.title : 0;
    return Math.max(gapY, Math.min(most, free / count - height));
  }

  makeNode(id) {
    const { explorer } = this;
    const variable = explorer.about.variables[id];
    const { width: wide, height } = this.form;
    const flat = explorer.whole;
    const kind = variable.role === "cause" && FAMILIES.includes(variable.group) ? variable.group : variable.role;
    const element = make("g", { class: `bn-node bn-kind-${kind} bn-role-${variable.role}`, role: "button", tabindex: "-1",
      "data-node": id, on: {
        click: () => { if (!this.dragged) this.act(id); },
        pointerenter: () => this.light(id),
        pointerleave: () => this.light(null),
        focus: () => { this.current = id; this.rove(); this.light(id); this.reveal(id); },
        blur: () => this.light(null),
      } });
    const title = make("title");
    const shown = flat ? [variable.name] : lines(variable.name, wide - 14, 2);
    const texts = shown.map((line, i) => make("text", { class: "bn-label", x: 12,
      y: flat ? 16 : shown.length === 1 ? 21 : 16 + 14 * i }, line));
    const value = make("text", { class: "bn-value", x: wide - 8, y: flat ? 16 : height - 7, "text-anchor": "end" });
    const state = make("text", { class: "bn-observed", x: 12, y: height - 7 });
    const width = wide - 12 - (flat ? 8 : 58);
    const track = make("rect", { class: "bn-track", x: 12, y: flat ? height - 8 : height - 14, width, height: 5, rx: 2.5 });
    const fill = make("rect", { class: "bn-node-fill", x: 12, y: flat ? height - 8 : height - 14, width: 0, height: 5, rx: 2.5 });
    const tick = make("rect", { class: "bn-node-tick", x: 12, y: flat ? height - 10 : height - 16, width: 2, height: 9 });
    element.append(title, make("rect", { class: "bn-box", width: wide, height, rx: 8 }),
      make("rect", { class: "bn-stripe", x: 0, y: 6, width: 4, height: height - 12, rx: 2 }),
      ...texts, track, fill, tick, state, value);
    return { element, label: texts[0], title, value, state, track, fill, tick, width, flat, form: this.form };
  }

  drawNode(id, node) {
    const { view, about, chosen, evidence } = this.explorer;
    const variable = about.variables[id];
    const now = view.posteriors[id];
    const before = about.priors[id];
    const known = view.known.find((k) => k.id === id);
    const sure = known !== undefined && known.likelihood.filter((x) => x > 0).length < known.likelihood.length
      && !(evidence[id] !== null && typeof evidence[id] === "object" && !Array.isArray(evidence[id]));
    const binary = variable.role === "cause" || variable.states.length === 2;
    const best = now.indexOf(Math.max(...now));
    const p = binary ? 1 - now[0] : now[best];
    const prior = binary ? 1 - before[0] : before[best];
    const state = binary ? "" : words(variable.states[best]);
    const tail = binary ? percent(p) : ` ${percent(p)}`;
    const shown = state + tail;
    const said = known ? known.words.slice(variable.name.length + 2) : "";
    node.element.classList.toggle("bn-known-node", known !== undefined);
    node.element.classList.toggle("bn-chosen", id === chosen);
    node.title.textContent = known ? `${variable.name}: ${said} (observed)`
      : `${variable.name}: ${binary ? words(variable.states[1]) + " " : ""}${shown}, before ${percent(prior)}`;
    node.element.setAttribute("aria-label", node.title.textContent);
    const bar = !sure && (binary || !node.flat || known === undefined);
    for (const part of [node.track, node.fill, node.tick]) part.toggleAttribute("hidden", !bar);
    const plain = binary || node.flat;
    node.value.textContent = sure ? "" : plain ? percent(p) : "";
    const room = this.form.width - 15;
    node.state.textContent = sure ? cut(capital(said), room, true) : plain ? "" : cut(capital(state), room, true, tail);
    node.state.classList.toggle("bn-is-state", sure);
    if (!plain) for (const part of [node.track, node.fill, node.tick]) part.toggleAttribute("hidden", true);
    if (node.flat) {
      node.state.textContent = "";
      node.value.textContent = sure ? cut(said, 124, true) : cut(state, 124, true, tail);
      node.label.textContent = cut(variable.name, this.form.width - 30 - widthOf(node.value.textContent, true));
    }
    node.fill.setAttribute("width", String(Math.max(0, p * node.width)));
    node.tick.setAttribute("x", String(11 + prior * node.width));
  }

  drawEdges(edges) {
    const { width, gapX, height } = this.form;
    const { variables } = this.explorer.about;
    this.edgeLayer.replaceChildren();
    this.edges = edges.map(([a, b]) => {
      const from = this.nodes.get(a).place;
      const to = this.nodes.get(b).place;
      const y0 = from.y + height / 2;
      const y1 = to.y + height / 2;
      let d;
      if (to.x > from.x) {
        const bend = gapX / 2 + (to.x - from.x - width - gapX) * 0.25;
        d = `M${from.x + width},${y0} C${from.x + width + bend + 18},${y0} ${to.x - bend - 18},${y1} ${to.x},${y1}`;
      } else if (to.x === from.x) {
        d = `M${from.x},${y0} C${from.x - 30},${y0} ${to.x - 30},${y1} ${to.x},${y1}`;
      } else {
        d = `M${from.x},${y0} C${from.x - 24},${y0} ${to.x + width + 24},${y1} ${to.x + width},${y1}`;
      }
      // Every cause leads to the outcome: those arcs show only when asked for.
      const quiet = variables[b].role === "outcome" ? " bn-quiet" : "";
      const path = make("path", { class: `bn-edge${quiet}`, d });
      this.edgeLayer.append(path);
      return { a, b, path };
    });
  }

  // ------------------------------------------------------------ lighting up

  light(id) {
    const on = id !== null && this.nodes.has(id);
    const nodes = on ? new Set([...this.reach(id, "a", "b"), ...this.reach(id, "b", "a")]) : null;
    const up = on ? this.reach(id, "b", "a") : null;
    const down = on ? this.reach(id, "a", "b") : null;
    const weights = on ? new Map() : this.weights();
    this.svg.classList.toggle("bn-lighting", on);
    this.svg.classList.toggle("bn-whole", this.explorer.whole);
    for (const [v, node] of this.nodes) node.element.classList.toggle("bn-lit", on && nodes.has(v));
    for (const { a, b, path } of this.edges) {
      const lit = on && ((down.has(a) && down.has(b)) || (up.has(a) && up.has(b)));
      const weight = weights.get(`${a}>${b}`) ?? weights.get(`${b}>${a}`);
      path.classList.toggle("bn-lit", lit);
      path.classList.toggle("bn-for", weight !== undefined && weight >= 0);
      path.classList.toggle("bn-counter", weight !== undefined && weight < 0);
      path.style.setProperty("stroke-width", weight === undefined ? "" : String(1.2 + Math.min(5, Math.abs(weight) / 2.5)));
    }
  }

  reach(start, from, to) {
    const found = new Set([start]);
    let grown = true;
    while (grown) {
      grown = false;
      for (const edge of this.edges) {
        if (found.has(edge[from]) && !found.has(edge[to])) { found.add(edge[to]); grown = true; }
      }
    }
    return found;
  }

  // Weight of evidence on the arcs of the explained cause's paths; the strongest finding counts.
  weights() {
    const found = new Map();
    for (const { path, weight } of this.explorer.view.explanation?.findings ?? []) {
      const w = weight ?? 30;
      for (let i = 0; i + 1 < path.length; i += 1) {
        const key = `${path[i]}>${path[i + 1]}`;
        if (!found.has(key) || Math.abs(found.get(key)) < Math.abs(w)) found.set(key, w);
      }
    }
    return found;
  }

  // ------------------------------------------------------------ acting

  act(id) {
    const { explorer } = this;
    if (explorer.about.variables[id].role === "cause") explorer.choose(id);
    else if (explorer.rows.has(id)) {
      const row = explorer.rows.get(id).element;
      explorer.parts.search.value = "";
      explorer.filter();
      row.closest("details").open = true;
      row.scrollIntoView({ block: "nearest" });
      row.querySelector('.bn-state[tabindex="0"]').focus({ preventScroll: true });
    }
  }

  rove() {
    for (const [id, node] of this.nodes) node.element.setAttribute("tabindex", id === this.current ? "0" : "-1");
  }

  key(event) {
    const id = event.target.dataset?.node;
    if (event.key === "+" || event.key === "=") this.zoom(1.25);
    else if (event.key === "-") this.zoom(1 / 1.25);
    else if (id && (event.key === "Enter" || event.key === " ")) this.act(id);
    else if (id && event.key.startsWith("Arrow")) this.step(id, event.key);
    else return;
    event.preventDefault();
  }

  // The nearest node in the direction of the arrow.
  step(id, key) {
    const here = this.nodes.get(id).place;
    const [dx, dy] = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] }[key];
    let best = null;
    let least = Infinity;
    for (const [other, { place }] of this.nodes) {
      const x = place.x - here.x;
      const y = place.y - here.y;
      const along = x * dx + y * dy;
      const across = Math.abs(x * dy) + Math.abs(y * dx);
      if (other === id || along <= 0 || (dy && x !== 0)) continue;
      if (along + 0.6 * across < least) { best = other; least = along + 0.6 * across; }
    }
    this.nodes.get(best)?.element.focus();
  }

  reveal(id) {
    const { x, y } = this.nodes.get(id).place;
    const { clientWidth: w, clientHeight: h } = this.canvas;
    const [left, top] = [x * this.at.k + this.at.x, y * this.at.k + this.at.y];
    const [right, bottom] = [left + this.form.width * this.at.k, top + this.form.height * this.at.k];
    if (left < 0) this.at.x += 12 - left;
    else if (right > w) this.at.x -= right - w + 12;
    if (top < 0) this.at.y += 12 - top;
    else if (bottom > h) this.at.y -= bottom - h + 12;
    this.place();
  }

  // ------------------------------------------------------------ pan and zoom

  place() {
    this.world.setAttribute("transform", `translate(${this.at.x} ${this.at.y}) scale(${this.at.k})`);
  }

  fit() {
    const { clientWidth: w, clientHeight: h } = this.canvas;
    if (!w || !h) return;
    const wide = (w - 32) / this.size.width;
    const tall = this.explorer.whole ? wide : (h - 28) / this.size.height;
    const k = Math.min(1.25, Math.max(Math.min(wide, tall), SMALLEST_FIT));
    const eye = this.nodes.get(this.explorer.chosen)?.place;
    // In the middle; where it does not fit, from its start, or with the explained cause in sight.
    const start = (room, size, rim, seen) => {
      const spare = room - size * k;
      if (spare >= 2 * rim) return spare / 2;
      return seen === undefined ? rim : Math.min(rim, Math.max(spare - rim, room / 2 - seen * k));
    };
    const x = start(w, this.size.width, 16, eye && eye.x + this.form.width / 2);
    const y = start(h, this.size.height, 14, eye && eye.y + this.form.height / 2);
    const over = this.size.width * k > w || this.size.height * k > h;
    this.explorer.parts.drag.hidden = !over;
    this.at = { k, x, y: this.explorer.whole ? 14 : y };
    this.moved = false;
    this.place();
  }

  zoom(factor, x = this.canvas.clientWidth / 2, y = this.canvas.clientHeight / 2) {
    const k = Math.min(3, Math.max(0.2, this.at.k * factor));
    const f = k / this.at.k;
    this.at = { k, x: x - (x - this.at.x) * f, y: y - (y - this.at.y) * f };
    this.moved = true;
    this.place();
  }

  grab(event) {
    this.pointers.set(event.pointerId, [event.offsetX, event.offsetY]);
    this.dragged = false;
  }

  drag(event) {
    const last = this.pointers.get(event.pointerId);
    if (!last) return;
    const [x, y] = [event.offsetX, event.offsetY];
    if (!this.dragged && Math.hypot(x - last[0], y - last[1]) < 4) return;
    if (!this.dragged) this.svg.setPointerCapture(event.pointerId);
    this.dragged = true;
    this.moved = true;
    if (this.pointers.size === 2) {
      const [other] = [...this.pointers].filter(([id]) => id !== event.pointerId).map(([, p]) => p);
      const before = Math.hypot(last[0] - other[0], last[1] - other[1]);
      const after = Math.hypot(x - other[0], y - other[1]);
      if (before > 0) this.zoom(after / before, (x + other[0]) / 2, (y + other[1]) / 2);
    } else {
      this.at.x += x - last[0];
      this.at.y += y - last[1];
      this.place();
    }
    this.pointers.set(event.pointerId, [x, y]);
  }

  release(event) {
    this.pointers.delete(event.pointerId);
    // The click that ends a drag comes after this event.
    setTimeout(() => { this.dragged = false; }, 0);
  }
}

export default {
  render({ model, el }) {
    const explorer = new Explorer(model, el);
    return () => explorer.destroy();
  },
};
