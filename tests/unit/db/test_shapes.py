"""What a client may write of a model, what it sees, and how both are documented."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
import sqlalchemy as sa

from quintet import App, ConfigurationError, Form, Meta, Model, New, Patch
from quintet.db import Mapped, View, belongs_to, column, foreign_key, has_many, metadata_of, primary_key
from quintet.db.shapes import shape_of
from quintet.testing import Client


class Desk(Model, database="default"):
    """The base of these models."""


class Company(Desk):
    id: Mapped[int] = primary_key()
    name: Mapped[Annotated[str, Meta(max_length=20)]]


class Ticket(Desk):
    """A question."""

    id: Mapped[int] = primary_key()
    title: Mapped[Annotated[str, Meta(min_length=3, max_length=20)]]
    urgent: Mapped[bool] = column(default=False)
    secret: Mapped[str | None] = column(default=None, private=True)
    state: Mapped[str] = column(default="open", input=False)
    made: Mapped[str] = column(server_default=sa.text("'now'"))
    company_id: Mapped[int] = foreign_key("company.id", input=True)
    owner_id: Mapped[int | None] = foreign_key("company.id", default=None)
    company: Mapped[Company] = belongs_to()
    messages: Mapped[list[Message]] = has_many(input=True)


class Message(Desk):
    id: Mapped[int] = primary_key()
    text: Mapped[Annotated[str, Meta(min_length=1)]]
    ticket_id: Mapped[int] = foreign_key("ticket.id")


metadata_of(Desk)


def fields(kind: str) -> list[str]:
    return list(shape_of(Ticket, kind).__struct_fields__)


def test_input_is_what_a_client_may_write() -> None:
    assert fields("new") == ["title", "urgent", "company_id", "messages"]
    assert fields("patch") == ["title", "urgent", "company_id"]


def test_the_read_shape_is_what_is_not_private_and_no_relation() -> None:
    assert fields("read") == ["id", "title", "urgent", "state", "made", "company_id", "owner_id"]


def make_app() -> App:
    app = App()

    @app.post("/tickets")
    def add(data: New[Ticket]) -> list[str]:
        return [data.title, *(m.text for m in data.messages), type(data).__name__]

    @app.post("/many")
    def add_many(data: list[New[Ticket]]) -> list[str]:
        return [t.title for t in data]

    @app.post("/form")
    def add_form(form: Form[New[Ticket]]) -> list[str]:
        return [form.data.title, str(form.data.urgent)] if form.valid else [e.code for e in form.errors]

    @app.patch("/tickets")
    def change(changes: Patch[Ticket]) -> Ticket:
        ticket = Ticket(title="old", made="x", company_id=1)  # pyright: ignore[reportCallIssue]
        ticket.id = 7
        return changes.apply(ticket)

    @app.get("/old")
    def old() -> dict[str, Ticket]:
        ticket: Any = Ticket(title="x", company_id=1)
        ticket.id, ticket.made = 1, "then"
        return {"ticket": ticket}

    return app


TICKET = {"title": "Help", "company_id": 1}


def test_a_body_becomes_an_object_with_the_objects_in_it() -> None:
    with Client(make_app()) as client:
        given = {**TICKET, "messages": [{"text": "one"}, {"text": "two"}]}
        assert client.post("/tickets", json=given).json() == ["Help", "one", "two", "Ticket"]
        assert client.post("/tickets", json=TICKET).json() == ["Help", "Ticket"]
        assert client.post("/many", json=[TICKET, TICKET]).json() == ["Help", "Help"]
        wrong = client.post("/tickets", json={**TICKET, "messages": [{"text": ""}]})
        assert wrong.json()["errors"][0]["loc"] == ["body", "messages", 0, "text"]


def test_a_form_becomes_an_object() -> None:
    with Client(make_app()) as client:
        assert client.post("/form", data={"title": "Help", "company_id": "1"}).json() == ["Help", "False"]
        assert client.post("/form", data={"title": "x"}).json() == ["min_length", "missing"]


@pytest.mark.parametrize("name", ["id", "secret", "state", "made", "owner_id", "company", "is_staff"])
def test_anything_else_is_refused(name: str) -> None:
    with Client(make_app()) as client:
        for answer in (client.post("/tickets", json={**TICKET, name: 1}), client.patch("/tickets", json={name: 1})):
            assert answer.status_code == 422
            assert answer.json()["errors"][0] == {
                "loc": ["body", name],
                "msg": "This field is not known.",
                "code": "unknown_field",
            }


def test_a_patch_changes_what_was_sent() -> None:
    with Client(make_app()) as client:
        shown = {"id": 7, "title": "old", "urgent": False, "state": "open", "made": "x", "company_id": 1}
        assert client.patch("/tickets", json={}).json() == {**shown, "owner_id": None}
        assert client.patch("/tickets", json={"urgent": True}).json()["urgent"] is True


def test_a_row_older_than_a_rule_is_readable() -> None:
    with Client(make_app()) as client:
        assert client.get("/old").json()["ticket"]["title"] == "x"


def test_shapes_are_components_of_the_documentation() -> None:
    with Client(make_app()) as client:
        document = client.get("/openapi.json").json()
    schemas = document["components"]["schemas"]
    assert {"Ticket", "TicketNew", "TicketPatch", "MessageNew"} <= set(schemas)
    assert schemas["TicketNew"]["required"] == ["title", "company_id"]
    assert schemas["TicketNew"]["properties"]["title"] == {"type": "string", "minLength": 3, "maxLength": 20}
    assert schemas["TicketNew"]["additionalProperties"] is False
    assert not schemas["TicketPatch"].get("required")
    assert schemas["Ticket"]["description"] == "A question."
    body = document["paths"]["/tickets"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert body == {"$ref": "#/components/schemas/TicketNew"}


def test_a_bare_model_as_a_parameter_is_an_error_at_the_start() -> None:
    app = App()

    @app.post("/a")
    def wrong(data: Ticket) -> None: ...

    @app.get("/b")
    def no_body(data: New[Ticket]) -> None: ...

    @app.post("/c")
    def no_model(data: New[int]) -> None: ...

    @app.get("/d")
    def no_relation() -> Annotated[Ticket, View("colour")]: ...  # type: ignore[empty-body]

    @app.get("/e")
    def around() -> Annotated[list[Ticket], View("company", "messages")]: ...  # type: ignore[empty-body]

    with pytest.raises(ConfigurationError) as caught:
        _ = app.dispatcher
    text = str(caught.value)
    assert 'write list[Annotated[Ticket, View("company", "messages")]]' in text
    assert "write `data: New[Ticket]` for a new one" in text
    assert "which a GET request has not" in text
    assert "New needs a model, not <class 'int'>" in text
    assert "Ticket has no relation 'colour'; it has company, messages" in text


def test_explain_lists_what_a_client_may_write() -> None:
    from click.testing import CliRunner

    from quintet.cli.main import main

    result = CliRunner().invoke(main, ["explain", "examples.docs.models:app", "PATCH", "/articles/x"])
    words = " ".join(result.output.split())
    assert "patch of Article slug str (pattern='^[a-z0-9-]+$', max_length=60) optional" in words
    assert "(unknown keys are refused)" in words
    assert "Session of the database 'default', for writing" in words
    assert "author_id" not in words
