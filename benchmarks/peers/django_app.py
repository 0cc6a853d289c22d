"""The data benchmark on Django, in one file: its ORM, forms and templates, persistent connections, WSGI."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit

import django
from contract import TEMPLATES
from data_contract import BOOKS, DATABASE, SQLITE, random_key, random_keys, with_added
from django.conf import settings

url = urlsplit(DATABASE)
settings.configure(
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="bench",
    MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
    LOGGING_CONFIG=None,
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates", "DIRS": [TEMPLATES]}],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": url.path[1:],
            "USER": url.username,
            "PASSWORD": url.password or "",
            "HOST": url.hostname,
            "PORT": url.port or 5432,
            "CONN_MAX_AGE": None,
        },
        "sqlite": {"ENGINE": "django.db.backends.sqlite3", "NAME": SQLITE, "CONN_MAX_AGE": None},
    },
)
django.setup()

from django import forms  # noqa: E402 - Django is set up first
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.db import models, transaction  # noqa: E402
from django.http import HttpRequest, HttpResponse, JsonResponse  # noqa: E402
from django.shortcuts import render  # noqa: E402
from django.urls import path  # noqa: E402
from django.views.decorators.http import require_POST  # noqa: E402


class World(models.Model):
    id = models.BigAutoField(primary_key=True)
    random_number = models.BigIntegerField()

    class Meta:
        app_label = "bench"
        db_table = "world"


class Saying(models.Model):
    id = models.BigAutoField(primary_key=True)
    message = models.TextField()

    class Meta:
        app_label = "bench"
        db_table = "fortune"


class Author(models.Model):
    id = models.BigAutoField(primary_key=True)
    name = models.CharField(max_length=50)

    class Meta:
        app_label = "bench"
        db_table = "author"


class Book(models.Model):
    id = models.BigAutoField(primary_key=True)
    title = models.CharField(max_length=50)
    pages = models.BigIntegerField()
    author = models.ForeignKey(Author, models.CASCADE)

    class Meta:
        app_label = "bench"
        db_table = "book"


class Note(models.Model):
    id = models.BigAutoField(primary_key=True)
    title = models.CharField(max_length=50)

    class Meta:
        app_label = "bench"
        db_table = "note"


class CountForm(forms.Form):
    n = forms.IntegerField(min_value=1, max_value=500)


class NoteForm(forms.Form):
    title = forms.CharField(min_length=1, max_length=50)


def world(row: Any) -> dict[str, int]:
    return {"id": row.id, "random_number": row.random_number}


def one(request: HttpRequest) -> HttpResponse:
    return JsonResponse(world(World.objects.get(id=random_key())))


def queries(request: HttpRequest) -> HttpResponse:
    form = CountForm(request.GET)
    if not form.is_valid():
        return JsonResponse(form.errors, status=422)
    found = [World.objects.get(id=key) for key in random_keys(form.cleaned_data["n"])]
    return JsonResponse([world(row) for row in found], safe=False)


@require_POST
def updates(request: HttpRequest) -> HttpResponse:
    form = CountForm(request.GET)
    if not form.is_valid():
        return JsonResponse(form.errors, status=422)
    with transaction.atomic():
        found = [World.objects.get(id=key) for key in random_keys(form.cleaned_data["n"])]
        for row in found:
            row.random_number = random_key()
        World.objects.bulk_update(found, ["random_number"])
    return JsonResponse([world(row) for row in found], safe=False)


def fortunes(request: HttpRequest) -> HttpResponse:
    return render(request, "fortunes.html", {"fortunes": with_added(list(Saying.objects.all()))})


def books(request: HttpRequest) -> HttpResponse:
    found: Any = Book.objects.select_related("author").order_by("id")[:BOOKS]
    answer = [
        {
            "id": book.id,
            "title": book.title,
            "pages": book.pages,
            "author": {"id": book.author.id, "name": book.author.name},
        }
        for book in found
    ]
    return JsonResponse(answer, safe=False)


@require_POST
def add_note(request: HttpRequest) -> HttpResponse:
    try:
        data = json.loads(request.body)
    except ValueError:
        return JsonResponse({"error": "not JSON"}, status=400)
    form = NoteForm(data)
    if not form.is_valid() or not isinstance(data["title"], str):
        return JsonResponse(form.errors, status=422)
    note: Any = Note.objects.create(title=form.cleaned_data["title"])
    return JsonResponse({"id": note.id, "title": note.title})


def one_of_sqlite(request: HttpRequest) -> HttpResponse:
    return JsonResponse(world(World.objects.using("sqlite").get(id=random_key())))


urlpatterns = [
    path("db", one),
    path("queries", queries),
    path("updates", updates),
    path("fortunes", fortunes),
    path("books", books),
    path("notes", add_note),
    path("sqlite", one_of_sqlite),
]
app = get_wsgi_application()
