from __future__ import annotations

from typing import Annotated

from sqlalchemy import String, literal, select, text
from sqlalchemy.dialects import mysql

from quintet import App, Database, Model, Session, Use, primary_key
from quintet.db import TLS, Mapped, PoolOptions, column

# --8<-- [start:app]
app = App(plugins=[Database("sqlite://")])


@app.get("/answer")
async def answer(db: Session) -> int:
    return await db.one(select(literal(6) * 7))


# --8<-- [end:app]

# --8<-- [start:options]
shop = Database(
    "postgresql://shop:secret@db.example.com/shop",
    replicas=["postgresql://shop:secret@replica.example.com/shop"],
    pool=PoolOptions(size=20, overflow=0, timeout=3),
    tls=TLS(mode="verify"),
)
# --8<-- [end:options]


# --8<-- [start:several]
class Reports(Model, database="reports"):
    """The base of the models in the database of reports."""


class Report(Reports):
    id: Mapped[int] = primary_key()


two = App(
    plugins=[Database("sqlite://"), Database("sqlite://", name="reports")]
)


@two.get("/reports/version")
async def version(db: Annotated[Session, Use("reports")]) -> str:
    return await db.one(text("SELECT sqlite_version()"))


# --8<-- [end:several]


# --8<-- [start:collation]
class Keyword(Reports):
    id: Mapped[int] = primary_key()
    text: Mapped[str] = column(
        String(30).with_variant(
            mysql.VARCHAR(30, collation="utf8mb4_nopad_bin"),
            "mysql",
            "mariadb",
        ),
        unique=True,
    )


# --8<-- [end:collation]
