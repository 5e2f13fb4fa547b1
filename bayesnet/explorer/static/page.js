// The explorer without Jupyter: an object with a widget model's interface that asks the HTTP API.

import explorer from "/static/explorer.js";

class Page {
  constructor(about, view) {
    this.state = { _model: about, _view: view, _request: {} };
    this.listeners = new Map();
  }

  get(name) {
    return this.state[name];
  }

  set(name, value) {
    this.state[name] = value;
  }

  on(event, listener) {
    this.listeners.set(event, [...(this.listeners.get(event) ?? []), listener]);
  }

  off(event, listener) {
    this.listeners.set(event, (this.listeners.get(event) ?? []).filter((l) => l !== listener));
  }

  async save_changes() {
    const { number, evidence, chosen } = this.state._request;
    const found = await ask(evidence, chosen);
    this.state._view = found.error
      ? { ...this.state._view, error: found.error, answers: number }
      : { ...found, answers: number };
    for (const listener of this.listeners.get("change:_view") ?? []) listener();
  }
}

async function ask(findings, chosen) {
  try {
    const response = await fetch("/v1/view", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ findings, chosen }),
    });
    return await response.json();
  } catch {
    return { error: { message: "The server does not answer. Is bayesnet serve still running?" } };
  }
}

const el = document.getElementById("explorer");
const about = await (await fetch("/v1/model")).json();
const view = { ...(await ask({}, "")), answers: 0 };
el.replaceChildren();
document.title = about.title;
explorer.render({ model: new Page(about, view), el });
