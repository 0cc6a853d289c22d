from __future__ import annotations

import pytest

from quintet.media.registry import MediaType, Registry, default_registry, registry


def test_a_media_type_is_found_by_name_type_and_alias() -> None:
    media = registry.get("json")
    assert media.media_type == "application/json"
    assert registry.lookup("application/json") is media
    assert registry.lookup("Application/JSON ; charset=utf-8") is media
    assert registry.lookup("application/vnd.api+json") is media
    assert registry.lookup("application/msgpack") is registry.get("msgpack")
    assert "json" in registry
    assert media in list(registry)


@pytest.mark.parametrize("content_type", ["", "json", "text/plain+json", "application/json5", "application/+", ";;;"])
def test_b6_other_types_are_not_taken_for_json(content_type: str) -> None:
    assert registry.lookup(content_type) is None


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(LookupError, match="no media type 'yaml'; there are json, msgpack"):
        registry.get("yaml")


def test_an_app_extends_a_copy() -> None:
    mine = registry.copy()
    yaml = MediaType(name="yaml", media_type="application/yaml", aliases=("text/yaml",), suffix="yaml")
    mine.register(yaml)
    assert mine.lookup("text/yaml") is yaml
    assert mine.lookup("application/openapi+yaml") is yaml
    assert "yaml" not in registry


def test_a_name_or_type_is_registered_once() -> None:
    mine = default_registry()
    with pytest.raises(ValueError, match="'json' is registered already"):
        mine.register(MediaType(name="json", media_type="application/x"))
    with pytest.raises(ValueError, match="'text/json' is registered already"):
        mine.register(MediaType(name="other", media_type="text/json"))
    assert "other" not in mine


def test_replacing_forgets_the_old_names() -> None:
    mine = default_registry()
    page = MediaType(name="html", media_type="application/xhtml+xml", build_encoder=lambda tp: str.encode)
    mine.register(page, replace=True)
    assert mine.lookup("text/html") is None
    assert mine.lookup("application/xhtml+xml") is page
    mine.remove("html")
    mine.remove("html")
    assert "html" not in mine


def test_an_empty_registry_knows_nothing() -> None:
    assert Registry().lookup("application/json") is None


def test_the_content_type_of_text_names_its_charset() -> None:
    assert registry.get("text").content_type == "text/plain; charset=utf-8"
    assert registry.get("json").content_type == "application/json"
