from dependencies import Database, User, app, find_user

from quintet.testing import Client


class FakeDatabase(Database):
    def __init__(self) -> None:
        super().__init__()
        self.users = {"eve": User(name="Eve")}


def test_a_type_is_overridden() -> None:
    with Client(app) as client, client.override(Database, FakeDatabase()):
        assert client.get("/users/eve").json() == {"name": "Eve"}


def test_a_function_is_overridden() -> None:
    with Client(app) as client, client.override(find_user, User(name="Tester")):
        assert client.get("/me").json() == {"name": "Tester"}
