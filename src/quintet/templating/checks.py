"""Checks of all templates at once, without rendering them."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from difflib import get_close_matches
from typing import Any

from jinja2 import Environment, TemplateNotFound, TemplateSyntaxError, nodes

from quintet.errors import Problem

#: The extensions of the files that are checked; others in a template folder are taken for assets.
EXTENSIONS = frozenset(
    {
        "html",
        "htm",
        "xhtml",
        "xml",
        "svg",
        "txt",
        "md",
        "csv",
        "css",
        "js",
        "json",
        "jinja",
        "jinja2",
        "j2",
        "eml",
        "ics",
    }
)


def check_templates(environment: Environment, *, context: Collection[str] = ()) -> list[Problem]:
    """Return what is wrong with the templates of an environment.

    Found are syntax errors, unknown filters and tests, templates that are included, imported or extended but
    missing, and calls of functions whose name is close to a known one. `context` names variables that
    handlers are known to pass.
    """
    names = sorted(n for n in environment.list_templates() if n.rpartition(".")[2].lower() in EXTENSIONS)
    return [problem for name in names for problem in _check(environment, name, frozenset(context))]


def _check(environment: Environment, name: str, context: frozenset[str]) -> Iterator[Problem]:
    where = name
    try:
        assert environment.loader is not None  # list_templates needs one
        source, filename, _ = environment.loader.get_source(environment, name)
        where = filename or name
        tree = environment.parse(source, name, filename)
    except TemplateSyntaxError as error:
        yield _syntax(where, error)
        return
    except (TemplateNotFound, OSError, UnicodeDecodeError) as error:
        yield Problem(id="templates.unreadable", message=f"template {name!r} cannot be read: {error}", where=where)
        return
    found = [
        *_unknown(environment.filters, tree.find_all(nodes.Filter), "filter", where),
        *_unknown(environment.tests, tree.find_all(nodes.Test), "test", where),
        *_missing(environment, tree, name, where),
        *_misspelled(environment, tree, where, context),
    ]
    yield from found
    try:
        environment.compile(source, name, filename, raw=True)
    except TemplateSyntaxError as error:  # such as a block defined twice; unknown filters are told above
        if not any(problem.where == f"{where}:{error.lineno}" for problem in found):
            yield _syntax(where, error)


def _syntax(where: str, error: TemplateSyntaxError) -> Problem:
    return Problem(id="templates.syntax", message=error.message or "invalid syntax", where=f"{where}:{error.lineno}")


def _unknown(known: Collection[str], used: Iterator[Any], kind: str, where: str) -> Iterator[Problem]:
    for node in used:
        if node.name not in known:
            yield Problem(
                id=f"templates.unknown-{kind}",
                message=f"there is no {kind} {node.name!r}",
                where=f"{where}:{node.lineno}",
                fix=_near(node.name, known) or f"register it, or use a {kind} that exists",
            )


def _missing(environment: Environment, tree: nodes.Template, name: str, where: str) -> Iterator[Problem]:
    existing = environment.list_templates()
    for node in tree.find_all((nodes.Extends, nodes.Include, nodes.Import, nodes.FromImport)):
        wanted = [environment.join_path(target, name) for target in _targets(node)]
        if wanted and not getattr(node, "ignore_missing", False) and not any(w in existing for w in wanted):
            listed = " or ".join(map(repr, wanted))
            yield Problem(
                id="templates.missing",
                message=f"{type(node).__name__.lower()} of {listed}, which does not exist",
                where=f"{where}:{node.lineno}",
                fix=_near(wanted[0], existing) or "create it, or write `ignore missing`",
            )


def _targets(node: Any) -> list[str]:
    """Return the names a statement refers to; none when they are known only at run time."""
    try:
        value = node.template.as_const()
    except nodes.Impossible:
        return []
    return [value] if isinstance(value, str) else [v for v in value if isinstance(v, str)]


def _misspelled(
    environment: Environment, tree: nodes.Template, where: str, context: frozenset[str]
) -> Iterator[Problem]:
    known = environment.globals
    declared = {*known, *context, *_declared(tree)}
    for call in tree.find_all(nodes.Call):
        # Another name may well come from the handler's context, so only a near miss is told.
        if (
            isinstance(call.node, nodes.Name)
            and call.node.name not in declared
            and (fix := _near(call.node.name, known))
        ):
            yield Problem(
                id="templates.unknown-global",
                message=f"there is no function {call.node.name!r}",
                where=f"{where}:{call.lineno}",
                fix=fix,
            )


def _declared(tree: nodes.Template) -> Iterator[str]:
    for name in tree.find_all(nodes.Name):
        if name.ctx != "load":
            yield name.name
    for macro in tree.find_all(nodes.Macro):
        yield macro.name
    for imported in tree.find_all(nodes.Import):
        yield imported.target
    for imported in tree.find_all(nodes.FromImport):
        yield from (name if isinstance(name, str) else name[1] for name in imported.names)
    yield from ("caller", "loop", "self", "super", "varargs", "kwargs")


def _near(name: str, known: Collection[str]) -> str:
    near = get_close_matches(name, known, 1, cutoff=0.75)
    return f"did you mean {near[0]!r}?" if near else ""
