// The API's description, drawn from /openapi.json; nothing comes from elsewhere.

const main = document.querySelector("main");
const api = await (await fetch("/openapi.json")).json();

function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

function typeOf(schema) {
  if (schema.$ref) return schema.$ref.split("/").at(-1);
  return schema.enum ? schema.enum.join(" or ") : schema.type;
}

function fields(schema) {
  const table = make("table");
  table.append(make("tr", {}, make("th", { scope: "col" }, "field"),
    make("th", { scope: "col" }, "type"), make("th", { scope: "col" }, "")));
  for (const [name, field] of Object.entries(schema.properties)) {
    const said = field.description ?? api.components.schemas[typeOf(field)]?.description ?? "";
    const must = schema.required.includes(name) ? "required. " : "";
    table.append(make("tr", {}, make("td", {}, make("code", {}, name)),
      make("td", {}, typeOf(field)), make("td", {}, must + said)));
  }
  return table;
}

function section(path, method, what) {
  const found = make("section", {}, make("h2", {}, `${method.toUpperCase()} ${path}`),
    make("p", {}, what.summary));
  const json = what.requestBody?.content["application/json"];
  const button = make("button", { type: "button" }, `Try ${path}`);
  const out = make("pre", { tabindex: "0", hidden: "", "aria-live": "polite" });
  let text = null;
  if (json) {
    text = make("textarea", { "aria-label": `Request body of ${path}`, spellcheck: "false" });
    text.value = JSON.stringify(json.example, null, 2);
    found.append(fields(json.schema), text);
  }
  button.addEventListener("click", async () => {
    const options = text
      ? { method: "POST", headers: { "Content-Type": "application/json" }, body: text.value }
      : {};
    const response = await fetch(path, options);
    out.textContent = `${response.status}\n${JSON.stringify(await response.json(), null, 2)}`;
    out.hidden = false;
  });
  found.append(button, out);
  return found;
}

const codes = make("table");
for (const [code, said] of Object.entries(api.paths["/v1/diagnose"].post.responses)) {
  codes.append(make("tr", {}, make("td", {}, code), make("td", {}, said.description)));
}
main.replaceChildren(
  make("h1", {}, `${api.info.title} ${api.info.version}: HTTP API`),
  make("p", {}, api.info.description),
  make("p", {}, make("a", { href: "/" }, "The explorer"), " · ",
    make("a", { href: "/openapi.json" }, "openapi.json")),
  ...Object.entries(api.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, what]) => section(path, method, what))),
  make("section", {}, make("h2", {}, "Status codes"), codes),
);
