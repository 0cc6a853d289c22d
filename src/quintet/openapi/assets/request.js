// From the fields of a form to a request, its curl command, and the answer on the page.

import { h, copyButton } from "./dom.js";

const quote = (text) => "'" + text.replace(/'/g, "'\\''") + "'";
const TEXT = /^(text\/|application\/(.*\+)?(json|xml|yaml|javascript|jsonl|x-ndjson|problem))/i;
const LONGEST = 500_000;

/**
 * Make a request of what was typed.
 *
 * values: [{in, name, value | values}], body: {type, text | parts}, credentials: [{in, name, value}].
 */
export function buildRequest(method, server, path, values, body, credentials) {
  const query = [];
  const headers = [];
  const cookies = [];
  let target = path;
  for (const { in: where, name, values: list, rest } of [...values, ...credentials]) {
    for (const value of list) {
      if (where === "path") {
        const text = encodeURIComponent(value);
        target = target.replace(`{${name}}`, () => (rest ? text.replace(/%2F/gi, "/") : text));
      }
      if (where === "query") query.push(`${encodeURIComponent(name)}=${encodeURIComponent(value)}`);
      if (where === "header") headers.push([name, value]);
      if (where === "cookie") cookies.push(`${name}=${value}`);
    }
  }
  const request = { method: method.toUpperCase(), headers, cookies, body: undefined, shown: [] };
  const base = new URL(server, document.baseURI).href.replace(/\/$/, "");
  request.url = base + target + (query.length ? "?" + query.join("&") : "");
  if (body?.type === "multipart/form-data") {
    request.body = new FormData();
    for (const [name, value] of body.parts) {
      request.body.append(name, value);
      request.shown.push(`-F ${quote(value instanceof File ? `${name}=@${value.name}` : `${name}=${value}`)}`);
    }
  } else if (body?.type === "application/x-www-form-urlencoded") {
    request.body = new URLSearchParams(body.parts);
    request.shown = body.parts.map(([name, value]) => `--data-urlencode ${quote(`${name}=${value}`)}`);
  } else if (body?.file) {
    headers.push(["Content-Type", body.type]);
    request.body = body.file;
    request.shown.push(`--data-binary ${quote("@" + body.file.name)}`);
  } else if (body?.text) {
    headers.push(["Content-Type", body.type]);
    request.body = body.text;
    request.shown.push(`--data ${quote(body.text)}`);
  }
  return request;
}

export function curl(request) {
  const parts = [`curl ${request.method === "GET" ? "" : `-X ${request.method} `}${quote(request.url)}`];
  for (const [name, value] of request.headers) parts.push(`-H ${quote(`${name}: ${value}`)}`);
  if (request.cookies.length) parts.push(`-b ${quote(request.cookies.join("; "))}`);
  return [...parts, ...request.shown].join(" \\\n  ");
}

/** Send a request and show the answer in `box` while it arrives. */
export async function send(request, box, controller) {
  const started = performance.now();
  box.replaceChildren(h("p", { class: "muted" }, "Waiting for the answer…"));
  for (const cookie of request.cookies) document.cookie = `${cookie}; path=/; SameSite=Strict`;
  let response;
  try {
    response = await fetch(request.url, {
      method: request.method, headers: request.headers, body: request.body, signal: controller.signal,
      redirect: "follow", cache: "no-store",
    });
  } catch (error) {
    const text = controller.signal.aborted ? "Stopped." : `There was no answer: ${error.message}`;
    box.replaceChildren(h("p", { class: "notice bad" }, text));
    return;
  } finally {
    for (const cookie of request.cookies) document.cookie = `${cookie.split("=")[0]}=; path=/; max-age=0`;
  }
  const time = h("span", { class: "muted" }, `${Math.round(performance.now() - started)} ms`);
  const kind = `status s${Math.floor(response.status / 100)}`;
  const fields = [...response.headers].map(([name, value]) => h("div", null, h("b", null, name), ": ", value));
  const body = h("div", { class: "body" });
  box.replaceChildren(
    h("p", { class: "line" }, h("span", { class: kind }, `${response.status} ${response.statusText}`), time,
      response.redirected ? h("span", { class: "muted" }, `after a redirect to ${response.url}`) : null),
    h("details", null, h("summary", null, `Headers (${fields.length})`), h("div", { class: "headers" }, fields)),
    body,
  );
  try {
    await showBody(response, body);
  } catch (error) {
    body.append(h("p", { class: "muted" }, controller.signal.aborted ? "Stopped." : `It ended early: ${error.message}`));
  }
}

async function showBody(response, box) {
  const type = response.headers.get("content-type") ?? "";
  if (TEXT.test(type) && response.body) {
    const pre = h("pre", { tabindex: 0, "aria-label": "Body of the answer" });
    let text = "";
    box.append(pre);
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      text += part.value;
      if (text.length <= LONGEST) pre.textContent = text;
    }
    if (/json/i.test(type) && !/jsonl|ndjson/i.test(type)) pre.textContent = pretty(text);
    if (text.length > LONGEST) box.append(h("p", { class: "muted" }, `Cut; there were ${text.length} characters.`));
    if (text) box.prepend(h("div", { class: "corner" }, copyButton(() => pre.textContent)));
    else box.replaceChildren(h("p", { class: "muted" }, "No body."));
    return;
  }
  const blob = await response.blob();
  if (!blob.size) return void box.append(h("p", { class: "muted" }, "No body."));
  const address = URL.createObjectURL(blob);
  if (/^image\/(?!svg)/.test(type)) box.append(h("img", { src: address, alt: "The answer" }));
  const name = /filename="?([^";]+)/.exec(response.headers.get("content-disposition") ?? "")?.[1] ?? "answer";
  const text = `Save ${blob.size.toLocaleString()} bytes of ${type || "no named type"}`;
  box.append(h("p", null, h("a", { href: address, download: name }, text)));
}

function pretty(text) {
  // Numbers keep their digits: only the space between the tokens changes.
  try {
    JSON.parse(text);
  } catch {
    return text.slice(0, LONGEST);
  }
  let out = "";
  let depth = 0;
  const line = () => "\n" + "  ".repeat(depth);
  for (const [token] of text.matchAll(/"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/g)) {
    if (out.length > LONGEST) break;
    if (token === "{" || token === "[") {
      depth++;
      out += token + line();
    } else if (token === "}" || token === "]") {
      depth--;
      out = /[{[]\s*$/.test(out.slice(-200)) ? out.trimEnd() + token : out + line() + token;
    } else if (token === ",") out += token + line();
    else out += token === ":" ? ": " : token;
  }
  return out;
}
