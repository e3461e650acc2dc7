"""Templates and values that try to reach code, or to use up time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sending.errors import RenderingError, TemplateSyntaxError
from sending.rendering import Target, compile_source, text_from_html


class Trap:
    """An object that notices when a template touches it."""

    def __init__(self) -> None:
        object.__setattr__(self, "touched", [])

    def __getattribute__(self, name: str) -> Any:
        if name not in ("touched", "__class__"):
            object.__getattribute__(self, "touched").append(name)
        return object.__getattribute__(self, name)

    def __getitem__(self, key: object) -> Any:
        self.touched.append(key)
        return self

    def __call__(self) -> None:
        self.touched.append("call")

    def delete(self) -> None:
        self.touched.append("delete")


@pytest.mark.parametrize(
    "source",
    [
        "{{''.__class__}}", "{{().__class__}}", "{{[].append}}", "{{7*7}}", "{{7+7}}",
        "{{#with x}}",
        "{{.API.name()}}", "{{self}}", "{{env}}", "{{config.items()}}", "{{call .API.name}}",
        '{{printf "%999999999d" 1}}', '{{include "/etc/passwd"}}', "{{.API[name]}}", "{{lipsum}}",
        '{{env "SECRET_KEY"}}', '{{js .API.name}}', "{{html .API.name}}", "{{index .API 0}}",
        "{{.API.name|attr:__class__}}", "{{% import os %}}", "{{=<% %>=}}", "{{&name}}", "{{>p}}",
        '{{define "x"}}{{template "x"}}{{end}}', '{{block "x" .}}{{end}}',
    ],
)  # fmt: skip
def test_other_languages_and_calls_are_refused(source: str) -> None:
    with pytest.raises(TemplateSyntaxError):
        compile_source(source, target=Target.HTML)


@pytest.mark.parametrize(
    "path",
    [
        ".API.__class__", ".__class__.__mro__", ".API.items.append", ".API.keys", ".API.get",
        ".API.copy",
        ".API.name.upper", ".API.name.format", ".API.one.real", ".API.one.bit_length", ".pop",
        "$.clear",
        ".API.__init__.__globals__", '(get .API "__class__")', '(get . "__dict__")',
        '(get .API.name "upper")', '(get .API.list "append")',
    ],
)  # fmt: skip
def test_method_and_attribute_names_are_only_keys(path: str) -> None:
    values = {"API": {"name": "n", "one": 1, "list": [1]}}
    assert compile_source(f"[{{{{{path}}}}}]", target=Target.TEXT).render(values) == "[]"


def test_a_key_with_such_a_name_is_found_in_the_values() -> None:
    program = compile_source("{{.API.__class__}}", target=Target.TEXT)
    assert program.render({"API": {"__class__": "economy"}}) == "economy"


@pytest.mark.parametrize(
    "source",
    ["{{.API.trap.delete}}", '{{get .API.trap "delete"}}', "{{with .API.trap}}{{.delete}}{{end}}",
     "{{range .API.trap}}{{.}}{{end}}", '{{eq .API.trap "x"}}'],
)  # fmt: skip
def test_an_object_among_the_values_is_never_touched(source: str) -> None:
    trap = Trap()
    compile_source(source, target=Target.TEXT).render({"API": {"trap": trap}})
    assert trap.touched == []


def test_printing_an_object_is_a_programming_error() -> None:
    with pytest.raises(TypeError, match="plain data"):
        compile_source("{{.x}}", target=Target.TEXT).render({"x": Trap()})


def test_values_are_never_read_as_templates() -> None:
    value = '{{.API.secret}}{{range .}}{{/*"`__UNSUBSCRIBE_URL__'
    program = compile_source("{{.API.x}}", target=Target.TEXT)
    assert program.render({"API": {"x": value, "secret": "s"}, "UnsubscribeURL": "u"}) == value


@pytest.mark.parametrize(
    "source",
    [
        "{{" * 50_000, "}}" * 50_000, "{" * 100_000, "{{.x}}{" * 10_000, "{{/*" * 30_000,
        '{{"' * 30_000, '{{"\\' * 30_000, "{{`" * 30_000, "{{(" * 30_000, "{{" + " " * 200_000,
        "{{- " * 30_000, ("{{-" + " " * 50 + "}}") * 2_000,
        " " * 100_000 + "{{- .x -}}" + " " * 100_000,
        "{{.a" + ".a" * 50_000, "{{1" + "e1" * 50_000, "{{$" * 30_000, "{{" + "." * 100_000,
        "{{if .x}}" * 20_000, "{{.x|" * 20_000, "{{not " + "not " * 50_000 + "}}",
        "<a <a <a" * 20_000, "<" * 200_000, "<!" * 100_000, "<!--" * 50_000, "<!-- -" * 30_000,
        "</" * 50_000,
        "<a href=" * 20_000, "<a href='" * 20_000, '<a b="' * 20_000, "<script" * 20_000,
        "<a " + "/" * 100_000,
        "<script></scrip" * 10_000, "<style>" + "</style" * 20_000, "<p{{.x}}" * 10_000,
        "<a b{{.x}}" * 10_000,
        "<div>" * 20_000, "&#" * 50_000, "_" * 100_000, "__UNSUBSCRIBE_URL_" * 5_000,
        '{{range .x}}<a b="{{.y}}' * 50 + "{{end}}" * 50,
        "{{if .x}}<a b='{{else}}<c d{{end}}" * 5_000,
        "".join(f"{{{{if .x}}}}<a{n} b='{{{{end}}}}" for n in range(3_000)),
        "{{range .x}}" * 50
        + "".join(f"{{{{if .x}}}}<a{n} b='{{{{end}}}}" for n in range(200))
        + "{{end}}" * 50,
    ],
    ids=lambda source: source[:20],
)  # fmt: skip
@pytest.mark.parametrize("make", [compile_source, text_from_html])
def test_hostile_sources_take_no_time(source: str, make: Callable[..., Any]) -> None:
    started = time.process_time()
    try:
        if make is compile_source:
            make(source, target=Target.HTML).render({"x": "v"})
        else:
            make(source)
    except RenderingError:
        pass
    assert time.process_time() - started < 4


@given(st.text(alphabet="{}.-$|()\"`\\:=/*, \nabi1endfrge<>'_", max_size=60))
def test_any_source_compiles_or_is_refused(source: str) -> None:
    for target in Target:
        try:
            program = compile_source(source, target=target)
        except TemplateSyntaxError as error:
            where = (error.line, error.column)
        else:
            where = (1, 1)
            program.render({"a": {"b": [1, {"i": "x"}]}, "API": {}})
        assert 1 <= where[0] <= source.count("\n") + 1
        assert 1 <= where[1] <= len(source) + 1
