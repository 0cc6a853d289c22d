"""Clients that people use, against `quintet run`: each by its own rules of connections, bodies and cancellations."""

# ruff: noqa: E501 - scripts of other languages
from __future__ import annotations

import asyncio
import contextlib
import hashlib
import io
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import httpx2
import pytest
import requests
import websockets.asyncio.client
import websockets.sync.client

from tests.integration.browser import Browser, find_chromium
from tests.integration.command import wait_until
from tests.integration.proxies import HOST, Backend, find, proxied
from tests.integration.security.wire import parse

CONTENT = bytes(range(256)) * 20_000  # 5 MB
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clients")
    (folder / "large.bin").write_bytes(CONTENT)
    return folder


@pytest.fixture(scope="module")
def backend(folder: Path) -> Iterator[Backend]:
    backend = Backend(folder)
    yield backend
    backend.stop()


@pytest.fixture
def url(backend: Backend) -> str:
    return f"http://127.0.0.1:{backend.port}"


def seen(url: str, name: str) -> int:
    return httpx2.get(f"{url}/seen", trust_env=False).json().get(name, 0)


def need(name: str) -> str:
    path = find(name)
    if path is None:
        pytest.skip(f"{name} is not installed")
    return path


# -- curl -------------------------------------------------------------------------------------------------------


def curl(*arguments: str, data: bytes | None = None) -> tuple[str, bytes]:
    """Run curl; return what it says about the connection, and the body."""
    command = [need("curl"), "-sv", "--noproxy", "*", "--max-time", "20", *arguments]
    result = subprocess.run(command, input=data, capture_output=True, check=False)
    assert result.returncode == 0, result.stderr.decode(errors="replace")[-2000:]
    return result.stderr.decode(errors="replace"), result.stdout


def test_curl_keeps_one_connection(url: str) -> None:
    log, body = curl(f"{url}/echo?n=1", f"{url}/echo?n=2", f"{url}/empty", f"{url}/echo?n=3")
    assert re.findall(r"Re-using existing connection", log) == ["Re-using existing connection"] * 3
    assert [json.loads(part)["query"]["n"] for part in body.replace(b"}{", b"}\n{").splitlines()] == ["1", "2", "3"]


@pytest.mark.parametrize("version", ["--http1.0", "--http1.1"])
def test_curl_in_both_versions(url: str, version: str) -> None:
    log, body = curl(version, f"{url}/streamed?size=300000")
    assert body == b"y" * 300_000
    assert ("chunked" in log) == (version == "--http1.1")
    log, body = curl(version, "-H", "Connection: keep-alive", f"{url}/echo", f"{url}/echo")
    assert ("Re-using existing connection" in log) is True
    assert body.count(b'"method":"GET"') == 2
    _, body = curl(version, "--data-binary", "@-", "-H", "Content-Type: text/plain", f"{url}/upload", data=b"abc")
    assert json.loads(body)["size"] == 3


def test_curl_waits_for_leave_to_send_a_large_body(url: str) -> None:
    log, body = curl("-T", "-", "-H", "Expect: 100-continue", f"{url}/upload", data=CONTENT)
    assert "< HTTP/1.1 100 Continue" in log
    assert json.loads(body) == {"size": len(CONTENT), "sha256": DIGEST}
    log, _ = curl("-X", "POST", "--data-binary", "@-", "-H", "Expect: 100-continue", f"{url}/refuse", data=b"x" * 5000)
    assert "< HTTP/1.1 413" in log
    assert "100 Continue" not in log


def test_curl_uploads_forms_chunks_and_lengths(url: str, folder: Path) -> None:
    path = str(folder / "large.bin")
    for arguments in (["--data-binary", f"@{path}"], ["-T", path], ["-T", path, "-H", "Transfer-Encoding: chunked"]):
        _, body = curl(*arguments, f"{url}/upload")
        assert json.loads(body) == {"size": len(CONTENT), "sha256": DIGEST}


