"""What compiled handlers need from the app, gathered at freeze."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from quintet.errors import ConfigurationError, Problem
from quintet.handlers.inputs import InputFailure, reader
from quintet.handlers.params import Depends, Source
from quintet.handlers.plan import Input
from quintet.handlers.resolve import Resolver, Wanted
from quintet.handlers.threads import ThreadPool
from quintet.http.forms import FormLimits
from quintet.http.head import Head
from quintet.http.query import MAX_FIELDS
from quintet.http.security import SecurityHeaders
from quintet.media.registry import Registry
from quintet.schema.plan import DECODE_FAILURES, compile_type
from quintet.schema.text import compile_text

if TYPE_CHECKING:
    from quintet.handlers.results import Encoders
    from quintet.http.request import Request

#: Renders a template: (request, name, values, block) -> text.
Render = Callable[["Request | None", str, "dict[str, Any]", "str | None"], str]


class Services:
    """The parts of an app that handlers are compiled against."""

    def __init__(self, registry: Registry, security: SecurityHeaders, threads: ThreadPool) -> None:
        self.registry = registry
        self.security = security
        self.threads = threads
        self.form_limits = FormLimits()
        #: The number of pairs that a query string may have.
        self.max_fields = MAX_FIELDS
        #: What compiled handlers see under a name.
        self.at_hand: dict[str, Any] = {}
        #: Providers by type.
        self.providers: dict[Any, Depends] = {}
        #: Asked for a provider before those by type.
        self.resolvers: list[Resolver] = []
        #: Replacements of dependency functions, for tests.
        self.overrides: dict[Callable[..., Any], Callable[..., Any]] = {}
        self._heads: dict[Any, Head] = {}
        self.renderer: Render | None = None
        self.default_encoders: Encoders = None  # pyright: ignore[reportAttributeAccessIssue] - set by the app

    def start(self, security: SecurityHeaders) -> None:
        """Begin a freeze: what was prepared for other security headers is made anew."""
        self.security = security
        self._heads.clear()

    def head(self, status: int, media_type: str, extra: tuple[tuple[str, str], ...] = ()) -> Head:
        """Return a prepared head; routes that answer alike share it, until the next freeze."""
        key = (status, media_type, extra)
        found = self._heads.get(key)
        if found is None:
            found = self._heads[key] = Head(status, media_type, self.security, extra)
        return found

    def provider(self, tp: Any) -> Depends | None:
        """Return the dependency that provides a type."""
        try:
            return self.providers.get(tp)
        except TypeError:
            return None

    def resolve(self, wanted: Wanted) -> Depends | None:
        """Return the dependency that provides what a parameter asks for.

        Raises:
            ConfigurationError: it asks for it in a way that cannot be served.
        """
        for resolver in self.resolvers:
            found = resolver(wanted)
            if found is not None:
                replacement = self.overrides.get(wanted.type)
                return found if replacement is None else Depends(replacement)
        return self.provider(wanted.type)

    def prepare_input(self, item: Input) -> None:
        """Give an input the function that reads it.

        Raises:
            TypeError: its type cannot be read from text; the message says why and what to do.
        """
        if item.is_structure:
            item.read = _structure_reader(item)
            return
        converter = compile_text(item.annotation, where=item.name)
        item.read = reader(item, converter)

    # -- rendering -----------------------------------------------------------------------------------------------

    def render(self, request: Request | None, name: str, values: dict[str, Any], block: str | None = None) -> str:
        """Render a template.

        Raises:
            ConfigurationError: the app has no templates.
        """
        if self.renderer is None:
            raise ConfigurationError(
                Problem(
                    id="templates.none",
                    message=f"the template {name!r} is needed, and the app has no templates",
                    fix='write App(templates="templates"), naming the folder',
                )
            )
        return self.renderer(request, name, values, block)

    def html_encoder(self, template: str) -> Callable[[Any], bytes]:
        """Return the encoder of HTML: the rendering of a template with the value."""
        if not template:

            def refuse(value: Any) -> bytes:
                from quintet.http.response import HTML, Template

                if isinstance(value, Template):
                    return self.render(_current(), value.name, value.values, value.block).encode()
                if isinstance(value, HTML):
                    return value.encode()
                raise TypeError("a route that produces html needs template=, or returns Template(…) or HTML(…)")

            return refuse
        return lambda value: self.render(_current(), template, template_values(value)).encode()


def template_values(value: Any) -> dict[str, Any]:
    """Return what a template sees of a handler's result: its fields by name, and all of it as `data`."""
    import msgspec

    if value is None:
        return {"data": None}
    if isinstance(value, dict):
        fields: dict[str, Any] = {str(k): v for k, v in cast("dict[Any, Any]", value).items()}
    elif isinstance(value, msgspec.Struct):
        fields = {name: getattr(value, name) for name in value.__struct_fields__}
    else:
        fields = dict(getattr(value, "__dict__", {}))
    return {**fields, "data": value}


def _current() -> Request | None:
    from quintet.http.context import current_request

    return current_request.get(None)


def _structure_reader(item: Input) -> Callable[[Any], Any]:
    plan = compile_type(item.annotation, where=item.name)

    def read(query: dict[str, Any]) -> Any:
        if item.others:
            query = {name: value for name, value in query.items() if name not in item.others}
        try:
            return plan.from_text(query)
        except DECODE_FAILURES as exc:
            error = plan.explain(query, "text", exc, loc=(Source.QUERY.value,))
            raise InputFailure(getattr(error, "errors", [])) from None

    return read
