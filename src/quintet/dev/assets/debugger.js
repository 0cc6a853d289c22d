"use strict";
(() => {
  const body = document.body;
  const { base, token } = body.dataset;

  // Frames: the app's own first, the others on demand.
  const toggle = document.getElementById("toggle");
  const others = document.querySelectorAll(".frame.library, .frame.framework").length;
  const own = document.querySelectorAll(".frame.app, .frame.template").length;
  if (others && own) {
    const label = () => {
      const hidden = body.classList.contains("own-only");
      toggle.textContent = `${hidden ? "Show" : "Hide"} ${others} library frame${others > 1 ? "s" : ""}`;
    };
    toggle.hidden = false;
    body.classList.add("own-only");
    toggle.addEventListener("click", () => { body.classList.toggle("own-only"); label(); });
    label();
  }
  document.querySelectorAll('a[href^="#f-"]').forEach((link) => link.addEventListener("click", () => {
    document.getElementById(link.hash.slice(1))?.querySelector("details")?.setAttribute("open", "");
  }));
  if (!token) return;

  const post = async (path, data) => {
    const answer = await fetch(base + path, {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-Debugger-Token": token },
      body: JSON.stringify(data),
    });
    return { status: answer.status, data: await answer.json().catch(() => ({ error: `HTTP ${answer.status}` })) };
  };

  // The PIN.
  const dialog = document.getElementById("pin");
  const pin = dialog.querySelector("input");
  const error = dialog.querySelector(".error");
  const askPin = () => new Promise((resolve) => {
    pin.value = "";
    error.textContent = "";
    let unlocked = false;
    dialog.onclose = () => resolve(unlocked);
    dialog.querySelector("button[value=cancel]").onclick = () => dialog.close();
    dialog.querySelector("form").onsubmit = async (event) => {
      event.preventDefault();
      const { data } = await post("pin", { pin: pin.value });
      unlocked = data.unlocked === true;
      if (unlocked) dialog.close();
      else { error.textContent = data.error || "The PIN is wrong."; pin.select(); }
    };
    dialog.showModal();
    pin.focus();
  });

  // One console in each frame.
  const build = (frame) => {
    const box = frame.querySelector(".console");
    if (!box || box.childElementCount) return;
    box.hidden = false;
    const output = document.createElement("div");
    const form = document.createElement("form");
    const label = document.createElement("label");
    const input = document.createElement("textarea");
    output.className = "output";
    label.textContent = ">>>";
    input.id = label.htmlFor = `c-${frame.dataset.frame}`;
    input.setAttribute("aria-label", "Python console in this frame");
    input.rows = 1;
    input.autocomplete = input.autocapitalize = "off";
    input.spellcheck = false;
    input.placeholder = "Python in this frame: dump(), await …";
    form.append(label, input);
    box.append(output, form);
    const history = [];
    let at = 0;
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const code = input.value;
      if (code.trim()) { history.push(code); at = history.length; }
      input.value = "";
      input.rows = 1;
      input.disabled = true;
      const send = () => post("eval", { frame: frame.dataset.frame, code });
      let { status, data } = await send();
      if (status === 401 && (await askPin())) ({ status, data } = await send());
      input.disabled = false;
      const pre = document.createElement("pre");
      if (status === 200) pre.innerHTML = data.html; // escaped by the server
      else { pre.textContent = data.error; pre.className = "error"; }
      output.append(pre);
      output.scrollTop = output.scrollHeight;
      label.textContent = data.more ? "..." : ">>>";
      input.focus();
    });
    input.addEventListener("keydown", (event) => {
      const lines = input.value.split("\n");
      const last = lines.at(-1);
      const recall = (step) => {
        at = Math.min(Math.max(at + step, 0), history.length);
        input.value = history[at] ?? "";
        input.rows = input.value.split("\n").length;
        event.preventDefault();
      };
      if (event.key === "Enter" && !event.shiftKey) {
        event.preventDefault();
        // A block goes on until an empty line, as in Python's own prompt.
        const open = last.trimEnd().endsWith(":") || (lines.length > 1 && last.trim() !== "");
        if (!open) { form.requestSubmit(); return; }
        const indent = last.match(/^\s*/)[0] + (last.trimEnd().endsWith(":") ? "    " : "");
        input.setRangeText(`\n${indent}`, input.selectionStart, input.selectionEnd, "end");
        input.rows = lines.length + 1;
      } else if (event.key === "Enter") input.rows = lines.length + 1;
      else if (event.key === "ArrowUp" && lines.length === 1) recall(-1);
      else if (event.key === "ArrowDown" && lines.length === 1) recall(1);
      else if (event.key === "l" && event.ctrlKey) { output.replaceChildren(); event.preventDefault(); }
    });
  };
  document.querySelectorAll(".frame").forEach((frame) => {
    const details = frame.querySelector("details");
    if (details.open) build(frame);
    details.addEventListener("toggle", () => details.open && build(frame));
  });
})();