def test_curl_reads_ranges_resumes_and_asks_for_heads(url: str, folder: Path) -> None:
    _, body = curl("-r", "1000-1999", f"{url}/file")
    assert body == CONTENT[1000:2000]
    part = folder / "part.bin"
    part.write_bytes(CONTENT[:3_000_000])
    curl("-C", "-", "-o", str(part), f"{url}/file")
    assert part.read_bytes() == CONTENT
    log, body = curl("-I", f"{url}/file")
    assert f"content-length: {len(CONTENT)}" in log.lower()
    assert b"x" * 100 not in body


def test_curl_offers_compressed_answers_and_takes_plain_ones(url: str) -> None:
    _, body = curl("--compressed", f"{url}/large?size=100000")
    assert body == b"x" * 100_000


def test_curl_cancels_a_download(url: str) -> None:
    before = seen(url, "streams cut")
    command = [need("curl"), "-s", "--noproxy", "*", "--max-time", "0.3", "--limit-rate", "100k", "-o", "/dev/null"]
    assert subprocess.run([*command, f"{url}/streamed?size=1000000000"], check=False).returncode == 28
    wait_until(lambda: seen(url, "streams cut") == before + 1)


# -- clients of Python ------------------------------------------------------------------------------------------


async def test_httpx2_in_parallel(url: str) -> None:
    limits = httpx2.Limits(max_connections=10)
    async with httpx2.AsyncClient(base_url=url, trust_env=False, limits=limits, timeout=20) as client:
        answers = await asyncio.gather(*[client.get(f"/m/{n}") for n in range(200)])
        assert [a.json()["marker"] for a in answers] == [str(n) for n in range(200)]
        answers = await asyncio.gather(*[client.post("/upload", content=CONTENT) for _ in range(4)])
        assert {a.json()["sha256"] for a in answers} == {DIGEST}
        downloads = await asyncio.gather(*[client.get("/file") for _ in range(4)])
        assert all(d.content == CONTENT for d in downloads)


async def test_httpx2_cancels_requests(url: str) -> None:
    async with httpx2.AsyncClient(base_url=url, trust_env=False, timeout=20) as client:
        before = seen(url, "streams cut")
        async with client.stream("GET", "/streamed?size=1000000000") as response:
            await anext(response.aiter_bytes())
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.get("/slow?seconds=10"), 0.2)
        await asyncio.to_thread(wait_until, lambda: seen(url, "streams cut") == before + 1)
        assert (await client.get("/echo")).status_code == 200


async def test_aiohttp_in_parallel_both_ways(url: str) -> None:
    async def pieces() -> Any:
        for start in range(0, len(CONTENT), 100_000):
            yield CONTENT[start : start + 100_000]

    async def get(session: aiohttp.ClientSession, number: int) -> str:
        async with session.get(f"{url}/m/{number}") as response:
            return (await response.json())["marker"]

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=20)) as session:
        assert await asyncio.gather(*[get(session, n) for n in range(200)]) == [str(n) for n in range(200)]
        async with session.post(f"{url}/upload", data=pieces()) as response:
            assert (await response.json())["sha256"] == DIGEST
        async with session.post(f"{url}/upload", data=io.BytesIO(CONTENT), expect100=True) as response:
            assert (await response.json())["sha256"] == DIGEST
        async with session.get(f"{url}/file", headers={"Range": "bytes=-10"}) as response:
            assert (response.status, await response.read()) == (206, CONTENT[-10:])
        async with session.head(f"{url}/file") as response:
            assert response.headers["content-length"] == str(len(CONTENT))
        async with session.ws_connect(f"{url}/ws") as ws:
            await ws.send_str("hello")
            assert await ws.receive_str() == "hello"
        async with session.get(f"{url}/events/aiohttp") as response:
            assert (await response.content.readline()).strip() == b"data: one"


def test_requests_keeps_its_session(url: str) -> None:
    with requests.Session() as session:
        session.trust_env = False
        for number in range(20):
            assert session.get(f"{url}/m/{number}").json()["marker"] == str(number)
        assert (
            session.post(f"{url}/upload", data=(CONTENT[i : i + 70_000] for i in range(0, 700_000, 70_000))).json()[
                "size"
            ]
            == 700_000
        )
        assert session.put(f"{url}/upload", data=CONTENT).json()["sha256"] == DIGEST
        assert session.post(f"{url}/refuse", data=b"x" * 2000).status_code == 413
        with session.get(f"{url}/streamed?size=5000000", stream=True) as response:
            assert sum(map(len, response.iter_content(65_536))) == 5_000_000
        assert session.options(f"{url}/echo").headers["allow"]


