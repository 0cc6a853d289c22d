"""The debugger's page: an exception as HTML that is readable without a script and runs under a strict CSP."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping
from typing import cast

from quintet._utils import MASK, is_secret_name
from quintet.dev.frames import FIRST_FRAMES, Frame, SourceLine, Trace, show

_RELATIONS = {
    "cause": "The exception above was the direct cause of this one",
    "context": "While the exception above was handled, this one happened",
}
_KINDS = {"app": "", "template": "template", "framework": "quintet", "library": "library"}

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="robots" content="noindex">
<title>{title}</title>
<link rel="stylesheet" href="{base}assets/debugger.css">
<link rel="icon" href="{base}assets/icon.svg">
</head>
<body{data}>
<header>
<p class="request">{request}</p>
<h1>{type}</h1>
<p class="message">{message}</p>
{notes}{place}
</header>
<nav aria-label="Sections"><a href="#traceback">Traceback</a><a href="#request">Request</a><a href="#text">Text</a>
{nav}</nav>
<main>
<section id="traceback"><h2>Traceback <small>most recent call last</small></h2>
{traceback}
</section>
<section id="request"><h2>Request</h2>
{sections}
</section>
<section id="text"><h2>Text <small>to copy</small></h2>
<pre class="plain" tabindex="0">{plain}</pre>
</section>
</main>
<footer>Shown by <code>quintet dev</code> only. Values whose names say that they are secret are masked.</footer>
{pin}{script}
</body>
</html>
"""

_PIN = """<dialog id="pin" aria-labelledby="pin-title"><form method="dialog">
<h2 id="pin-title">Unlock the console</h2>
<p>Type the PIN that <code>quintet dev</code> printed in its terminal.</p>
<input name="pin" inputmode="numeric" autocomplete="off" spellcheck="false" aria-label="PIN" placeholder="000-000-000">
<p class="error" role="alert"></p>
<p class="buttons"><button type="button" value="cancel">Cancel</button><button value="unlock">Unlock</button></p>
</form></dialog>
"""


def render_page(
    trace: Trace,
    *,
    plain: str,
    request: Mapping[str, object],
    base: str,
    token: str | None,
) -> str:
    """Return the whole page; without a `token` it has no console."""
    opened = _frame_to_open(trace)
    line = f"{request.get('method', '')} {request.get('path', '')}".strip()
    interactive = token is not None
    data = f' data-base="{_e(base)}" data-token="{_e(token or "")}"'
    return _PAGE.format(
        title=_e(f"{trace.type}: {trace.message}"[:200]),
        base=_e(base),
        data=data if interactive else "",
        request=_e(line[:2000]) or "No request",
        type=_e(trace.type),
        message=_e(trace.message) or "<em>no message</em>",
        notes="".join(f'<p class="note">{_e(note)}</p>' for note in trace.notes),
        place="" if opened is None else _place(opened),
        nav='<button type="button" id="toggle" hidden>Show library frames</button>',
        traceback=_chain(trace, opened, interactive),
        sections=_sections(request),
        plain=_e(plain),
        pin=_PIN if interactive else "",
        script=f'<script src="{_e(base)}assets/debugger.js"></script>',
    )


def _e(text: str) -> str:
    return html.escape(text.encode("utf-8", "backslashreplace").decode())


def _frame_to_open(trace: Trace) -> Frame | None:
    own = [frame for frame in trace.frames if frame.is_own]
    if own:
        return own[-1]
    for child in trace.children:
        if (found := _frame_to_open(child)) is not None and found.is_own:
            return found
    return trace.frames[-1] if trace.frames else None


def _place(frame: Frame) -> str:
    return (
        f'<p class="place"><a href="#f-{frame.id}"><code>{_e(frame.short_file)}</code>, line {frame.line}</a>'
        f"{f' <code>{_e(frame.source)}</code>' if frame.source else ''}</p>"
    )


def _chain(trace: Trace, opened: Frame | None, interactive: bool) -> str:
    parts: list[str] = []
    chain = trace.chain()
    for index, one in enumerate(chain):
        if len(chain) > 1:
            if one.relation and index:
                parts.append(f'<p class="relation">{_RELATIONS[one.relation]}:</p>')
            parts.append(_heading(one))
        parts.append(_frames(one, opened, interactive))
        parts.extend(
            f'<div class="group"><p class="relation">Exception {number} of {len(one.children)} in the group</p>'
            f"{'' if len(child.chain()) > 1 else _heading(child)}{_chain(child, opened, interactive)}</div>"
            for number, child in enumerate(one.children, 1)
        )
    return "\n".join(parts)


