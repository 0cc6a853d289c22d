"""Models of the less common kinds, as tables, over HTTP and in migrations, on every database."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import pytest
import sqlalchemy as sa
from sqlalchemy import select
from sqlalchemy.orm import selectinload

from quintet import App, New, Patch, Struct
from quintet.db import Database, Session, UnloadedRelation, View
from quintet.db.database import metadata_of
from quintet.db.migrations import MigrationTarget, upgrade, write_revision
from quintet.resources import resource
from quintet.testing import AsyncClient
from tests.integration.db.kinds import (
    LONG,
    Car,
    Employee,
    Kinds,
    Label,
    Line,
    Manager,
    Message,
    Node,
    Order,
    Person,
    Product,
    Vehicle,
)
from tests.integration.db.migrated import differences, empty, with_driver

pytestmark = pytest.mark.filterwarnings("ignore:Computed column .* is being created as 'STORED'")


class Branch(Struct):
    """A node with everything below it."""

    name: str
    children: list[Branch]


class Dear(Struct):
    """What is not in the shape of a product, named."""

    id: int
    is_dear: bool
    shout: str


def make_app(database: Database) -> App:
    app = App(plugins=[database])
    resources: list[tuple[type[Kinds], dict[str, Any]]] = [
        (Employee, {"filters": ["kind"]}),
        (Manager, {"path": "/manager", "name": "manager"}),
        (Vehicle, {}),
        (Car, {"filters": ["name", "doors"], "sorts": ["name", "doors"], "produces": ("json", "html")}),
        (Node, {"view": View("parent", "children.parent", "owner"), "filters": ["parent"]}),
        (Person, {"view": View("friends", "follows", "followers", "badge")}),
        (Order, {"view": View("lines")}),
        (Label, {"path": "/label", "name": "label"}),
        (Product, {"filters": ["worth"], "sorts": ["worth"]}),
    ]
    for model, options in resources:
        app.include(resource(model, **options))

    @app.get("/staff")
    async def staff(db: Session) -> list[Employee | Manager]:
        return await db.many(select(Employee).order_by(Employee.id))

    @app.get("/fleet")
    async def fleet(db: Session) -> list[Vehicle | Car]:
        return await db.many(select(Vehicle).order_by(Vehicle.id))

    @app.get("/tree")
    async def tree(db: Session) -> list[Branch]:
        roots = select(Node).where(Node.parent_id.is_(None))
        return await db.many(roots.options(selectinload(Node.children, recursion_depth=-1)))  # type: ignore[return-value]

    @app.post("/product-by-hand", status=201)
    async def make(data: New[Product], db: Session) -> Product:
        db.add(data)
        return data

    @app.patch("/product-by-hand/{id}")
    async def change(id: int, changes: Patch[Product], db: Session) -> Annotated[Product, View()]:
        return changes.apply(await db.one(select(Product).where(Product.id == id).with_for_update()))

    @app.get("/dear")
    async def dear(db: Session) -> list[Dear]:
        return await db.many(select(Product).where(Product.is_dear))  # type: ignore[return-value]

    return app


@pytest.fixture(scope="module", params=["sqlite", "postgres", "mariadb"])
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Generator[str, None, None]:
    """The URL of a database with the tables, which are made once: each test uses its own."""
    kind = request.param
    if kind == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('kinds')}/kinds.db"
    else:
        url = request.getfixturevalue(f"{kind}_url")
    metadata, engine = metadata_of(Kinds), sa.create_engine(with_driver(url))
    metadata.drop_all(engine)
    metadata.create_all(engine)
    yield url
    metadata.drop_all(engine)
    engine.dispose()


@pytest.fixture
async def database(url: str) -> AsyncGenerator[Database, None]:
    database = Database(url)
    yield database
    await database.dispose()


@pytest.fixture
async def client(database: Database) -> AsyncGenerator[AsyncClient, None]:
    async with AsyncClient(make_app(database)) as client:
        yield client


async def sent(client: AsyncClient, path: str, **values: Any) -> dict[str, Any]:
    response = await client.post(path, json=values)
    assert response.status_code == 201, response.text
    return response.json()


async def items(client: AsyncClient, path: str) -> list[Any]:
    response = await client.get(path)
    assert response.status_code == 200, response.text
    return response.json()["items"]


async def test_classes_that_share_a_table_or_have_one_each(client: AsyncClient) -> None:
    assert await sent(client, "/employee", name="Ada") == {"id": 1, "kind": "employee", "name": "Ada"}
    boss = {"id": 2, "kind": "manager", "name": "Bo", "budget": 7}
    assert await sent(client, "/manager", name="Bo", budget=7) == boss
    assert (await client.post("/manager", json={"name": "Cy", "kind": "employee"})).status_code == 422
    assert [row["name"] for row in await items(client, "/employee?kind=manager")] == ["Bo"]
    assert await items(client, "/manager") == [boss]
    assert (await client.get("/manager/1")).status_code == 404
    assert (await client.get("/staff")).json() == [{"id": 1, "kind": "employee", "name": "Ada"}, boss]

    await sent(client, "/vehicle", name="cart")
    car = await sent(client, "/car", name="mini", doors=2)
    assert (car["kind"], car["doors"]) == ("car", 2)
    assert (await client.post("/car", json={"name": "mini"})).json()["errors"][0]["code"] == "taken"
    assert (await client.post("/car", json={"name": "bus", "doors": 10})).status_code == 422
    changed = await client.patch(f"/car/{car['id']}", json={"name": "maxi", "doors": 3})
    assert changed.json() == {**car, "name": "maxi", "doors": 3}
    assert [row["name"] for row in await items(client, "/vehicle")] == ["cart", "maxi"]
    assert [row["doors"] for row in await items(client, "/car?name=maxi&doors=3&sort=-doors")] == [3]
    page = await client.get(f"/car/{car['id']}", headers={"accept": "text/html"})
    assert "maxi" in page.text
    with pytest.raises(UnloadedRelation, match=r"selectin_polymorphic\(Vehicle, \[Car\]\)"):
        await client.get("/fleet")
    assert (await client.delete(f"/vehicle/{car['id']}")).status_code == 204
    assert await items(client, "/car") == []


async def test_a_tree_and_links_of_a_table_with_itself(client: AsyncClient, database: Database) -> None:
    root = await sent(client, "/node", name="root")
    leaf = await sent(client, "/node", name="leaf", parent_id=root["id"])
    assert leaf["parent"] == {"owner_id": None, "id": root["id"], "name": "root", "parent_id": None}
    shown = (await client.get(f"/node/{root['id']}")).json()
    assert [(child["name"], child["parent"]["name"]) for child in shown["children"]] == [("leaf", "root")]
    assert [row["name"] for row in await items(client, f"/node?parent_id={root['id']}")] == ["leaf"]
    assert (await client.get("/tree")).json() == [{"name": "root", "children": [{"name": "leaf", "children": []}]}]
    itself = await client.patch(f"/node/{leaf['id']}", json={"parent_id": leaf["id"]})
    assert itself.json()["parent"]["name"] == "leaf"
    wrong = await client.post("/node", json={"name": "x", "parent_id": 999})
    assert wrong.json()["errors"][0]["loc"] == ["body", "parent_id"]

    async with database.session() as db:
        ada, bo = Person(name="Ada"), Person(name="Bo")
        ada.follows, ada.friends = [bo], [bo]
        db.add_all([ada, bo, Message(sender=ada, receiver=bo)])
        await db.flush()
        assert ada.sent[0].receiver is bo
        assert bo.received == ada.sent
    one, other = sorted(await items(client, "/person"), key=lambda row: row["name"])
    assert [[p["name"] for p in one[side]] for side in ("friends", "follows", "followers")] == [["Bo"], ["Bo"], []]
    assert [[p["name"] for p in other[side]] for side in ("friends", "follows", "followers")] == [[], [], ["Ada"]]
    assert other["badge"] is None


async def test_keys_of_several_columns_and_odd_names(client: AsyncClient, database: Database) -> None:
    lines = [{"group": 1, "from_": "a"}, {"group": 2, "from_": "b", "größe": 7}]
    order = await sent(client, "/order", lines=lines)
    assert order["lines"][1] == {"order": order["id"], "group": 2, "from_": "b", "größe": 7}
    twice = await client.post("/order", json={"lines": [{"group": 1, "from_": "a"}]})
    assert [(e["loc"][-1], e["code"]) for e in twice.json()["errors"]] == [("from_", "taken")]
    async with database.session() as db:
        found = await db.get(Line, (order["id"], 2))
        assert found is not None
        await db.refresh(found, ["labels"])
        found.labels.append(Label(a_column_with_a_name_that_is_long_enough_to_be_cut_as_well=1))
    async with database.session("read") as db:
        label = await db.one(select(Label).options(selectinload(Label.lines)))
        assert [line.from_ for line in label.lines] == ["b"]
    taken = await client.post("/label", json={"a_column_with_a_name_that_is_long_enough_to_be_cut_as_well": 1})
    assert [e["code"] for e in taken.json()["errors"]] == ["taken"]


async def test_what_the_database_computes_and_rounds_is_what_is_answered(client: AsyncClient) -> None:
    for path in ("/product", "/product-by-hand"):
        made = await sent(client, path, price="10.5", amount=3, manual="m")
        assert (made["price"], made["worth"], made["unit"]) == ("10.50", "31.50", "piece")
        at = f"{path}/{made['id']}"
        if path == "/product":
            read = (await client.get(at)).json()
            assert {**read, "touched": 0} == {**made, "touched": 0}
        else:
            with pytest.raises(Exception, match="manual"):
                await client.patch(at, json={"amount": 4})
            continue
        changed = (await client.patch(at, json={"amount": 4, "anything": [1, None], "price": 1000})).json()
        assert (changed["price"], changed["worth"], changed["anything"]) == ("1000.00", "4000.00", [1, None])
        assert (await client.patch(at, json={"anything": None})).json()["anything"] is None
        assert (await client.patch(at, json={"required": None})).status_code == 422
        assert (await client.patch(at, json={"worth": "1"})).status_code == 422
    assert [row["worth"] for row in await items(client, "/product?worth__gte=32&sort=-worth")] == ["4000.00"]
    assert (await client.get("/dear")).json() == [{"id": 1, "is_dear": True, "shout": "PIECE"}]
    assert Product(price=Decimal("0.125")).price == Decimal("0.13")


def test_migrations_know_every_kind(url: str, tmp_path: Path) -> None:
    url = with_driver(url)
    empty(url)
    target = MigrationTarget(url=url, metadata=metadata_of(Kinds), folder=tmp_path / "migrations")
    write_revision(target, "Begin")
    upgrade(target)
    assert differences(target) == []
    assert write_revision(target, "Again").path is None


def test_tables_of_a_schema_are_compared_and_those_of_others_are_not(postgres_url: str, tmp_path: Path) -> None:
    url, metadata = with_driver(postgres_url), sa.MetaData()
    for name, info in (("book", {"kind": object}), ("shelf", {})):
        sa.Table(name, metadata, sa.Column("id", sa.Integer, primary_key=True), schema="kinds", info=info)
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE SCHEMA kinds CREATE TABLE others (id int)"))
    target = MigrationTarget(url=url, metadata=metadata, folder=tmp_path / "migrations")
    empty(url)
    write_revision(target, "Begin")
    upgrade(target)
    assert differences(target) == []
    with engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE kinds.book DROP COLUMN id"))
    assert differences(target) == ["table book: column id is missing in the database"]
    with engine.begin() as connection:
        connection.execute(sa.text("DROP SCHEMA kinds CASCADE"))
    engine.dispose()
    empty(url)


def test_link_tables_refer_to_whole_keys() -> None:
    tables = metadata_of(Kinds).tables
    link = tables[f"{LONG}_select"]
    assert sorted(len(key.columns) for key in link.foreign_key_constraints) == [1, 2]
    assert tables["person_person"].columns.keys() == ["left_person_id", "right_person_id"]
