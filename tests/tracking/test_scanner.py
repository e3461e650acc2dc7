"""Links are found where a mail program sees them, in one pass; nothing else is touched."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracking.scanner import destination, find_links

OUTLOOK = """<!doctype html><html xmlns:v="urn:schemas-microsoft-com:vml">
<head><title><a href="https://title.example/"></title>
<style>a[href="https://style.example/"] { color: red }</style>
<!--[if gte mso 9]><xml><o:AllowPNG/></xml><![endif]--></head>
<body><!-- <a href="https://comment.example/"> -->
<!--[if mso]><v:roundrect href="https://vml.example/?a=1&amp;b=2" arcsize="8%"><![endif]-->
<![if !mso]><a class='b' HREF='https://other.example/'>x</a><![endif]>
<!--[if !mso]><!--><a href=https://unquoted.example/x>y</a><!--<![endif]-->
2 < 3 &nbsp; <map><area shape="rect" href="https://area.example"></map>
{{if .API.x}}<a data-x="a>b" href=" https://inside.example/&#x2f;y ">z</a>{{end}}
<script>document.write('<a href="https://script.example/">')</script></body></html>"""


def urls(html: str) -> list[str | None]:
    return [link.url for link in find_links(html)]


def test_links_are_found_for_every_program_and_nowhere_else() -> None:
    assert urls(OUTLOOK) == [
        "https://vml.example/?a=1&b=2",
        "https://other.example/",
        "https://unquoted.example/x",
        "https://area.example",
        "https://inside.example//y",
    ]


@pytest.mark.parametrize(
    "href",
    [
        "mailto:ann@x.example", "tel:+4912345", "#top", "", "/relative", "page.html",
        "//x.example/", "javascript:alert(1)", "data:text/html,x", "sms:1", "cid:x",
        "ftp://x.example/", "https:", "https://", "https:///x", "http:\\\\x.example",
        "{{ UnsubscribeURL . }}",
        "{{UnsubscribeURL .}}&x=1", "__UNSUBSCRIBE_URL__", "#{{.API.x}}", "mailto:{{.API.x}}",
        "/{{.API.x}}", "https://x.example/" + "x" * 1500, "{{- .API.url}}", "{{.API.url -}}",
        "x{{if .API.x}}", "{{end}}x", "{{else}}",
    ],
)  # fmt: skip
def test_what_leads_to_no_page_and_the_way_out_are_left_alone(href: str) -> None:
    assert find_links(f'<a href="{href}">x</a>') == []


@pytest.mark.parametrize(
    "tag",
    [
        '<a data-notrack href="https://x.example/">',
        '<a href="https://x.example/" DATA-NOTRACK="yes">',
        '<link href="https://x.example/">',
        '<base href="https://x.example/">',
        '<img src="https://x.example/">',
        '<abbr href="https://x.example/">',
        '<a data-href="https://x.example/">',
        "<a href>",
        '< a href="https://x.example/">',
        '</a href="https://x.example/">',
        '<a href="https://x.example/',
        "<!-- <a href=https://x.example/>",
        "<textarea><a href=https://x.example/>",
    ],
)
def test_other_tags_and_marked_ones_are_left_alone(tag: str) -> None:
    assert find_links(tag) == []


@pytest.mark.parametrize(
    "value",
    [
        "https://x.example/?u={{.API.id}}",
        "{{.API.url}}",
        '{{default "https://x.example/\\">}}" .API.url}}',
        'https://x.example/{{`}}">`}}',
        '{{/* }} " */}}https://x.example/',
        "{{if .API.pro}}https://x.example/{{else}}https://y.example/{{end}}",
        "https://{{.API.host}}/",
    ],
)
def test_a_url_with_values_is_found_whole(value: str) -> None:
    html = (
        f'<p title="{{{{.API.x}}}}"><a {{{{if .API.y}}}}class="b"{{{{end}}}} href="{value}">x</a>'
    )
    (link,) = find_links(html)
    assert (link.source, link.url) == (value, None)
    assert html[link.start : link.end] == value


def test_a_destination_is_what_a_browser_would_open() -> None:
    assert (
        destination(" HTTPS://X.example/a\n b?x=1&amp;y=&quot; ") == 'HTTPS://X.example/a b?x=1&y="'
    )
    assert destination("https://x.example/\x07x") is None
    assert destination("https://x.example/\ud800") is None
    assert destination("https://ü.example/") == "https://ü.example/"


FRAGMENTS = [
    "<a", "<a ", ">", "href=", 'href="', "href='", '"', "'", "<!--", "-->", "<!--[if mso]>",
    "<![endif]-->", "<style>", "</style>", "<script", "{{", "}}", "{{.API.x}}", '{{"', "{{/*", "*/",
    "`", "\\", "=", "/", " ", "\n", "https://x.example/", "&amp;", "<", "</", "x", "data-notrack",
]  # fmt: skip


@given(st.lists(st.sampled_from(FRAGMENTS), max_size=60).map("".join))
def test_whatever_the_markup_links_stand_apart_and_in_order(html: str) -> None:
    position = 0
    for link in find_links(html):
        assert position < link.start < link.end <= len(html)
        assert html[link.start : link.end] == link.source
        position = link.end


@pytest.mark.parametrize("fragment", [*FRAGMENTS, "<a <a ", '<a x="', "{{/*", '{{"x'])
def test_a_megabyte_of_anything_is_read_in_one_pass(fragment: str) -> None:
    # A scanner that goes back needs minutes for one of these.
    find_links(fragment * (1_000_000 // len(fragment)))
