"""Pixel and links are answered from the token alone, and every hit is written down first."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.http import HttpResponse
from django.http.response import ResponseHeaders
from django.test import Client
from django.test.client import ClientHandler

from sending.signing import from_text
from tracking import tokens
from tracking.hits import GIF, Record
from tracking.spool import records
from tracking.wsgi import WithHits

VERSION = b"sixbyt"
URL = "https://shop.example/pä?a=1&b=2"


@pytest.fixture
def token(settings: Any) -> str:
    return tokens.sign_message(uuid4(), VERSION, key=settings.SIGNING_KEYS[0]).token


@pytest.fixture
def link(token: str, settings: Any) -> str:
    return token + tokens.shared_link(3, URL, VERSION, key=settings.SIGNING_KEYS[0])


def spooled(home: Path) -> list[Record]:
    octets = b"".join(path.read_bytes() for path in sorted(home.glob("*.hits")))
    return [Record.decoded(record) for _, record in records(octets)]


def message_of(token: str) -> UUID:
    return UUID(bytes=from_text(token)[2:18])


class Wsgi(Client):
    """A client of the application that WSGI servers serve, which answers before Django does."""

    class Handler(ClientHandler):
        def get_response(self, request: Any) -> Any:
            begun: list[Any] = []
            application = WithHits(lambda *_: [])
            chunks = application(request.environ, lambda *head: begun.extend(head))
            if not begun:  # left to Django
                return super().get_response(request)
            answer = HttpResponse(b"".join(chunks), status=int(begun[0].split()[0]))
            answer.headers = ResponseHeaders(dict(begun[1]))
            answer.wsgi_request = request  # type: ignore[attr-defined]
            return answer

    def __init__(self, **defaults: Any) -> None:
        super().__init__(**defaults)
        self.handler = self.Handler(enforce_csrf_checks=True)


@pytest.fixture(params=[Client, Wsgi], ids=["django", "wsgi"])
def client_class(request: pytest.FixtureRequest) -> Callable[..., Client]:
    return request.param


# No fixture asks for the database: whoever did would fail the test.


def test_the_pixel_is_a_picture_that_nobody_keeps(
    token: str, home: Path, client_class: Callable[..., Client]
) -> None:
    answer = client_class().get(f"/t/o/{token}.gif")
    assert (answer.status_code, answer.content) == (200, GIF)
    assert answer["Content-Type"] == "image/gif"
    assert answer["Content-Length"] == str(len(GIF))
    assert "no-store" in answer["Cache-Control"]
    assert not answer.cookies
    assert not hasattr(answer.wsgi_request, "session")
    assert "Cookie" not in answer.get("Vary", "")


def test_a_link_leads_to_where_the_template_says(
    link: str, home: Path, client_class: Callable[..., Client]
) -> None:
    answer = client_class().get(f"/t/c/{link}?url=https://evil.example/")
    assert answer.status_code == 302
    assert answer["Location"] == "https://shop.example/p%C3%A4?a=1&b=2"
    assert "no-store" in answer["Cache-Control"]
    assert answer["Referrer-Policy"] == "no-referrer"
    assert answer.content == b""


def test_what_is_known_of_a_hit_is_written_down(
    token: str, link: str, home: Path, client_class: Callable[..., Client]
) -> None:
    told = {"User-Agent": "Mail/1", "Accept": "image/*", "Sec-Purpose": "prefetch"}
    client = client_class(headers=told, REMOTE_ADDR="192.0.2.7")
    client.get(f"/t/o/{token}.gif")
    client.head(f"/t/c/{link}")
    opened, clicked = spooled(home)
    assert (opened.message_id, opened.link, opened.method) == (message_of(token), 0, "GET")
    assert (clicked.message_id, clicked.link, clicked.method) == (message_of(token), 3, "HEAD")
    assert (opened.ip, opened.user_agent, opened.has_accept) == ("192.0.2.7", "Mail/1", True)
    assert opened.purpose == "prefetch"
    assert opened.at <= clicked.at


def test_a_hit_of_which_nothing_is_known_is_written_down_too(
    token: str, home: Path, client_class: Callable[..., Client]
) -> None:
    client_class(REMOTE_ADDR="").get(f"/t/o/{token}.gif")
    client_class(headers={"User-Agent": "x" * 5000 + "\0"}).get(f"/t/o/{token}.gif")
    bare, long = spooled(home)
    assert (bare.ip, bare.user_agent, bare.has_accept, bare.purpose) == ("", "", False, "")
    assert len(long.user_agent) == 500


@pytest.mark.parametrize("forged", ["x", "A" * 48, "A" * 200, "ü"])
def test_a_forged_token_gets_the_picture_or_a_plain_404_and_counts_nothing(
    forged: str, home: Path, client_class: Callable[..., Client]
) -> None:
    client = client_class()
    picture, page = client.get(f"/t/o/{forged}.gif"), client.get(f"/t/c/{forged}")
    assert (picture.status_code, picture.content) == (200, GIF)
    assert page.status_code == 404
    assert page["Content-Type"].startswith("text/plain")
    assert "Location" not in page
    assert spooled(home) == []


@pytest.mark.parametrize("method", ["post", "put", "delete", "options", "patch"])
def test_nothing_but_get_and_head_is_answered(
    method: str, token: str, link: str, home: Path, client_class: Callable[..., Client]
) -> None:
    for path in (f"/t/o/{token}.gif", f"/t/c/{link}"):
        assert getattr(client_class(), method)(path).status_code == 405
    assert spooled(home) == []


def test_tracking_domains_reach_the_pixel_and_the_links_but_nothing_else(
    token: str, link: str, home: Path, client_class: Callable[..., Client]
) -> None:
    client = client_class(headers={"Host": "links.example.com"})
    assert client.get(f"/t/o/{token}.gif").status_code == 200
    assert client.get(f"/t/c/{link}").status_code == 302
    assert client.get("/admin/login/").status_code == 400
    assert client.get("/healthz").status_code == 400


def test_a_full_disk_keeps_nobody_from_the_answer(
    token: str, link: str, home: Path, tmp_path: Path, client_class: Callable[..., Client]
) -> None:
    home.write_text("a file stands in the way of the spool")
    assert client_class().get(f"/t/o/{token}.gif").content == GIF
    assert client_class().get(f"/t/c/{link}").status_code == 302


def test_what_is_no_address_of_ours_is_not_found(
    home: Path, client_class: Callable[..., Client]
) -> None:
    for path in ("/t/", "/t/x", "/t/o/", "/t/o/a/b.gif"):
        assert client_class().get(path).status_code == 404
