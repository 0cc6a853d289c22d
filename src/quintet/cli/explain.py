"""`quintet explain GET /path`: everything that was decided about a route when the app froze."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import click

from quintet.cli._serving import start_or_exit
from quintet.cli._text import columns, function_text, short_path, size_text, type_text
from quintet.cli.load import load_own_app
from quintet.errors import NotFound
from quintet.handlers.signature import describe
from quintet.schema.describe import describe as describe_type
from quintet.schema.nodes import NOTHING, ListNode, ModelNode, Node, ObjectNode, UnionNode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from quintet.app import Application
    from quintet.handlers.plan import Body, Call, HandlerPlan
    from quintet.protocols.dispatcher import CompiledRoute


@click.command("explain")
@click.argument("arguments", nargs=-1, metavar="[TARGET] METHOD PATH")
@click.option("--source", is_flag=True, help="Print the compiled source too.")
def command(arguments: tuple[str, ...], source: bool) -> None:
    """Explain how a request is answered: `quintet explain hello.py GET /hello/Ada`.

    METHOD is a method of HTTP, or WEBSOCKET. PATH is a path, or the template of a route.
    """
    if len(arguments) not in (2, 3):
        raise click.UsageError("give a method and a path, such as: quintet explain GET /hello/Ada")
    target, method, path = arguments if len(arguments) == 3 else (None, *arguments)
    app = start_or_exit(lambda: load_own_app(target))
    item = start_or_exit(lambda: find_route(app, method.upper(), path))
    click.echo("\n".join(explain(app, item)))
    if source and item.plan is not None:
        click.echo("\ncompiled")
        click.echo("\n".join(f"  {line}" for line in item.plan.source.splitlines()) or "  (no source)")


def find_route(app: Application, method: str, path: str) -> CompiledRoute:
    """Return the route that answers a request.

    Raises:
        click.UsageError: there is none; it names what comes near.
    """
    dispatcher = app.dispatcher
    method = "WEBSOCKET" if method in ("WS", "WEBSOCKET") else method
    for item in app.compiled:
        if item.template is not None and item.template.text == path and method in (item.method, _word(item)):
            return item
    path = path.partition("?")[0]
    if method == "WEBSOCKET":
        found = dispatcher.find_websocket(path)
        if found is not None:
            return found[0]
    else:
        try:
            item = dispatcher.find(method, path)[0]
        except NotFound:
            item = None
        if item is not None and item.kind != "answer":
            return item
    templates = {item.template.text for item in app.compiled if item.template is not None}
    allowed = [m for m in ("GET", "POST", "PUT", "PATCH", "DELETE") if dispatcher.find(m, path)[0].kind != "answer"]
    if allowed and method != "WEBSOCKET":
        raise click.UsageError(f"{path} is not answered for {method}, but for {', '.join(allowed)}")
    near = get_close_matches(path, templates, 1)
    hint = f"; did you mean {near[0]}?" if near else "; `quintet routes` lists what there is"
    raise click.UsageError(f"no route answers {method} {path}{hint}")


def _word(item: CompiledRoute) -> str:
    return "WEBSOCKET" if item.kind == "websocket" else item.method


def explain(app: Application, item: CompiledRoute) -> list[str]:
    """Return the lines that explain a route."""
    route, plan = item.route, item.plan
    assert route is not None
    text = item.template.text if item.template is not None else route.path
    lines = [f"{_word(item)} {text}", ""]
    rows = [("handler", function_text(route.handler)), ("declared", short_path(route.where)), ("name", item.name)]
    options = route.options
    rows.append(("version", options.get("version", "")))
    rows.append(("tags", ", ".join(options.get("tags", ()))))
    if plan is None:
        rows.append(("mounted", type(route.handler).__name__))
        return [*lines, *columns([r for r in rows if r[1]], "")]
    rows.append(("runs", _place(plan)))
    rows.append(("timeout", f"{plan.timeout:g} s" if plan.timeout is not None else "none"))
    rows.append(("when the client goes away", "cancelled" if item.cancel else "goes on to its end"))
    lines += columns([r for r in rows if r[1]], "")
    lines += _section("middleware, outermost first", [function_text(f) for f in plan.middleware])
    lines += _section("guards", [function_text(f) for f in plan.guards])
    lines += _section("parameters", columns(_inputs(plan), "") if plan.inputs else [])
    if plan.body is not None:
        lines += _section("body", list(_body(plan.body, plan.max_body, item)))
    lines += _section("dependencies, in the order of their calls", [_dependency(app, c) for c in plan.dependencies])
    if item.kind != "websocket":
        lines += _section("result", list(_result(app, plan)))
    return lines


def _place(plan: HandlerPlan) -> str:
    return "on the event loop" if plan.call.signature.is_async or plan.inline else "in a thread"


def _section(title: str, lines: list[str]) -> list[str]:
    return ["", title, *(f"  {line}" for line in lines)] if lines else []


def _inputs(plan: HandlerPlan) -> list[tuple[str, ...]]:
    owners: dict[int, str] = {}
    for call in plan.dependencies:
        for argument in call.arguments.values():
            owners[id(argument)] = f"for {describe(call.signature.function)}"
    for argument in plan.call.arguments.values():
        owners.pop(id(argument), None)
    return [
        (
            item.key,
            item.source.value,
            type_text(item.annotation),
            "required" if item.required else f"default {item.default!r}",
            owners.get(id(item), ""),
        )
        for item in plan.inputs
    ]


def _body(body: Body, limit: int | None, item: CompiledRoute) -> Iterator[str]:
    if item.kind == "websocket":
        yield f"each message: {type_text(body.annotation)}"
    else:
        size = f", at most {size_text(limit)}" if limit is not None else ""
        needed = "" if body.required else ", may be absent"
        yield f"{' or '.join(body.accepts)}{size}{needed}"
    if body.kind == "upload":
        rows = [(n, type_text(p[0]), "required" if p[1] else f"default {p[2]!r}") for n, p in body.parts.items()]
        yield from columns(rows, "")
        return
    if body.kind != "value":
        yield f"{body.kind} of {type_text(body.annotation)}"
    elif item.kind != "websocket":
        yield type_text(body.annotation)
    for line in fields_of(body.annotation, optional=body.kind == "patch"):
        yield f"  {line}"


def fields_of(tp: Any, *, optional: bool = False) -> list[str]:
    """Return what a structure accepts: its fields, their types and whether they must be there."""
    try:
        node = describe_type(tp)
    except TypeError:
        return []
    lines: list[str] = []
    for inner in _objects(node):
        if isinstance(inner, ModelNode):
            fields: dict[str, Any] = getattr(inner.type, "model_fields", {})
            rows = [
                (name, type_text(f.annotation), "optional" if optional or not f.is_required() else "required")
                for name, f in fields.items()
            ]
        else:
            rows = [
                (f.key, type_text(f.annotation), _need(f.required and not optional, f.default))
                for f in inner.fields
                if f.init
            ]
            if inner.tag_field is not None:
                rows.insert(0, (inner.tag_field, repr(inner.tag), "required"))
        lines += columns(rows, "") if rows else []
        if isinstance(inner, ObjectNode) and inner.forbid_unknown:
            lines.append("(unknown keys are refused)")
    return lines


def _need(required: bool, default: Any) -> str:
    if required:
        return "required"
    return "optional" if default is NOTHING else f"default {default!r}"


def _objects(node: Node) -> list[ObjectNode | ModelNode]:
    if isinstance(node, (ObjectNode, ModelNode)):
        return [node]
    if isinstance(node, ListNode):
        return _objects(node.item)
    if isinstance(node, UnionNode):
        return [found for member in node.members for found in _objects(member)]
    return []


def _dependency(app: Application, call: Call) -> str:
    notes: list[str] = []
    provided = next((kind for kind, one in app.services.providers.items() if one is call.depends), None)
    if provided is not None and call.depends is not None and call.depends.inline:
        return f"{type_text(provided)}, which is provided"
    if call.signature.is_generator:
        late = call.depends is not None and call.depends.scope == "response"
        notes.append("ends after the answer is sent" if late else "ends before the answer is sent")
    if not call.signature.is_async:
        inline = call.depends is not None and call.depends.inline
        notes.append("on the event loop" if inline else "in a thread")
    if call.depends is not None and not call.depends.cached:
        notes.append("not cached")
    name = function_text(call.signature.function)
    name = name if provided is None else f"{type_text(provided)}, provided by {name}"
    return name + (f": {', '.join(notes)}" if notes else "")


def _result(app: Application, plan: HandlerPlan) -> Iterator[str]:
    result = plan.result
    kinds = {
        "none": "no content",
        "text": "text",
        "bytes": "bytes",
        "html": "a page",
        "data": "data, encoded as the client prefers",
        "stream": "a stream",
        "events": "server-sent events",
        "dynamic": "whatever the handler returns",
    }
    yield f"{type_text(result.annotation)}: {kinds.get(result.kind, result.kind)}, status {result.status}"
    if result.template:
        yield f"template {result.template}"
    if result.produces and result.kind in ("data", "dynamic"):
        for name in result.produces:
            media = app.registry.get(name).media_type
            yield f"{name}: {media}"
    elif result.media_types:
        yield ", ".join(result.media_types)
    if result.responses:
        yield f"or a response of its own: {', '.join(map(type_text, result.responses))}"
