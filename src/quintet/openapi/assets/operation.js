// One operation: what it takes, what it answers, and a form to try it.

import { copyButton, h, markdown } from "./dom.js";
import { buildRequest, curl, send } from "./request.js";

const FORMS = ["application/x-www-form-urlencoded", "multipart/form-data"];
const UNTYPED = /msgpack/; // nobody types these by hand

export function operationCard(page, op) {
  const body = h("div", { class: "content" });
  const card = h("details", { class: `operation ${op.method}`, id: op.id },
    h("summary", null,
      h("span", { class: `method ${op.method}` }, op.method.toUpperCase()),
      h("span", { class: "path" + (op.deprecated ? " gone" : "") }, breakable(op.path)),
      h("span", { class: "muted title" }, op.summary ?? ""),
      op.deprecated ? h("span", { class: "tag" }, "deprecated") : null,
      op.security?.some((s) => Object.keys(s).length) ? h("span", { class: "tag", title: securityText(op) }, "auth") : null,
    ), body);
  card.addEventListener("toggle", () => card.open && !body.childNodes.length && new Operation(page, op, body).draw());
  return card;
}

/** A path that may be broken after its slashes. */
function breakable(path) {
  return path.split(/(?<=\/)/).flatMap((part, n) => (n ? [h("wbr"), part] : [part]));
}

function securityText(op) {
  return (op.security ?? []).map((need) => Object.entries(need)
    .map(([name, scopes]) => name + (scopes.length ? ` (${scopes.join(", ")})` : "")).join(" and ") || "nothing").join(", or ");
}

class Operation {
  constructor(page, op, box) {
    this.page = page;
    this.schemas = page.schemas;
    this.op = op;
    this.box = box;
    this.parameters = op.parameters.map((p) => this.schemas.resolve(p));
    this.body = op.requestBody && this.schemas.resolve(op.requestBody);
  }

