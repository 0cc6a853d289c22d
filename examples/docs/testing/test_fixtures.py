import httpx2
from shop import Catalogue, Item, discount

from quintet.testing import Client


def test_the_fixture_is_a_client(client: Client) -> None:
    assert client.get("/items").json() == [{"name": "lamp", "price": 30}]


def test_a_dependency_is_replaced(client: Client) -> None:
    with client.override(discount, 5):
        assert client.get("/items").json()[0]["price"] == 25
    with client.override(Catalogue, Catalogue([Item(name="sofa")])):
        assert client.get("/items").json() == [{"name": "sofa", "price": 0}]


def test_a_browser_could_open_it(live_url: str) -> None:
    assert httpx2.get(f"{live_url}/docs").status_code == 200
