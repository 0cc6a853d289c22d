from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import DictLoader, Environment
from jinja2.compiler import CodeGenerator
from markupsafe import Markup, escape

from quintet.templating import codegen
from quintet.templating.environment import QuintetEnvironment


class Html:
    def __init__(self, text: Any) -> None:
        self.text = text

    def __html__(self) -> Any:
        return self.text

    def __repr__(self) -> str:
        return f"Html({self.text!r})"


class Loud(str):
    def __str__(self) -> str:
        return f"<{str.__str__(self)}>"


class Shout(Markup):
    def __html__(self) -> Any:
        return Markup(str.upper(self))


texts = st.text(st.sampled_from("ab <>&'\"é\u2028\x00{}%"), max_size=8)
values = st.recursive(
    st.one_of(
        texts,
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.binary(max_size=4),
        texts.map(Markup),
        texts.map(Html),
        texts.map(Markup).map(Html),
        texts.map(Html).map(Html),
        texts.map(Loud),
        texts.map(Shout),
    ),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=4,
)

SOURCES = {
    "page": "{% extends 'base' %}{% from 'macros' import field %}{% set top = a ~ b %}"
    "{% block body %}{{ super() }}{{ a }}{{ field(a, b) }}{{ top }}{% include 'part' %}{% endblock %}",
    "base": "<html title='{{ a }}'>{% block body %}[{{ b }}]{% endblock %}{{ self.body() }}</html>",
    "macros": "{% macro field(x, y) %}<i>{{ x }}</i>{{ caller(y) if caller else y }}{% endmacro %}",
    "part": "{% set captured %}{{ a }}<b>{{ b }}</b>{% endset %}{{ captured }}{{ captured|upper }}",
    "calls": "{% from 'macros' import field %}{% call(v) field(a, b) %}{{ v }}&{{ a }}{% endcall %}",
    "volatile": "{% autoescape flag %}{{ a }}{{ b|e }}{% set c %}{{ a }}{% endset %}{{ c }}{% endautoescape %}{{ a }}",
    "off": "{% autoescape false %}{{ a }}{{ b }}{% endautoescape %}{{ a }}",
    "filters": "{{ a|string|upper }}{{ [a, b]|join('<') }}{{ a|e }}{{ a|safe }}{{ a|forceescape }}{{ 'x<' ~ a }}"
    "{% filter lower %}{{ a }}<P>{% endfilter %}{{ '%s<'|format(a) }}{{ '<const>' }}{{ 1 + 1 }}",
    "loop": "{% for x in [a, b] recursive %}{{ loop.index }}{{ x }}{{ 'no' if x else x }}{% else %}{{ a }}{% endfor %}",
}
NAMES = sorted(SOURCES)


def outcome(environment: Environment, name: str, context: dict[str, Any]) -> Any:
    try:
        return environment.get_template(name).render(context)
    except Exception as error:  # both must fail alike
        return type(error), str(error)


STOCK = Environment(autoescape=True, loader=DictLoader(SOURCES))
FAST = QuintetEnvironment(autoescape=True, loader=DictLoader(SOURCES))
FINAL = {"finalize": lambda v: "" if v is None else v}
STOCK_FINAL = Environment(autoescape=True, loader=DictLoader(SOURCES), **FINAL)
FAST_FINAL = QuintetEnvironment(autoescape=True, loader=DictLoader(SOURCES), **FINAL)


@given(name=st.sampled_from(NAMES), a=values, b=values, flag=st.booleans())
def test_output_is_that_of_stock_jinja(name: str, a: Any, b: Any, flag: bool) -> None:
    context = {"a": a, "b": b, "flag": flag}
    assert outcome(FAST, name, context) == outcome(STOCK, name, context)


@given(name=st.sampled_from(NAMES), a=values, b=values, flag=st.booleans())
def test_output_is_that_of_stock_jinja_with_finalize(name: str, a: Any, b: Any, flag: bool) -> None:
    context = {"a": a, "b": b, "flag": flag}
    assert outcome(FAST_FINAL, name, context) == outcome(STOCK_FINAL, name, context)


@given(values)
def test_escape_text_equals_escape(value: Any) -> None:
    assert codegen.escape_text(value) == escape(value)


@pytest.mark.parametrize("value", [Html(None), Html(7), Html(b"x"), Html([1])])
def test_odd_html_methods_do_what_stock_does(value: Html) -> None:
    assert outcome(FAST, "base", {"a": value, "b": 1}) == outcome(STOCK, "base", {"a": value, "b": 1})


def test_the_fast_generator_is_in_use() -> None:
    assert QuintetEnvironment.code_generator_class is codegen.FastCodeGenerator
    assert "escape_text(" in FAST.compile("{{ a }}", raw=True)


def test_unknown_internals_fall_back_to_stock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codegen, "_escape_str", None)
    assert codegen.build_code_generator() is CodeGenerator


def test_a_generator_that_is_not_asked_falls_back_to_stock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(codegen.FastCodeGenerator, "_output_child_pre")
    assert codegen.build_code_generator() is CodeGenerator
