"""Mistakes in the declaration of models are problems of `quintet check`: what, in which line, and how to repair it."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from quintet.cli.main import main

APP = """from decimal import Decimal
from enum import Enum
from typing import Annotated, Literal
from quintet import App, Database, Meta
from quintet.db import Mapped, Model, Precision, belongs_to, column, foreign_key, has_many, primary_key
from sqlalchemy.orm import mapped_column
class Base(Model, database="{name}"):
    pass
class Other(Base):
    id: Mapped[int] = primary_key()
Kind = Enum("Kind", {{"a": "a"}})
class Thing(Base):
    {lines}
app = App(plugins=[Database("sqlite://", name="{name}")])
"""
KEY = "id: Mapped[int] = primary_key()"

MISTAKES = [
    (
        "decimal",
        f"{KEY}; price: Mapped[Decimal]",
        "Thing.price: a column of Decimal needs its digits",
        "write Annotated[",
    ),
    ("no_key", "name: Mapped[str]", "Thing has no key", "id: Mapped[int] = primary_key()"),
    ("unknown", f"{KEY}; name: Mapped['Strr']", "Mapped[Strr] names something that is not there", "correct the name"),
    ("no_mapped", f"{KEY}; name: str = column()", "Thing.name is a column or a relation, and", "name: Mapped[…]"),
    ("taken", f"__tablename__ = 'other'; {KEY}", "another model with the table 'other'", "__tablename__ = "),
    ("reserved", f"{KEY}; metadata: Mapped[str]", "Thing.metadata: SQLAlchemy's own attribute", "write metadata_:"),
    ("option", f"{KEY}; other: Mapped[Other] = belongs_to(bac=1)", "no relation has the option 'bac'", "leave it out"),
    ("set", f"{KEY}; w: Mapped[dict[str, set[list[int]]]]", "the items of a set must be hashable", "use a list"),
]


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def checked(tmp_path: Path, name: str, lines: str) -> tuple[int, str]:
    """Return what `quintet check` says of an app with this model."""
    file = tmp_path / f"check_{name}.py"
    file.write_text(APP.format(name=f"check_{name}", lines=lines))
    result = CliRunner().invoke(main, ["check", str(file)])
    return result.exit_code, result.output.replace(str(file), "FILE")


@pytest.mark.parametrize(("name", "lines", "message", "fix"), MISTAKES, ids=[m[0] for m in MISTAKES])
def test_a_mistake_in_a_class_is_a_problem_with_its_line(
    tmp_path: Path, name: str, lines: str, message: str, fix: str
) -> None:
    code, output = checked(tmp_path, name, lines)
    assert code == 1, output
    said, repair, count = output.splitlines()
    assert said.startswith("error: FILE:12: Thing") or (said.startswith("error: FILE:12: ") and "'other'" in said)
    assert message in said
    assert said.endswith("[models.class]")
    assert repair.startswith(f"    fix: {fix}")
    assert count == "1 error, 0 warnings"


def test_a_relation_without_a_foreign_key_is_a_problem_with_the_line_of_its_class(tmp_path: Path) -> None:
    code, output = checked(tmp_path, "relation", f"{KEY}; others: Mapped[list[Other]] = has_many()")
    assert code == 1
    assert output.splitlines() == [
        "error: FILE:12: no foreign key leads from one side of Thing.others to the other [models.relations]",
        '    fix: give the model that refers to the other one: user_id: Mapped[int] = foreign_key("user.id")',
        "1 error, 0 warnings",
    ]


def test_what_fails_in_the_code_of_a_class_itself_is_shown_with_its_traceback(tmp_path: Path) -> None:
    lines = f"{KEY}\n    def __init_subclass__(cls) -> None:\n        super().__init_subclass__()\n        [][1]"
    code, output = checked(tmp_path, "own", f"{lines}\nclass Below(Thing):\n    pass")
    assert code == 1
    assert "IndexError: list index out of range" in output
    assert "models.class" not in output


def test_a_default_that_breaks_the_rule_of_its_column_is_a_problem(tmp_path: Path) -> None:
    fields = (
        KEY,
        "number: Mapped[Annotated[int, Meta(ge=5)]] = column(default=1)",
        "text: Mapped[Annotated[str, Meta(min_length=1)]] = mapped_column(default='')",
        "size: Mapped[Literal['s', 'm']] = column(default='l')",
        "kind: Mapped[str] = column(default=3)",
        "price: Mapped[Annotated[Decimal, Precision.of(4, 2)]] = column(default=Decimal(100))",
    )
    code, output = checked(tmp_path, "defaults", f"{'; '.join(fields)}\nclass Below(Thing):\n    pass")
    assert code == 1
    assert [line for line in output.splitlines() if line.startswith("error")] == [
        f"error: FILE:12: the default of Thing.{said} [models.default]"
        for said in (
            "number, 1, breaks the column's own rule: The value must be at least 5.",
            "text, '', breaks the column's own rule: At least 1 character must be given.",
            "size, 'l', breaks the column's own rule: Expected one of: s, m.",
            "kind, 3, breaks the column's own rule: Expected a string.",
            "price, Decimal('100'), breaks the column's own rule: The value must be less than 100.",
        )
    ]


def test_defaults_that_keep_the_rules_are_none(tmp_path: Path) -> None:
    fields = (
        KEY,
        "number: Mapped[Annotated[int, Meta(ge=5)]] = column(default=5)",
        "maybe: Mapped[Annotated[int, Meta(ge=5)] | None] = column(default=None)",
        "kind: Mapped[Kind] = column(default=Kind.a)",
        "price: Mapped[Annotated[Decimal, Precision.of(4, 2)]] = column(default=0)",
        "ratio: Mapped[float] = column(default=float('inf'))",
        "made: Mapped[list[int]] = column(default=list)",
    )
    code, output = checked(tmp_path, "kept", "; ".join(fields))
    assert (code, output) == (0, "No problems found.\n")
