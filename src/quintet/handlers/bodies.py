"""Bodies: from the bytes of a request to the declared value, by Content-Type.

JSON and MessagePack go straight into the type; XML and forms become plain data with text leaves first, and then the
type by the rules for text.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from copy import copy
from typing import TYPE_CHECKING, Any, Union, get_args, get_origin

import msgspec

from quintet.errors import FieldError, HTTPError, UnsupportedMediaType, ValidationError
from quintet.handlers.params import Form, Patch
from quintet.handlers.plan import Body
from quintet.http.forms import FormData
from quintet.http.upload import Upload
from quintet.media.form import build_form_shaper
from quintet.schema.adapt import adapted, shape_of
from quintet.schema.plan import DECODE_FAILURES, TypePlan, compile_type

if TYPE_CHECKING:
    from quintet.handlers.services import Services
    from quintet.http.request import Request

_FORMS = ("form", "multipart")
_JSON_TYPES = (
    b"application/json",
    b"application/json; charset=utf-8",
    b"application/json;charset=utf-8",
    b"application/json; charset=UTF-8",
    b"application/json;charset=UTF-8",
)


def patch_type(tp: Any) -> Any:
    """Return a Struct with the fields of `tp`, every one of which may be left out.

    Raises:
        TypeError: `tp` has no fields.
    """
    shape = shape_of(tp, "patch")
    if shape is not None:
        return shape
    origin = get_origin(tp) or tp
    if not (isinstance(origin, type) and issubclass(origin, msgspec.Struct)):
        raise TypeError(f"Patch needs a Struct, not {tp!r}; use Patch[YourStruct]")
    fields: list[tuple[str, Any, Any]] = []
    rename: dict[str, str] = {}
    for field in msgspec.structs.fields(tp):
        fields.append((field.name, Union[field.type, msgspec.UnsetType], msgspec.UNSET))  # noqa: UP007
        rename[field.name] = field.encode_name
    return msgspec.defstruct(
        f"{origin.__name__}Patch",
        fields,
        bases=(msgspec.Struct,),
        kw_only=True,
        forbid_unknown_fields=True,
        rename=rename,
        module=origin.__module__,
    )


def _to_patch(value: Any) -> Patch[Any]:
    names = value.__struct_fields__
    return Patch({n: v for n in names if (v := getattr(value, n)) is not msgspec.UNSET})


def _is_upload(cls: Any) -> bool:
    return inspect.isclass(cls) and issubclass(cls, Upload)


class BodyReader:
    """Reads the body of one route."""

    def __init__(self, body: Body, services: Services) -> None:
        self.body = body
        self.services = services
        self.finish: Callable[[Any], Any] | None = None
        #: Decoders that the endpoint calls itself, by raw Content-Type.
        self.direct: dict[bytes | None, Callable[[bytes], Any]] = {}
        self.plan: TypePlan | None = None
        self._by_type: dict[str, str] = {}
        for name in body.accepts:
            media = services.registry.get(name)
            for kind in (media.media_type, *media.aliases):
                self._by_type[kind] = name
        if body.kind == "upload":
            return
        annotation = body.annotation
        of_model = shape_of(annotation, "patch") is not None
        if body.kind == "patch":
            annotation = patch_type(annotation)
            self.finish = _to_patch
        else:
            annotation, self.finish = adapted(annotation)
            of_model = self.finish is not None
        # What goes into a table holds no NUL: PostgreSQL would refuse it, in the middle of a transaction.
        self.plan = compile_type(annotation, leaf=_is_upload, refuse_nul=of_model, where=body.name)
        if any(name in _FORMS for name in body.accepts):
            self._shape_form = build_form_shaper(annotation)
        self._decoders = {
            name: build(annotation)
            for name in body.accepts
            if name not in ("json", "msgpack", *_FORMS)
            and (build := services.registry.get(name).build_decoder) is not None
        }
        if body.kind in ("value", "patch"):
            if "json" in body.accepts:
                self.direct.update(dict.fromkeys(_JSON_TYPES, self.plan.decode_json))
            if "msgpack" in body.accepts:
                media = services.registry.get("msgpack")
                for kind in (media.media_type, *media.aliases):
                    self.direct[kind.encode()] = self.plan.decode_msgpack

    @property
    def media_types(self) -> list[str]:
        """The media types it reads, the first being the usual one."""
        return [self.services.registry.get(name).media_type for name in self.body.accepts]

    async def read(self, request: Request) -> Any:
        """Return the value of the body, whatever its type.

        Raises:
            HTTPError: 400, 403, 413, 415 or 422, with every wrong field.
        """
        body = self.body
        if body.kind == "form" and request.method in ("GET", "HEAD"):
            return Form[Any]()
        name = self._format(request)
        if name is None:
            if not body.required:
                return self._default()
            raise ValidationError([FieldError(loc=("body",), msg="A body is required.", code="missing")])
        if name in _FORMS:
            form = await request.form(self.services.form_limits)
            if body.kind == "upload":
                return self._parts(form)
            return self._from_form(form)
        raw = await request.body()
        plan = self.plan
        assert plan is not None
        if not raw and not body.required:
            return self._default()
        if not raw:
            raise ValidationError([FieldError(loc=("body",), msg="A body is required.", code="missing")])
        decode = {"json": plan.decode_json, "msgpack": plan.decode_msgpack}.get(name)
        try:
            if decode is not None:
                value = decode(raw)
            else:
                shaped = self._decoders[name](raw)
                as_text = self.services.registry.get(name).text_leaves
                try:
                    value = (plan.from_text if as_text else plan.convert)(shaped)
                except DECODE_FAILURES as exc:
                    raise plan.explain(shaped, "text" if as_text else "builtins", exc) from None
        except HTTPError:
            raise
        except DECODE_FAILURES as exc:
            error = plan.explain(raw, "msgpack" if name == "msgpack" else "json", exc)
            if body.kind == "form" and isinstance(error, ValidationError):
                return Form[Any](errors=error.errors, submitted=True)
            raise error from None
        if self.finish is not None:
            value = self.finish(value)
        return Form(data=value, submitted=True) if body.kind == "form" else value

    def _default(self) -> Any:
        return copy(self.body.default)  # a handler may change its own

    def _format(self, request: Request) -> str | None:
        """Return the name of the body's format, or None when there is no body at all."""
        encoding = request.fields.get(b"content-encoding", b"identity").lower()
        if encoding != b"identity":
            raise UnsupportedMediaType(
                "compressed bodies are not accepted; send the body without Content-Encoding",
                headers={"accept-encoding": "identity"},
            )
        kind = request.content_type
        if not kind and (request._body == b""):  # pyright: ignore[reportPrivateUsage] - its reader
            return None
        name = self._by_type.get(kind)
        if name is None and kind.endswith("+json"):
            name = self._by_type.get("application/json")
        if name is None and kind.endswith("+xml"):
            name = self._by_type.get("application/xml")
        if name is None:
            found = f"not {kind!r}" if kind else "and none was named"
            raise UnsupportedMediaType(
                f"this reads {', '.join(self.media_types)}, {found}",
                headers={"accept": ", ".join(self.media_types)},
            )
        charset = _charset(request.fields.get(b"content-type", b""))
        if charset not in ("", "utf-8", "utf8", "us-ascii"):
            raise UnsupportedMediaType(f"bodies are UTF-8, not {charset!r}")
        return name

    def _from_form(self, form: FormData) -> Any:
        plan = self.plan
        assert plan is not None
        shaped = self._shape_form(form)
        try:
            value = plan.from_form(shaped)
        except DECODE_FAILURES as exc:
            error = plan.explain(shaped, "form", exc)
            if self.body.kind == "form" and isinstance(error, ValidationError):
                return Form[Any](values=_typed(form), errors=error.errors, submitted=True)
            raise error from None
        if self.finish is not None:
            value = self.finish(value)
        return Form(data=value, values=_typed(form), submitted=True) if self.body.kind == "form" else value

    def _parts(self, form: FormData) -> dict[str, Any]:
        out: dict[str, Any] = {}
        errors: list[FieldError] = []
        known = self.body.parts
        for name, (annotation, required, default) in known.items():
            files = form.getall(name)
            wants_list = _is_list(annotation)
            if not files:
                if required:
                    errors.append(FieldError(loc=("body", name), msg="A file is required.", code="missing"))
                out[name] = copy(default)
            elif any(not isinstance(f, Upload) for f in files):
                errors.append(FieldError(loc=("body", name), msg="Expected a file.", code="type"))
            elif len(files) > 1 and not wants_list:
                message = f"{len(files)} files were sent, expected one."
                errors.append(FieldError(loc=("body", name), msg=message, code="repeated"))
            else:
                out[name] = list(files) if wants_list else files[0]
        for key, _ in form.items:
            if key not in known and len(errors) < 100:
                errors.append(FieldError(loc=("body", key), msg="This field is not known.", code="unknown_field"))
        if errors:
            raise ValidationError(errors)
        return out


def _typed(form: FormData) -> dict[str, Any]:
    """Return what was typed into a form, to be shown again."""
    values: dict[str, Any] = {}
    for key, value in form.items:
        if isinstance(value, Upload) or "password" in key.lower():
            continue
        values[key] = value
    return values


def _is_list(annotation: Any) -> bool:
    return any((get_origin(a) or a) in (list, tuple) for a in (annotation, *get_args(annotation)))


def _charset(content_type: bytes) -> str:
    for part in content_type.lower().split(b";")[1:]:
        name, _, value = part.strip().partition(b"=")
        if name == b"charset":
            return value.strip(b" \"'").decode("latin-1")
    return ""
