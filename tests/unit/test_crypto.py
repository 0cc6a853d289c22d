from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quintet.config import Secret
from quintet.crypto import BadSignature, Signer, derive_key, equal, random_token, require_strong_key
from quintet.errors import ConfigurationError

KEY = "kD0v3Jd1q8mXz5Yw2Rb7Tn4Lc9Pf6Hs1Ga"
OLD = "Zq4Wm8Xc2Vb6Nt0Lk5Jh9Gf3Ds7Ap1Oi8U"


@given(st.binary())
def test_what_was_signed_is_verified(data: bytes) -> None:
    signer = Signer([KEY], salt="session")
    assert signer.verify(signer.sign(data)) == data
    assert signer.is_valid(data, signer.signature(data))


@given(st.binary(max_size=40), st.integers(0, 10_000), st.characters())
def test_a_changed_token_is_refused(data: bytes, place: int, char: str) -> None:
    signer = Signer([KEY], salt="session")
    token = signer.sign(data)
    place %= len(token)
    changed = token[:place] + char + token[place + 1 :]
    if changed != token:
        with pytest.raises(BadSignature):
            signer.verify(changed)


@given(st.text(st.characters()))
def test_no_text_is_a_token_by_accident(text: str) -> None:
    with pytest.raises(BadSignature):
        Signer([KEY], salt="x").verify(text)


def test_the_first_key_signs_and_all_verify() -> None:
    old, new, both = Signer([OLD], salt="s"), Signer([KEY], salt="s"), Signer([KEY, OLD], salt="s")
    assert both.verify(old.sign(b"x")) == b"x"
    assert new.verify(both.sign(b"x")) == b"x"
    with pytest.raises(BadSignature):
        old.verify(both.sign(b"x"))
    assert both.is_valid(b"x", old.signature(b"x"))
    assert not new.is_valid(b"x", old.signature(b"x"))


def test_another_purpose_is_refused() -> None:
    with pytest.raises(BadSignature):
        Signer([KEY], salt="reset").verify(Signer([KEY], salt="session").sign(b"x"))


def test_salt_and_key_do_not_run_together() -> None:
    assert derive_key("ab", "c") != derive_key("a", "bc")
    assert derive_key("a\0", "b") != derive_key("a", "\0b")


@pytest.mark.parametrize(("keys", "salt"), [([], "s"), ([""], "s"), ([KEY], ""), ([KEY, b""], "s")])
def test_empty_keys_and_salts_are_refused(keys: list[str | bytes], salt: str) -> None:
    with pytest.raises(ValueError, match="empty"):
        Signer(keys, salt=salt)


def test_one_key_is_not_taken_for_a_list_of_letters() -> None:
    with pytest.raises(TypeError, match="sequence"):
        Signer(KEY, salt="s")


@pytest.mark.parametrize("key", [KEY, KEY.encode(), Secret(KEY)])
def test_a_strong_key_is_returned_as_bytes(key: str | bytes | Secret) -> None:
    assert require_strong_key(key) == KEY.encode()


@pytest.mark.parametrize(
    ("key", "message"),
    [
        (None, "none is set"),
        ("", "none is set"),
        (Secret(""), "none is set"),
        (KEY[:31], "has 31 bytes"),
        ("a" * 40, "placeholder"),
        ("please-CHANGEME-please-0123456789-abcdef", "placeholder"),
        ("django-insecure-0123456789abcdefghijklmnop", "placeholder"),
    ],
)
def test_a_weak_key_is_a_configuration_error_with_the_way_to_make_one(key: str | Secret | None, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message) as caught:
        require_strong_key(key)
    assert "secrets.token_urlsafe" in caught.value.problems[0].fix
    assert KEY[:31] not in str(caught.value)


def test_random_tokens_differ_and_are_url_safe() -> None:
    tokens = {random_token() for _ in range(50)}
    assert len(tokens) == 50
    assert all(len(token) == 43 and token.replace("-", "").replace("_", "").isalnum() for token in tokens)


def test_equal_compares_text_and_bytes() -> None:
    assert equal("é", "é".encode())
    assert not equal("a", "b")
    assert not equal("a", "ab")