def test_websockets_in_parallel_with_compression(url: str) -> None:
    async def one(number: int) -> None:
        address = url.replace("http", "ws") + "/ws"
        async with websockets.asyncio.client.connect(address, proxy=None, max_size=None) as ws:
            for text in (f"{number}", "x" * 300_000, ""):
                await ws.send(text)
                assert await ws.recv() == text
            await (await ws.ping())
        assert ws.close_code == 1000

    async def main() -> None:
        await asyncio.gather(*[one(n) for n in range(30)])

    asyncio.run(main())


def test_pipelined_requests_are_answered_in_order(backend: Backend) -> None:
    requests_ = [b"GET /slow?seconds=0.05 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"]
    requests_ += [b"GET /m/%d HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" % n for n in range(100)]
    requests_ += [b"GET /m/last HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"]
    with backend.connect() as sock:
        sock.sendall(b"".join(requests_))
        received = b""
        while piece := sock.recv(1 << 16):
            received += piece
    assert [a.json()["marker"] for a in parse(received)[1:]] == [*map(str, range(100)), "last"]


# -- Node -------------------------------------------------------------------------------------------------------

NODE = r"""
const http = require("node:http");
const assert = require("node:assert");
const url = process.argv[2];
const digest = process.argv[3];
const content = Buffer.alloc(5120000);
for (let i = 0; i < content.length; i++) content[i] = i % 256;

function ask(agent, path, options = {}, body) {
  return new Promise((resolve, reject) => {
    const request = http.request(url + path, { agent, ...options }, (response) => {
      const parts = [];
      response.on("data", (part) => parts.push(part));
      response.on("end", () => resolve({ status: response.statusCode, headers: response.headers,
                                         body: Buffer.concat(parts), reused: request.reusedSocket }));
    });
    request.on("error", reject);
    if (body) for (const part of body) request.write(part);
    request.end();
  });
}

(async () => {
  // fetch is undici
  const markers = await Promise.all([...Array(100).keys()].map(async (n) => (await (await fetch(`${url}/m/${n}`)).json()).marker));
  assert.deepStrictEqual(markers, [...Array(100).keys()].map(String));
  let answer = await (await fetch(`${url}/upload`, { method: "POST", body: content })).json();
  assert.strictEqual(answer.sha256, digest);
  const stream = new ReadableStream({ start(c) { for (let i = 0; i < 10; i++) c.enqueue(content.subarray(i * 512000, (i + 1) * 512000)); c.close(); } });
  answer = await (await fetch(`${url}/upload`, { method: "PUT", body: stream, duplex: "half" })).json();
  assert.strictEqual(answer.sha256, digest);
  assert.strictEqual((await (await fetch(`${url}/streamed?size=3000000`)).arrayBuffer()).byteLength, 3000000);
  assert.strictEqual((await fetch(`${url}/empty`)).status, 204);
  assert.strictEqual((await fetch(`${url}/refuse`, { method: "POST", body: "x".repeat(2000) })).status, 413);
  const control = new AbortController();
  const long = await fetch(`${url}/streamed?size=1000000000`, { signal: control.signal });
  await long.body.getReader().read();
  control.abort();
  await assert.rejects(fetch(`${url}/slow?seconds=10`, { signal: AbortSignal.timeout(100) }));

  // the agent of node:http keeps its connections
  const agent = new http.Agent({ keepAlive: true, maxSockets: 4 });
  const answers = await Promise.all([...Array(40).keys()].map((n) => ask(agent, `/m/agent-${n}`)));
  assert.deepStrictEqual(answers.map((a) => JSON.parse(a.body).marker), [...Array(40).keys()].map((n) => `agent-${n}`));
  for (let n = 0; n < 5; n++) assert.strictEqual((await ask(agent, "/echo")).reused, true);
  const chunked = await ask(agent, "/upload", { method: "POST" }, [content.subarray(0, 100000), content.subarray(100000)]);
  assert.strictEqual(JSON.parse(chunked.body).sha256, digest);
  const expecting = await ask(agent, "/echo", { method: "POST", headers: { Expect: "100-continue", "Content-Length": 3 } }, ["abc"]);
  assert.strictEqual(JSON.parse(expecting.body).length, 3);
  assert.strictEqual((await ask(agent, "/file", { method: "HEAD" })).headers["content-length"], "5120000");
  agent.destroy();
  console.log("done");
})().catch((error) => { console.error(error); process.exit(1); });
"""


