"""What templates print. The expectations of GO were taken from Go's text/template itself."""

from __future__ import annotations

import time
from typing import Any

import pytest

from sending.errors import MissingVariable, OutputTooLarge
from sending.rendering import Target, compile_source

VALUES = {
    "API": {
        "name": "Zoe", "empty": "", "zero": 0, "one": 1, "half": 1.5, "yes": True, "no": False,
        "null": None, "items": [{"title": "A", "n": 1}, {"title": "B", "n": 2}],
        "words": ["x", "y", "z"], "none": [], "map": {"b": "2", "a": "1"},
        "address": {"city": "Rome", "geo": {"lat": "41"}},
    },
    "Subscriber": {"Email": "ada@example.com", "first-name": "Ada"},
    "Task": {},
    "UnsubscribeURL": "https://example.com/u/1",
}  # fmt: skip

GO = [
    ("Hello {{.API.name}}!", "Hello Zoe!"),
    ("{{.Subscriber.Email}}", "ada@example.com"),
    ("{{ .API.name }}", "Zoe"),
    ("{{$.API.name}}", "Zoe"),
    ("{{.API.one}} {{.API.half}} {{.API.zero}} {{.API.yes}} {{.API.no}}", "1 1.5 0 true false"),
    ('{{.API.name | default "friend"}}', "Zoe"),
    ('{{default "friend" .API.name}}', "Zoe"),
    ('{{.API.empty | default "friend"}}', "friend"),
    ('{{default "friend" .API.missing}}', "friend"),
    ("{{default 5 .API.zero}}", "5"),
    ('{{get .Subscriber "first-name"}}', "Ada"),
    ('{{get .API "name" | default "x"}}', "Zoe"),
    ('{{(get .API "address").city}}', "Rome"),
    ("{{if .API.name}}yes{{end}}", "yes"),
    ("{{if .API.empty}}yes{{else}}no{{end}}", "no"),
    ("{{if .API.zero}}a{{else if .API.none}}b{{else if .API.yes}}c{{else}}d{{end}}", "c"),
    ("{{if .API.null}}yes{{else}}no{{end}}", "no"),
    ("{{if .API.map}}m{{end}}{{if .API.missing}}x{{end}}", "m"),
    ("{{range .API.items}}[{{.title}}{{.n}}]{{end}}", "[A1][B2]"),
    ("{{range .API.words}}{{.}},{{end}}", "x,y,z,"),
    ("{{range .API.none}}x{{else}}nothing{{end}}", "nothing"),
    ("{{range $i, $w := .API.words}}{{$i}}={{$w}};{{end}}", "0=x;1=y;2=z;"),
    ("{{range $w := .API.words}}{{$w}}{{end}}", "xyz"),
    ("{{range $k, $v := .API.map}}{{$k}}{{$v}} {{end}}", "a1 b2 "),
    ("{{range .API.map}}{{.}}{{end}}", "12"),
    ("{{range .API.items}}{{$.API.name}}{{end}}", "ZoeZoe"),
    ("{{range .API.items}}{{range $.API.words}}{{.}}{{end}}-{{end}}", "xyz-xyz-"),
    ("{{with .API.address}}{{.city}} {{.geo.lat}} {{$.API.name}}{{end}}", "Rome 41 Zoe"),
    ("{{with .API.empty}}x{{else}}y{{end}}", "y"),
    ("{{with $a := .API.address}}{{$a.city}}{{.city}}{{end}}", "RomeRome"),
    ("{{with .API.name}}{{.}}{{end}}", "Zoe"),
    ("{{$x := .API.name}}{{$x}}{{$x}}", "ZoeZoe"),
    ("{{$x := 1}}{{if true}}{{$x := 2}}{{$x}}{{end}}{{$x}}", "21"),
    ("{{if $x := .API.name}}{{$x}}{{end}}", "Zoe"),
    ('{{if eq .API.name "Zoe"}}=={{end}}', "=="),
    ('{{if eq .API.name "a" "b" "Zoe"}}in{{end}}', "in"),
    ('{{if ne .API.name "x"}}ne{{end}}', "ne"),
    ("{{if and .API.yes .API.name}}both{{end}}", "both"),
    ("{{if or .API.no .API.name}}any{{end}}", "any"),
    ("{{if not .API.no}}not{{end}}", "not"),
    ('{{and .API.empty "x"}}|{{or .API.empty "x"}}|{{and 1 "y"}}|{{or 0 ""}}', "|x|y|"),
    ('{{if and (eq .API.name "Zoe") (not .API.no)}}ok{{end}}', "ok"),
    ('{{eq "a" "a"}} {{not 1}}', "true false"),
    ("a {{- .API.name -}} b", "aZoeb"),
    ("a  {{- /* c */ -}}  b", "ab"),
    ("a\n{{- if .API.yes }}\n  x\n{{- end }}\nb", "a\n  x\nb"),
    ("{{/* gone */}}x", "x"),
    ("{{- 3}}{{-3}}", "3-3"),
    ("{{3 -}}  x", "3x"),
    ('{{"a\\tb\\"c\\u00e9\\x41\\\\"}}', 'a\tb"céA\\'),
    ('{{`raw \\n "q"`}}', 'raw \\n "q"'),
    (
        "{{1}} {{-2}} {{1.5}} {{0x10}} {{1e3}} {{1_000}} {{true}} {{false}}",
        "1 -2 1.5 16 1000 1000 true false",
    ),
    ('{{"}}"}}', "}}"),
    ('{{ "{{" }}', "{{"),
    ("{{ UnsubscribeURL . }}", "https://example.com/u/1"),
    ("{{UnsubscribeURL .}}", "https://example.com/u/1"),
    ("{{  UnsubscribeURL   .  }}", "https://example.com/u/1"),
    ("{{.UnsubscribeURL}}", "https://example.com/u/1"),
    (
        "{{.API.words}} {{.API.map}} {{.API.items}}",
        "[x y z] map[a:1 b:2] [map[n:1 title:A] map[n:2 title:B]]",
    ),
    ("literal \\n stays }} and } {", "literal \\n stays }} and } {"),
    ("{{ .API.name\n}}", "Zoe"),
    ("{{.API.name}}{{/* a\nb */}}", "Zoe"),
    ("{{ (.API.name) }}", "Zoe"),
    ("{{(eq 1 1) | not}}", "false"),
    ("{{with .API.address}}{{range $.API.words}}{{.}}{{end}}{{.city}}{{end}}", "xyzRome"),
    ('{{range .API.items}}{{if eq .title "A"}}first{{else}}{{.title}}{{end}}{{end}}', "firstB"),
    ("{{range $i, $x := .API.items}}{{if $i}}, {{end}}{{$x.title}}{{end}}", "A, B"),
    ("{{range $i,$x:=.API.words}}{{$i}}{{$x}}{{end}}", "0x1y2z"),
    ('{{.API.name|default "x"}}', "Zoe"),
    ("{{if 1 | not}}a{{else}}b{{end}}", "b"),
    ("{{1.}}", "1"),
    ("{{.5}}", "0.5"),
    ("{{+5}}", "5"),
]


