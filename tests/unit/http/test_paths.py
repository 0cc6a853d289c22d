from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quintet.errors import NotFound
from quintet.http.paths import safe_join


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path.resolve() / "static"
    (folder / "css").mkdir(parents=True)
    (folder / "css" / "site.css").write_text("x")
    (folder / ".env").write_text("secret")
    (tmp_path / "static_secret").mkdir()
    (tmp_path / "static_secret" / "x").write_text("secret")
    return folder


def test_a_path_below_the_root_is_joined(root: Path) -> None:
    assert safe_join(root, "css/site.css") == root / "css" / "site.css"
    assert safe_join(str(root), "not/there yet.txt") == root / "not" / "there yet.txt"
    assert safe_join(root, "\u00e9t\u00e9..1/a..b") == root / "\u00e9t\u00e9..1" / "a..b"


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "/etc/passwd",
        "//etc/passwd",
        "../static_secret/x",
        "..",
        ".",
        "./css",
        "css/../css/site.css",
        "css/..",
        "css/",
        "css//site.css",
        "..\\..\\x",
        "css\\site.css",
        "C:/x",
        "C:x",
        "file.txt:stream",
        "a\0b",
        "a\nb",
        "\ud800",
        "a" * 256,
        "a/" * 3000 + "a",
    ],
)
def test_c1_c2_paths_that_could_leave_the_root_are_not_found(root: Path, path: str) -> None:
    with pytest.raises(NotFound) as caught:
        safe_join(root, path, dotfiles=True)
    assert caught.value.document() == NotFound().document()


@pytest.mark.parametrize("path", [".env", ".git/config", "css/.hidden"])
def test_c4_dotfiles_are_not_found_unless_allowed(root: Path, path: str) -> None:
    with pytest.raises(NotFound):
        safe_join(root, path)
    assert safe_join(root, path, dotfiles=True) == root / path


@pytest.mark.parametrize(
    "path", ["CON", "nul", "NUL.txt", "a/AUX", "com1.tar.gz", "LPT\u00b9", "con .txt", "CONIN$", "a.", "a ", "css./x"]
)
def test_c5_windows_names_are_refused_everywhere(root: Path, path: str) -> None:
    with pytest.raises(NotFound):
        safe_join(root, path)


@pytest.mark.parametrize("path", ["console", "com10", "nullable.txt", "auxiliary/x"])
def test_names_that_only_look_like_devices_are_fine(root: Path, path: str) -> None:
    assert safe_join(root, path) == root / path


@pytest.mark.skipif(os.name == "nt", reason="symbolic links need a privilege on Windows")
def test_c3_links_may_not_leave_the_root(root: Path, tmp_path: Path) -> None:
    (root / "out").symlink_to(tmp_path / "static_secret")
    (root / "site.gz").symlink_to(tmp_path / "static_secret" / "x")
    (root / "in").symlink_to(root / "css")
    (root / "loop").symlink_to(root / "loop")
    (root / "self").symlink_to(root)
    for path in "out/x", "out", "site.gz", "self":
        with pytest.raises(NotFound):
            safe_join(root, path)
    assert safe_join(root, "in/site.css") == root / "css" / "site.css"
    assert safe_join(root, "out/x", outside_links=True).read_text() == "secret"
    assert not safe_join(root, "loop/x").exists()


@pytest.mark.skipif(os.name == "nt", reason="symbolic links need a privilege on Windows")
def test_the_root_may_be_a_link_itself(root: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(root)
    assert safe_join(link, "css/site.css") == root / "css" / "site.css"


@given(path=st.text() | st.text(st.sampled_from("./\\a:~ ")))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_path_leaves_the_root(root: Path, path: str) -> None:
    try:
        joined = safe_join(root, path, dotfiles=True)
    except NotFound:
        return
    assert root in joined.parents


def test_refusing_is_linear(root: Path) -> None:
    start = time.process_time()
    for unit in "../", "/", ".", " ", "a":
        with pytest.raises(NotFound):
            safe_join(root, unit * 1_000_000)
    assert time.process_time() - start < 2
