"""Defaults of columns that their own columns would refuse from a client, found when an app starts."""

from __future__ import annotations

import datetime
import decimal
import enum
import math
from typing import Any

from quintet.db.hints import mapped_type
from quintet.errors import Problem
from quintet.schema.failures import DECODE_FAILURES
from quintet.schema.nodes import UnsupportedType
from quintet.schema.plan import compile_type

#: Defaults that are a value of one column; None is for the database to refuse.
_PLAIN = (bool, int, float, str, bytes, decimal.Decimal, datetime.date, datetime.time, datetime.timedelta, enum.Enum)


def wrong_defaults(base: type[Any]) -> list[Problem]:
    """Return the defaults that break the rules of their own columns."""
    problems: list[Problem] = []
    seen: set[Any] = set()
    # Classes above first: those below in the same table have their columns too.
    for mapper in sorted(
        base.registry.mappers, key=lambda mapper: (len(mapper.class_.__mro__), mapper.class_.__name__)
    ):
        for key, column in mapper.columns.items():
            default: Any = getattr(column, "default", None)  # an expression has none
            value = default.arg if default is not None and default.is_scalar else None
            if column in seen or not isinstance(value, _PLAIN):
                continue
            seen.add(column)
            fault = _fault_of(mapper.class_, key, value)
            if fault:
                problems.append(
                    Problem(
                        id="models.default",
                        message=f"the default of {mapper.class_.__name__}.{key}, {value!r}, breaks the column's own "
                        f"rule: {fault}",
                        where=getattr(mapper.class_, "__quintet_where__", ""),
                        fix="give it a default that keeps the rule, or correct the rule",
                    )
                )
    return problems


def _fault_of(cls: type[Any], key: str, value: Any) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return ""  # JSON cannot say it, and columns hold it
    try:
        declared = mapped_type(cls, key)
        plan = compile_type(declared) if declared is not None else None
    except (UnsupportedType, NameError, KeyError):
        return ""  # the column has a type of SQLAlchemy's, or its module was taken out of `sys.modules`
    if plan is None:
        return ""
    plain = value.value if isinstance(value, enum.Enum) else value
    try:
        plan.convert(plain)
    except DECODE_FAILURES as error:
        return " ".join(fault.msg for fault in plan.explain(plain, "builtins", error).errors)
    return ""
