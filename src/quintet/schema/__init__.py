"""Types: what they accept, what is wrong with an input, how texts convert, what an answer shows, their JSON Schema.

A type is read once (`describe.py`) into nodes (`nodes.py`); everything else is a function over the nodes. msgspec does
the work wherever it can.
"""

from __future__ import annotations

from .bounds import Bounds
from .failures import DECODE_FAILURES, OutputError, TextError, TextMissing
from .json_schema import json_schemas
from .nodes import UnsupportedType
from .output import compile_output
from .plan import TypePlan, compile_type
from .struct import Meta, Struct
from .text import TextConverter, compile_text

__all__ = [
    "DECODE_FAILURES",
    "Bounds",
    "Meta",
    "OutputError",
    "Struct",
    "TextConverter",
    "TextError",
    "TextMissing",
    "TypePlan",
    "UnsupportedType",
    "compile_output",
    "compile_text",
    "compile_type",
    "json_schemas",
]