def rendered(
    source: str, values: Any = VALUES, *, target: Target = Target.TEXT, strict: bool = False
) -> str:
    return compile_source(source, target=target).render(values, strict=strict)


@pytest.mark.parametrize(("source", "expected"), GO)
def test_renders_what_go_renders(source: str, expected: object) -> None:
    assert rendered(source) == expected


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("[{{.API.missing}}]", "[]"),
        ("[{{.Nothing.at.all}}]", "[]"),
        ("[{{.API.name.x}}]", "[]"),
        ("[{{.API.null}}]", "[]"),
        ("{{range .API.name}}x{{else}}no list{{end}}", "no list"),
        ("{{range .API.one}}x{{end}}", ""),
        ("{{(.API.address).geo.lat}} {{(.API.name).x}}", "41 "),
    ],
)
def test_missing_values_print_nothing(source: str, expected: object) -> None:
    assert rendered(source) == expected


def test_the_bare_unsubscribe_token_is_replaced_anywhere() -> None:
    source = '<a href="__UNSUBSCRIBE_URL__">x</a>__UNSUBSCRIBE_URL__{{.API.name}}'
    expected = '<a href="https://e.org/?a=1&amp;b">x</a>https://e.org/?a=1&amp;bZoe'
    values = VALUES | {"UnsubscribeURL": "https://e.org/?a=1&b"}
    assert rendered(source, values, target=Target.HTML) == expected


def test_an_unsubscribe_token_in_a_value_is_not_replaced() -> None:
    assert rendered("{{.API.x}}", {"API": {"x": "__UNSUBSCRIBE_URL__"}}) == "__UNSUBSCRIBE_URL__"


