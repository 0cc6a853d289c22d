"""The commands, run in process on apps in files."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner, Result

from quintet.cli.main import main

APP = '''
from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from msgspec import Meta

from quintet import App, Depends, Header, Request, Struct, WebSocket

app = App(title="Shop", docs=DOCS)


class Item(Struct):
    name: Annotated[str, Meta(max_length=10)]
    qty: Annotated[int, Meta(gt=0)] = 1
    tags: list[str] = []


class Store:
    pass


async def open_store() -> AsyncIterator[Store]:
    print("store opened")
    yield Store()
    print("store closed")


app.provide(Store, open_store, scope="app")


async def paging(limit: int = 20) -> int:
    return limit


async def session() -> AsyncIterator[str]:
    yield "session"


async def only_staff(request: Request) -> None: ...


async def timed(request, call_next):
    return await call_next(request)


@app.post("/items/{box}", status=201, guards=[only_staff], middleware=[timed], timeout=3, accepts=("json", "xml"))
async def create(
    box: int,
    item: Item,
    store: Store,
    limit: Annotated[int, Depends(paging)],
    text: Annotated[str, Depends(session)],
    x_key: Header[str] = "none",
) -> Item:
    return item


@app.get("/hello/{name}")
def hello(name: str, times: int = 1) -> dict[str, str]:
    return {}


@app.websocket("/ws")
async def ws(websocket: WebSocket[str, str]) -> None: ...


@app.command()
async def greet(name: str, store: Store, times: int = 1, *, loud: bool = False, tag: list[str] = []) -> str:
    """Greet someone.

    Args:
        name: who is greeted
        times: how often
    """
    assert isinstance(store, Store)
    return f"{name} {times} {loud} {tag}"


@app.command("sum-up")
def add(numbers: list[int]) -> dict[str, int]:
    return {"sum": sum(numbers)}


@app.command()
def explode() -> None:
    raise ValueError("exploded")

'''


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("QUINTET_APP", raising=False)
    monkeypatch.delenv("QUINTET_DEV", raising=False)
    modules, path, environment = set(sys.modules), list(sys.path), dict(os.environ)
    yield tmp_path
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]
    os.environ.clear()
    os.environ.update(environment)


@pytest.fixture
def shop(project: Path) -> Path:
    (project / "app.py").write_text(APP.replace("DOCS", "False"))
    return project


@pytest.fixture
def run() -> Callable[..., Result]:
    def run_command(*arguments: str) -> Result:
        return CliRunner().invoke(main, list(arguments), prog_name="quintet")

    return run_command


Run = Callable[..., Result]


# -- finding the app --------------------------------------------------------------------------------------------------


def test_without_a_command_the_help_is_shown(project: Path, run: Run) -> None:
    result = run()
    assert "Commands:" in result.output
    for name in ("dev", "run", "routes", "explain", "check", "shell", "openapi"):
        assert f"  {name} " in result.output


def test_help_does_not_fail_where_the_app_is_broken(project: Path, run: Run) -> None:
    (project / "app.py").write_text("1 / 0")
    assert run("--help").exit_code == 0


@pytest.mark.parametrize("target", ["shop.py", "shop.py:app", "shop:app", "./shop.py"])
def test_an_app_is_named_by_file_or_module(shop: Path, run: Run, target: str) -> None:
    (shop / "app.py").rename(shop / "shop.py")
    assert "/hello/{name}" in run("routes", target).output
    assert "/hello/{name}" in run("--app", target, "routes").output


def test_the_app_can_be_named_in_the_environment_and_the_settings(
    shop: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    (shop / "app.py").rename(shop / "shop.py")
    assert run("routes").exit_code == 1
    (shop / "quintet.toml").write_text('[quintet]\napp = "shop:app"\n')
    assert "/hello/{name}" in run("routes").output
    monkeypatch.setenv("QUINTET_APP", "nothing:app")
    assert "there is no module 'nothing'" in run("routes").output


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("none.py", "there is no file"),
        ("none:app", "there is no module 'none'"),
        ("app:other", "app has no 'other'"),
        ("app:Item", "which is not a Quintet app"),
        ("app:greet", "which is not a Quintet app"),
    ],
)
def test_a_wrong_target_is_told_in_a_line(shop: Path, run: Run, target: str, message: str) -> None:
    result = run("routes", target)
    assert result.exit_code == 1
    assert message in result.output
    assert "Traceback" not in result.output


def test_an_exception_in_the_module_has_a_traceback_of_the_users_frames_alone(project: Path, run: Run) -> None:
    (project / "app.py").write_text("def make():\n    return 1 / 0\n\nmake()\n")
    result = run("routes")
    assert result.exit_code == 1
    assert "ZeroDivisionError" in result.output
    assert "app.py" in result.output
    assert "importlib" not in result.output
    assert "click" not in result.output


def test_a_missing_import_in_the_module_names_it(project: Path, run: Run) -> None:
    (project / "app.py").write_text("import not_there_at_all\n")
    assert "No module named 'not_there_at_all'" in run("routes").output


def test_an_unknown_command_is_told(project: Path, run: Run) -> None:
    result = run("frobnicate")
    assert result.exit_code == 2
    assert "No such command 'frobnicate'" in result.output


# -- routes -----------------------------------------------------------------------------------------------------------


def test_routes_are_listed(shop: Path, run: Run) -> None:
    lines = run("routes").output.splitlines()
    assert lines[0].split() == ["METHOD", "PATH", "NAME", "HANDLER", "GUARDS", "MIDDLEWARE"]
    assert ["POST", "/items/{box}", "create", "create", "only_staff", "timed"] in [line.split() for line in lines]
    assert any(line.startswith("WEBSOCKET") for line in lines)


def test_routes_are_listed_as_json(shop: Path, run: Run) -> None:
    rows = json.loads(run("routes", "--json").output)
    row = next(r for r in rows if r["name"] == "create")
    assert row["methods"] == ["POST"]
    assert row["guards"] == ["only_staff"]
    assert row["where"].endswith("app.py:48")


# -- explain ----------------------------------------------------------------------------------------------------------


def test_explain_tells_where_everything_comes_from(shop: Path, run: Run) -> None:
    text = run("explain", "POST", "/items/3").output
    words = " ".join(text.split())
    assert "POST /items/{box}" in text
    assert "timeout 3 s" in words
    assert "middleware, outermost first timed" in words
    assert "guards only_staff" in words
    assert "box path int required" in words
    assert "limit query int default 20 for paging" in words
    assert "x-key header str default 'none'" in words
    assert "json or xml, at most 2.5 MiB" in words
    assert "name str (max_length=10) required" in words
    assert "qty int (gt=0) default 1" in words
    assert "(unknown keys are refused)" in words
    assert "Store, which is provided" in words
    assert "ends before the answer is sent" in words
    assert "status 201" in words
    assert "msgpack: application/vnd.msgpack" in words


def test_explain_of_a_resource_reads_as_it_was_declared(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "desk.py").write_text(_DESK)
    made = run("explain", "desk.py", "POST", "/tickets").output
    assert made.count("subject") == made.count("refused") == 1
    assert "new object of DeskTicket, or several in a list\n" in made
    assert "handler                    resource(DeskTicket).create (desk.py:13)\n" in made
    assert made.endswith(
        "result\n  DeskTicket | list[DeskTicket]: data, encoded as the client prefers, status 201\n"
        "  json: application/json\n"
    )
    listed = " ".join(run("explain", "desk.py", "GET", "/tickets").output.split())
    assert "page query int (ge=1, le=1000000) default 1" in listed
    page = run("explain", "desk.py", "POST", "/tickets/new").output
    assert page.endswith("result\n  Page or Redirect\n  template resources/form.html\n")
    assert not any("quintet/" in text for text in (made, listed, page))


_DESK = """
from quintet import App, Database, Model, primary_key, resource
from quintet.db import Mapped

