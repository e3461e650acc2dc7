"""Values stay values wherever in HTML they stand; html.parser is the judge."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sending.rendering import Target, compile_source

NASTY = st.text(
    alphabet=st.one_of(
        st.sampled_from("<>&\"'`= \t\n\r\x00\x0b/;:#-!javscriptonx"),
        st.characters(exclude_categories=()),
    ),
    max_size=40,
)
HOSTILE_URLS = [
    "javascript:alert(1)", "JaVaScRiPt:alert(1)", " javascript:alert(1)", "\tjavascript:alert(1)",
    "java\nscript:alert(1)", "java\tscript:alert(1)", "java\x00script:alert(1)",
    "\x01javascript:alert(1)",
    "javascript :alert(1)", "\xa0javascript:x", "\u2028javascript:x", "vbscript:x",
    "data:text/html,<b>", "file:///etc/passwd",
    "javascript&colon;alert(1)", "blob:x", "jar:x", "x:y", ":x", "ftp://x", "about:blank",
    "javascript", "\x7fjavascript:x",
]  # fmt: skip
GOOD_URLS = [
    "https://example.com/a?b=1&c=2#d", "HTTP://example.com", "mailto:a@b.c", "tel:+123", "/path",
    "path/a:b",
    "?q=a:b", "#top", "//example.com", "", "page.html",
]  # fmt: skip


class Events(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, list[tuple[str, str | None]]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, attrs))

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_comment(self, data: str) -> None:
        self.tags.append(("comment", [(data, None)]))


def events(html: str) -> Events:
    parser = Events()
    parser.feed(html)
    parser.close()
    return parser


def rendered(source: str, value: str, **more: object) -> str:
    return compile_source(source, target=Target.HTML).render({"x": value, **more})


def cleaned(value: str) -> str:
    """Say what must arrive of a value."""
    value = value.replace("\r\n", "\n").replace("\r", "\n")
    value = "".join(c for c in value if c >= " " or c in "\t\n")
    return "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in value)


@given(NASTY)
def test_a_value_in_text_stays_text(value: str) -> None:
    parsed = events(rendered("<p>[{{.x}}]</p>", value))
    assert (parsed.tags, parsed.text) == ([("p", [])], f"[{cleaned(value)}]")


@given(NASTY, st.sampled_from(['"', "'"]))
def test_a_value_in_a_quoted_attribute_stays_there(value: str, quote: str) -> None:
    parsed = events(rendered(f"<p title={quote}[{{{{.x}}}}]{quote} id=i>t</p>", value))
    assert parsed.tags == [("p", [("title", f"[{cleaned(value)}]"), ("id", "i")])]
    assert parsed.text == "t"


@given(NASTY)
def test_a_value_in_an_unquoted_attribute_stays_there(value: str) -> None:
    parsed = events(rendered("<p title={{.x}} lang=a{{.x}}b id=i>t</p>", value))
    whole = cleaned(value).replace("\x85", " ")  # HTML has no reference for NEL
    assert parsed.tags == [("p", [("title", whole or " "), ("lang", f"a{whole}b"), ("id", "i")])]


@given(NASTY)
def test_a_value_in_a_comment_does_not_end_it(value: str) -> None:
    parsed = events(rendered("<!-- {{.x}} --><p>t</p>", value))
    assert [tag for tag, _ in parsed.tags] == ["comment", "p"]


@given(NASTY)
def test_a_value_inside_a_tag_adds_no_attribute_with_a_value(value: str) -> None:
    parsed = events(rendered("<p {{.x}} class=c>t</p>", value))
    ((tag, attributes),) = parsed.tags
    assert tag == "p"
    assert [(name, given) for name, given in attributes if given is not None] == [("class", "c")]
    assert parsed.text == "t"


@given(NASTY)
def test_a_value_in_a_script_stays_a_string(value: str) -> None:
    html = rendered('<script type="application/ld+json">{"a": "{{.x}}"}</script>', value)
    parsed = events(html)
    assert [tag for tag, _ in parsed.tags] == ["script"]
    assert json.loads(parsed.text) == {"a": cleaned(value)}


@given(NASTY)
def test_a_value_in_a_style_sheet_ends_neither_the_rule_nor_the_sheet(value: str) -> None:
    parsed = events(rendered("<style>p{color:{{.x}}}</style><i>t</i>", value))
    assert [tag for tag, _ in parsed.tags] == ["style", "i"]
    inner = parsed.text.removeprefix("p{color:").removesuffix("}t")
    assert not set(inner) & set("<>{};\"'()@*`")


@pytest.mark.parametrize("url", HOSTILE_URLS)
@pytest.mark.parametrize(
    "source",
    [
        '<a href="{{.x}}">', "<a href='{{.x}}'>", "<a href={{.x}}>", '<a HREF = " {{.x}}">',
        '<img src="{{.x}}">',
        '<form action="{{.x}}">', '<td background="{{.x}}">', '<v:roundrect xlink:href="{{.x}}">',
        '<!--[if mso]><a href="{{.x}}"><![endif]-->', '<a href="{{if .x}}{{.x}}{{else}}y{{end}}">',
        '<a href="{{with .x}}{{.}}{{end}}">', '<a\nclass="a>b"\nhref="{{.x}}">', "<a/href={{.x}}/>",
        '<a href="{{if .n}}https://e.org/{{end}}{{.x}}">', '{{range .l}}<a href="{{$.x}}">{{end}}',
    ],
)  # fmt: skip
def test_a_url_with_another_scheme_becomes_a_hash(source: str, url: str) -> None:
    html = rendered(source, url, n=0, l=[1])
    if "&colon;" in url:  # a word with a reference, spelled out
        assert "&amp;colon;" in html
        return
    assert "#" in html
    assert "script" not in html.lower()
    assert url.strip() not in html


@pytest.mark.parametrize("url", GOOD_URLS)
def test_web_mail_telephone_and_relative_urls_pass(url: str) -> None:
    assert events(rendered('<a href="{{.x}}">', url)).tags == [("a", [("href", url)])]


@pytest.mark.parametrize(
    ("source", "values"),
    [
        ('<a href="{{.a}}{{.b}}">', {"a": "java", "b": "script:alert(1)"}),
        ('<a href="{{.a}}{{.b}}">', {"a": "", "b": "javascript:alert(1)"}),
        ('<a href="java{{.b}}">', {"b": "script:alert(1)"}),
        ("<a href={{.a}}{{.b}}>", {"a": "javascript", "b": ":alert(1)"}),
        ('<a href="{{range .l}}{{.}}{{end}}">', {"l": list("javascript:alert(1)")}),
        ('<a href="{{.a}}://x">', {"a": "javascript"}),
    ],
)
def test_a_scheme_cannot_be_put_together_from_pieces(source: str, values: Any) -> None:
    html = compile_source(source, target=Target.HTML).render(values)
    ((_, attributes),) = events(html).tags
    assert not (attributes[0][1] or "").replace(" ", "").lower().startswith("javascript:")


def test_the_rest_of_a_url_is_only_escaped() -> None:
    html = rendered('<a href="https://e.org/?a={{.x}}">', 'b:c&d="e"')
    assert html == '<a href="https://e.org/?a=b:c&amp;d=&#34;e&#34;">'


@pytest.mark.parametrize(
    ("source", "value", "expected"),
    [
        ("<p onclick=\"f('{{.x}}')\">", "');g('",
         "<p onclick=\"f('\\u0027\\u0029\\u003bg\\u0028\\u0027')\">"),
        ('<p style="color:{{.x}}">', "red;position:fixed",
         '<p style="color:red\\3b position:fixed">'),
        ('<p style="background:url({{.x}})">', "https://e.org/a?b&c",
         '<p style="background:url(https://e.org/a?b&amp;c)">'),
        ('<iframe srcdoc="{{.x}}">', "<b>", '<iframe srcdoc="&amp;lt;b&amp;gt;">'),
        ('<p {{.x}}="{{.x}}">', "on click=", '<p onclick="onclick">'),
        ("<{{.x}}>", "b onclick=f()", "<bonclickf>"),
        ("<title>{{.x}}</title>", "</title><b>", "<title>&lt;/title&gt;&lt;b&gt;</title>"),
        ("<script>x={{.x}}</script>", "f()", "<script>x=f\\u0028\\u0029</script>"),
        ("<script>'{{.x}}'</script>", "😀", "<script>'\\ud83d\\ude00'</script>"),
        ("<td{{if .n}} a=b{{end}}>{{.x}}", "a b=", "<td>a b="),
        ("<td a={{if .n}}'{{end}}{{.x}}", "a 'b", "<td a=a&#32;&#39;b"),
        ("<p>a < b {{.x}} > c</p>", "a b", "<p>a < b a b > c</p>"),
        ("<!-->{{.x}}", "a b", "<!-->a b"),
        ("<!DOCTYPE {{.x}}>{{.x}}", ">", "<!DOCTYPE &gt;>&gt;"),
        ("<!--[if !mso]><!--><a title={{.x}}>", "a b", "<!--[if !mso]><!--><a title=a&#32;b>"),
        ("<a b=c/>{{.x}}</a >{{.x}}", "a b", "<a b=c/>a b</a >a b"),
    ],
)  # fmt: skip
def test_values_are_escaped_by_place(source: str, value: str, expected: object) -> None:
    assert rendered(source, value, n=0) == expected


def test_text_of_the_template_is_left_alone() -> None:
    source = "<p title='a\"&b' x=y>&nbsp;<!--[if mso]>&<![endif]--></p>\x00\r\n<script>a<b</script>"
    assert rendered(source, "") == source


def test_literals_are_escaped_like_values() -> None:
    assert rendered('{{"<b>"}}{{.y | default "<i>"}}', "") == "&lt;b&gt;&lt;i&gt;"