def test_the_unsubscribe_url_is_found_inside_a_range() -> None:
    assert rendered("{{range .API.words}}{{UnsubscribeURL .}} {{end}}").count("/u/1 ") == 3


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        ("1", 1, False), (1, 1.0, True), (True, 1, False), (False, 0, False), (None, None, True),
        ("", None, False), ([1], [1], False), ({}, {}, False), ("é", "é", True),
        (2**70, 2**70, True),
    ],
)  # fmt: skip
def test_values_of_different_kinds_are_unequal_without_an_error(
    left: object, right: object, expected: object
) -> None:
    values = {"API": {"left": left, "right": right}}
    assert rendered("{{eq .API.left .API.right}}", values) == str(expected).lower()
    assert rendered("{{ne .API.left .API.right}}", values) == str(not expected).lower()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1, "1"), (1.0, "1"), (-0.5, "-0.5"), (1e20, "100000000000000000000"), (1e21, "1e+21"),
        (1234567.0, "1234567"), (1e-7, "1e-07"), (True, "true"), (False, "false"), (None, ""),
        (float("inf"), "+Inf"), (float("-inf"), "-Inf"), (float("nan"), "NaN"),
        (["a", 1, None, [2.0]], "[a 1  [2]]"), ({"b": 1, "a": [True]}, "map[a:[true] b:1]"),
        ((1, 2), "[1 2]"),
    ],
)  # fmt: skip
def test_values_print_as_in_json_or_go(value: object, expected: object) -> None:
    assert rendered("{{.API.x}}", {"API": {"x": value}}) == expected


def test_lists_that_contain_themselves_print_to_a_limited_depth() -> None:
    endless: list[object] = []
    endless.append(endless)
    assert rendered("{{.API.x}}", {"API": {"x": endless}}).startswith("[[[[")


def test_escapes_in_the_text_of_a_template_stay_as_they_are() -> None:
    assert rendered(r"C:\new\table {{.API.name}}\r\n") == r"C:\new\table Zoe\r\n"


def test_a_subject_is_one_line_whatever_the_values_hold() -> None:
    nasty = "a\r\nBcc: x@y.z\x00\x0b\x7f\x85\u2028\u2029\ud800\tb"
    subject = rendered("Hi\n{{.API.x}} <&>", {"API": {"x": nasty}}, target=Target.SUBJECT)
    assert subject == "Hi a  Bcc: x@y.z        b <&>"


def test_text_keeps_values_but_for_control_characters() -> None:
    nasty = "a\r\nb\rc\x00\x08\x0b\x1b\td<&>\"'\ud800"
    assert rendered("{{.API.x}}", {"API": {"x": nasty}}) == "a\nb\nc\td<&>\"'\ufffd"


@pytest.mark.parametrize(
    "source",
    [
        '{{.API.missing | default "friend"}}',
        "{{if .API.missing}}x{{end}}",
        "{{if eq .API.missing 1}}x{{else if .API.lost}}y{{end}}",
        "{{with .API.missing}}x{{end}}",
        "{{and .API.missing 1}}{{or .API.missing 1}}{{not .API.missing}}",
        "{{range .API.missing}}x{{else}}none{{end}}",
        "{{if .API.missing}}{{.API.missing}}{{end}}",
        "{{.API.null}}{{.API.empty}}",
        "{{with .API.address}}{{.city}}{{end}}",
    ],
)
def test_strict_mode_accepts_what_the_template_provides_for(source: str) -> None:
    rendered(source, strict=True)


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("{{.API.missing}}", "API.missing"),
        ("{{$.API.missing}}", "API.missing"),
        ("{{.API.address.street}}", "API.address.street"),
        ("{{.API.name.x}}", "API.name.x"),
        ('{{get .API "first-name"}}', "API.first-name"),
        ("{{with .API.address}}{{.street}}{{end}}", "API.address.street"),
        ("{{range .API.items}}{{.price}}{{end}}", ".price"),
        ("{{range .API.missing}}x{{end}}", "API.missing"),
        ('{{default .API.missing ""}}', "API.missing"),
        ("{{eq .API.missing 1}}", "API.missing"),
        ("{{if .API.yes}}{{.API.missing}}{{end}}", "API.missing"),
    ],
)
def test_strict_mode_names_the_missing_variable(source: str, name: str) -> None:
    with pytest.raises(MissingVariable, match=name):
        rendered(source, strict=True)
    assert rendered(source) in ("", "false")


def test_strict_mode_needs_the_unsubscribe_url_too() -> None:
    with pytest.raises(MissingVariable, match="UnsubscribeURL"):
        rendered("__UNSUBSCRIBE_URL__", {}, strict=True)


