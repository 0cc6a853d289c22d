// JSON Schema 2020-12, as a reader sees it: types in a word, limits, an example, a tree that opens on demand.

import { h, markdown } from "./dom.js";

const INT64 = ["-9223372036854775808", "9223372036854775807", "-9223372036854776000", "9223372036854776000"];

export class Schemas {
  constructor(doc) {
    this.doc = doc;
  }

  /** Follow a reference (in any part of the document); what stands beside it wins. */
  resolve(value) {
    for (let hops = 0; value && typeof value === "object" && value.$ref && hops < 20; hops++) {
      const { $ref, ...beside } = value;
      const target = this.at($ref);
      value = target ? { ...target, ...beside } : beside;
    }
    return value ?? {};
  }

  at(ref) {
    if (!ref.startsWith("#/")) return undefined;
    const keys = ref.slice(2).split("/").map((k) => decodeURIComponent(k).replace(/~1/g, "/").replace(/~0/g, "~"));
    return keys.reduce((found, key) => found?.[key], this.doc);
  }

  /** Resolve, and put the members of `allOf` together. */
  whole(schema) {
    const found = this.resolve(schema === true || schema === undefined ? {} : schema);
    if (!found.allOf) return found;
    const { allOf, ...own } = found;
    return [...allOf, own].map((part) => this.whole(part)).reduce((all, part) => ({
      ...all,
      ...part,
      properties: { ...all.properties, ...part.properties },
      required: [...(all.required ?? []), ...(part.required ?? [])],
    }), {});
  }

  isNull(schema) {
    return this.resolve(schema).type === "null";
  }

  choices(schema) {
    return (schema.oneOf ?? schema.anyOf ?? []).filter((s) => !this.isNull(s));
  }

  isBinary(schema) {
    const found = this.whole(schema);
    return found.format === "binary" || (found.type === "string" && /octet-stream/.test(found.contentMediaType ?? ""));
  }

  /** The type in a few words, such as `integer`, `array of Item` or `"a" | "b"`. */
  typeText(schema, depth = 0) {
    const name = schema?.$ref?.split("/").pop();
    const found = this.whole(schema);
    const choices = this.choices(found);
    const orNull = (found.oneOf ?? found.anyOf ?? []).some((s) => this.isNull(s)) ? " or null" : "";
    if (choices.length && depth < 4) return choices.map((s) => this.typeText(s, depth + 1)).join(" or ") + orNull;
    if ("const" in found) return JSON.stringify(found.const);
    if (name && depth) return decodeURIComponent(name);
    if (found.enum) return name ? decodeURIComponent(name) : found.enum.map((v) => JSON.stringify(v)).join(" | ");
    if (found.type === "array" && depth < 4) {
      if (found.prefixItems) return `[${found.prefixItems.map((s) => this.typeText(s, depth + 1)).join(", ")}]`;
      return `array of ${found.items ? this.typeText(found.items, depth + 1) : "anything"}`;
    }
    if (this.isBinary(found)) return "file";
    const type = Array.isArray(found.type) ? found.type.join(" or ") : found.type;
    const format = found.format && found.format !== "int64" ? ` (${found.format})` : "";
    return name ? decodeURIComponent(name) : (type ?? (found.properties ? "object" : "anything")) + format;
  }

  /** The limits, each as a short text. */
  limits(schema) {
    const s = this.whole(schema);
    const out = [];
    const add = (text, value) => {
      if (value !== undefined && !INT64.includes(String(value))) out.push(`${text} ${value}`);
    };
    add("≥", s.minimum ?? s.formatMinimum);
    add(">", s.exclusiveMinimum ?? s.formatExclusiveMinimum);
    add("≤", s.maximum ?? s.formatMaximum);
    add("<", s.exclusiveMaximum ?? s.formatExclusiveMaximum);
    add("multiple of", s.multipleOf);
    add("length ≥", s.minLength);
    add("length ≤", s.maxLength);
    add("items ≥", s.minItems);
    add("items ≤", s.maxItems);
    add("matches", s.pattern);
    if (s.uniqueItems) out.push("distinct items");
    if (s.additionalProperties === false && s.properties) out.push("no other fields");
    if (s.enum && (schema.$ref || s.title)) out.push("one of " + s.enum.map((v) => JSON.stringify(v)).join(", "));
    if (s.default !== undefined && s.default !== null) out.push("default " + JSON.stringify(s.default));
    if (s.examples?.length && typeof s.examples[0] !== "object") out.push("such as " + JSON.stringify(s.examples[0]));
    return out;
  }

