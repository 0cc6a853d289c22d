"""A text that must not be seen by accident."""

from __future__ import annotations

import hmac
from typing import final


@final
class Secret:
    """A password, key or token: shown as `***` everywhere, its text only by `reveal()`.

    It is no `str`, so that no encoder writes it, no f-string shows it and no log keeps it. Two are compared in
    constant time.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the text."""
        return self._text

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(
            self._text.encode(errors="surrogatepass"), other._text.encode(errors="surrogatepass")
        )

    def __hash__(self) -> int:
        return hash((Secret, self._text))

    def __repr__(self) -> str:
        return "Secret('***')" if self._text else "Secret('')"

    def __str__(self) -> str:
        return repr(self)
