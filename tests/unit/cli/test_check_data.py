"""`quintet check --deploy` about databases and resources: what their declarations tell, without a connection."""

from __future__ import annotations

from typing import Any

import pytest

from quintet import App, Database, Request, resource
from quintet.cli.check import Finding, check_databases, check_resources
from quintet.db import TLS, Mapped, Model, primary_key


class Deployed(Model, database="default"):
    """The base of these models."""


class DeployedNote(Deployed):
    id: Mapped[int] = primary_key()


def found(app: App) -> list[Finding]:
    app.freeze()
    return [*check_databases(app), *check_resources(app)]


@pytest.mark.parametrize(
    ("url", "tls", "expected"),
    [
        ("postgresql://shop:secret@127.0.0.1/shop", TLS(), []),
        ("postgresql://shop@localhost/shop", TLS(), []),
        ("sqlite:///shop.db", TLS(), []),
        ("postgresql://shop:secret@db.example.com/shop", TLS(mode="verify"), []),
        ("postgresql://shop:secret@db.example.com/shop?sslmode=verify-full", TLS(), []),
        ("postgresql://shop:secret@db.example.com/shop?sslmode=prefer", TLS(), ["error tls"]),
        ("postgresql://shop@db.example.com/shop?sslmode=require&sslcert=a.pem", TLS(), []),
        ("mysql://shop:secret@10.0.0.5/shop", TLS(), ["error tls"]),
        ("mysql://root@10.0.0.5/shop", TLS(mode="off"), ["warning user", "error tls", "warning password"]),
        ("postgresql://postgres:secret@localhost/shop", TLS(), ["warning user"]),
    ],
)
def test_a_database_on_another_machine_is_encrypted_and_asks_who_it_is(url: str, tls: TLS, expected: list[str]) -> None:
    findings = found(App(plugins=[Database(url, tls=tls)]))
    assert [f"{f.level} {f.id.removeprefix('deploy.database_')}" for f in findings] == expected
    assert all(f.fix and f.where == "database" for f in findings)


def test_a_resource_that_everybody_may_change_is_named() -> None:
    class Readers:
        def every(self) -> bool:
            return True

    async def members(request: Request) -> None:
        pass

    def of(**options: Any) -> list[Finding]:
        app = App(plugins=[Database("sqlite://")])
        app.include(resource(DeployedNote, path="/notes", **options))
        return found(app)

    (finding,) = of()
    assert (finding.level, finding.id) == ("warning", "deploy.policy")
    assert finding.message == "everybody may change the rows of resource(DeployedNote): POST, PATCH, DELETE"
    assert finding.where.startswith(__file__)
    assert of(policy=Readers) == of(guards=[members]) == of(exclude=["create", "update", "delete"]) == []
