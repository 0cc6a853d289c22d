"""The schemas of problem documents (RFC 9457) as `handlers.failures` writes them."""

from __future__ import annotations

from typing import Any, cast

PROBLEM_TYPE = "application/problem+json"
_PREFIX = "#/components/schemas/"

#: The components that problem responses refer to.
COMPONENTS: dict[str, Any] = {
    "ProblemDetails": {
        "type": "object",
        "title": "ProblemDetails",
        "description": "What went wrong (RFC 9457). There may be further members.",
        "properties": {
            "type": {"type": "string", "format": "uri-reference", "description": "The kind of problem."},
            "title": {"type": "string", "description": "The kind of problem, for people."},
            "status": {"type": "integer", "minimum": 400, "maximum": 599},
            "detail": {"type": "string", "description": "What went wrong with this very request."},
            "instance": {"type": "string", "format": "uri-reference", "description": "The path of the request."},
            "request_id": {"type": "string", "description": "What to quote when asking about a failure."},
        },
        "required": ["type", "title", "status"],
    },
    "ValidationProblemDetails": {
        "title": "ValidationProblemDetails",
        "description": "Which fields of the input are wrong, the first 100 of them.",
        "allOf": [{"$ref": "#/components/schemas/ProblemDetails"}],
        "properties": {"errors": {"type": "array", "items": {"$ref": "#/components/schemas/FieldError"}}},
        "required": ["errors"],
    },
    "FieldError": {
        "type": "object",
        "title": "FieldError",
        "description": "One wrong field.",
        "properties": {
            "loc": {
                "type": "array",
                "items": {"type": ["string", "integer"]},
                "description": "The way to the field, beginning with where it was sent.",
                "examples": [["body", "items", 0, "quantity"]],
            },
            "msg": {"type": "string", "description": "A sentence for people."},
            "code": {"type": "string", "description": "A word for programs.", "examples": ["missing"]},
            "ctx": {"type": "object", "description": "The values that the message speaks of."},
        },
        "required": ["loc", "msg", "code"],
    },
}


def problem_schema(status: int) -> dict[str, Any]:
    """Return the schema of the problem document of a status."""
    name = "ValidationProblemDetails" if status == 422 else "ProblemDetails"
    return {"$ref": f"#/components/schemas/{name}"}


def renamed(schema: Any, names: dict[str, str]) -> Any:
    """Return a copy of a schema that refers to the components by these names."""
    if isinstance(schema, dict):
        members = cast("dict[str, Any]", schema)
        return {
            key: f"{_PREFIX}{names[value.removeprefix(_PREFIX)]}" if key == "$ref" else renamed(value, names)
            for key, value in members.items()
        }
    if isinstance(schema, list):
        return [renamed(value, names) for value in cast("list[Any]", schema)]
    return schema