  /** A value that the schema would take. */
  example(schema, depth = 0) {
    const s = this.whole(schema);
    if (s.examples?.length) return s.examples[0];
    if (s.example !== undefined) return s.example;
    if (s.default !== undefined && s.default !== null) return s.default;
    if ("const" in s) return s.const;
    if (s.enum) return s.enum[0];
    if (depth > 8) return null;
    const [first] = this.choices(s);
    if (first) return this.example(first, depth + 1);
    const type = Array.isArray(s.type) ? s.type[0] : s.type ?? (s.properties ? "object" : "any");
    switch (type) {
      case "object":
        return Object.fromEntries(Object.entries(s.properties ?? {})
          .filter(([key]) => depth < 4 || s.required?.includes(key))
          .map(([key, value]) => [key, this.example(value, depth + 1)]));
      case "array":
        if (s.prefixItems) return s.prefixItems.map((item) => this.example(item, depth + 1));
        return s.items && depth < 6 ? [this.example(s.items, depth + 1)] : [];
      case "string":
        return this.text(s);
      case "integer":
      case "number":
        return number(s, type === "integer");
      case "boolean":
        return true;
      default:
        return type === "any" ? {} : null;
    }
  }

  text(s) {
    const now = new Date().toISOString();
    const known = {
      date: now.slice(0, 10), time: "12:30:00Z", "date-time": now.slice(0, 19) + "Z", duration: "PT1H",
      "date-time-local": now.slice(0, 19), "time-local": "12:30:00",
      uuid: "123e4567-e89b-42d3-a456-426614174000", email: "ada@example.org", uri: "https://example.org/",
      decimal: String(number(s, false)), binary: "",
    }[s.format];
    if (known !== undefined) return known;
    return "text".repeat(Math.ceil(Math.max(s.minLength ?? 0, 4) / 4)).slice(0, s.maxLength ?? undefined);
  }

  /** The tree of a schema's fields. Deeper levels are made when they are opened, so recursive types are fine. */
  tree(schema, depth = 0) {
    const s = this.whole(schema);
    const choices = this.choices(s);
    if (choices.length > 1 || (choices.length === 1 && !s.properties)) {
      if (choices.length === 1) return this.tree(choices[0], depth);
      return h("div", { class: "choices" }, choices.map((c) => this.branch(this.typeText(c, 1), c, depth)));
    }
    if (s.properties) {
      const rows = Object.entries(s.properties).map(([key, value]) =>
        this.field(key, value, s.required?.includes(key), depth));
      return h("div", { class: "fields" }, rows.length ? rows : h("p", { class: "muted" }, "No fields."));
    }
    if (s.type === "array" && s.items) return this.tree(s.items, depth);
    if (s.type === "object" && typeof s.additionalProperties === "object") {
      return h("div", { class: "fields" }, this.field("any name", s.additionalProperties, false, depth));
    }
    return h("p", { class: "muted" }, [this.typeText(s), ...this.limits(s)].join(" · "));
  }

  field(key, schema, required, depth) {
    const s = this.whole(schema);
    const head = [
      h("code", { class: "name" }, key),
      h("span", { class: "type" }, this.typeText(schema, 1)),
      required ? h("span", { class: "required" }, "required") : null,
      h("span", { class: "limits" }, this.limits(s).join(" · ")),
    ];
    const text = s.description ? markdown(s.description) : null;
    if (!this.hasFields(schema)) return h("div", { class: "field" }, h("div", { class: "line" }, head), text);
    return this.branch(head, schema, depth, text);
  }

  branch(head, schema, depth, text) {
    const box = h("details", { class: "branch" }, h("summary", { class: "line" }, head), text);
    box.addEventListener("toggle", () => box.querySelector(":scope > .inner") ??
      box.append(h("div", { class: "inner" }, this.tree(schema, depth + 1))));
    return box;
  }

  hasFields(schema, depth = 0) {
    const s = this.whole(schema);
    if (depth > 4) return false;
    if (s.properties && Object.keys(s.properties).length) return true;
    if (typeof s.additionalProperties === "object") return true;
    return [...this.choices(s), ...(s.items ? [s.items] : [])].some((c) => this.hasFields(c, depth + 1));
  }
}

function number(s, whole) {
  const step = whole ? 1 : 0.5;
  const usable = (v) => v !== undefined && !INT64.includes(String(v));
  let value = whole ? 1 : 1.5;
  if (usable(s.minimum)) value = Math.max(value, s.minimum);
  if (usable(s.exclusiveMinimum)) value = Math.max(value, s.exclusiveMinimum + step);
  if (usable(s.maximum)) value = Math.min(value, s.maximum);
  if (usable(s.exclusiveMaximum)) value = Math.min(value, s.exclusiveMaximum - step);
  return s.multipleOf ? Math.ceil(value / s.multipleOf) * s.multipleOf : value;
}
