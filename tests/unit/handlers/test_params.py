"""Forms and patches as a handler meets them."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import pytest

from quintet import FieldError, Form, Patch, Struct


class Article(Struct):
    title: str
    body: str = ""


class Frozen(msgspec.Struct, frozen=True):
    title: str
    body: str = ""


@dataclass
class Plain:
    title: str
    body: str = ""


def test_a_form_is_valid_when_it_was_submitted_without_errors() -> None:
    wrong = FieldError(loc=("body", "title"), msg="too short", code="min_length")
    assert not Form[Article]().valid
    assert not Form[Article](errors=[wrong], submitted=True).valid
    form = Form(data=Article(title="t"), submitted=True)
    assert form.valid
    assert form.data == Article(title="t")


def test_the_data_of_a_wrong_form_cannot_be_read_by_accident() -> None:
    with pytest.raises(ValueError, match=r"form\.valid"):
        _ = Form[Article](errors=[FieldError(loc=("body", "title"), msg="…", code="type")], submitted=True).data


def test_errors_are_listed_by_field() -> None:
    errors = [
        FieldError(loc=("body", "title"), msg="too short", code="min_length"),
        FieldError(loc=("body", "tags", 0), msg="too long", code="max_length"),
        FieldError(loc=("body",), msg="together wrong", code="value"),
    ]
    form = Form[Article](errors=errors, submitted=True)
    assert form.errors_for("title") == ["too short"]
    assert form.errors_for("tags") == ["too long"]
    assert form.errors_for("body") == []


def test_a_patch_tells_unset_from_null() -> None:
    patch = Patch[Article]({"title": None})
    assert "title" in patch
    assert "body" not in patch
    assert patch.title is None
    with pytest.raises(AttributeError, match="'body' was not sent; test with `'body' in patch`"):
        _ = patch.body


@pytest.mark.parametrize("target", [Article(title="old", body="kept"), Frozen("old", "kept"), Plain("old", "kept")])
def test_a_patch_changes_what_was_sent_and_keeps_the_rest(target: Article | Frozen | Plain) -> None:
    changed = Patch({"title": "new"}).apply(target)
    assert type(changed) is type(target)
    assert (changed.title, changed.body) == ("new", "kept")
    assert (changed is target) is not isinstance(target, Frozen)