  draw() {
    const { op } = this;
    const form = h("form", { class: "try", novalidate: true, autocomplete: "off" });
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.submit();
    });
    form.addEventListener("input", () => this.showCurl());
    if (this.parameters.length) form.append(h("h4", null, "Parameters"), this.drawParameters());
    if (this.body) form.append(...this.drawBody());
    this.button = h("button", { class: "primary" }, "Send");
    this.stop = h("button", { type: "button", class: "quiet", hidden: true }, "Stop");
    this.stop.addEventListener("click", () => this.controller?.abort());
    this.problem = h("span", { class: "problem", role: "alert" });
    this.command = h("pre", { class: "curl", tabindex: 0, "aria-label": "The request as a curl command" });
    this.answer = h("div", { class: "answer", "aria-live": "polite" });
    form.append(
      h("p", { class: "line actions" }, this.button, this.stop, this.problem),
      h("details", { class: "command" }, h("summary", null, "curl"),
        h("div", { class: "corner" }, copyButton(() => this.command.textContent)), this.command),
      this.answer,
    );
    this.box.append(
      op.description ? markdown(op.description) : "",
      op.externalDocs ? h("p", null, h("a", { href: op.externalDocs.url }, op.externalDocs.description ?? op.externalDocs.url)) : "",
      op.security?.length ? h("p", { class: "muted" }, `Needs ${securityText(op)}.`) : "",
      form, h("h4", null, "Answers"), this.drawResponses(), this.drawCallbacks() ?? "",
    );
    this.showCurl();
  }

  // -- what it takes ---------------------------------------------------------------------------------------------

  drawParameters() {
    this.inputs = [];
    return h("div", { class: "parameters" }, this.parameters.map((p) => {
      const schema = p.schema ?? Object.values(p.content ?? {})[0]?.schema ?? {};
      const first = Object.values(p.examples ?? {})[0];
      const given = p.example ?? (first && this.schemas.resolve(first).value);
      const control = this.control(schema, { id: `${this.op.id}-${p.in}-${p.name}`, required: p.required, given });
      this.inputs.push({ p, schema, control });
      return h("div", { class: "parameter" + (p.deprecated ? " gone" : "") },
        h("label", { for: control.id }, h("code", { class: "name" }, p.name),
          p.required ? h("span", { class: "required" }, "required") : null,
          h("span", { class: "muted" }, p.in)),
        h("div", null, control,
          h("div", { class: "hint" }, h("span", { class: "type" }, this.schemas.typeText(schema)),
            h("span", { class: "limits" }, this.schemas.limits(schema).join(" · "))),
          p.description ? markdown(p.description) : null));
    }));
  }

  control(schema, { id, required, given }) {
    const s = this.schemas.whole(schema);
    const inner = this.schemas.choices(s).length === 1 ? this.schemas.whole(this.schemas.choices(s)[0]) : s;
    const common = { id, name: id, "aria-required": required ? "true" : undefined };
    const options = inner.enum ?? ("const" in inner ? [inner.const] : inner.type === "boolean" ? [true, false] : null);
    if (this.schemas.isBinary(inner)) return h("input", { ...common, type: "file" });
    if (inner.type === "array" && this.schemas.isBinary(inner.items ?? {})) {
      return h("input", { ...common, type: "file", multiple: true });
    }
    if (options) {
      const chosen = given ?? (required ? options[0] : undefined);
      return h("select", common, required ? null : h("option", { value: "" }, "–"),
        options.map((o) => h("option", { value: String(o), selected: o === chosen }, String(o))));
    }
    const known = inner.default ?? undefined;
    const placeholder = known === undefined || known === null ? "" : plain(known);
    if (inner.type === "array") {
      const lines = given ?? (required ? this.schemas.example(inner) : []);
      return h("textarea", { ...common, rows: 2, placeholder: placeholder || "one value a line",
        value: [lines].flat().map(plain).join("\n") });
    }
    const value = given ?? (required ? this.schemas.example(inner) : "");
    const numeric = inner.type === "integer" || inner.type === "number";
    return h("input", { ...common, placeholder, inputmode: numeric ? "decimal" : undefined, value: plain(value),
      spellcheck: "false", type: inner.format === "password" ? "password" : "text" });
  }

  drawBody() {
    const types = Object.keys(this.body.content ?? {});
    const typed = types.filter((t) => !UNTYPED.test(t));
    this.type = h("select", { "aria-label": "Media type of the body" },
      (typed.length ? typed : types).map((t) => h("option", { value: t }, t)));
    this.fields = h("div", { class: "request-body" });
    const shape = h("details", { class: "shape" }, h("summary", null, "Schema"));
    const change = () => {
      this.drawFields();
      const schema = this.body.content[this.type.value]?.schema ?? {};
      shape.replaceChildren(h("summary", null, `Schema: ${this.schemas.typeText(schema)}`), this.schemas.tree(schema));
      if (this.command) this.showCurl();
    };
    this.type.addEventListener("change", change);
    change();
    const also = types.filter((t) => UNTYPED.test(t) && typed.length);
    return [
      h("h4", null, "Body", this.body.required ? h("span", { class: "required" }, "required") : null, this.type,
        also.length ? h("span", { class: "muted" }, `or ${also.join(", ")}`) : null),
      this.body.description ? markdown(this.body.description) : "",
      this.fields, shape,
    ];
  }

  drawFields() {
    const type = this.type.value;
    const media = this.body.content[type] ?? {};
    const schema = this.schemas.whole(media.schema ?? {});
    this.parts = [];
    if (FORMS.includes(type) && schema.properties) {
      const rows = Object.entries(schema.properties).map(([name, field]) => {
        const required = schema.required?.includes(name);
        const control = this.control(field, { id: `${this.op.id}-form-${name}`, required });
        this.parts.push({ name, control, schema: field });
        return h("div", { class: "parameter" },
          h("label", { for: control.id }, h("code", { class: "name" }, name),
            required ? h("span", { class: "required" }, "required") : null),
          h("div", null, control, h("div", { class: "hint" },
            h("span", { class: "type" }, this.schemas.typeText(field, 1)),
            h("span", { class: "limits" }, this.schemas.limits(field).join(" · ")))));
      });
      this.text = null;
      this.fields.replaceChildren(h("div", { class: "parameters" }, rows));
      return;
    }
    const first = Object.values(media.examples ?? {})[0];
    const value = media.example ?? (first ? this.schemas.resolve(first).value : this.schemas.example(media.schema ?? {}));
    if (this.schemas.isBinary(schema)) {
      this.text = h("input", { type: "file", "aria-label": "Body" });
    } else {
      const text = typeof value === "string" && !/json/.test(type) ? value
        : /xml/.test(type) ? toXml(this.schemas.typeText(media.schema, 1), value) : JSON.stringify(value, null, 2);
      this.text = h("textarea", { rows: Math.min(16, text.split("\n").length + 1), spellcheck: "false",
        "aria-label": "Body", class: "code", value: text });
    }
    this.fields.replaceChildren(this.text);
  }

  // -- sending it ------------------------------------------------------------------------------------------------

  read() {
    const values = (this.inputs ?? []).map(({ p, schema, control }) => ({
      in: p.in, name: p.name, values: typedValues(control, this.schemas.whole(schema)),
      rest: /slashes/.test(p.description ?? ""),
    }));
    let body;
    if (this.body && this.text?.type === "file") body = { type: this.type.value, file: this.text.files[0] };
    else if (this.body && this.text) body = { type: this.type.value, text: this.text.value };
    else if (this.body) {
      const parts = this.parts.flatMap(({ name, control, schema }) => {
        const list = control.type === "file" ? [...control.files] : typedValues(control, this.schemas.whole(schema));
        return list.map((value) => [name, value]);
      });
      body = { type: this.type.value, parts };
    }
    const server = this.page.server();
    return buildRequest(this.op.method, server, this.op.path, values, body, this.page.credentials(this.op));
  }

  showCurl() {
    this.command.textContent = curl(this.read());
  }

  async submit() {
    const empty = (this.inputs ?? []).find(({ p, control }) => p.in === "path" && !control.value.trim());
    this.problem.textContent = empty ? `The path needs a value for ${empty.p.name}.` : "";
    if (empty) return empty.control.focus();
    this.showCurl();
    this.controller = new AbortController();
    this.button.disabled = true;
    this.stop.hidden = false;
    try {
      await send(this.read(), this.answer, this.controller);
    } finally {
      this.button.disabled = false;
      this.stop.hidden = true;
    }
  }

  // -- what it answers -------------------------------------------------------------------------------------------

  drawResponses() {
    return h("div", { class: "responses" }, Object.entries(this.op.responses ?? {}).map(([status, found]) => {
      const response = this.schemas.resolve(found);
      const types = Object.entries(response.content ?? {});
      const detail = h("div", { class: "inner" });
      const head = [
        h("span", { class: `status s${status[0]}` }, status),
        h("span", { class: "about" }, markdown(response.description)),
        h("span", { class: "muted types" }, types.map(([t]) => t).join(", ")),
      ];
      const headers = Object.entries(response.headers ?? {});
      if (!types.some(([, m]) => m.schema) && !headers.length) return h("div", { class: "response line" }, head);
      const row = h("details", { class: "response" }, h("summary", { class: "line" }, head), detail);
      row.addEventListener("toggle", () => {
        if (detail.childNodes.length) return;
        for (const [name, header] of headers) {
          const resolved = this.schemas.resolve(header);
          detail.append(h("div", { class: "field line" }, h("code", { class: "name" }, name),
            h("span", { class: "type" }, "header"), markdown(resolved.description)));
        }
        for (const [schema, names] of grouped(types)) {
          detail.append(h("p", { class: "muted" }, `${names.join(", ")}: ${this.schemas.typeText(schema)}`),
            this.schemas.hasFields(schema) ? this.schemas.tree(schema) : "");
        }
        const json = types.find(([t, m]) => /json/.test(t) && !/jsonl/.test(t) && m.schema);
        if (json) {
          const text = JSON.stringify(json[1].example ?? this.schemas.example(json[1].schema), null, 2);
          detail.append(h("details", null, h("summary", null, "Example"), h("pre", { tabindex: 0 }, text)));
        }
      });
      return row;
    }));
  }

  drawCallbacks() {
    const all = Object.entries(this.op.callbacks ?? {});
    if (!all.length) return null;
    return h("div", null, h("h4", null, "Callbacks"), all.map(([name, callback]) =>
      Object.entries(this.schemas.resolve(callback)).map(([address, item]) => Object.entries(item).map(([method, op]) =>
        h("p", { class: "line" }, h("span", { class: `method ${method}` }, method.toUpperCase()), h("code", null, address),
          h("span", { class: "muted" }, op.summary ?? op.description ?? name))))));
  }
}

function grouped(types) {
  const found = new Map();
  for (const [type, media] of types) {
    if (!media.schema) continue;
    const key = JSON.stringify(media.schema);
    if (!found.has(key)) found.set(key, [media.schema, []]);
    found.get(key)[1].push(type);
  }
  return found.values();
}

function plain(value) {
  return typeof value === "object" && value !== null ? JSON.stringify(value) : String(value ?? "");
}

function typedValues(control, schema) {
  if (control.tagName === "TEXTAREA" && schema.type === "array") return control.value.split("\n").filter((l) => l !== "");
  return control.value === "" ? [] : [control.value];
}

function toXml(name, value, indent = "") {
  const tag = /^[A-Za-z_][\w.-]*$/.test(name) ? name : "item";
  const escape = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;");
  if (Array.isArray(value)) return value.map((v) => toXml(name, v, indent)).join("\n");
  if (value && typeof value === "object") {
    const inner = Object.entries(value).map(([k, v]) => toXml(k, v, indent + "  ")).join("\n");
    return `${indent}<${tag}>\n${inner}\n${indent}</${tag}>`;
  }
  return value === null ? "" : `${indent}<${tag}>${escape(value)}</${tag}>`;
}
