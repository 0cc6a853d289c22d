"""What is wrong with models is said when the app starts."""

from __future__ import annotations

import subprocess
import sys
from decimal import Decimal
from typing import Annotated, Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import declared_attr

from quintet import App, ConfigurationError, Database, Model, Session, SyncSession
from quintet.db import Mapped, Precision, Versioned, belongs_to, column, foreign_key, many_to_many, primary_key
from quintet.resources import resource


class Here(Model, database="here"):
    pass


class There(Model, database="there"):
    pass


class Planet(Here):
    id: Mapped[int] = primary_key()


class Ship(There):
    id: Mapped[int] = primary_key()
    planet_id: Mapped[int] = foreign_key("planet.id")
    planet: Mapped[Planet] = belongs_to()


def test_a_relation_that_leads_nowhere() -> None:
    class Lost(Model, database="lost"):
        pass

    class Sheep(Lost):
        id: Mapped[int] = primary_key()
        farm_id: Mapped[int] = foreign_key("farm.id")
        farm: Mapped[Farm] = belongs_to()  # type: ignore[name-defined]  # noqa: F821 - there is none

    app = App(plugins=[Database("sqlite://", name="lost")])
    with pytest.raises(ConfigurationError, match=r"Farm") as caught:
        _ = app.dispatcher
    assert [p.id for p in caught.value.problems] == ["models.relations", "models.references"]


def test_a_foreign_key_to_nothing() -> None:
    class Adrift(Model, database="adrift"):
        pass

    class Boat(Adrift):
        id: Mapped[int] = primary_key()
        port_id: Mapped[int] = foreign_key("ports.id")
        other_id: Mapped[int] = foreign_key("boat.number")
        right_id: Mapped[int] = foreign_key("boat.id")

    app = App(plugins=[Database("sqlite://", name="adrift")])
    with pytest.raises(ConfigurationError) as caught:
        _ = app.dispatcher
    assert [(p.id, p.message) for p in caught.value.problems] == [
        ("models.references", "boat.other_id refers to 'boat.number', which there is not"),
        ("models.references", "boat.port_id refers to 'ports.id', which there is not"),
    ]


@pytest.mark.parametrize("kind", [Session, SyncSession])
def test_a_session_without_a_database(kind: type[Any]) -> None:
    app = App()

    async def home(db: Session) -> int:
        return 1

    def blocking(db: SyncSession) -> int:
        return 1

    app.get("/")(home if kind is Session else blocking)
    with pytest.raises(ConfigurationError, match=r"add the plugin that provides it: App\(plugins=\[Database\("):
        _ = app.dispatcher


def test_a_text_without_length_as_a_key_of_mysql() -> None:
    class Texts(Model, database="texts"):
        pass

    class Word(Texts):
        id: Mapped[int] = primary_key()
        text: Mapped[str] = column(unique=True)
        other: Mapped[str] = column(index=True)
        free: Mapped[str]

    assert App(plugins=[Database("sqlite://", name="texts")]).dispatcher
    with pytest.raises(ConfigurationError) as caught:
        _ = App(plugins=[Database("mysql://root@h/d", name="texts")]).dispatcher
    assert [p.message.partition(" ")[0] for p in caught.value.problems] == ["word.text", "word.other"]


def test_two_relations_do_not_share_a_table_by_accident() -> None:
    class Shared(Model, database="shared"):
        pass

    class Post(Shared):
        id: Mapped[int] = primary_key()
        tags: Mapped[list[Label]] = many_to_many()
        hidden: Mapped[list[Label]] = many_to_many()

    class Label(Shared):
        id: Mapped[int] = primary_key()

    with pytest.raises(ConfigurationError) as caught:
        _ = App(plugins=[Database("sqlite://", name="shared")]).dispatcher
    (problem,) = caught.value.problems
    assert problem.message == "Post.hidden and Post.tags would have their rows in one table, label_post"
    assert "through='label_post_hidden'" in problem.fix
    assert problem.where.startswith(f"{__file__}:")


