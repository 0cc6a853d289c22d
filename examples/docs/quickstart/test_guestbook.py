from guestbook import app

from quintet.testing import Client


def test_an_entry_is_added() -> None:
    with Client(app) as client:
        answer = client.post("/entries", json={"name": "Ada", "text": "Hello"})
        assert answer.status_code == 201
        assert client.get("/entries").json() == [
            {"name": "Ada", "text": "Hello", "stars": 5}
        ]


def test_an_entry_without_a_name_is_refused() -> None:
    with Client(app) as client:
        answer = client.post("/entries", json={"text": "Hello"})
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["loc"] == ["body", "name"]
