"""A tracked mail differs from an untracked one in its links and a picture, and nothing else."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.conf import settings as django_settings
from hypothesis import HealthCheck, assume, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from sending.delivery.assembly import assemble
from sending.errors import SendingError
from sending.mime import build
from sending.models import Message, TemplateVersion
from sending.outgoing import Woven
from tests.factories.sending import MessageFactory, SenderDomainFactory, TemplateFactory
from tests.tracking.test_scanner import FRAGMENTS, OUTLOOK
from tracking import links
from tracking.links import links_of
from tracking.models import TrackedLink
from tracking.scanner import destination
from tracking.tokens import Click, read_click, read_message

LINK = re.compile(r"http://testserver/t/c/([\w-]+)")
PIXEL = re.compile(r'<img src="http://testserver/t/o/([\w-]+)\.gif"[^>]*>')

pytestmark = pytest.mark.django_db


def message_of(html: str, *, opens: bool = False, clicks: bool = True, **fields: Any) -> Message:
    template = TemplateFactory.create(version__html=html)
    fields = {"track_opens": opens, "track_clicks": clicks} | fields
    return MessageFactory.create(template_version=template.current_version, **fields)


def html_of(html: str, **fields: Any) -> str:
    return str(assemble(message_of(html, **fields), domain=None).html)


def clicks_in(html: str, settings: Any) -> list[Click | None]:
    return [read_click(token, keys=settings.SIGNING_KEYS) for token in LINK.findall(html)]


def test_links_lead_through_us_and_say_where_to(settings: Any) -> None:
    message = message_of('<a href="https://x.example/?a=1&amp;b=2">x</a> <a href="#top">y</a>')
    html = str(assemble(message, domain=None).html)
    assert clicks_in(html, settings) == [Click(message.id, 1, "https://x.example/?a=1&b=2")]
    assert html.endswith('">x</a> <a href="#top">y</a>')


def test_the_pixel_stands_before_the_end_of_the_body(settings: Any) -> None:
    message = message_of("<html><body><p>x</p></body></html>", opens=True)
    html = str(assemble(message, domain=None).html)
    (token,) = PIXEL.findall(html)
    assert read_message(token, keys=settings.SIGNING_KEYS) == message.id
    assert PIXEL.sub("", html) == "<html><body><p>x</p></body></html>"
    assert html.endswith("></body></html>")


@pytest.mark.parametrize("html", [OUTLOOK, "<p>{{.API.name}}</p>"])
def test_an_untracked_mail_is_the_same_octet_by_octet(html: str, settings: Any) -> None:
    settings.MESSAGE_STEPS = ["unsubscribe.headers.add_list_unsubscribe"]
    message = message_of(html, clicks=False, has_unsubscribe_link=True)
    with_step = build(assemble(message, domain=None))
    assert b"/t/" not in with_step
    assert html_of("<p>{{.API.name}}</p>", clicks=False) == "<p>Ann</p>"


def test_a_text_is_left_alone() -> None:
    message = message_of('<a href="https://x.example/">shop</a>', opens=True)
    assert assemble(message, domain=None).text == "shop (https://x.example/)"


def test_neither_the_way_out_nor_a_marked_link_is_tracked() -> None:
    html = html_of(
        '<body><a href="{{UnsubscribeURL .}}">1</a><a href="__UNSUBSCRIBE_URL__">2</a>'
        '<a data-notrack href="https://x.example/">3</a></body>',
        has_unsubscribe_link=True,
    )
    assert not LINK.search(html)
    assert html.count("/u/") == 2
    assert not LINK.search(html_of("<body>x</body>", has_unsubscribe_link=True))


@pytest.mark.parametrize(
    ("html", "attribs", "urls"),
    [
        ('<a href="{{.API.u}}">x</a>', {"u": "https://x.example/?a=1&b=2"}, ["https://x.example/?a=1&b=2"]),
        ('<a href="{{.API.u}}">x</a>', {"u": "mailto:ann@x.example"}, []),
        ('<a href="{{.API.u}}">x</a>', {"u": "javascript:alert(1)"}, []),
        ('<a href="{{.API.u}}">x</a>', {}, []),
        ("<a href={{.API.u}}>x</a>", {"u": "https://x.example/a b"}, ["https://x.example/a b"]),
        ('<a href="https://x.example/{{.API.u}}">x</a>', {"u": "ü&y"}, ["https://x.example/ü&y"]),
        ('{{with .API.u}}<a href="{{.}}/1">x</a>{{end}}', {"u": "https://x.example"},
         ["https://x.example/1"]),
        ('{{$a := .API.u}}<a href="{{$a}}">x</a>', {"u": "https://x.example"}, ["https://x.example"]),
        ('<a href="{{if .API.u}}https://a.example{{else}}https://b.example{{end}}">x</a>', {},
         ["https://b.example"]),
    ],
)  # fmt: skip
def test_a_url_with_values_leads_where_it_would_have_led(
    html: str, attribs: dict[str, str], urls: list[str], settings: Any
) -> None:
    message = message_of(html, attribs=attribs)
    tracked = str(assemble(message, domain=None).html)
    assert clicks_in(tracked, settings) == [Click(message.id, 1, url) for url in urls]
    if not urls:
        assert tracked == html_of(html, attribs=attribs, clicks=False)


def test_links_are_right_where_branches_leave_the_markup_unclear(settings: Any) -> None:
    unclear = "".join(
        f"{{{{if .API.x{n}}}}}<p data-{n}={{{{else}}}}<b c{n}='{{{{end}}}}" for n in range(6)
    )
    message = message_of(f"{unclear}'><a href='https://x.example/'>x</a>", attribs={})
    html = str(assemble(message, domain=None).html)
    assert [click.url for click in clicks_in(html, settings)] == ["https://x.example/"]


@pytest.mark.parametrize(
    ("domain", "public_url", "expected"),
    [
        ("", "https://mail.example.com", "https://mail.example.com/t/"),
        ("links.example.com", "https://mail.example.com", "https://links.example.com/t/"),
        ("links.example.com", "http://127.0.0.1:8000", "http://links.example.com:8000/t/"),
        ("links.example.com", "https://example.com/mail", "https://links.example.com/mail/t/"),
    ],
)
def test_links_stand_under_the_tracking_domain_of_the_sender(
    domain: str, public_url: str, expected: str, settings: Any
) -> None:
    settings.PUBLIC_URL = public_url
    sender = SenderDomainFactory.create(domain="sender.example", tracking_domain=domain)
    message = message_of('<a href="https://x.example/">x</a>', opens=True)
    html = str(assemble(message, domain=sender).html)
    assert re.findall(r'(?:src|href)="(.+?/t/)[oc]/', html) == [expected] * 2


def test_messages_of_a_version_share_all_but_one_text_of_their_links() -> None:
    html = '<a href="https://x.example/1">x</a><a href="https://x.example/2">y</a>'
    first = message_of(html)
    second = MessageFactory.create(
        template_version=first.template_version,
        track_clicks=True,
        profile=first.api_key.sending_profile,
    )
    one, two = (assemble(message, domain=None).html for message in (first, second))
    assert isinstance(one, Woven)
    assert isinstance(two, Woven)
    assert one.form is two.form
    assert len(set(one.own)) == 1


@pytest.mark.parametrize(("limit", "value"), [("MAX_HTML", 200), ("MAX_BRACES", 2)])
def test_a_template_too_large_to_be_tracked_is_sent_as_it_is(
    limit: str, value: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(links, limit, value)
    html = '<a href="https://x.example/">x</a>' * 3 + f"<!-- {limit} -->"
    assert html_of(html) == html


def test_the_links_of_a_version_have_rows_that_are_made_once() -> None:
    template = TemplateFactory.create(
        version__html='<a href="https://x.example/?a=1&amp;b">x</a><a href="#">y</a>'
        '<a href="{{.API.u}}">z</a>'
    )
    version = template.current_version
    rows = links_of(version)
    assert [(row.position, row.url) for row in rows] == [
        (1, "https://x.example/?a=1&amp;b"),
        (2, "{{.API.u}}"),
    ]
    assert links_of(version) == rows
    assert TrackedLink.objects.count() == 2


# Neither is stored: what is wanted of them is how they are made.
VERSION = TemplateVersion(pk=1, subject="x")
VALUES = {"x": "a\"'<&", "u": "https://v.example/?a=1&b=2", "m": "mailto:x@x.example"}
NASTY = [
    *FRAGMENTS, '<a href="https://x.example/?a&amp;b">', "<a class=b href='{{.API.u}}'>", "</a>",
    '<v:rect href="https://y.example/">', '<a href="{{.API.m}}">', "{{if .API.x}}", "{{end}}",
    "<a href={{.API.u}} >", "{{- .API.x -}}", "</body>", "<!-- </body> -->", "&nbsp;", "ü", "{",
    '<a href="https://x.example/{{.API.x}}" >', "{{else}}", "\r\n",
]  # fmt: skip


def rendered(html: str, *, tracked: bool) -> str:
    VERSION.html, VERSION.text = html, "x"
    message = MessageFactory.build(
        api_key=None,
        profile=None,
        template_version=VERSION,
        sender_address="a@x.example",
        sender_name="",
        attribs=VALUES,
        track_clicks=tracked,
        track_opens=tracked,
    )
    return str(assemble(message, domain=None).html)


@given(st.lists(st.sampled_from(NASTY), max_size=25).map("".join))
@example('<a href="</body><a href={{.API.u}} >')
@example('{{"</body>href="}}')
@hypothesis_settings(max_examples=300, suppress_health_check=list(HealthCheck), deadline=None)
def test_html_outside_the_links_is_identical_whatever_it_is(html: str) -> None:
    try:
        untracked = rendered(html, tracked=False)
    except SendingError:
        assume(False)
    tracked = rendered(html, tracked=True)
    pieces = LINK.split(PIXEL.sub("", tracked))
    position = len(pieces[0])
    assert untracked[:position] == pieces[0]
    for token, piece in zip(pieces[1::2], pieces[2::2], strict=True):
        click = read_click(token, keys=django_settings.SIGNING_KEYS)
        assert click is not None
        position = next(
            end + len(piece)
            for end in range(position + 1, len(untracked) + 1)
            if destination(untracked[position:end]) == click.url
            and untracked.startswith(piece, end)
        )
    assert position == len(untracked)
