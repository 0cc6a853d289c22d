"""Commands of apps: a function's signature becomes arguments and options, and what can be injected is injected.

The signature is read and bound by the compiler of handlers; texts are converted by the rules of query strings.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, get_args

import click
import msgspec

from quintet.app import Application
from quintet.cli._serving import start_or_exit
from quintet.cli._text import type_text
from quintet.errors import ConfigurationError, Problem
from quintet.handlers.bind import Binder, strip
from quintet.handlers.inputs import InputFailure
from quintet.handlers.managers import manager_of
from quintet.handlers.params import Source
from quintet.handlers.plan import Call, Input
from quintet.handlers.signature import describe, read_signature
from quintet.openapi.docstrings import read_docstring
from quintet.schema.text import compile_text

if TYPE_CHECKING:
    from quintet.handlers.signature import Signature


def find_command(app: Application, name: str) -> click.Command | None:
    """Return an app's own command by name.

    Raises:
        ConfigurationError: its signature cannot be one of a command.
    """
    for entry in app.commands:
        if isinstance(entry, click.Command):
            if entry.name == name:
                return entry
        elif entry[0] == name:
            return build_command(app, name, entry[1])
    return None


def command_names(app: Application) -> list[str]:
    """Return the names of an app's own commands."""
    return [(entry.name or "") if isinstance(entry, click.Command) else entry[0] for entry in app.commands]


def build_command(app: Application, name: str, function: Callable[..., Any]) -> click.Command:
    """Build the command of a function.

    Parameters without a default are arguments, those with one and keyword-only ones are options.

    Raises:
        ConfigurationError: a parameter that neither a text nor a provider can fill.
    """
    signature = read_signature(function)
    binder = Binder(app.services, (), has_body=False, accepts=(), injected={type(app): "app", Application: "app"})
    call = binder.bind(signature)
    texts = read_docstring(function)
    parameters: list[click.Parameter] = []
    for item in binder.inputs:
        _check_input(item, signature)
        positional = item.required and any(p.name == item.name and not p.keyword_only for p in signature.parameters)
        parameters.append(_parameter(item, texts.arguments.get(item.name, ""), positional))
    for one in (call, *binder.dependencies):
        if "request" in one.arguments.values():
            raise _problem(signature, f"{describe(one.signature.function)} takes a Request, and a command has none")

    def run(**given: Any) -> None:
        values = {id(item): _read(item, given[item.name]) for item in binder.inputs}
        result = start_or_exit(lambda: asyncio.run(_run(app, call, binder.dependencies, values)))
        if result is not None:
            click.echo(result if isinstance(result, str) else _format(result))

    return click.Command(
        name, callback=run, params=parameters, help=f"{texts.summary}\n\n{texts.description}".strip() or None
    )


def _check_input(item: Input, signature: Signature) -> None:
    if item.source is not Source.QUERY or item.is_structure:
        found = "a structure" if item.is_structure else f"from a {item.source.value}"
        raise _problem(signature, f"the parameter {item.name!r} is {found}, which a command has not")


def _problem(signature: Signature, message: str) -> ConfigurationError:
    return ConfigurationError(
        Problem(
            id="commands.signature",
            message=f"{describe(signature.function)}: {message}",
            where=signature.where,
            fix="take scalars, lists of them, and types that are provided",
        )
    )


def _parameter(item: Input, text: str, positional: bool) -> click.Parameter:
    many = compile_text(item.annotation, where=item.name).is_list
    if positional:
        return click.Argument([item.name], required=True, nargs=-1 if many else 1, metavar=item.key.upper())
    flag = item.key.replace("_", "-")
    if not item.required and item.default not in (None, "", [], (), False):
        text = f"{text}  [default: {item.default}]".strip()
    if isinstance(item.default, bool):
        return click.Option([f"--{flag}/--no-{flag}", item.name], default=None, help=text or None)
    return click.Option(
        [f"--{flag}", item.name],
        required=item.required,
        multiple=many,
        default=None,
        help=text or None,
        metavar=type_text(_item_type(item.annotation) if many else strip(item.annotation)).upper(),
    )


def _item_type(annotation: Any) -> Any:
    arguments = get_args(strip(annotation))
    return strip(arguments[0]) if arguments else str


def _read(item: Input, given: Any) -> Any:
    """Return a parameter's value from its texts."""
    raw = ("true" if given else "false") if isinstance(given, bool) else given
    if isinstance(raw, tuple):
        raw = [str(part) for part in raw] or None  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    assert item.read is not None
    try:
        return item.read(raw)
    except InputFailure as exc:
        message = "; ".join(error.msg for error in exc.errors)
        raise click.BadParameter(message, param_hint=f"{item.key!r}") from None


async def _run(app: Application, call: Call, dependencies: list[Call], values: dict[int, Any]) -> Any:
    """Run a command in the life of its app."""

    def arguments(one: Call) -> dict[str, Any]:
        return {n: app if a == "app" else values[id(a)] for n, a in one.arguments.items()}

    async with app.running(), AsyncExitStack() as stack:
        for dependency in dependencies:
            values[id(dependency)] = await _open(dependency, arguments(dependency), stack)
        result = call.signature.function(**arguments(call))
        return await result if inspect.isawaitable(result) else result


async def _open(dependency: Call, arguments: dict[str, Any], stack: AsyncExitStack) -> Any:
    signature = dependency.signature
    if not signature.is_generator:
        value = signature.function(**arguments)
        return await value if inspect.isawaitable(value) else value
    return await stack.enter_async_context(manager_of(dependency, None)(**arguments))


def _format(value: Any) -> str:
    return msgspec.json.format(msgspec.json.encode(value, enc_hook=str)).decode()
