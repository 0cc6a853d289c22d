"""The security headers of every response, made ready once.

Defaults follow section 5.1 of the OWASP secure headers project and RFC 6797: they are on without configuration, and
cost nothing because they are part of the prepared head.
"""

from __future__ import annotations

from typing import Any

import msgspec

#: The Content-Security-Policy of HTML pages.
DEFAULT_CSP = "default-src 'self'; object-src 'none'; base-uri 'self'; frame-ancestors 'none'; form-action 'self'"


class SecurityHeaders(msgspec.Struct, frozen=True, kw_only=True):
    """Which security headers are sent. An empty string leaves a header out."""

    #: The policy of HTML responses.
    content_security_policy: str = DEFAULT_CSP
    #: How much of the address other sites learn.
    referrer_policy: str = "strict-origin-when-cross-origin"
    #: Isolation of HTML pages from windows of other origins.
    opener_policy: str = "same-origin"
    #: Browser features pages may use.
    permissions_policy: str = "camera=(), geolocation=(), microphone=()"
    #: `Strict-Transport-Security`, sent on HTTPS deployments only: set it when the site is served over TLS for good.
    strict_transport_security: str = ""
    #: Further headers for every response.
    extra: dict[str, str] = {}

    def for_type(self, media_type: str) -> list[tuple[str, str]]:
        """Return the headers for a response of this media type."""
        pairs: list[tuple[str, Any]] = [
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", self.referrer_policy),
            ("strict-transport-security", self.strict_transport_security),
        ]
        if media_type.startswith(("text/html", "application/xhtml", "image/svg")):
            pairs += [
                ("content-security-policy", self.content_security_policy),
                ("cross-origin-opener-policy", self.opener_policy),
                ("permissions-policy", self.permissions_policy),
                ("x-frame-options", "DENY" if "frame-ancestors 'none'" in self.content_security_policy else ""),
            ]
        pairs += [(name.lower(), value) for name, value in self.extra.items()]
        return [(name, value) for name, value in pairs if value]
