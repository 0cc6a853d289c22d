"""Idempotency keys."""

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql

from quintet.db.migrations import Operations

revision: str = "12ae8546"
down_revision: str | tuple[str, ...] | None = None


def upgrade(op: Operations) -> None:
    """Make the table."""
    op.create_table(
        "quintet_idempotency",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column(
            "expires_at",
            sa.DateTime()
            .with_variant(sa.DateTime(timezone=True), "postgresql")
            .with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
            .with_variant(sa.TIMESTAMP(), "oracle"),
            nullable=False,
        ),
        sa.Column(
            "headers",
            sa.JSON().with_variant(postgresql.JSONB(), "postgresql").with_variant(sa.Text(), "oracle"),
            nullable=True,
        ),
        sa.Column(
            "body",
            sa.LargeBinary(length=16777215).with_variant(mysql.LONGBLOB(), "mysql", "mariadb"),
            nullable=True,
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_quintet_idempotency_expires_at"), "quintet_idempotency", ["expires_at"], unique=False)


def downgrade(op: Operations) -> None:
    """Drop the table."""
    op.drop_table("quintet_idempotency")