class Desk(Model, database="default"):
    pass

class DeskTicket(Desk):
    id: Mapped[int] = primary_key()
    subject: Mapped[str]

app = App(plugins=[Database("sqlite://")])
app.include(resource(DeskTicket, path="/tickets", produces=("json", "html")))
"""


def test_explain_takes_templates_websockets_and_targets(shop: Path, run: Run) -> None:
    assert "in a thread" in run("explain", "app.py", "get", "/hello/{name}").output
    assert "WEBSOCKET /ws" in run("explain", "websocket", "/ws").output


def test_explain_prints_the_compiled_source(shop: Path, run: Run) -> None:
    assert "async def endpoint(request):" in run("explain", "GET", "/hello/x", "--source").output


def test_explain_of_a_path_without_route_names_what_is_near(shop: Path, run: Run) -> None:
    assert "not answered for PUT, but for POST" in run("explain", "PUT", "/items/3").output
    assert "did you mean /hello/{name}?" in run("explain", "GET", "/helo/name/").output
    assert run("explain", "GET").exit_code == 2


# -- check ------------------------------------------------------------------------------------------------------------


def test_check_finds_nothing_in_a_right_app(shop: Path, run: Run) -> None:
    result = run("check")
    assert (result.exit_code, result.output) == (0, "No problems found.\n")


def test_check_lists_everything_that_is_wrong(project: Path, run: Run) -> None:
    (project / "app.py").write_text(
        "from quintet import App\nfrom quintet.errors import Problem\napp = App(docs=False)\n"
        "@app.get('/a/{x}')\nasync def a() -> None: ...\n"
        "@app.get('/b')\nasync def b(y) -> None: ...\n"
        "app.check(lambda: [Problem(id='mine', message='my own check', fix='do it')])\n"
    )
    result = run("check")
    assert result.exit_code == 1
    for text in ("[routes.unused]", "[signature.untyped]", "my own check [mine]", "fix: do it", "3 errors, 0 warnings"):
        assert text in result.output
    found = json.loads(run("check", "--json").output)
    assert {f["id"] for f in found} == {"routes.unused", "signature.untyped", "mine"}
    assert all(f["level"] == "error" for f in found)


def test_check_reads_the_settings_of_the_server_and_the_log(shop: Path, run: Run) -> None:
    (shop / "quintet.toml").write_text('[server]\nworkers = "many"\n[log]\nlevel = "loud"\n')
    result = run("check")
    assert result.exit_code == 1
    assert "[server] workers: found 'many'" in result.output
    assert "'loud'" in result.output


def test_check_of_an_app_that_cannot_be_found_is_a_finding(project: Path, run: Run) -> None:
    result = run("check", "none:app", "--json")
    assert result.exit_code == 1
    assert json.loads(result.output)[0]["id"] == "app.load"


def deployment(text: str, project: Path, run: Run) -> dict[str, str]:
    (project / "app.py").write_text(f"from quintet import App, Limits, SecurityHeaders\napp = {text}\n")
    sys.modules.pop("app", None)
    return {f["id"]: f["level"] for f in json.loads(run("check", "--deploy", "--json").output)}


GOOD = (
    "docs=False, allowed_hosts=['example.com'], security=SecurityHeaders(strict_transport_security='max-age=31536000')"
)


def test_a_careful_app_passes_the_check_for_deployment(project: Path, run: Run) -> None:
    assert deployment(f"App({GOOD})", project, run) == {}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"App({GOOD.replace('example.com', '*')})", {"deploy.hosts": "error"}),
        (f"App({GOOD.replace('31536000', '60')})", {"deploy.hsts": "error"}),
        ("App(docs=False, allowed_hosts=['x'])", {"deploy.hsts": "warning"}),
        (f"App({GOOD.replace('docs=False, ', '')})", {"deploy.docs": "warning"}),
        (f"App({GOOD}, limits=Limits(body_timeout=float('inf')))", {"deploy.limits": "error"}),
        (
            f"App({GOOD[:-1]}, content_security_policy=\"default-src 'unsafe-inline'\"))",
            {"deploy.csp": "error"},
        ),
    ],
)
def test_each_risk_is_found_by_its_own_check(project: Path, run: Run, text: str, expected: dict[str, str]) -> None:
    assert deployment(text, project, run) == expected


def test_development_left_on_is_an_error(project: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUINTET_DEV", "1")
    assert deployment(f"App({GOOD})", project, run) == {"deploy.dev": "error"}


# -- shell and openapi ------------------------------------------------------------------------------------------------


def test_the_shell_has_the_app_a_client_and_url_for(shop: Path, run: Run) -> None:
    code = "print(app.title, client.get('/hello/x').status_code, url_for('hello', name='y'))"
    assert "Shop 200 /hello/y" in run("shell", "-c", code).output


def test_the_prompt_runs_what_is_typed(shop: Path, run: Run) -> None:
    result = CliRunner().invoke(main, ["shell"], input="print(app.title * 2)\n")
    assert "ShopShop" in result.output


def test_the_openapi_document_is_printed_or_written(shop: Path, run: Run) -> None:
    document = json.loads(run("openapi").output)
    assert document["openapi"].startswith("3.1")
    assert "/hello/{name}" in document["paths"]
    assert run("openapi", "--out", "api.json").output == ""
    assert json.loads((shop / "api.json").read_text()) == document


# -- an app's own commands --------------------------------------------------------------------------------------------


def test_a_command_of_the_app_gets_texts_and_injected_values(shop: Path, run: Run) -> None:
    result = run("greet", "Ada", "--times", "3", "--loud", "--tag", "a", "--tag", "b")
    assert result.output.splitlines() == ["store opened", "store closed", "Ada 3 True ['a', 'b']"]


def test_a_command_has_the_help_of_its_docstring(shop: Path, run: Run) -> None:
    output = run("greet", "--help").output
    assert "Greet someone." in output
    assert "how often" in output
    assert "greet" in run("--help").output


def test_a_wrong_value_is_refused_by_the_rules_of_query_strings(shop: Path, run: Run) -> None:
    result = run("greet", "Ada", "--times", "1e3")
    assert result.exit_code == 2
    assert "Expected an integer." in result.output


def test_a_command_takes_a_list_and_returns_data(shop: Path, run: Run) -> None:
    assert json.loads(run("sum-up", "1", "2", "3").output.replace("store opened\nstore closed\n", "")) == {"sum": 6}


def test_an_exception_in_a_command_is_shown_and_ends_with_an_error(shop: Path, run: Run) -> None:
    result = run("explode")
    assert result.exit_code == 1
    assert "ValueError: exploded" in result.output
    assert "asyncio" not in result.output


def test_a_command_that_cannot_be_called_is_told(shop: Path, run: Run) -> None:
    with (shop / "app.py").open("a") as file:
        file.write("\n@app.command()\ndef needs_request(request: Request) -> None: ...\n")
    result = run("needs-request")
    assert result.exit_code == 1
    assert "takes a Request, and a command has none" in result.output
    assert "commands.signature" in run("check").output
    assert "cannot be called" in run("--help").output


# -- dev and run ------------------------------------------------------------------------------------------------------


def test_the_debugger_refuses_a_public_address(shop: Path, run: Run) -> None:
    for host in ("0.0.0.0", "192.0.2.1", "::"):
        result = run("dev", "--host", host)
        assert result.exit_code == 1
        assert "[dev.public]" in result.output


def test_loopback_addresses_are_this_machine() -> None:
    from quintet.cli.dev import is_own_address

    assert all(map(is_own_address, ("127.0.0.1", "127.1.2.3", "::1", "[::1]", "localhost")))
    assert not any(map(is_own_address, ("0.0.0.0", "::", "10.0.0.1", "example.com", "")))


def test_granian_missing_names_the_extra(shop: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "granian", None)
    result = run("run", "--server", "granian")
    assert result.exit_code == 1
    assert 'pip install "quintet[granian]"' in result.output


@pytest.mark.parametrize(
    "arguments",
    [("--port", "70000"), ("--port", "x"), ("--log-level", "loud"), ("--server", "x"), ("--access-log-sample", "2")],
)
def test_wrong_options_are_refused(shop: Path, run: Run, arguments: tuple[str, str]) -> None:
    result = run("run", *arguments)
    assert result.exit_code == 2
    assert "Invalid value" in result.output


def test_the_banner_tells_what_is_served_and_by_what() -> None:
    from quintet._version import __version__
    from quintet.cli._serving import banner

    first, second = banner(["http://127.0.0.1:8000"], "production", docs="/docs", workers=4, loop="uvloop").split("\n")
    assert first == "Quintet serves http://127.0.0.1:8000 (production), documentation on http://127.0.0.1:8000/docs"
    assert second == f"    4 workers, uvloop, process {os.getpid()}, Quintet {__version__}"
    assert banner(["unix:/x"], "production", docs="/docs").startswith(
        "Quintet serves unix:/x (production)\n    1 worker"
    )
    assert "http://a:1 and unix:/x (production)" in banner(["http://a:1", "unix:/x"], "production")


def test_an_app_without_documentation_has_no_path_for_the_banner() -> None:
    from quintet import App
    from quintet.cli._serving import docs_path

    assert docs_path(App()) == "/docs"
    assert docs_path(App(docs=False)) == ""


def test_types_read_as_one_writes_them() -> None:
    from typing import Annotated, Any, Literal

    from msgspec import Meta

    from quintet.cli._text import size_text, type_text

    space = SimpleNamespace
    assert type_text(dict[str, list[int] | None]) == "dict[str, list[int] | None]"
    assert type_text(Annotated[int, Meta(ge=1, lt=5)]) == "int (ge=1, lt=5)"
    assert type_text(Literal["a", 1]) == "Literal['a', 1]"
    assert type_text(tuple[int, ...]) == "tuple[int, …]"
    assert (type_text(Any), type_text(None), type_text(space)) == ("Any", "None", "SimpleNamespace")
    assert (size_text(512), size_text(2048), size_text(2_621_440)) == ("512 bytes", "2 KiB", "2.5 MiB")
