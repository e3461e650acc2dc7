"""The text part that is derived from an HTML template."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sending.errors import TemplateSyntaxError
from sending.rendering import Target, compile_source, text_from_html

PIECES = [
    "{{.API.x}}", "{{if .a}}", "{{else}}", "{{else if .b}}", "{{end}}", "{{range .l}}",
    "{{with .w}}", "{{tracked 3}}", "{{$v := .a}}",
    "{{$v}}", "{{- .y -}}", "__UNSUBSCRIBE_URL__", "<p>", "</p>", "<a href='", "'>", "</a>",
    "<table>", "<tr>", "<td>",
    "</td>", "</table>", "<style>", "</style>", "<!--", "-->", "<div hidden>", "</div>", "<ul><li>",
    "text", " ",
    "\n", "&#123;", "{", "}", "<br>", "<img alt=\"", '">', "<b ", ">", "<pre>",
]  # fmt: skip

MAIL = """<!DOCTYPE html><html><head><title>Shop</title>
<style>{{if .API.dark}}p{color:white}{{end}}</style></head><body>
<div style="display: none; max-height: 0px">Preheader {{.API.pre}}<!-- note -->more</div>
<div style="opacity:0.9" {{if .API.x}}class="y"{{end}}>Visible</div>
<h1>Hello {{.API.name | default "friend"}},</h1>
<table><tr><td>{{if .API.plan}}Your<br>plan{{else}}No plan{{end}}</td><td>left<br>right</td></tr>
{{range .API.items}}<tr class="{{.c}}"><td>{{.title}}</td><td><a href="{{.url}}">Buy</a></td></tr>
{{end}}</table>
<p><a href="https://e.org/?a=1&amp;b={{.API.b}}"><img src="x" alt="Shop"></a></p>
<p><a href="{{.API.url}}">{{.API.url}}</a> <a href="mailto:a@e.org">a@e.org</a>
<a href="#top">top</a></p>
<p><a href="{{ UnsubscribeURL . }}">Unsubscribe</a> __UNSUBSCRIBE_URL__</p>
<script>var x = "{{.API.script}}"</script></body></html>"""

EXPECTED = """Visible

Hello {{.API.name | default "friend"}},

{{if .API.plan}}Your
plan{{else}}No plan{{end}} left
right
{{range .API.items}}

{{.title}} Buy ({{.url}})
{{end}}

Shop (https://e.org/?a=1&b={{.API.b}})

{{.API.url}} a@e.org top

Unsubscribe ({{ UnsubscribeURL . }}) __UNSUBSCRIBE_URL__"""


def test_a_mail_becomes_readable_text() -> None:
    text = text_from_html(MAIL)
    assert text == EXPECTED
    values = {"API": {"plan": 1, "items": [{"title": "T", "url": "https://e.org"}]}}
    assert "T Buy (https://e.org)" in compile_source(text, target=Target.TEXT).render(values)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("", ""),
        ("{{.API.x}}", "{{.API.x}}"),
        ("<a href='https://e.org'></a>", "https://e.org"),
        ("<a href='https://e.org'> https://e.org </a>", "https://e.org"),
        ("<a href='{{if .a}}x{{else}}y{{end}}'>{{if .b}}L{{end}}</a>",
         "{{if .b}}L{{end}} ({{if .a}}x{{else}}y{{end}})"),
        ("<a name='x'>label</a>", "label"),
        ("<ul><li>one</li>{{range .l}}<li>{{.}}</li>{{end}}</ul>",
         "  * one\n    {{range .l}}\n  * {{.}}\n    {{end}}"),
        ("<p hidden>{{if .x}}a{{end}}</p>b", "b"),
        ("<!-- {{if .x}} --> a <!-- {{end}} -->", "a"),
        ("<!--[if mso]>{{.x}}<![endif]--><!--[if !mso]><!-->{{.y}}<!--<![endif]-->", "{{.y}}"),
        ("{{/* note */}}a{{- /* note */ -}} b", "ab"),
        ("a&nbsp;&amp;&lt;b&gt;", "a &<b>"),
        ("\ue000{{.x}}\ue001", "\ue000{{.x}}\ue001"),
        ("&#xe000;{{.x}}", "\ue000{{.x}}"),
        ("<?xml version='1.0' encoding='utf-8'?><p>{{.x}}</p>", "{{.x}}"),
        ("<style>{{$v := 1}}</style>a{{$v}}", "a"),
        ("{{if .x}}<style>a{{else}}</style>b{{end}}", "b"),
    ],
)  # fmt: skip
def test_small_pieces(source: str, expected: object) -> None:
    assert text_from_html(source) == expected


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("&#123;&#123;.x}}", "{{.x}}"),
        ("&#123;{{.x}}", "{V"),
        ("{&#123; .x", "{{ .x"),
        ("&lbrace;&lbrace;&lbrace;{{.x}}", "{{{V"),
    ],
)
def test_braces_from_character_references_open_no_action(source: str, expected: object) -> None:
    text = compile_source(text_from_html(source), target=Target.TEXT).render({"x": "V"})
    assert text == expected


def test_lines_of_neighbour_cells_do_not_get_into_a_block() -> None:
    source = "<table><tr><td>{{if .x}}<br>secret<br>{{end}}</td><td>b<br>c<br>d</td></tr></table>"
    text = compile_source(text_from_html(source), target=Target.TEXT).render({})
    assert text.split() == ["b", "c", "d"]


def test_a_broken_template_is_refused() -> None:
    with pytest.raises(TemplateSyntaxError):
        text_from_html("<p>{{if .x}}</p>")


@given(st.lists(st.sampled_from(PIECES), max_size=25).map("".join))
def test_the_text_compiles_whenever_the_html_does(source: str) -> None:
    try:
        compile_source(source, target=Target.HTML)
    except TemplateSyntaxError:
        return
    compile_source(text_from_html(source), target=Target.TEXT).render({"l": [1], "w": {"y": 1}})
