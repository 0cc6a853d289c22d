from __future__ import annotations

from quintet import App, Struct, Upload
from quintet.testing import Client


class Item(Struct):
    name: str


def test_messages_about_fields_are_sentences_wherever_they_come_from() -> None:
    app = App()

    @app.post("/item")
    async def post_item(item: Item, n: int = 1) -> None: ...

    @app.post("/file")
    async def post_file(file: Upload) -> None: ...

    client = Client(app)
    answers = [
        client.post("/item"),
        client.post("/item?n=1&n=2", json={"name": 1, "more": 1}),
        client.post("/file", data={"other": "x"}, files={"another": b"x"}),
        client.post("/file", files=[("file", b"x"), ("file", b"y")]),
    ]
    messages = [error["msg"] for answer in answers for error in answer.json()["errors"]]
    assert len(messages) >= 6
    for message in messages:
        assert not message[0].islower(), message
        assert message.endswith("."), message
