"""A Flask app, as its authors would write it."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

from flask import Flask, jsonify, request, send_file
from flask.typing import ResponseReturnValue

app = Flask(__name__)


@app.get("/json")
def get_json() -> ResponseReturnValue:
    return jsonify(hello=request.args.get("name", ""))


@app.post("/json")
def post_json() -> ResponseReturnValue:
    return jsonify(request.get_json())


@app.post("/form")
def form() -> ResponseReturnValue:
    return jsonify(a=request.form.getlist("a"))


@app.post("/upload")
def upload() -> ResponseReturnValue:
    file = request.files["file"]
    return jsonify(name=file.filename, size=len(file.read()))


@app.get("/stream")
def stream() -> ResponseReturnValue:
    def chunks() -> Iterator[bytes]:
        for number in range(5):
            yield b"%d\n" % number

    return app.response_class(chunks(), mimetype="text/plain")


@app.post("/count")
def count() -> ResponseReturnValue:
    size = 0
    while chunk := request.stream.read(100_000):
        size += len(chunk)
    return jsonify(size=size)


@app.get("/large")
def large() -> ResponseReturnValue:
    return app.response_class(b"x" * 5_000_000)


@app.get("/boom")
def boom() -> ResponseReturnValue:
    raise ValueError("boom")


@app.get("/path/<path:rest>")
def path(rest: str) -> ResponseReturnValue:
    return jsonify(path=rest)


@app.get("/file")
def file() -> ResponseReturnValue:
    return send_file(io.BytesIO(b"y" * 200_000), mimetype="application/x-ys")


@app.get("/environ")
def environ() -> Any:
    return jsonify({k: v for k, v in request.environ.items() if isinstance(v, str)})
