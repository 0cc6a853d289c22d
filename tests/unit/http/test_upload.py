from __future__ import annotations

import asyncio
import os
import re
import time
from pathlib import Path
from tempfile import SpooledTemporaryFile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quintet.http.upload import MAX_FILENAME, Upload, run_blocking, sanitize_filename


@pytest.mark.parametrize(
    ("raw", "want"),
    [
        ("photo.jpg", "photo.jpg"),
        ("Grüße 東京.txt", "Grüße 東京.txt"),
        ("../../x", "x"),
        ("C:\\x", "x"),
        ("C:x", "C_x"),
        ("\\\\server\\share\\x.txt", "x.txt"),
        ("/etc/x", "x"),
        ("a\0b", "a_b"),
        ("CON", "_CON"),
        ("con.tar.gz", "_con.tar.gz"),
        ("COM1.txt", "_COM1.txt"),
        ("nul .txt", "_nul .txt"),
        ("console.log", "console.log"),
        ("x\r\nY: 1", "x__Y_ 1"),
        ("..", "upload"),
        ("...", "upload"),
        ("", "upload"),
        ("a/", "upload"),
        (" ", "upload"),
        (".htaccess", "htaccess"),
        ("-rf", "rf"),
        ("x.txt. . ", "x.txt"),
        ("invoice\u202excod.exe", "invoice_xcod.exe"),
        ('a"b<c>|?*.txt', "a_b_c____.txt"),
        ("a" * 5000 + ".jpeg", "a" * 95 + ".jpeg"),
        ("é" * 5000 + ".pdf", "é" * 48 + ".pdf"),
        ("a." + "b" * 5000, "b" * 100),
    ],
)
def test_b16_a_hostile_name_becomes_a_safe_one(raw: str, want: str) -> None:
    assert sanitize_filename(raw) == want


@given(st.text(max_size=300) | st.text("./\\ -:\0\r\nCONaé", max_size=200))
def test_b16_every_name_is_safe(raw: str) -> None:
    name = sanitize_filename(raw)
    assert 0 < len(name.encode()) <= MAX_FILENAME
    assert not re.search(r'[/\\<>:"|?*\x00-\x1f\x7f]', name)
    assert name[0] not in ".- " and name[-1] not in ". "
    assert os.path.basename(name) == name
    assert sanitize_filename(name) == name


def test_a_megabyte_of_name_is_cut_before_work() -> None:
    started = time.perf_counter()
    assert sanitize_filename("é/" * 1_000_000) == "upload"
    assert sanitize_filename("é" * 2_000_000 + ".txt").endswith(".txt")
    assert time.perf_counter() - started < 1


def make(content: bytes = b"hello", name: str = "a.txt", *, on_disk: bool = False) -> Upload:
    file: SpooledTemporaryFile[bytes] = SpooledTemporaryFile()
    if on_disk:
        file.rollover()
    file.write(content)
    file.seek(0)
    return Upload(file, raw_filename=name, size=len(content), in_memory=not on_disk)


@pytest.mark.parametrize("on_disk", [False, True])
def test_an_upload_is_read_whole_and_in_pieces(on_disk: bool) -> None:
    async def scenario() -> None:
        upload = make(on_disk=on_disk)
        assert await upload.read(2) == b"he"
        assert await upload.read() == b"llo"
        assert await upload.read() == b""
        await upload.seek(1)
        assert await upload.read(1) == b"e"
        upload.close()
        upload.close()

    asyncio.run(scenario())


@pytest.mark.parametrize("on_disk", [False, True])
def test_save_writes_the_whole_content_wherever_reading_stands(tmp_path: Path, on_disk: bool) -> None:
    async def scenario() -> None:
        with make(on_disk=on_disk).file as file:
            upload = Upload(file, raw_filename="a.txt")
            await upload.read(3)
            assert await upload.save(tmp_path / "kept") == tmp_path / "kept"
            assert await upload.read() == b"lo"

    asyncio.run(scenario())
    assert (tmp_path / "kept").read_bytes() == b"hello"
    assert [p.name for p in tmp_path.iterdir()] == ["kept"]


def test_save_keeps_what_is_there_unless_told(tmp_path: Path) -> None:
    target = tmp_path / "kept"
    target.write_bytes(b"old")
    upload = make()
    with pytest.raises(FileExistsError, match="overwrite=True"):
        upload.save_sync(target)
    assert target.read_bytes() == b"old"
    upload.save_sync(target, overwrite=True)
    assert target.read_bytes() == b"hello"
    assert [p.name for p in tmp_path.iterdir()] == ["kept"]
    upload.close()


def test_save_does_not_follow_a_link_that_leads_nowhere(tmp_path: Path) -> None:
    target = tmp_path / "link"
    target.symlink_to(tmp_path / "elsewhere")
    upload = make()
    with pytest.raises(FileExistsError):
        upload.save_sync(target)
    assert not (tmp_path / "elsewhere").exists()
    upload.close()


@pytest.mark.skipif(os.name == "nt", reason="modes are POSIX")
def test_a_saved_file_is_for_its_owner_and_group(tmp_path: Path) -> None:
    upload = make()
    old = os.umask(0)
    try:
        upload.save_sync(tmp_path / "kept")
    finally:
        os.umask(old)
        upload.close()
    assert (tmp_path / "kept").stat().st_mode & 0o777 == 0o640


def test_a_failed_save_leaves_nothing(tmp_path: Path) -> None:
    upload = make()
    with pytest.raises(OSError):
        upload.save_sync(tmp_path / "no such folder" / "x")
    upload.close()
    with pytest.raises(ValueError):
        upload.save_sync(tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


def test_both_names_are_kept() -> None:
    upload = make(name="../a b.txt")
    assert (upload.filename, upload.raw_filename) == ("a b.txt", "../a b.txt")
    assert "a b.txt" in repr(upload)
    upload.close()


def test_blocking_work_runs_without_an_event_loop() -> None:
    work = run_blocking(lambda: 42)
    with pytest.raises(StopIteration) as stop:
        work.send(None)
    assert stop.value.value == 42


def test_a_cancelled_call_waits_for_its_thread() -> None:
    done: list[int] = []

    def slow() -> None:
        time.sleep(0.1)
        done.append(1)

    async def scenario() -> None:
        call = asyncio.create_task(run_blocking(slow))
        await asyncio.sleep(0.01)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert done == [1]

    asyncio.run(scenario())
