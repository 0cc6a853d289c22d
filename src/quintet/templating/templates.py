"""Rendering of templates and of single blocks of them, by name."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Any

from jinja2 import Environment, Template
from jinja2.runtime import Context

from quintet.errors import Problem, QuintetError
from quintet.templating.checks import check_templates
from quintet.templating.environment import Folders, TemplateLoader, build_environment


class BlockNotFound(QuintetError, LookupError):
    """A template and those it extends have no block of the name asked for."""

    def __init__(self, template: str, block: str, known: list[str]) -> None:
        near = get_close_matches(block, known, 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        names = ", ".join(sorted(known)) or "none"
        super().__init__(f"template {template!r} has no block {block!r}{hint} (its blocks: {names})")


class Templates:
    """The templates of an app.

    Rendering is synchronous. Templates that must await use `render_async`, with an environment of its own
    that shares folders, globals and filters.
    """

    def __init__(
        self, folders: Folders, *, globals: Mapping[str, Any] | None = None, development: bool = False
    ) -> None:
        self.environment: Environment = build_environment(folders, globals=globals, development=development)
        self._reload = development
        self._loaded: dict[str, Template] = {}

    @cached_property
    def async_environment(self) -> Environment:
        """The environment of `render_async`."""
        environment = self.environment.overlay(enable_async=True)
        environment.filters = self.environment.filters
        environment.globals = self.environment.globals
        return environment

    def add_folder(self, folder: Path) -> None:
        """Look for templates in one more folder, after all others."""
        loader = self.environment.loader
        assert isinstance(loader, TemplateLoader)
        loader.searchpath.append(str(folder))

    def add_global(self, name: str, value: object) -> None:
        """Make a value known to every template."""
        known: dict[str, object] = self.environment.globals  # pyright: ignore[reportAssignmentType]  # inferred too narrow
        known[name] = value

    def add_filter(self, name: str, function: Any) -> None:
        """Make a function known to every template as a filter."""
        self.environment.filters[name] = function

    def check(self) -> list[Problem]:
        """Return what is wrong with the templates."""
        return check_templates(self.environment)

    def render(self, name: str, context: Mapping[str, Any] | None = None, *, block: str | None = None) -> str:
        """Render a template, or one block of it.

        Raises:
            jinja2.TemplateNotFound: no such template; the message lists the folders searched.
            BlockNotFound: neither the template nor those it extends have the block.
        """
        # PERF: in production a plain dict instead of Jinja2's locked cache.
        template = self._loaded.get(name)
        if template is None:
            template = self.environment.get_template(name)
            if not self._reload:
                self._loaded[name] = template
        values = template.new_context(context)  # pyright: ignore[reportArgumentType]  # it is only read
        try:
            if block is None:
                return "".join(template.root_render_func(values))
            return "".join(_find_block(template, values, block))
        except BlockNotFound:
            raise
        except Exception:  # noqa: BLE001  # raised again, with the template's lines in its traceback
            self.environment.handle_exception()

    def render_string(self, source: str, context: Mapping[str, Any] | None = None) -> str:
        """Render a template given as text. Never pass text that users wrote: it can run code."""
        return self.environment.from_string(source).render(context or {})

    async def render_async(
        self, name: str, context: Mapping[str, Any] | None = None, *, block: str | None = None
    ) -> str:
        """Render as `render` does, awaiting what the template calls."""
        environment = self.async_environment
        template = environment.get_template(name)
        values = template.new_context(context)  # pyright: ignore[reportArgumentType]  # it is only read
        try:
            pieces: Any = template.root_render_func(values)
            if block is not None:
                pieces = await _find_async_block(template, values, block)
            return "".join([piece async for piece in pieces])
        except BlockNotFound:
            raise
        except Exception:  # noqa: BLE001  # raised again, with the template's lines in its traceback
            environment.handle_exception()


def _find_block(template: Template, values: Context, block: str) -> Iterator[str]:
    # The statements above the first output run: {% extends %} registers the blocks of the parents,
    # {% import %} and {% set %} define what the block uses. Nothing is rendered.
    root = template.root_render_func(values)
    next(iter(root), None)
    return _pick(template, values, block)


async def _find_async_block(template: Template, values: Context, block: str) -> AsyncIterator[str]:
    root: Any = template.root_render_func(values)
    await anext(root, None)
    await root.aclose()
    return _pick(template, values, block)


def _pick(template: Template, values: Context, block: str) -> Any:
    found = values.blocks.get(block)
    if not found:
        raise BlockNotFound(template.name or "<template>", block, list(values.blocks))
    return found[0](values)
