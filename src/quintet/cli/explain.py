"""`quintet explain GET /path`: everything that was decided about a route when the app froze."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, get_origin

import click
import msgspec

from quintet.cli._serving import start_or_exit
from quintet.cli._text import columns, function_text, short_path, size_text, type_text
from quintet.cli.explain_queries import explain_queries, queries_of
from quintet.cli.load import load_own_app
from quintet.errors import NotFound
from quintet.handlers.signature import describe
from quintet.http.response import Response
from quintet.schema.adapt import adapted, shape_of
from quintet.schema.describe import describe as describe_type
from quintet.schema.nodes import NOTHING, ListNode, ModelNode, Node, ObjectNode, UnionNode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from quintet.app import Application
    from quintet.handlers.plan import Body, Call, HandlerPlan
    from quintet.protocols.dispatcher import CompiledRoute


@click.command("explain")
@click.argument("arguments", nargs=-1, metavar="[TARGET] METHOD PATH | query NAME | queries")
@click.option("--source", is_flag=True, help="Print the compiled source too.")
def command(arguments: tuple[str, ...], source: bool) -> None:
    """Explain how a request is answered: `quintet explain hello.py GET /hello/Ada`.

    METHOD is a method of HTTP, or WEBSOCKET. PATH is a path, or the template of a route. In their place,
    `query module:name` explains a compiled query, and `queries` all of them: the SQL for the app's databases.
    """
    match arguments:
        case (*before, "query", name) if len(before) < 2:
            queries = (next(iter(before), None), name)
        case (*before, "queries") if len(before) < 2:
            queries = (next(iter(before), None), None)
        case _:
            queries = None
    if queries is not None:
        where, wanted = queries
        app = start_or_exit(lambda: load_own_app(where))
        click.echo("\n".join(explain_queries(app, wanted)))
        return
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
    handler, declared = function_text(route.handler), short_path(route.where)
    rows = [("handler", handler), ("declared", "" if f"({declared})" in handler else declared), ("name", item.name)]
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
    queries = [query for call in (plan.call, *plan.dependencies) for query in queries_of(call.signature.function)]
    lines += _section("queries", [f"{q.module}:{q.name}" for q in dict.fromkeys(queries)])
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
    rows: list[tuple[str, ...]] = []
    for item in plan.inputs:
        owner, source = owners.get(id(item), ""), item.source.value
        if item.is_structure:
            objects = _objects(describe_type(item.annotation))
            rows += [(name, source, tp, need, owner) for one in objects for name, tp, need in _rows(one)]
        else:
            need = "required" if item.required else f"default {item.default!r}"
            rows.append((item.key, source, type_text(item.annotation), need, owner))
    return rows


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
    annotation, build = adapted(body.annotation) if body.kind != "patch" else (patched(body.annotation), None)
    if body.kind != "value" or build is not None:
        many = ", or several in a list" if _is_one_or_many(annotation) else ""
        yield f"{'new object' if body.kind == 'value' else body.kind} of {type_text(body.annotation)}{many}"
    elif item.kind != "websocket":
        yield type_text(body.annotation)
    for line in fields_of(annotation, optional=body.kind == "patch"):
        yield f"  {line}"


def patched(tp: Any) -> Any:
    """Return the structure that a patch of a model is read as; any other type is its own."""
    return shape_of(tp, "patch") or tp


def fields_of(tp: Any, *, optional: bool = False) -> list[str]:
    """Return what a structure accepts: its fields, their types and whether they must be there."""
    node = _node(tp)
    lines: list[str] = []
    for inner in _objects(node) if node is not None else ():
        rows = _rows(inner, optional=optional)
        lines += columns(rows, "") if rows else []
        if isinstance(inner, ObjectNode) and inner.forbid_unknown:
            lines.append("(unknown keys are refused)")
    return lines


def _rows(node: ObjectNode | ModelNode, *, optional: bool = False) -> list[tuple[str, ...]]:
    """Return the fields of a structure: name, type, and whether they must be there."""
    if isinstance(node, ModelNode):
        fields: dict[str, Any] = getattr(node.type, "model_fields", {})
        return [
            (name, type_text(f.annotation), "optional" if optional or not f.is_required() else "required")
            for name, f in fields.items()
        ]
    rows = [
        (f.key, type_text(f.annotation), _need(f.required and not optional, f.default)) for f in node.fields if f.init
    ]
    return rows if node.tag_field is None else [(node.tag_field, repr(node.tag), "required"), *rows]


def _need(required: bool, default: Any) -> str:
    if required:
        return "required"
    return "optional" if default is NOTHING or default is msgspec.UNSET else f"default {default!r}"


def _objects(node: Node) -> list[ObjectNode | ModelNode]:
    """Return the structures in a type, each once: `T | list[T]` has one."""
    if isinstance(node, (ObjectNode, ModelNode)):
        return [node]
    if isinstance(node, ListNode):
        return _objects(node.item)
    if isinstance(node, UnionNode):
        found = [inner for member in node.members for inner in _objects(member)]
        return list({id(inner.type): inner for inner in found}.values())
    return []


def _is_one_or_many(tp: Any) -> bool:
    """Tell whether a type is a structure or a list of the same."""
    node = _node(tp)
    return (
        isinstance(node, UnionNode)
        and {type(m) for m in node.members} == {ObjectNode, ListNode}
        and (len(_objects(node)) == 1)
    )


def _node(tp: Any) -> Node | None:
    try:
        return describe_type(tp)
    except TypeError:
        return None


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
    # A `Response[T]` is the data with a status and headers.
    others = [type_text(response) for response in result.responses if get_origin(response) is not Response]
    if result.annotation is Any and others:
        yield " or ".join(others)
    else:
        yield f"{type_text(result.annotation)}: {kinds.get(result.kind, result.kind)}, status {result.status}"
    if result.template:
        yield f"template {result.template}"
    if result.produces and result.kind in ("data", "dynamic", "stream"):
        for name in result.produces:
            media = app.registry.get(name).media_type
            yield f"{name}: {media}"
    elif result.media_types:
        yield ", ".join(result.media_types)
    if others and result.annotation is not Any:
        yield f"or {' or '.join(others)}"
