"""Idempotency keys: a creation that is sent twice happens once, and is answered twice.

The key is stored in the transaction of the creation, with its answer. Two requests at once meet at the primary key: the
second waits for the first to end. A key is one of those of who asks, as the resource's `idempotency=` tells them apart,
so that nobody meets another's.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from hashlib import sha256
from typing import Annotated, Any
from uuid import UUID

import msgspec
import sqlalchemy as sa
from msgspec import Meta
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped

from quintet.db.columns import column, primary_key
from quintet.db.mixins import utc_now
from quintet.db.model import Model
from quintet.db.session import Session
from quintet.errors import FieldError, ServiceUnavailable, ValidationError
from quintet.http.request import Request
from quintet.http.response import Response

#: How long a key is remembered.
KEPT = timedelta(hours=24)

_Digest = Annotated[str, Meta(max_length=64)]
_decode = msgspec.json.Decoder[Any](Any).decode


class IdempotencyKey(Model):
    """A creation that has happened, under the key that its client gave it."""

    __tablename__ = "quintet_idempotency"

    #: A digest of the key, the path and who asked.
    id: Mapped[_Digest] = primary_key()
    #: A digest of what was sent.
    fingerprint: Mapped[_Digest]
    expires_at: Mapped[datetime] = column(index=True)
    #: The headers and the body of the answer, as JSON.
    headers: Mapped[dict[str, str]] = column(default=None, nullable=True)
    body: Mapped[Annotated[bytes, Meta(max_length=2**24 - 1)]] = column(default=None, nullable=True)


_table: Any = IdempotencyKey.__table__
Model.metadata.remove(_table)  # no database has it unless a resource in it asks for it


def declare_beside(model: type[Any]) -> None:
    """Declare the table in the database of a model.

    Sessions find `IdempotencyKey` in their own database, for a key is stored in the transaction of its row.
    """
    base: Any = next((cls for cls in model.__mro__ if "__database__" in cls.__dict__), Model)
    if base.__database__ == Model.__database__:
        base = Model
    if _table.name not in base.metadata.tables:
        _table.to_metadata(base.metadata)


async def begin(db: Any, request: Request, owner: Any, key: str) -> IdempotencyKey | Response[Any]:
    """Take a key of an owner; where it was taken before, return the answer that was given then.

    Raises:
        ValidationError: it was taken for something else, or nobody is known to own it.
    """
    if owner is None:
        message = "It is not known who sends this, so the key cannot be told from another's; leave it out, or log in."
        raise ValidationError([FieldError(loc=("header", "Idempotency-Key"), msg=message, code="unknown_owner")])
    digest = _digest(request.path, _text_of(owner), key)
    fingerprint = _digest(request.content_type, (await request.body()))
    query: Any = sa.select(IdempotencyKey).where(IdempotencyKey.id == digest)
    found = await db.first(query)
    if found is not None and found.expires_at <= utc_now():
        await db.delete(found)
        await db.flush()
        found = None
    if found is None:
        new = IdempotencyKey(id=digest, fingerprint=fingerprint, expires_at=utc_now() + KEPT)
        try:
            async with db.savepoint():
                db.add(new)
                await db.flush()
        except IntegrityError:
            # A locking read: at REPEATABLE READ another one would not see what the other request has committed. Its
            # lock is a shared one, which MariaDB's refused INSERT has left here already: to ask for more would be a
            # deadlock of those who have waited together.
            found = await db.first(query.with_for_update(read=True).execution_options(populate_existing=True))
        else:
            return new
    if found is None or found.body is None:
        raise ServiceUnavailable("another request has this key now", headers={"retry-after": "1"})
    if found.fingerprint != fingerprint:
        message = "This key was used for another request; make a new one."
        raise ValidationError([FieldError(loc=("header", "Idempotency-Key"), msg=message, code="reused")])
    return Response(_decode(found.body), 201, headers={**found.headers, "idempotency-replayed": "true"})


def _text_of(owner: Any) -> bytes:
    """Return an owner as text: the number 1 is not the text "1".

    Raises:
        TypeError: it may be equal for several, or different for one, such as `True` and an object.
    """
    if isinstance(owner, bool) or not isinstance(owner, str | int | UUID):
        raise TypeError(
            f"the function of a resource's idempotency= returned {type(owner).__name__}; return what tells those who "
            "ask apart as str, int or UUID, such as the key of the user, or None where nobody is known"
        )
    return msgspec.json.encode(owner)


def _digest(*parts: str | bytes) -> str:
    hashed = sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        hashed.update(len(data).to_bytes(8, "big") + data)
    return hashed.hexdigest()


async def forget_expired(db: Session) -> int:
    """Delete the keys whose time is over, and return their number; for a job that runs now and then.

    They are those in the session's own database.
    """
    result: Any = await db.execute(sa.delete(IdempotencyKey).where(IdempotencyKey.expires_at <= utc_now()))
    return result.rowcount