def test_variables_are_listed_from_the_root() -> None:
    source = (
        '{{.API.name}}{{$.API.b}}{{get .Subscriber "k"}}{{if .Task.x}}{{end}}{{/* .API.no */}}'
        "{{with .API.address}}{{.city}}{{end}}{{range .API.items}}{{.title}}{{$.API.c}}{{end}}"
        '{{default "x" (get .API "d")}}{{UnsubscribeURL .}}{{$v := .API.e}}{{$v.f}}'
    )
    assert compile_source(source, target=Target.TEXT).variables == (
        "API.address", "API.address.city", "API.b", "API.c", "API.d", "API.e", "API.items",
        "API.name", "Subscriber.k", "Task.x",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{{ UnsubscribeURL . }}", True),
        ("{{UnsubscribeURL}}", True),
        ("{{.UnsubscribeURL}}", True),
        ("x__UNSUBSCRIBE_URL__", True),
        ("{{if .API.x}}__UNSUBSCRIBE_URL__{{end}}", True),
        ("{{/* UnsubscribeURL . */}}", False),
        ("UnsubscribeURL {{.API.UnsubscribeURL}}", False),
    ],
)
def test_a_program_knows_whether_it_places_the_unsubscribe_url(
    source: str, expected: object
) -> None:
    assert compile_source(source, target=Target.HTML).uses_unsubscribe_url is expected


@pytest.mark.parametrize(
    "source",
    [
        "{{.API.x}}",
        "{{range .API.list}}{{$.API.half}}{{end}}",
        "{{range .API.list}}{{range $.API.list}}{{$.API.half}}{{end}}{{end}}",
        "{{.API.half}}" * 20,
        "x" * ((1 << 20) - 13) + "{{.API.half}}",
    ],
)
def test_output_is_capped(source: str) -> None:
    values = {
        "API": {"x": "x" * (1 << 20) + "x", "half": "y" * (1 << 17), "list": [0] * 50, "one": 1}
    }
    with pytest.raises(OutputTooLarge):
        rendered(source, values)


def test_escaping_counts_towards_the_cap() -> None:
    values = {"API": {"x": "<" * (1 << 19)}}
    assert len(rendered("{{.API.x}}", values)) == 1 << 19
    with pytest.raises(OutputTooLarge):
        rendered("{{.API.x}}", values, target=Target.HTML)


@pytest.mark.parametrize(
    "source",
    [
        "{{range .l}}{{range $.l}}{{range $.l}}{{if .x}}{{end}}{{end}}{{end}}{{end}}",
        "{{range .l}}{{range $.l}}{{if or " + ".x " * 500 + "}}{{end}}{{end}}{{end}}",
    ],
)
def test_ranges_that_print_nothing_are_capped_too(source: str) -> None:
    started = time.perf_counter()
    with pytest.raises(OutputTooLarge, match="shorter lists"):
        rendered(source, {"l": [{}] * 1000})
    assert time.perf_counter() - started < 60  # to its end it would take days


def test_rendering_changes_neither_the_values_nor_the_program() -> None:
    values = {"API": {"items": [{"title": "A"}], "map": {"k": "v"}}}
    program = compile_source(
        "{{range $i, $x := .API.items}}{{$x.title}}{{end}}{{range .API.map}}{{.}}{{end}}",
        target=Target.TEXT,
    )
    assert [program.render(values), program.render({}), program.render(values)] == ["Av", "", "Av"]
    assert values == {"API": {"items": [{"title": "A"}], "map": {"k": "v"}}}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ('<a href="{{tracked 3}}https://x/?a={{.API.name}}{{end}}">', "3 https://x/?a=Zoe"),
        ('<a href="{{tracked 3}}{{.UnsubscribeURL}}&amp;x{{end}}">', "3 https://example.com/u/1&amp;x"),
        ("{{range .API.items}}<a href='{{tracked 3}}/{{.n}}{{end}}'>{{end}}", "3 /1|3 /2"),
        ('{{with .API.address}}<a href="{{tracked 4}}{{.city}}{{end}}">{{end}}', "4 Rome"),
    ],
)  # fmt: skip
def test_a_step_is_given_the_url_of_a_link_as_it_stands_in_the_html(
    source: str, expected: str
) -> None:
    given: list[str] = []

    def track(number: int, text: str) -> str:
        given.append(f"{number} {text}")
        return "https://tracked/"

    program = compile_source(source, target=Target.HTML)
    html = program.render(VALUES | {"Tracked": track})
    assert "|".join(given) == expected
    assert html.count("https://tracked/") == len(given)
    untracked = compile_source(
        source.replace("{{tracked 3}}", "{{if true}}").replace("{{tracked 4}}", "{{if true}}"),
        target=Target.HTML,
    )
    assert program.render(VALUES) == untracked.render(VALUES)


def test_the_beginning_that_a_step_gives_to_urls_stands_as_it_is() -> None:
    program = compile_source('<a {{.API.x}}="{{$.Tracking.Link}}/x">', target=Target.HTML)
    values = VALUES | {"Tracking": {"Link": "https://x.example/t"}}
    assert program.render(values) == '<a ="https://x.example/t/x">'
