"""What type checkers see of the errors; checked by basedpyright and mypy, never run."""
# pyright: reportUnnecessaryTypeIgnoreComment=true

from __future__ import annotations

from typing import Any, assert_type

from quintet.errors import FieldError, HTTPError, NotFound, ValidationError

assert_type(HTTPError(409, "taken").status, int)
assert_type(NotFound("no such article").document(), dict[str, Any])
assert_type(ValidationError([FieldError(loc=("query", "page"), msg="…", code="int")]).errors, list[FieldError])

HTTPError("409")  # type: ignore[arg-type]  # a status is a number