def test_names_that_a_database_cuts_off() -> None:
    class Names(Model, database="names"):
        pass

    class Wide(Names):
        __tablename__ = "ü" * 32
        id: Mapped[int] = primary_key()
        short: Mapped[int] = column("x" * 65)

    def problems(url: str) -> list[str]:
        try:
            _ = App(plugins=[Database(url, name="names")]).dispatcher
        except ConfigurationError as error:
            assert {p.id for p in error.problems} == {"models.name"}
            return [p.message.split(" ")[3] for p in error.problems]
        return []

    assert problems("sqlite://") == []
    assert problems("postgresql://h/d") == ["table", "column"]  # 64 and 65 bytes
    assert problems("mysql://root@h/d") == ["column"]  # 32 and 65 characters
    assert problems("oracle://u:p@h/?service_name=s") == []


def test_decimals_with_more_digits_than_sqlite_keeps() -> None:
    class Digits(Model, database="digits"):
        pass

    class Account(Digits):
        id: Mapped[int] = primary_key()
        balance: Mapped[Annotated[Decimal, Precision.of(16, 2)]]
        rate: Mapped[Annotated[Decimal, Precision.of(15, 2)]]

    assert App(plugins=[Database("postgresql://h/d", name="digits")]).dispatcher
    with pytest.raises(ConfigurationError, match=r"account.balance has 16 digits, and SQLite keeps 15") as caught:
        _ = App(plugins=[Database("sqlite://", name="digits")]).dispatcher
    assert len(caught.value.problems) == 1


def test_names_that_models_have_already() -> None:
    class Taken(Model, database="taken"):
        pass

    with pytest.raises(ConfigurationError, match=r'write metadata_: Mapped\[…\] = column\("metadata"\)'):

        class File(Taken):  # pyright: ignore[reportUnusedClass]
            id: Mapped[int] = primary_key()
            metadata: Mapped[str]  # type: ignore[assignment, misc]


def test_versions_are_counted_beside_other_arguments_of_a_mapper() -> None:
    class Counted(Model, database="counted"):
        pass

    class Animal(Versioned, Counted):
        id: Mapped[int] = primary_key()
        kind: Mapped[str] = column(init=False)
        __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "animal"}  # noqa: RUF012 - as users do

    class Dog(Animal):
        __mapper_args__ = {"polymorphic_identity": "dog"}  # noqa: RUF012 - as users do

    assert sa.inspect(Animal).version_id_col is Animal.__table__.c.version
    assert sa.inspect(Dog).version_id_col is Animal.__table__.c.version
    with pytest.raises(ConfigurationError, match=r"Loose.__mapper_args__ hides that of Versioned"):

        class Loose(Versioned, Counted):  # pyright: ignore[reportUnusedClass]
            id: Mapped[int] = primary_key()

            @declared_attr.directive
            def __mapper_args__(cls) -> dict[str, Any]:
                return {}


def test_a_model_that_refers_to_one_of_another_database_says_so() -> None:
    app = App(plugins=[Database("sqlite://", name="here"), Database("sqlite://", name="there")])
    with pytest.raises(ConfigurationError) as caught:
        _ = app.dispatcher
    relation, key = caught.value.problems
    assert relation.fix.startswith("Planet lives in the database 'here', this model in 'there'")
    assert key.message.startswith("ship.planet_id refers to the table 'planet', which is in the database 'here'")
    assert key.fix == "write it without foreign_key(): a database cannot refer to rows of another"


def test_a_key_that_takes_a_name_of_the_handlers_says_so() -> None:
    class Keys(Model, database="keys"):
        pass

    class Answer(Keys):
        request: Mapped[int] = primary_key()
        number: Mapped[int] = primary_key()

    app = App(plugins=[Database("sqlite://", name="keys")])
    app.include(resource(Answer))
    with pytest.raises(ConfigurationError, match=r'otherwise: request_: .* primary_key\("request"\)'):
        _ = app.dispatcher


def test_without_sqlalchemy_the_extra_is_named() -> None:
    code = "import sys; sys.modules['sqlalchemy'] = None; from quintet import Model"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert 'the data layer needs SQLAlchemy: pip install "quintet[db]"' in done.stderr


def test_the_names_of_the_data_layer_are_importable() -> None:
    import quintet.db

    assert [n for n in quintet.db.__all__ if not hasattr(quintet.db, n)] == []
    with pytest.raises(AttributeError, match="no attribute 'Nonsense'"):
        _ = quintet.db.Nonsense
