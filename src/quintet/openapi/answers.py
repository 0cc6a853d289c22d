"""The responses of an operation: what it answers with when all is well, and every error that it can answer with."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast, get_args, get_origin

from quintet import errors
from quintet.errors import ConfigurationError, HTTPError, ValidationError, status_phrase
from quintet.handlers.failures import find_handler
from quintet.handlers.plan import HandlerPlan, Result
from quintet.handlers.results import plan_result
from quintet.handlers.signature import read_signature
from quintet.http.file import File
from quintet.http.response import HTML, EventStream, Page, Redirect, Stream, Template
from quintet.media.registry import Registry
from quintet.openapi.problems import COMPONENTS, PROBLEM_TYPE, problem_schema, renamed
from quintet.openapi.schemas import Schema, Schemas

if TYPE_CHECKING:
    from quintet.routing.route import ErrorHandler

Handlers = Sequence[dict[type[BaseException] | int, "ErrorHandler"]]

_ANYTHING: Schema = {"*/*": {}}
#: What went wrong, for readers of the document.
ERROR_TEXTS = {
    400: "The request is malformed.",
    401: "Who is asking is not known.",
    403: "This is refused.",
    404: "There is nothing here.",
    406: "No format that the client accepts can be produced.",
    412: "`If-Match` or `If-Unmodified-Since` does not hold.",
    413: "The body is larger than is allowed here.",
    415: "Bodies of this media type are not read here.",
    416: "No range that was asked for lies inside the file.",
    422: "Fields of the input are wrong; `errors` lists them.",
    503: "This cannot be answered now; try again later.",
}


class Answers:
    """Describes the answers of one app's routes.

    Args:
        schemas: where types go.
        registry: the app's media types.
        produces: the formats of routes and error handlers that name none.
    """

    def __init__(self, schemas: Schemas, registry: Registry, produces: tuple[str, ...]) -> None:
        self._schemas = schemas
        self._registry = registry
        self._produces = produces
        #: Standard error responses that are used, by component name.
        self.shared: dict[str, Schema] = {}
        self._problems: list[Schema] = []

    # -- what goes well -----------------------------------------------------------------------------------------

    def successes(self, plan: HandlerPlan) -> dict[int, Schema]:
        """Return the responses of a handler's return annotation, by status."""
        result = plan.result
        found: dict[int, Schema] = {}
        for response in result.responses:
            for status, answer in self._own_response(response, result):
                _add(found, status, answer)
        if self._has_data(result):
            _add(found, result.status, self._data(result))
        elif not found:
            bare = any((get_origin(r) or r).__name__ == "Response" for r in result.responses)
            if bare and result.status == HTTPStatus.OK:
                _add(found, 204, {"description": "Done; there is nothing to say."})
            else:
                _add(found, result.status, {"description": status_phrase(result.status), "content": dict(_ANYTHING)})
        return found

    @staticmethod
    def _has_data(result: Result) -> bool:
        return result.kind not in ("dynamic", "events") or (result.kind == "events" and not result.responses) or (
            result.kind == "dynamic" and not result.responses and result.annotation is not Any
        )  # fmt: skip

    def _own_response(self, response: Any, result: Result) -> list[tuple[int, Schema]]:
        kind = get_origin(response) or response
        if issubclass(kind, Redirect):
            location = {"description": "The address to go to.", "schema": {"type": "string", "format": "uri-reference"}}
            status = result.status if 300 <= result.status < 400 else 303
            return [(status, {"description": status_phrase(status), "headers": {"Location": location}})]
        if issubclass(kind, File):
            content: Schema = {"*/*": {"schema": {"type": "string", "format": "binary"}}}
            return [
                (200, {"description": "The file.", "content": content}),
                (206, {"description": "The parts of the file that `Range` asks for.", "content": content}),
                (304, {"description": "The client's copy is still good."}),
            ]
        if issubclass(kind, EventStream):
            item = get_args(response)[0] if get_args(response) else Any
            return [(200, {"description": "Server-sent events.", "content": self._events(item)})]
        if issubclass(kind, (Template, Page, HTML)):
            status = 200 if result.status == HTTPStatus.NO_CONTENT else result.status
            return [(status, {"description": status_phrase(status), "content": _html()})]
        if issubclass(kind, Stream):
            return [(result.status, {"description": "A stream of bytes.", "content": dict(_ANYTHING)})]
        return []

    def _data(self, result: Result) -> Schema:
        answer: Schema = {"description": status_phrase(result.status)}
        content = self._content(result)
        if content:
            answer["content"] = content
        if len(content) > 1:
            answer["headers"] = {"Vary": {"description": "`accept`.", "schema": {"type": "string"}}}
        return answer

    def _content(self, result: Result) -> Schema:
        text: Schema = {"schema": {"type": "string"}}
        match result.kind:
            case "none":
                return {}
            case "text":
                return {"text/plain": text}
            case "html":
                return _html()
            case "bytes":
                return {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
            case "events":
                return self._events(result.item)
            case "stream":
                return self._stream(result)
            case "dynamic" if result.annotation is Any:
                return dict(_ANYTHING)
            case _:
                return self._negotiated(result, result.annotation)

    def _negotiated(self, result: Result, annotation: Any) -> Schema:
        content: Schema = {}
        for name in result.produces:
            media_type = self._registry.get(name).media_type
            if name in ("html", "csv"):
                content[media_type] = {"schema": {"type": "string"}}
            else:
                content[media_type] = {"schema": self._schemas.place(annotation, "output")}
        return content

    def _stream(self, result: Result) -> Schema:
        """Describe a stream; of JSON Lines the schema is that of a line."""
        if result.item is bytes:
            return {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
        if result.item is str:
            return {"text/plain": {"schema": {"type": "string"}}}
        return self._negotiated(result, result.item)

    def _events(self, item: Any) -> Schema:
        """Describe server-sent events: what an event of the stream looks like. Its data is JSON."""
        data: Schema = {"type": "string"}
        if item is not Any and item is not None:
            data |= {"contentMediaType": "application/json", "contentSchema": self._schemas.place(item, "output")}
        event = {
            "type": "object",
            "title": "Event",
            "properties": {
                "data": data,
                "event": {"type": "string"},
                "id": {"type": "string"},
                "retry": {"type": "integer", "minimum": 0},
            },
        }
        return {"text/event-stream": {"schema": event}}

    # -- what is declared by hand -------------------------------------------------------------------------------

    def declared(self, responses: Mapping[int, Any], produces: tuple[str, ...]) -> dict[int, Schema]:
        """Return the responses of a route's `responses=`.

        A value is a type, a text (the description), `(type, text)`, an `HTTPError` class (a problem document), None (no
        body), or a response object as OpenAPI has it.
        """
        return {
            status: self._declared(status, value, produces or self._produces) for status, value in responses.items()
        }

    def _declared(self, status: int, value: Any, produces: tuple[str, ...]) -> Schema:
        if isinstance(value, dict) and ("description" in value or "$ref" in value or "content" in value):
            return {"description": status_phrase(status), **cast("Schema", value)}
        text = ERROR_TEXTS.get(status, status_phrase(status))
        if isinstance(value, tuple):
            value, text = cast("tuple[Any, str]", value)
        if isinstance(value, str):
            value, text = HTTPError if status >= 400 else None, value
        if value is None:
            return {"description": text}
        value = cast("Any", value)
        if inspect.isclass(value) and issubclass(value, HTTPError):
            return self._problem(status, text)
        result = Result(value, "data", status, produces)
        if value in (str, bytes):
            result.kind = "text" if value is str else "bytes"
        return {"description": text, "content": self._content(result)}

    # -- what goes wrong ----------------------------------------------------------------------------------------

    def error(self, status: int, handlers: Handlers, headers: Schema | None = None) -> Schema:
        """Return the response of an error: a problem document, or what the app's own handler for it answers with."""
        own = find_handler(handlers, _example(status))
        if own is not None:
            return self._replaced(status, own)
        name = type(_example(status)).__name__
        answer = self._problem(status, ERROR_TEXTS.get(status, status_phrase(status)))
        if headers:
            answer["headers"] = headers
            return answer
        self.shared.setdefault(name, answer)
        return {"$ref": f"#/components/responses/{name}"}

    def _problem(self, status: int, text: str) -> Schema:
        schema = problem_schema(status)
        self._problems.append(schema)
        return {"description": text, "content": {PROBLEM_TYPE: {"schema": schema}}}

    def problems(self, taken: Collection[str]) -> dict[str, Schema]:
        """Return the components that problem documents need, under names that the app's own types have not."""
        if not self._problems:
            return {}
        names = {name: f"{name}RFC9457" if name in taken else name for name in COMPONENTS}
        for schema in self._problems:
            schema.update(renamed(schema, names))
        return {names[name]: renamed(schema, names) for name, schema in COMPONENTS.items()}

    def joined(self, declared: Schema, automatic: Schema) -> Schema:
        """Return a declared response that keeps the media types which the framework answers with for its status."""
        if "$ref" in automatic:
            automatic = self.shared[automatic["$ref"].rpartition("/")[2]]
        out = {**automatic, **declared}
        for part in ("content", "headers"):
            both = {**automatic.get(part, {}), **declared.get(part, {})}
            if both:
                out[part] = both
        return out

    def page_of_form(self, automatic: Schema) -> Schema:
        """Return the response to a form with errors: its page again, or a problem where something else is wrong."""
        return self.joined({"description": "The page again, with its errors.", "content": _html()}, automatic)

    def _replaced(self, status: int, handler: Callable[..., Any]) -> Schema:
        answer: Schema = {"description": ERROR_TEXTS.get(status, status_phrase(status)), "content": dict(_ANYTHING)}
        try:
            signature = read_signature(handler)
            result = plan_result(signature, {"status": status}, produces=self._produces, registry=self._registry)
        except (ConfigurationError, TypeError):
            return answer
        if result.kind != "dynamic":
            answer["content"] = self._content(result)
        elif result.responses and all((get_origin(r) or r) is Template for r in result.responses):
            answer["content"] = _html()
        return answer


def _add(found: dict[int, Schema], status: int, answer: Schema) -> None:
    """Add a response; two of one status share it, each with its own media types."""
    present = found.setdefault(status, answer)
    if present is not answer:
        for part in ("content", "headers"):
            if part in answer:
                present[part] = {**present.get(part, {}), **answer[part]}


def _html() -> Schema:
    return {"text/html": {"schema": {"type": "string"}}}


def _example(status: int) -> HTTPError:
    """Return the exception that Quintet itself raises for a status."""
    if status == ValidationError.default_status:
        return ValidationError([])
    for kind in vars(errors).values():
        if not (inspect.isclass(kind) and issubclass(kind, HTTPError)) or kind is HTTPError:
            continue
        if vars(kind).get("default_status") == status:
            return kind()
    return HTTPError(status)
