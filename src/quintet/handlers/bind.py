"""Binding: decides for each parameter of a callable where its value comes from.

The table of sources is that of the documentation; what is impossible or ambiguous is a start-up error with its fix.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Mapping, Sequence
from dataclasses import is_dataclass
from typing import TYPE_CHECKING, Annotated, Any, Union, get_args, get_origin

import msgspec

from quintet.errors import ConfigurationError, Problem
from quintet.handlers.params import Depends, Form, Patch, Source
from quintet.handlers.plan import Body, Call, Input
from quintet.handlers.resolve import Wanted
from quintet.handlers.signature import EMPTY, Parameter, Signature, describe, read_signature
from quintet.http.request import Request
from quintet.http.upload import Upload
from quintet.schema.adapt import adapted, shape_of

if TYPE_CHECKING:
    from quintet.handlers.services import Services

_COLLECTIONS = (list, set, frozenset, tuple)


def strip(tp: Any) -> Any:
    """Return a type without `Annotated`."""
    while get_origin(tp) is Annotated:
        tp = get_args(tp)[0]
    return tp


def _members(tp: Any) -> list[Any]:
    """Return the members of a union, without None; or the type itself."""
    tp = strip(tp)
    if get_origin(tp) in (Union, types.UnionType):
        return [m for a in get_args(tp) for m in _members(a) if m is not types.NoneType]
    return [] if tp is types.NoneType else [tp]


def is_structure(tp: Any) -> bool:
    """Tell whether a type is a structure or a collection of structures: something that a body is."""
    members = _members(tp)
    return bool(members) and all(_is_structure(m) for m in members)


def _is_structure(tp: Any) -> bool:
    origin = get_origin(tp) or tp
    if origin in _COLLECTIONS:
        return any(is_structure(a) for a in get_args(tp) if a is not Ellipsis)
    if not inspect.isclass(origin):
        return False
    kind: Any = origin
    return (
        issubclass(origin, msgspec.Struct)
        or is_dataclass(origin)
        or hasattr(origin, "__attrs_attrs__")
        or hasattr(origin, "__pydantic_fields__")
        or (issubclass(origin, dict) and hasattr(kind, "__total__"))
        or (issubclass(origin, tuple) and hasattr(kind, "_fields"))
    )


def _is_upload(tp: Any) -> bool:
    return any(
        m is Upload or (get_origin(m) in _COLLECTIONS and any(strip(a) is Upload for a in get_args(m)))
        for m in _members(tp)
    )


def _needs_body(tp: Any) -> bool:
    """Tell whether a type is one that only `Body[T]` makes a body: a dict, Any, a list of no scalars."""
    return any(m in (dict, Any, object) or get_origin(m) is dict for m in _members(tp))


class Binder:
    """Binds the callables of one route; collects its inputs, its body and its dependencies.

    Args:
        path: the names of the path's parameters.
        has_body: whether the route's methods have a body.
        methods: the route's methods; none for WebSockets, commands and tasks.
    """

    def __init__(
        self,
        services: Services,
        path: Sequence[str],
        *,
        has_body: bool,
        accepts: tuple[str, ...],
        localns: Mapping[str, Any] | None = None,
        injected: Mapping[Any, str] | None = None,
        methods: Sequence[str] = (),
    ) -> None:
        self.services = services
        self.methods = methods
        self._streams = False
        self.path = list(path)
        self.has_body = has_body
        self.accepts = accepts
        self.localns = localns
        #: Types that the caller has at hand, with the variable that holds the value (`WebSocket`).
        self.injected: dict[Any, str] = {Request: "request", **(injected or {})}
        self.inputs: list[Input] = []
        self.body: Body | None = None
        self.dependencies: list[Call] = []
        self._cached: dict[Any, Call] = {}
        self._stack: list[Any] = []

    def bind(self, signature: Signature, depends: Depends | None = None) -> Call:
        """Bind every parameter of a callable."""
        call = Call(signature, {}, depends=depends)
        if depends is None:
            self._streams = signature.is_generator
        for parameter in signature.parameters:
            call.arguments[parameter.name] = self._bind(parameter, signature)
        return call

    def _bind(self, p: Parameter, signature: Signature) -> Any:
        tp = p.type
        if p.depends is not None:
            return self._dependency(p.depends, signature)
        if p.source is None:
            if _hashable(tp) and (word := self.injected.get(tp) or self.injected.get(get_origin(tp))):
                return word
            if p.name in self.path:
                return self._input(p, Source.PATH, signature)
            if p.annotation is EMPTY:
                raise self._problem(
                    "signature.untyped", p, signature, "has no annotation", "annotate it, such as `name: str`"
                )
            provider = self.services.resolve(self._wanted(p, signature))
            return self._dependency(provider, signature) if provider is not None else self._by_type(p, signature)
        if p.source is Source.BODY:
            return self._body(p, signature, "value", p.annotation)
        if p.source is Source.PATH and (p.alias or p.name) not in self.path:
            raise self._problem(
                "signature.path",
                p,
                signature,
                f"is a Path parameter, and the path has no {{{p.alias or p.name}}}",
                "add it to the path, or use Query",
            )
        structure = p.source is Source.QUERY and is_structure(p.annotation)
        return self._input(p, p.source, signature, structure=structure)

    def _by_type(self, p: Parameter, signature: Signature) -> Any:
        """Bind a parameter that names no source and that nothing provides."""
        tp = p.type
        is_adapted = self._is_adapted(p, signature)
        if shape_of(tp) is not None and not is_adapted:
            fix = f"write `{p.name}: New[{tp.__name__}]` for a new one, Patch[{tp.__name__}] for changes to one"
            raise self._problem("signature.model", p, signature, "is a model, which no request holds", fix)
        if get_origin(tp) is Form or get_origin(tp) is Patch:
            return self._body(p, signature, "form" if get_origin(tp) is Form else "patch", get_args(tp)[0])
        if _is_upload(p.annotation):
            return self._upload(p, signature)
        if is_structure(p.annotation) or is_adapted:
            if self.has_body or is_adapted:
                return self._body(p, signature, "value", p.annotation)
            return self._input(p, Source.QUERY, signature, structure=True)
        if _needs_body(p.annotation):
            raise self._problem(
                "signature.body",
                p,
                signature,
                f"of type {_text(p.annotation)} could be anything",
                f"write `{p.name}: Body[{_text(p.annotation)}]` if it is the body",
            )
        return self._input(p, Source.QUERY, signature)

    def _is_adapted(self, p: Parameter, signature: Signature) -> bool:
        try:
            return adapted(p.annotation)[1] is not None
        except TypeError as exc:
            raise self._problem("signature.type", p, signature, str(exc), "") from None

    def _wanted(self, p: Parameter, signature: Signature) -> Wanted:
        return Wanted(
            name=p.name,
            type=p.type,
            marks=getattr(p.annotation, "__metadata__", ()),
            is_async=signature.is_async,
            methods=self.methods,
            streams=self._streams,
            is_websocket="websocket" in self.injected.values(),
            function=describe(signature.function),
            where=signature.where,
        )

    def _input(self, p: Parameter, source: Source, signature: Signature, *, structure: bool = False) -> Input:
        key = p.alias or p.name
        if source is Source.HEADER:
            key = p.alias.lower() if p.alias else p.name.replace("_", "-").lower()
        annotation = str if p.annotation is EMPTY else p.annotation
        same = next((i for i in self.inputs if i.source is source and i.key == key), None)
        if same is not None and same.annotation == annotation and same.default == p.default:
            return same
        item = Input(p.name, source, key, annotation, p.required, None if p.required else p.default)
        item.is_structure = structure
        if source is Source.PATH:
            item.index = self.path.index(key)
        try:
            self.services.prepare_input(item)
        except (TypeError, ValueError) as exc:
            raise self._problem("signature.type", p, signature, str(exc), _way_out(p.annotation)) from None
        self.inputs.append(item)
        return item

    def _body(self, p: Parameter, signature: Signature, kind: str, annotation: Any) -> str:
        if not self.has_body and kind != "form":
            raise self._problem(
                "signature.body", p, signature, "is a body, which a GET request has not", "use POST, or Query[…]"
            )
        if self.body is not None:
            raise self._problem(
                "signature.bodies",
                p,
                signature,
                f"would be a second body beside {self.body.name!r}",
                "put both into one Struct",
            )
        accepts = self.accepts
        if kind == "form":
            accepts = tuple(dict.fromkeys(("form", "multipart", *(a for a in accepts if a == "json"))))
        self.body = Body(annotation, accepts, p.required, None if p.required else p.default, p.name, kind)
        return "body"

    def _upload(self, p: Parameter, signature: Signature) -> tuple[str, str]:
        if not self.has_body:
            raise self._problem("signature.body", p, signature, "is an upload, which a GET request has not", "use POST")
        if self.body is None:
            self.body = Body(None, ("multipart",), True, None, p.name, "upload")
        elif self.body.kind != "upload":
            raise self._problem(
                "signature.bodies",
                p,
                signature,
                f"is an upload beside the body {self.body.name!r}",
                f"make it a field of {_text(self.body.annotation)}",
            )
        self.body.parts[p.name] = (p.annotation, p.required, None if p.required else p.default)
        return ("part", p.name)

    def _dependency(self, depends: Depends, parent: Signature) -> Call:
        function = self.services.overrides.get(depends.function, depends.function)
        if function in self._stack:
            names = " → ".join(describe(f) for f in [*self._stack, function])
            raise ConfigurationError(
                Problem(id="dependency.cycle", message=f"dependencies in a circle: {names}", where=parent.where)
            )
        if depends.cached and function in self._cached:
            return self._cached[function]
        self._stack.append(function)
        try:
            call = self.bind(read_signature(function, self.localns), depends)
        finally:
            self._stack.pop()
        _check_lives(call)
        if depends.cached:
            self._cached[function] = call
        self.dependencies.append(call)
        return call

    def _problem(self, id: str, p: Parameter, signature: Signature, message: str, fix: str) -> ConfigurationError:
        return ConfigurationError(
            Problem(
                id=id,
                message=f"{describe(signature.function)}: the parameter {p.name!r} {message}",
                where=signature.where,
                fix=fix,
            )
        )


def _way_out(tp: Any) -> str:
    """Return the fix for a type that no text can become: most often it should have been provided."""
    tp = strip(tp)
    provider = getattr(tp, "__provided_by__", None)
    if isinstance(provider, str):
        return f"add the plugin that provides it: {provider}"
    return f"if it is a service, provide it: app.provide({tp.__name__}, …)" if inspect.isclass(tp) else ""


def _check_lives(call: Call) -> None:
    """Refuse a dependency that lives until the answer is sent and needs one that has ended by then."""
    if not _lives_on(call):
        return
    for needed in call.arguments.values():
        if isinstance(needed, Call) and needed.signature.is_generator and not _lives_on(needed):
            outer, inner = describe(call.signature.function), describe(needed.signature.function)
            raise ConfigurationError(
                Problem(
                    id="dependency.scope",
                    message=f"{outer} lives until the answer has been sent, and needs {inner}, which ends before",
                    where=call.signature.where,
                    fix=f'write Depends({inner}, scope="response") there too',
                )
            )


def _lives_on(call: Call) -> bool:
    return call.signature.is_generator and call.depends is not None and call.depends.scope == "response"


def _hashable(tp: Any) -> bool:
    try:
        hash(tp)
    except TypeError:
        return False
    return True


def _text(tp: Any) -> str:
    return tp.__name__ if inspect.isclass(tp) and not get_args(tp) else str(tp).replace("typing.", "")
