// Elements, and text that may hold a little Markdown. Text becomes text nodes: nothing is ever parsed as HTML.

export function h(tag, props, ...children) {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(props ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key === "value") element.value = value;
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.flat(9).filter((c) => c !== null && c !== undefined && c !== false && c !== ""));
  return element;
}

const INLINE = /`([^`]+)`|\*\*([^*]+)\*\*|\*([^*\s][^*]*)\*|\[([^\]]+)\]\(([^)\s]+)\)/g;

function inline(text) {
  const out = [];
  let end = 0;
  for (const m of text.matchAll(INLINE)) {
    out.push(text.slice(end, m.index));
    if (m[1]) out.push(h("code", null, m[1]));
    else if (m[2]) out.push(h("strong", null, m[2]));
    else if (m[3]) out.push(h("em", null, m[3]));
    else out.push(link(m[5], m[4]));
    end = m.index + m[0].length;
  }
  out.push(text.slice(end));
  return out;
}

export function link(address, text) {
  const safe = /^(https?:\/\/|mailto:|#|\/(?!\/))/i.test(address);
  return safe ? h("a", { href: address, rel: "noopener noreferrer" }, text) : text;
}

/** Paragraphs, headings, lists and code of a Markdown text. */
export function markdown(text) {
  const box = h("div", { class: "prose" });
  for (const [index, part] of (text ?? "").split(/^```.*$/m).entries()) {
    if (index % 2) {
      box.append(h("pre", null, part.replace(/^\n|\n$/g, "")));
      continue;
    }
    for (const block of part.split(/\n\s*\n/)) {
      const lines = block.trim().split("\n");
      if (!lines[0]) continue;
      if (lines.every((l, n) => /^\s*[-*] /.test(l) || (n && /^\s/.test(l)))) {
        const items = block.trim().split(/^\s*[-*] /m).slice(1);
        box.append(h("ul", null, items.map((i) => h("li", null, inline(i.replace(/\s+/g, " ").trim())))));
      } else if (/^#{1,6} /.test(lines[0])) {
        box.append(h("h4", null, inline(lines[0].replace(/^#+ /, ""))));
        if (lines.length > 1) box.append(h("p", null, inline(lines.slice(1).join(" "))));
      } else box.append(h("p", null, inline(lines.join(" "))));
    }
  }
  return box;
}

/** A button that copies what `text()` returns. */
export function copyButton(text) {
  const button = h("button", { type: "button", class: "quiet small" }, "Copy");
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text());
      button.textContent = "Copied";
    } catch {
      button.textContent = "Not allowed";
    }
    setTimeout(() => (button.textContent = "Copy"), 1500);
  });
  return button;
}
