from __future__ import annotations

import pytest

pytest_plugins = ["pytester"]

APP = """
from quintet import App

app = App(docs=False)

@app.get("/")
async def index() -> str:
    return "hello"
"""
TESTS = """
def test_client(client):
    assert client.get("/").text == "hello"

async def test_async_client(async_client):
    assert (await async_client.get("/")).text == "hello"

def test_live(live_url):
    from urllib.request import urlopen
    assert urlopen(live_url + "/").read() == b"hello"
"""
INI = "[pytest]\nasyncio_mode = auto\npythonpath = .\nasyncio_default_fixture_loop_scope = function\n"


def run(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    names = ("cacheprovider", "faker", "schemathesis", "hypothesispytest")  # they take seconds to load
    off = [word for name in names for word in ("-p", f"no:{name}")]
    return pytester.runpytest_subprocess(*off, *arguments)


def test_the_app_is_named_in_the_settings(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(shop=APP, test_shop=TESTS)
    pytester.makeini(INI + "quintet_app = shop:app\n")
    run(pytester).assert_outcomes(passed=3)


def test_the_app_is_a_fixture_of_the_project(pytester: pytest.Pytester) -> None:
    conftest = "import pytest, shop\n@pytest.fixture\ndef app():\n    return shop.app\n"
    pytester.makepyfile(shop=APP, test_shop=TESTS, conftest=conftest)
    pytester.makeini(INI)
    run(pytester).assert_outcomes(passed=3)


def test_async_fixtures_work_with_anyio(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        shop=APP,
        test_shop="""
import pytest

@pytest.fixture
def anyio_backend():
    return "asyncio"

@pytest.mark.anyio
async def test_async_client(anyio_backend, async_client):
    assert (await async_client.get("/")).text == "hello"
""",
    )
    pytester.makeini("[pytest]\npythonpath = .\nquintet_app = shop:app\n")
    run(pytester).assert_outcomes(passed=1)


def test_without_an_app_the_fixture_says_what_to_do(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_client(client): ...")
    result = run(pytester)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*no app is named: write quintet_app*"])


def test_projects_that_use_none_of_it_do_not_load_httpx2(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("import sys\ndef test_modules(): assert 'httpx2' not in sys.modules")
    run(pytester).assert_outcomes(passed=1)
