"""A Django project in one file, with its two entry points."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator

import django
from django.conf import settings
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import path, re_path

settings.configure(
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="hosted",
    MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
    DATA_UPLOAD_MAX_MEMORY_SIZE=None,
    LOGGING_CONFIG=None,
)
django.setup()


def json_view(request: HttpRequest) -> HttpResponse:
    if request.method == "POST":
        return JsonResponse(json.loads(request.body))
    return JsonResponse({"hello": request.GET.get("name", "")})


async def async_json(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"hello": request.GET.get("name", "")})


def form(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"a": request.POST.getlist("a")})


def upload(request: HttpRequest) -> HttpResponse:
    file = request.FILES["file"]
    return JsonResponse({"name": file.name, "size": len(file.read())})


def stream(request: HttpRequest) -> StreamingHttpResponse:
    def chunks() -> Iterator[bytes]:
        for number in range(5):
            yield b"%d\n" % number

    async def async_chunks() -> AsyncIterator[bytes]:
        for chunk in chunks():
            yield chunk

    content = async_chunks() if isinstance(request, ASGIRequest) else chunks()
    return StreamingHttpResponse(content, content_type="text/plain")


def count(request: HttpRequest) -> HttpResponse:
    size = 0
    while chunk := request.read(100_000):
        size += len(chunk)
    return JsonResponse({"size": size})


def large(request: HttpRequest) -> HttpResponse:
    return HttpResponse(b"x" * 5_000_000)


def boom(request: HttpRequest) -> HttpResponse:
    raise ValueError("boom")


def path_view(request: HttpRequest, rest: str) -> HttpResponse:
    return JsonResponse({"path": rest})


urlpatterns = [
    path("json", json_view),
    path("async", async_json),
    path("form", form),
    path("upload", upload),
    path("stream", stream),
    path("count", count),
    path("large", large),
    path("boom", boom),
    re_path("path/(?P<rest>.*)", path_view),
]

from django.core.asgi import get_asgi_application  # noqa: E402 - Django must be set up before
from django.core.wsgi import get_wsgi_application  # noqa: E402 - Django must be set up before

application = get_asgi_application()
wsgi = get_wsgi_application()
