"""What is refused when a template is compiled, and where the message points."""

from __future__ import annotations

import pytest

from sending.errors import TemplateSyntaxError
from sending.rendering import Target, compile_source

BROKEN = [
    ("{{.API.name", 1, 1, "no end"),
    ("ok\n  {{.API.name", 2, 3, "no end"),
    ("a\r\nb {{", 2, 3, "no end"),
    ("{{}}", 1, 1, "empty"),
    ("{{  }}", 1, 1, "empty"),
    ("{{if .API.x}}", 1, 1, "has no {{end}}"),
    ("x\n{{range .API.x}}\n{{if .y}}{{end}}", 2, 1, "this range has no"),
    ("{{end}}", 1, 1, "no if, with or range for this end"),
    ("{{if 1}}{{end}}\n {{else}}", 2, 2, "no if, with or range for this else"),
    ("{{if 1}}{{else}}{{else}}{{end}}", 1, 17, "second else"),
    ("{{if 1}}{{else}}{{else if 2}}{{end}}", 1, 17, "second else"),
    ("{{tracked}}x{{end}}", 1, 1, "number of a link"),
    ("{{tracked .x}}x{{end}}", 1, 1, "number of a link"),
    ("{{tracked 3}}x{{else}}y{{end}}", 1, 15, "tracked has no else"),
    ("{{tracked 3}}x", 1, 1, "has no {{end}}"),
    ("{{if}}x{{end}}", 1, 5, "value is missing"),
    ("{{if 1}}x{{end now}}", 1, 16, "'now' cannot follow end"),
    ("{{with 1}}x{{else with 2}}{{end}}", 1, 19, "'with' cannot follow else"),
    ('{{.API.name | upper}}', 1, 15, "no function upper"),
    ("{{name}}", 1, 3, "A variable begins with a dot: .API.name"),
    ("{{ default .API.x }}", 1, 4, "default takes 2 values, not 1"),
    ("{{eq .API.x}}", 1, 3, "eq takes 2 or more values, not 1"),
    ("{{UnsubscribeURL . .}}", 1, 3, "at most 1"),
    ("{{.API.x | .API.y}}", 1, 12, "only a function can follow a pipe"),
    ("{{.API.x |}}", 1, 11, "value is missing"),
    ("{{.API.x .API.y}}", 1, 10, "side by side"),
    ("{{.API.first-name}}", 1, 13, "hyphen"),
    ('{{default "x}}', 1, 11, "no end on this line"),
    ("{{default `x}}", 1, 11, "backquote"),
    ("{{default 'x' .y}}", 1, 11, "single quotes"),
    ('{{"\\q"}}', 1, 3, "unknown escape"),
    ('{{"\\U00110000"}}', 1, 3, "unknown escape"),
    ("{{if eq .x &quot;a&quot;}}", 1, 12, "HTML reference"),
    ("{{if .x = 1}}", 1, 9, "compare with eq"),
    ("{{{.x}}}", 1, 3, "brace"),
    ("{{.x}", 1, 5, "two braces"),
    ("{{(.x}}", 1, 3, "not closed"),
    ("{{.x)}}", 1, 5, "not expected"),
    ("{{()}}", 1, 4, "value is missing"),
    ("{{1a}}", 1, 3, "not a number"),
    ("{{010}}", 1, 3, "not a number"),
    ("{{1e400}}", 1, 3, "not a number"),
    ("{{" + "9" * 50 + "}}", 1, 3, "not a number"),
    ("{{$x}}", 1, 3, "not declared"),
    ("{{if 1}}{{$x := 1}}{{end}}{{$x}}", 1, 29, "not declared"),
    ("{{$x, $y := .z}}", 1, 3, "not declared"),
    ("{{.x := 1}}", 1, 3, "only a variable"),
    ("{{$ := 1}}", 1, 3, "only a variable"),
    ("{{/* open", 1, 1, "comment has no end"),
    ("{{/* a */ .x}}", 1, 10, "one thing"),
    ('{{template "x"}}', 1, 1, "not part of this language"),
    ("{{break}}", 1, 1, "not part of this language"),
    ("é{{.API.x}}\n🙂 {{é}}", 2, 5, "no function é"),
]  # fmt: skip


@pytest.mark.parametrize("target", Target)
@pytest.mark.parametrize(("source", "line", "column", "message"), BROKEN)
def test_a_broken_template_is_refused_with_its_place(
    source: str, line: int, column: int, message: str, target: Target
) -> None:
    with pytest.raises(TemplateSyntaxError) as caught:
        compile_source(source, target=target)
    assert (caught.value.line, caught.value.column) == (line, column)
    assert message in caught.value.message


@pytest.mark.parametrize(
    "source",
    [
        "{{if .x}}" * 10_000 + "{{end}}" * 10_000,
        "{{range .x}}" * 51 + "{{end}}" * 51,
        "{{" + "(" * 10_000 + ".x" + ")" * 10_000 + "}}",
        "{{not " + "(not " * 51 + ".x" + ")" * 51 + "}}",
    ],
)
def test_deep_nesting_is_refused_rather_than_followed(source: str) -> None:
    with pytest.raises(TemplateSyntaxError, match="more than 50 deep"):
        compile_source(source, target=Target.HTML)


def test_nesting_up_to_the_limit_works() -> None:
    source = "{{if .x}}" * 50 + "y" + "{{end}}" * 50
    assert compile_source(source, target=Target.HTML).render({"x": 1}) == "y"
    source = "{{" + "(" * 50 + ".x" + ")" * 50 + "}}"
    assert compile_source(source, target=Target.HTML).render({"x": 1}) == "1"


def test_long_chains_are_no_nesting() -> None:
    chain = "{{if .a}}" + "{{else if .b}}" * 5_000 + "{{else}}x{{end}}"
    assert compile_source(chain, target=Target.HTML).render({}) == "x"
    keys = "{{." + ".".join("k" * 10_000) + "}}"
    assert compile_source(keys, target=Target.HTML).render({}) == ""


def test_a_source_beyond_the_cap_is_refused() -> None:
    assert compile_source("x" * (1 << 20), target=Target.TEXT).render({}) == "x" * (1 << 20)
    with pytest.raises(TemplateSyntaxError, match="characters"):
        compile_source("x" * (1 << 20) + "x", target=Target.TEXT)


def test_too_many_actions_are_refused() -> None:
    with pytest.raises(TemplateSyntaxError, match="20000 actions"):
        compile_source("{{.}}" * 20_001, target=Target.TEXT)
