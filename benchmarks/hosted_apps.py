"""The same two requests in several frameworks for `hosting.py`: GET /json, and POST /json that answers what it got."""

from __future__ import annotations

import json
import os
from typing import Any

#: Only the app that is measured is imported.
KIND = os.environ.get("QUINTET_BENCH_APP", "bare")
ANSWER = {"message": "Hello, world", "items": [1, 2, 3]}

if KIND == "bare":

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            raise RuntimeError("no lifespan")
        if scope["method"] == "POST":
            body = b""
            more = True
            while more:
                message = await receive()
                body += message.get("body", b"")
                more = message.get("more_body", False)
            value = json.loads(body)
        else:
            value = ANSWER
        content = json.dumps(value).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(content))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": content})

elif KIND == "bare-wsgi":

    def app(environ: Any, start_response: Any) -> list[bytes]:
        value = json.loads(environ["wsgi.input"].read()) if environ["REQUEST_METHOD"] == "POST" else ANSWER
        content = json.dumps(value).encode()
        start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(content)))])
        return [content]

elif KIND == "starlette":
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    async def get(request: Request) -> JSONResponse:
        return JSONResponse(ANSWER)

    async def post(request: Request) -> JSONResponse:
        return JSONResponse(await request.json())

    app = Starlette(routes=[Route("/json", get), Route("/json", post, methods=["POST"])])

elif KIND == "fastapi":
    from fastapi import FastAPI

    app = FastAPI()

    @app.get("/json")
    async def get() -> dict[str, Any]:
        return ANSWER

    @app.post("/json")
    async def post(value: dict[str, Any]) -> dict[str, Any]:
        return value

elif KIND == "flask":
    from flask import Flask, jsonify, request

    app = Flask(__name__)

    @app.route("/json", methods=["GET", "POST"])
    def view() -> Any:
        return jsonify(request.get_json() if request.method == "POST" else ANSWER)

elif KIND in ("django-asgi", "django-wsgi"):
    import django
    from django.conf import settings
    from django.http import HttpRequest, JsonResponse
    from django.urls import path

    settings.configure(
        ALLOWED_HOSTS=["*"],
        ROOT_URLCONF=__name__,
        SECRET_KEY="bench",
        MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
        LOGGING_CONFIG=None,
    )
    django.setup()

    def answer(request: HttpRequest) -> JsonResponse:
        return JsonResponse(json.loads(request.body) if request.method == "POST" else ANSWER)

    async def answer_async(request: HttpRequest) -> JsonResponse:
        return answer(request)

    urlpatterns = [path("json", answer_async if KIND == "django-asgi" else answer)]
    if KIND == "django-asgi":
        from django.core.asgi import get_asgi_application

        app = get_asgi_application()
    else:
        from django.core.wsgi import get_wsgi_application

        app = get_wsgi_application()

else:
    raise SystemExit(f"no app {KIND!r}")
