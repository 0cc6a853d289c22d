from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quintet._utils import MASK, escape_control, is_secret_name, is_secret_value, mask, mask_source

SECRET = "hunter2!"


@pytest.mark.parametrize(
    "name",
    [
        "password",
        "db_password",
        "PASSWORD",
        "userPassword",
        "SECRET_KEY",
        "apiKey",
        "api_key",
        "key",
        "token",
        "accessToken",
        "Authorization",
        "proxy-authorization",
        "cookie",
        "Set-Cookie",
        "dsn",
        "SENTRY_DSN",
        "credentials",
        "csrf_token",
        "X-Api-Key",
        "pin",
        "sessionid",
        "passwd",
        "pwd",
        "jwt",
    ],
)
def test_names_of_secrets_are_known(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name", ["user", "keyboard", "monkey", "author", "compass", "path", "pinned", "x", "items", "spinner"]
)
def test_other_names_are_no_secrets(name: str) -> None:
    assert not is_secret_name(name)


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://ada:{}@db/app",
        "redis://:{}@host",
        "see amqp://u:{}@h/v and more",
        "password={}",
        "password: {}",
        "user=ada password='{}' host=x",
        '{{"password": "{}"}}',
        "{{'api_key': '{}'}}",
        "DB_PASSWORD={}",
        "token={}&x=1",
        "Authorization: Bearer {}",
        "authorization: {}",
        "Cookie: a=1; session={}; b=2",
        "Set-Cookie: session={}; Path=/",
        "(b'authorization', b'Bearer {}')",
        "(b'cookie', b'session={}')",
        "('cookie', 'session={}')",
        "User(name='x', password='{}')",
        "secret_key = {}",
        "GET /login?user=a&access_token={}&b=1",
        "Basic {}abc",
        "Bearer {}",
        "client_secret: {}",
        "password='a\\'{}'",
        "X-Api-Key: {}",
        '"Cookie": "a={}"',
        "dsn={}",
        "credentials={}",
    ],
)
def test_secrets_are_masked(text: str) -> None:
    masked = mask(text.format(SECRET.rstrip("!") if "earer" in text or "Basic" in text else SECRET))
    assert "hunter2" not in masked
    assert MASK in masked


def test_the_rest_of_the_text_stays() -> None:
    assert mask("postgresql://ada:x@db:5432/app?sslmode=on") == f"postgresql://ada:{MASK}@db:5432/app?sslmode=on"
    assert mask("a=1&token=x&b=2") == f"a=1&token={MASK}&b=2"
    assert mask("User(name='x', password='y', age=3)") == f"User(name='x', password='{MASK}', age=3)"
    plain = "GET /articles/7?page=2 200 in 3.1 ms from 127.0.0.1:5000; http://a.example/x@y mailto:a@b.c 'basic needs'"
    assert mask(plain) == plain


def test_private_keys_and_web_tokens_are_masked() -> None:
    assert "MIIE" not in mask("x -----BEGIN RSA PRIVATE KEY-----\nMIIEabc\nMIIE+\n-----END RSA PRIVATE KEY-----")
    assert mask("got eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.sig-x done") == f"got {MASK} done"


def test_source_code_loses_literals_only() -> None:
    assert mask_source('password = "hunter2"') == f'password = "{MASK}"'
    assert mask_source('login(password="hunter2", n=1)') == f'login(password="{MASK}", n=1)'
    assert mask_source('{"password": "hunter2"}') == f'{{"password": "{MASK}"}}'
    assert mask_source('PASSWORD: str = "hunter2"') == f'PASSWORD: str = "{MASK}"'
    assert mask_source('connect("pg://a:hunter2@h")') == f'connect("pg://a:{MASK}@h")'
    assert mask_source('token = Secret("hunter2")') == f'token = Secret("{MASK}")'
    assert mask_source("token = read(request)") == "token = read(request)"


@given(st.text())
def test_masking_takes_any_text_and_settles(text: str) -> None:
    assert mask(mask(text)) == mask(text)


@pytest.mark.parametrize(
    "seed",
    [
        "a",
        "://",
        "://a",
        ":",
        "password",
        "password=",
        "token",
        "'",
        '"',
        "Bearer ",
        "eyJ",
        "=",
        "cookie:",
        "\\",
        "-----BEGIN PRIVATE KEY-----",
        "token='",
        "://a:",
        "@",
        "_key",
        " ",
        "eyJaaaaaaaaaaa.",
        "secret secret",
    ],
)
def test_masking_takes_linear_time(seed: str) -> None:
    begin = time.process_time()
    mask(seed * (100_000 // len(seed)))
    mask_source(seed * (100_000 // len(seed)))
    is_secret_name(seed * 1000)
    assert time.process_time() - begin < 3


def test_h1_control_characters_are_written_out() -> None:
    assert escape_control("/a\nFAKE 200\r\x1b[31m\u2028\u2029\x85\x00\u202e\t") == (
        "/a\\nFAKE 200\\r\\x1b[31m\\u2028\\u2029\\x85\\x00\\u202e\\t"
    )
    assert escape_control("déjà vu 日本 🎉\u00a0x") == "déjà vu 日本 🎉\u00a0x"


@given(st.text(st.characters()))
def test_escaped_text_is_one_encodable_line(text: str) -> None:
    escaped = escape_control(text)
    assert len(escaped.splitlines()) <= 1
    escaped.encode()


def test_types_made_for_secrets_are_known() -> None:
    class Secret(str):
        pass

    class Mine(Secret):
        pass

    assert is_secret_value(Mine("x"))
    assert not is_secret_value("x")