def _heading(trace: Trace) -> str:
    return f'<h3 class="exception"><span>{_e(trace.type)}</span> {_e(trace.message)}</h3>'


def _frames(trace: Trace, opened: Frame | None, interactive: bool) -> str:
    items = [_frame(frame, frame is opened, interactive) for frame in trace.frames]
    if trace.left_out:
        items.insert(FIRST_FRAMES, f'<li class="gap">{trace.left_out} more frames</li>')
    return f'<ol class="frames">{"".join(items)}</ol>' if items else '<p class="relation">No frames.</p>'


def _frame(frame: Frame, is_open: bool, interactive: bool) -> str:
    badge = f'<span class="badge">{_KINDS[frame.kind]}</span>' if _KINDS[frame.kind] else ""
    console = '<div class="console" hidden></div>' if interactive and frame.function != "syntax" else ""
    return (
        f'<li class="frame {frame.kind}" id="f-{frame.id}" data-frame="{frame.id}">'
        f"<details{' open' if is_open else ''}>"
        f'<summary><span class="where"><code class="function">{_e(frame.function)}</code>'
        f'<span class="file">{_e(frame.short_file)}<b>:{frame.line}</b></span>{badge}</span>'
        f'<code class="brief">{_e(frame.source[:200])}</code></summary>'
        f"{_source(frame)}{console}{_variables(frame)}</details></li>"
    )


def _source(frame: Frame) -> str:
    if not frame.lines:
        return '<p class="relation">No source.</p>'
    rows = "".join(
        f'<li value="{line.number}"{" class=current aria-current=true" if line.current else ""}>'
        f"<code>{_code(line, frame.columns)}</code></li>"
        for line in frame.lines
    )
    return f'<ol class="source" start="{frame.lines[0].number}" title="{_e(frame.file)}">{rows}</ol>'


def _code(line: SourceLine, columns: tuple[int, int] | None) -> str:
    if not line.current or columns is None:
        return _e(line.text)
    begin, end = columns
    return f"{_e(line.text[:begin])}<mark>{_e(line.text[begin:end])}</mark>{_e(line.text[end:])}"


def _variables(frame: Frame) -> str:
    if not frame.variables:
        return ""
    rows = "".join(
        f'<tr><th scope="row">{_e(v.name)}</th><td class="type">{_e(v.type)}</td>'
        f"<td><code{' class=masked' if v.value == MASK else ''}>{_e(v.value)}</code></td></tr>"
        for v in frame.variables
    )
    return f'<h4>Variables</h4><div class="wide"><table>{rows}</table></div>'


def _sections(request: Mapping[str, object]) -> str:
    plain: list[tuple[str, object]] = []
    tables: list[str] = []
    for name, value in request.items():
        pairs = _pairs(value)
        if pairs is None:
            plain.append((name, value))
        elif pairs:
            tables.append(f"<h4>{_e(name.replace('_', ' ').capitalize())}</h4>{_table(pairs)}")
    return (_table(plain) if plain else "") + "".join(tables) or '<p class="relation">No request.</p>'


def _pairs(value: object) -> list[tuple[str, object]] | None:
    """Return a mapping or a list of pairs as pairs; None for anything else."""
    items: Iterable[object]
    if isinstance(value, Mapping):
        items = cast("Mapping[object, object]", value).items()
    elif isinstance(value, (list, tuple)):
        items = cast("list[object]", value)
    else:
        return None
    pairs = [cast("tuple[object, ...]", item) for item in items if isinstance(item, tuple)]
    if len(pairs) != len(cast("list[object]", value)) or not all(len(pair) == 2 for pair in pairs):
        return None
    return [(_decode(name), _decode(content) if isinstance(content, bytes) else content) for name, content in pairs]


def _decode(value: object) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def _table(pairs: Iterable[tuple[str, object]]) -> str:
    rows = "".join(
        f'<tr><th scope="row">{_e(name)}</th><td><code>{_e(_show(name, value))}</code></td></tr>'
        for name, value in pairs
    )
    return f'<div class="wide"><table>{rows}</table></div>'


def _show(name: str, value: object) -> str:
    if isinstance(value, str) and not is_secret_name(name):
        # The representation without its quotes: control characters stay visible.
        return show(name, value)[1:-1]
    return show(name, value)
