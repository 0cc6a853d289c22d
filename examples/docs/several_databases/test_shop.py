import pytest
from shop import Customer, Visit
from sqlalchemy import select

from quintet import Database, Session
from quintet.testing import AsyncClient, Client
from quintet.testing.db import make


# --8<-- [start:tests]
async def test_pages_are_counted(
    async_client: AsyncClient,
    db: Session,
    quintet_databases: dict[str, Database],
) -> None:
    ada = await make(db, Customer, name="Ada")
    async with quintet_databases["reports"].session() as reports:
        await make(reports, Visit, customer_id=ada.id, pages=3)
    assert (await async_client.get("/pages")).json() == {"Ada": 3}


# --8<-- [end:tests]
@pytest.mark.parametrize("turn", [1, 2])
def test_both_databases_are_empty_in_each_test(
    client: Client, turn: int
) -> None:
    assert client.get("/pages").json() == {}
    path = "/customers/Ada/visits/2026-01-31"
    ada = client.post(path).json()["id"]
    visit = f"/visit/{ada}/2026-01-31"
    assert client.get(visit).json()["pages"] == 1
    assert client.patch(visit, json={"pages": 5}).status_code == 200
    assert client.get("/pages").json() == {"Ada": 5}
    made = client.post(
        "/visit",
        json={"customer_id": ada, "day": "2026-02-01", "pages": turn},
        headers={"x-counter": "1", "idempotency-key": "a"},
    )
    assert made.status_code == 201
    assert "idempotency-replayed" not in made.headers
    assert made.headers["location"] == f"/visit/{ada}/2026-02-01"


async def test_neither_is_written_where_one_refuses(
    async_client: AsyncClient,
    db: Session,
    quintet_databases: dict[str, Database],
) -> None:
    async def post(name: str, day: str) -> int:
        url = f"/customers/{name}/visits/{day}"
        return (await async_client.post(url)).status_code

    assert await post("Ada", "a") == 201
    assert await post("Ada", "b") == 409  # the default database refuses
    ada = await db.one(select(Customer))
    async with quintet_databases["reports"].session() as reports:
        assert len(await reports.many(select(Visit))) == 1
        for key in range(ada.id + 1, ada.id + 9):
            reports.add(Visit(customer_id=key, day="c", pages=1))
    assert await post("Bo", "c") == 409  # the other one refuses
    assert await db.many(select(Customer.name)) == ["Ada"]