def test_fetch_and_the_agent_of_node(url: str, tmp_path: Path) -> None:
    node = need("node")
    before = seen(url, "streams cut")
    script = tmp_path / "client.js"
    script.write_text(NODE)
    result = subprocess.run(
        [node, str(script), url, DIGEST],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"PATH": "/usr/bin"},
    )
    assert (result.returncode, result.stdout) == (0, "done\n"), result.stderr
    wait_until(lambda: seen(url, "streams cut") == before + 1)


# -- a browser --------------------------------------------------------------------------------------------------

BROWSER = """(async () => {
  const found = {};
  found.parallel = (await Promise.all([...Array(30).keys()].map(async n => (await (await fetch(`/m/${n}`)).json()).marker)))
    .every((marker, n) => marker === String(n));
  found.upload = (await (await fetch("/upload", {method: "POST", body: new Blob([new Uint8Array(3000000)])})).json()).size;
  found.range = await (await fetch("/file", {headers: {Range: "bytes=5-9"}})).arrayBuffer().then(b => b.byteLength);
  found.socket = await new Promise((resolve, reject) => {
    const socket = new WebSocket(location.origin.replace("http", "ws") + "/ws");
    socket.onopen = () => socket.send("from a browser");
    socket.onmessage = event => { socket.close(); resolve(event.data); };
    socket.onerror = reject;
  });
  found.event = await new Promise((resolve, reject) => {
    const source = new EventSource("/events/browser");
    source.onmessage = event => { source.close(); resolve(event.data); };
    source.onerror = reject;
  });
  const control = new AbortController();
  const long = await fetch("/streamed?size=1000000000", {signal: control.signal});
  await long.body.getReader().read();
  control.abort();
  found.status = (await fetch("/nothing")).status;
  return JSON.stringify(found);
})()"""


def test_a_browser(url: str) -> None:
    executable = find_chromium()
    if executable is None:
        pytest.skip("no Chromium is installed")
    before = seen(url, "streams cut")
    with contextlib.closing(Browser(executable)) as browser:
        browser.open(f"{url}/page", "document.title == 'page'")
        found = browser.evaluate(BROWSER)
    assert json.loads(found) == {
        "parallel": True, "upload": 3_000_000, "range": 5, "socket": "from a browser", "event": "one", "status": 404,
    }  # fmt: skip
    wait_until(lambda: seen(url, "streams cut") == before + 1)


# -- load -------------------------------------------------------------------------------------------------------


def test_wrk(url: str) -> None:
    command = [need("wrk"), "-t1", "-c20", "-d1s", f"{url}/m/wrk"]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "Non-2xx" not in output
    assert "Socket errors" not in output, output
    assert int(re.findall(r"(\d+) requests in", output)[0]) > 100


@pytest.mark.parametrize("name", ["nginx", "haproxy"])
def test_h2load_and_wrk_through_a_proxy(name: str, backend: Backend, url: str, tmp_path: Path) -> None:
    need(name)
    h2load, wrk = need("h2load"), shutil.which("wrk")
    before = seen(url, "GET /m/h2load")
    with proxied(name, tmp_path, backend) as proxy:
        address = f"https://127.0.0.1:{proxy.port}/m/h2load"
        command = [h2load, "-n2000", "-c10", "-m10", "-H", f":authority: {HOST}", address]
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        assert "2000 succeeded, 0 failed, 0 errored, 0 timeout" in output, output
        assert "status codes: 2000 2xx" in output, output
        assert seen(url, "GET /m/h2load") == before + 2000
        if wrk is not None:
            command = [wrk, "-t1", "-c20", "-d1s", "-H", f"Host: {HOST}", f"https://127.0.0.1:{proxy.port}/m/wrk"]
            output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            assert "Non-2xx" not in output, output
            assert "Socket errors" not in output, output
