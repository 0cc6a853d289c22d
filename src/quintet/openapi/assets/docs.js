// The documentation page: reads the OpenAPI document and lists its operations by tag.
// Everything from the document becomes text nodes (dom.js), so no title or description can add markup.

import { h, link, markdown } from "./dom.js";
import { operationCard } from "./operation.js";
import { Schemas } from "./schema.js";

const METHODS = ["get", "post", "put", "patch", "delete", "head", "options", "trace"];
const root = document.documentElement;

class Page {
  constructor(doc) {
    this.doc = doc;
    this.schemas = new Schemas(doc);
    this.operations = this.list();
    this.secrets = new Map();
  }

  list() {
    const found = [];
    for (const [path, entry] of Object.entries(this.doc.paths ?? {})) {
      const item = this.schemas.resolve(entry);
      for (const method of METHODS.filter((m) => item[m])) {
        const op = item[method];
        found.push({
          ...op, method, path, id: `op-${op.operationId ?? `${method}-${path}`}`,
          parameters: [...(item.parameters ?? []), ...(op.parameters ?? [])],
          security: op.security ?? this.doc.security,
        });
      }
    }
    return found;
  }

  server() {
    return this.serverChoice?.value ?? this.doc.servers?.[0]?.url ?? "/";
  }

  groups() {
    const groups = new Map((this.doc.tags ?? []).map((t) => [t.name, { ...t, operations: [] }]));
    for (const op of this.operations) {
      for (const name of op.tags?.length ? op.tags : [""]) {
        if (!groups.has(name)) groups.set(name, { name, operations: [] });
        groups.get(name).operations.push(op);
      }
    }
    return [...groups.values()].filter((g) => g.operations.length);
  }

  draw(box) {
    const { info } = this.doc;
    document.title = info.title;
    const groups = this.groups();
    this.search = h("input", { type: "search", placeholder: "Search ( / )", "aria-label": "Search operations" });
    this.search.addEventListener("input", () => this.filter());
    const theme = h("button", { type: "button", class: "quiet small", title: "Light or dark" }, "◐");
    theme.addEventListener("click", toggleTheme);
    const menu = h("nav", { class: "menu", "aria-label": "Operations" }, groups.map((g) => h("section", null,
      h("h2", null, g.name || "Operations"),
      g.operations.map((op) => h("a", { href: `#${op.id}`, class: "entry", "data-id": op.id },
        h("span", { class: `method small ${op.method}` }, short(op.method)),
        h("span", null, op.summary || op.path))))));
    const side = h("aside", null,
      h("div", { class: "brand" }, h("strong", null, info.title), h("span", { class: "muted" }, info.version), theme),
      this.search, menu);
    const main = h("main", { tabindex: -1 }, this.drawHead(),
      groups.map((g) => h("section", { class: "group" },
        h("h2", null, g.name || "Operations"), g.description ? markdown(g.description) : null,
        g.operations.map((op) => operationCard(this, op)))),
      groups.length ? null : h("p", { class: "notice" }, "There are no operations yet."));
    box.replaceChildren(h("a", { class: "skip", href: "#content" }, "Skip to the operations"), side, main);
    main.id = "content";
    addEventListener("hashchange", () => this.open());
    addEventListener("keydown", (event) => this.key(event));
    this.open();
  }

  drawHead() {
    const { info, servers = [] } = this.doc;
    const facts = [
      h("a", { href: root.dataset.document }, "openapi.json"),
      info.license ? (info.license.url ? link(info.license.url, info.license.name) : info.license.name) : null,
      info.contact?.url ? link(info.contact.url, info.contact.name ?? "Contact") : null,
      info.contact?.email ? link(`mailto:${info.contact.email}`, info.contact.email) : null,
      info.termsOfService ? link(info.termsOfService, "Terms") : null,
    ].filter(Boolean);
    if (servers.length > 1) {
      this.serverChoice = h("select", { "aria-label": "Server" }, servers.map((s) =>
        h("option", { value: s.url }, s.description ? `${s.url} (${s.description})` : s.url)));
    }
    return h("header", null,
      h("h1", null, info.title, " ", h("small", null, info.version)),
      info.summary ? h("p", null, info.summary) : null,
      info.description ? markdown(info.description) : null,
      h("p", { class: "facts" }, facts.map((f) => h("span", null, f))),
      this.serverChoice ? h("p", { class: "line" }, "Server", this.serverChoice) : null,
      this.drawSecurity());
  }

  // -- credentials: kept in this page's memory only ----------------------------------------------------------------

