"""Customers have a company."""

import sqlalchemy as sa

from quintet.db.migrations import Operations

revision: str = "ce11d800"
down_revision: str | tuple[str, ...] | None = "5c86e9a3"


def upgrade(op: Operations) -> None:
    with op.batch_alter_table("customer") as batch_op:
        batch_op.add_column(sa.Column("company", sa.String(length=80), nullable=True))

    op.create_index(op.f("ix_ticket_status_id"), "ticket", ["status", "id"], unique=False)


def downgrade(op: Operations) -> None:
    op.drop_index(op.f("ix_ticket_status_id"), table_name="ticket")
    with op.batch_alter_table("customer") as batch_op:
        batch_op.drop_column("company")
