"""`compile_type`: everything that reading values of one type needs, made once at start-up."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Literal, TypeAlias, cast

import msgspec

from quintet.errors import BadRequest, FieldError, HTTPError, ValidationError

from .collect import Collector, model_errors
from .depth import MAX_DEPTH, check_depth, check_json_depth
from .describe import LeafPredicate, describe
from .failures import DECODE_FAILURES, TextErrors, TooDeep
from .narrow import Narrowed, decode_marker
from .nodes import ModelNode, Node, ScalarNode, UnsupportedType, is_recursive, walk
from .residual import build_check
from .structure import build_reader

#: What `TypePlan.explain` is given.
Source: TypeAlias = Literal["json", "msgpack", "builtins", "text", "form"]

Loc: TypeAlias = "tuple[str | int, ...]"


class TypePlan:
    """How values of one type are read.

    The five callables raise only `DECODE_FAILURES` for wrong input; `explain` then tells what was wrong.
    """

    __slots__ = (
        "_collector", "convert", "decode_json", "decode_msgpack", "from_form", "from_text", "node", "type",
    )  # fmt: skip

    def __init__(self, tp: Any, *, leaf: LeafPredicate | None, refuse_nul: bool, where: str) -> None:
        #: The type as it was given.
        self.type: Any = tp
        #: Its description.
        self.node: Node = describe(tp, leaf=leaf, where=where)
        narrowed = Narrowed(self.node, lambda n, node: build_check(n, node, refuse_nul=refuse_nul))
        self._collector = Collector(narrowed, refuse_nul=refuse_nul)
        decoders = _build_decoders(narrowed, refuse_nul=refuse_nul)
        #: JSON bytes to a value; a bare msgspec decoder when msgspec checks everything.
        self.decode_json: Callable[[bytes], Any] = decoders[0]
        #: MessagePack bytes to a value.
        self.decode_msgpack: Callable[[bytes], Any] = decoders[1]
        #: Builtins to a value, strictly.
        self.convert: Callable[[Any], Any] = decoders[2]
        #: Builtins with texts as leaves (a query string, XML) to a value.
        self.from_text: Callable[[Any], Any] = build_reader(self.node, refuse_nul=refuse_nul)
        #: The same for a form, where an absent checkbox is False.
        self.from_form: Callable[[Any], Any] = build_reader(self.node, refuse_nul=refuse_nul, absent_bool=True)

    def explain(self, raw: Any, media: Source, exc: BaseException | None = None, loc: Loc = ("body",)) -> HTTPError:
        """Tell what is wrong with an input that did not decode.

        Args:
            raw: what the failing callable was given.
            media: which one it was.
            exc: what it raised.
            loc: where the input came from.

        Returns:
            `BadRequest` for malformed syntax, `ValidationError` with the first 100 errors otherwise.
        """
        if media in ("text", "form"):
            return self._explain_text(raw, media, exc, loc)
        value = raw
        if media != "builtins":
            try:
                value = _GENERIC[media](raw)
            except DECODE_FAILURES as e:
                return _malformed(e)
        try:
            check_depth(value)
        except TooDeep as e:
            return _malformed(e)
        errors = self._collector.collect(value, loc, str_keys=media != "msgpack")
        if not errors and exc is not None:
            errors = model_errors(cast("Exception", exc), loc)
        return ValidationError(errors or [_unexplained(loc)])

    def _explain_text(self, raw: Any, media: Source, exc: BaseException | None, loc: Loc) -> HTTPError:
        if not isinstance(exc, TextErrors):
            try:
                _ = (self.from_form if media == "form" else self.from_text)(raw)
            except TextErrors as e:
                exc = e
            except DECODE_FAILURES as e:
                return _malformed(e)
        if isinstance(exc, TextErrors):
            return ValidationError([msgspec.structs.replace(e, loc=(*loc, *e.loc)) for e in exc.errors])
        return ValidationError([_unexplained(loc)])


def compile_type(tp: Any, *, leaf: LeafPredicate | None = None, refuse_nul: bool = False, where: str = "") -> TypePlan:
    """Make the plan of a type.

    Args:
        tp: any annotation of the table in the docs.
        leaf: tells which classes are passed through as they are, such as uploaded files.
        refuse_nul: refuse NUL in text, as databases do.
        where: the name of the parameter, for messages.

    Raises:
        UnsupportedType: nothing can check this type; the message names the field and the fix.
    """
    return TypePlan(tp, leaf=leaf, refuse_nul=refuse_nul, where=where)


_GENERIC: dict[str, Callable[[bytes], Any]] = {
    "json": msgspec.json.Decoder().decode,
    "msgpack": msgspec.msgpack.Decoder().decode,
}


def _build_decoders(narrowed: Narrowed, *, refuse_nul: bool) -> tuple[Any, Any, Any]:
    root = narrowed.root
    try:
        with narrowed.applied():
            tp = narrowed.type_of(root)
            json: Any = msgspec.json.Decoder(tp, dec_hook=decode_marker).decode
            msgpack: Any = msgspec.msgpack.Decoder(tp, dec_hook=decode_marker).decode
    except (TypeError, NameError, ValueError) as e:
        if isinstance(e, UnsupportedType):
            raise
        raise UnsupportedType(f"{root}: {e}; use a type of the table in the docs") from e

    def strict(value: Any) -> Any:
        return msgspec.convert(value, tp, dec_hook=decode_marker, str_keys=True)

    convert: Callable[[Any], Any] = strict
    if isinstance(root, ModelNode):
        json, convert = root.adapter.validate_json, root.adapter.validate_python
    json = _then(json, build_check(narrowed, root, json=True, refuse_nul=refuse_nul))
    check = build_check(narrowed, root, refuse_nul=refuse_nul)
    msgpack, convert = _then(msgpack, check), _then(convert, check)
    if _may_nest(root):
        json, convert = _after(check_json_depth, json), _after(check_depth, convert)
        msgpack = _shallow_msgpack(msgpack)
    return json, msgpack, convert


def _then(decode: Callable[[Any], Any], check: Callable[[Any], None] | None) -> Callable[[Any], Any]:
    if check is None:
        return decode

    def checked(raw: Any) -> Any:
        value = decode(raw)
        check(value)
        return value

    return checked


def _after(check: Callable[[Any], None], decode: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def limited(raw: Any) -> Any:
        check(raw)
        return decode(raw)

    return limited


def _shallow_msgpack(decode: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    generic = _GENERIC["msgpack"]

    def limited(raw: bytes) -> Any:
        check_depth(generic(raw))
        return decode(raw)

    return limited


def _may_nest(node: Node) -> bool:
    """Tell whether the type itself sets no limit to nesting."""
    nodes = walk(node)
    loose = any(isinstance(n, ModelNode) or (isinstance(n, ScalarNode) and n.kind in ("any", "raw")) for n in nodes)
    return loose or is_recursive(node)


_OFFSET = re.compile(r"\(byte (\d+)\)")


def _malformed(e: Exception) -> BadRequest:
    if isinstance(e, RecursionError | TooDeep):
        return BadRequest(f"The body is nested too deeply; at most {MAX_DEPTH} levels are read.")
    if isinstance(e, UnicodeDecodeError):
        return BadRequest("The body is not valid UTF-8.")
    if isinstance(e, msgspec.ValidationError):
        return BadRequest("A number in the body is out of range.")
    found = _OFFSET.search(str(e))
    if found is not None:
        offset = int(found[1])
        return BadRequest(f"The body is malformed at byte {offset}.", extra={"offset": offset})
    return BadRequest("The body is malformed or ends too early.")


def _unexplained(loc: Loc) -> FieldError:
    return FieldError(loc=loc, msg="This value is wrong.", code="value")