  drawSecurity() {
    const schemes = Object.entries(this.doc.components?.securitySchemes ?? {});
    if (!schemes.length) return null;
    return h("details", { class: "credentials" }, h("summary", null, "Credentials"), schemes.map(([name, found]) => {
      const scheme = this.schemas.resolve(found);
      const form = h("form", { autocomplete: "off" }, h("fieldset", null, h("legend", null, name, " ", h("span", { class: "muted" }, schemeText(scheme))),
        scheme.description ? markdown(scheme.description) : null,
        this.secretFields(name, scheme)));
      form.addEventListener("submit", (event) => event.preventDefault());
      return form;
    }));
  }

  secretFields(name, scheme) {
    const remember = (part) => (event) => {
      this.secrets.set(name, { ...this.secrets.get(name), [part]: event.target.value });
      for (const form of document.querySelectorAll("form.try")) form.dispatchEvent(new Event("input"));
    };
    const field = (part, label, type) => h("label", { class: "line" }, label,
      h("input", { type, autocomplete: "off", "data-secret": `${name}.${part}`, oninput: remember(part) }));
    if (scheme.type === "http" && scheme.scheme === "basic") {
      return [field("user", "User", "text"), field("password", "Password", "password")];
    }
    return [field("token", scheme.type === "apiKey" ? "Key" : "Token", "password")];
  }

  /** What a request needs beside its parameters: the first alternative for which something was typed. */
  credentials(op) {
    for (const need of op.security ?? []) {
      const out = [];
      for (const name of Object.keys(need)) {
        const scheme = this.schemas.resolve(this.doc.components?.securitySchemes?.[name] ?? {});
        const { token, user, password } = this.secrets.get(name) ?? {};
        if (scheme.type === "apiKey" && token) out.push({ in: scheme.in, name: scheme.name, values: [token] });
        else if (scheme.scheme === "basic" && user) {
          const text = String.fromCharCode(...new TextEncoder().encode(`${user}:${password ?? ""}`));
          out.push({ in: "header", name: "Authorization", values: [`Basic ${btoa(text)}`] });
        } else if (token) out.push({ in: "header", name: "Authorization", values: [`Bearer ${token}`] });
      }
      if (out.length) return out;
    }
    return [];
  }

  // -- moving about ------------------------------------------------------------------------------------------------

  filter() {
    const words = this.search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const fits = new Set(this.operations.filter((op) => {
      const text = [op.method, op.path, op.summary, op.operationId, ...(op.tags ?? [])].join(" ").toLowerCase();
      return words.every((w) => text.includes(w));
    }).map((op) => op.id));
    for (const entry of document.querySelectorAll(".entry")) entry.hidden = !fits.has(entry.dataset.id);
    for (const card of document.querySelectorAll(".operation")) card.hidden = !fits.has(card.id);
    for (const group of document.querySelectorAll("nav section, section.group")) {
      group.hidden = !group.querySelector(".entry:not([hidden]), .operation:not([hidden])");
    }
  }

  open() {
    const id = decodeURIComponent(location.hash.slice(1));
    const card = id ? document.getElementById(id) : null;
    for (const entry of document.querySelectorAll(".entry")) {
      if (entry.dataset.id === id) entry.setAttribute("aria-current", "true");
      else entry.removeAttribute("aria-current");
    }
    if (!card?.classList.contains("operation")) return;
    card.open = true;
    card.scrollIntoView({ block: "start" });
    card.querySelector("summary").focus({ preventScroll: true });
  }

  key(event) {
    const typing = /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName);
    if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      this.search.focus();
    }
    if (event.key === "Escape" && event.target === this.search) {
      this.search.value = "";
      this.filter();
    }
  }
}

function short(method) {
  return { delete: "DEL", options: "OPT" }[method] ?? method.toUpperCase();
}

function schemeText(scheme) {
  if (scheme.type === "apiKey") return `the ${scheme.in} ${scheme.name}`;
  if (scheme.type === "http") return `HTTP ${scheme.scheme}${scheme.bearerFormat ? `, ${scheme.bearerFormat}` : ""}`;
  return scheme.type ?? "";
}

function toggleTheme() {
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  try {
    localStorage.setItem("quintet-docs-theme", root.dataset.theme);
  } catch {
    // No storage, no memory of it.
  }
}

async function start() {
  try {
    root.dataset.theme = localStorage.getItem("quintet-docs-theme") ?? "";
  } catch {
    // As above.
  }
  const box = document.getElementById("app");
  try {
    const response = await fetch(root.dataset.document, { headers: { accept: "application/json" } });
    if (!response.ok) throw new Error(`${response.status} ${response.statusText}`);
    new Page(await response.json()).draw(box);
  } catch (error) {
    box.replaceChildren(h("p", { class: "notice bad" }, `The document could not be shown: ${error.message}`));
  }
}

start();
