"""Keys, signatures and random tokens. Everything is keyed BLAKE2b, and compared in constant time."""

from __future__ import annotations

import hmac
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from hashlib import blake2b
from typing import Protocol, TypeAlias

from quintet.errors import ConfigurationError, Problem, QuintetError

#: The shortest secret key, in bytes.
MIN_KEY_SIZE = 32
#: The length of a signature, in bytes.
SIGNATURE_SIZE = 24

_FIX = 'make one with: python -c "import secrets; print(secrets.token_urlsafe(48))"'
_PLACEHOLDERS = (
    "changeme",
    "change-me",
    "change_me",
    "change this",
    "change-this",
    "change_this",
    "changethis",
    "insecure",
    "placeholder",
    "replace-me",
    "replace_me",
    "replaceme",
    "secret-key",
    "secret_key",
    "secretkey",
    "your-secret",
    "your_secret",
    "yoursecret",
    "example",
)


class HasSecretText(Protocol):
    """A secret that shows its text only when asked, as `quintet.config.Secret`."""

    def reveal(self) -> str:
        """Return the text."""
        ...


#: What a key can be given as.
Key: TypeAlias = "str | bytes | HasSecretText"


class BadSignature(QuintetError):
    """A token was not signed with one of our keys, or not for this purpose."""


def equal(one: str | bytes, other: str | bytes) -> bool:
    """Compare in a time that tells nothing about where the two differ."""
    return hmac.compare_digest(_as_bytes(one), _as_bytes(other))


def random_token(size: int = 32) -> str:
    """Return `size` random bytes as URL-safe text, by default 256 bits."""
    return secrets.token_urlsafe(size)


def require_strong_key(key: Key | None, what: str = "APP_SECRET_KEY") -> bytes:
    """Return the bytes of a secret key.

    Args:
        key: the key.
        what: the setting it comes from, for the message.

    Raises:
        ConfigurationError: there is none, it is shorter than 32 bytes, or it is a placeholder.
    """
    raw = b"" if key is None else _as_bytes(key)
    folded = raw.lower()
    if not raw:
        message = "a secret key is needed to sign, and none is set"
    elif len(raw) < MIN_KEY_SIZE:
        message = f"the secret key has {len(raw)} bytes, expected at least {MIN_KEY_SIZE}"
    elif len(set(raw)) < 8 or any(word.encode() in folded for word in _PLACEHOLDERS):
        message = "the secret key is a placeholder, expected random text"
    else:
        return raw
    raise ConfigurationError(Problem(id="crypto.key", where=what, message=message, fix=f"{_FIX} and set {what}"))


class Signer:
    """Signs data for one purpose; keys can be rotated.

    A token is `data.signature`, both in URL-safe Base64. What it holds can be read by anyone, and changed by nobody.

    Args:
        keys: the first one signs, all verify. Check them with `require_strong_key`.
        salt: the purpose. Signers of another purpose do not accept the tokens, even with the same keys.
    """

    __slots__ = ("_keys",)

    def __init__(self, keys: Sequence[Key], *, salt: str) -> None:
        if isinstance(keys, str | bytes):
            raise TypeError("keys is a sequence of keys, not one key")
        if not keys or not salt or not all(_as_bytes(key) for key in keys):
            raise ValueError("a Signer needs at least one key and a salt, none of them empty")
        self._keys = tuple(derive_key(key, salt) for key in keys)

    def signature(self, data: bytes) -> bytes:
        """Return the signature of `data` by the first key."""
        return _mac(self._keys[0], data)

    def is_valid(self, data: bytes, signature: bytes) -> bool:
        """Tell whether one of the keys made the signature."""
        return any(hmac.compare_digest(_mac(key, data), signature) for key in self._keys)

    def sign(self, data: bytes) -> str:
        """Return `data` as a token."""
        payload = urlsafe_b64encode(data).rstrip(b"=")
        return (payload + b"." + urlsafe_b64encode(self.signature(payload))).decode("ascii")

    def verify(self, token: str) -> bytes:
        """Return the data of a token.

        Raises:
            BadSignature: it is no token of this signer.
        """
        payload, _, text = token.encode(errors="replace").rpartition(b".")
        # The text of the signature is compared, not its bytes: Base64 has several spellings of the same bytes.
        expected = [urlsafe_b64encode(_mac(key, payload)) for key in self._keys]
        if not any(hmac.compare_digest(text, one) for one in expected):
            raise BadSignature("the token is not signed by this app for this purpose")
        return urlsafe_b64decode(payload + b"=" * (-len(payload) % 4))


def derive_key(key: Key, salt: str) -> bytes:
    """Return 64 bytes that depend on the key and the purpose.

    The two never share a hash input, so no other key and salt run together to the same text.
    """
    root = blake2b(_as_bytes(key), person=b"quintet.root").digest()
    return blake2b(salt.encode(), key=root, person=b"quintet.salt").digest()


def _mac(key: bytes, data: bytes) -> bytes:
    return blake2b(data, key=key, digest_size=SIGNATURE_SIZE).digest()


def _as_bytes(text: Key) -> bytes:
    if isinstance(text, bytes):
        return text
    if not isinstance(text, str):
        text = text.reveal()
    return text.encode(errors="surrogatepass")
