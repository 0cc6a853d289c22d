"""A revision, and migrations in scripts, as users type them."""

from pathlib import Path
from typing import assert_type

import sqlalchemy as sa

from quintet import App
from quintet.db.migrations import (
    MigrationPart,
    Migrations,
    MigrationTarget,
    Operations,
    State,
    pending,
    state,
    targets_of,
)
from quintet.db.migrations import (
    upgrade as run,
)

revision: str = "4bc432fa"
down_revision: str | tuple[str, ...] | None = None


def upgrade(op: Operations) -> None:
    op.create_table("author", sa.Column("id", sa.Integer(), nullable=False), sa.PrimaryKeyConstraint("id"))
    with op.batch_alter_table("author") as batch_op:
        batch_op.add_column(sa.Column("name", sa.String(length=50), nullable=True))
    op.create_index_online("ix_author_name", "author", ["name"])
    op.update_in_batches("author", "name = 'Ada'", where="name IS NULL")
    op.set_not_null_online("author", "name", sa.String(length=50))
    op.execute("DELETE FROM author WHERE name = ''")


def downgrade(op: Operations) -> None:
    op.drop_table("author")


async def seed() -> None:
    pass


app = App(plugins=[Migrations(seed=seed, on_start="refuse", options={"wait": 60})])
part = MigrationPart(name="accounts", folder=Path("migrations"), tables=["account_*"])

for target in targets_of(app):
    assert_type(target, MigrationTarget)
    assert_type(run(target), list[str])
    assert_type(pending(target), list[str])
    assert_type(state(target), State)
