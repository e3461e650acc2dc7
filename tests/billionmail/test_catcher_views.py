"""The pages of caught mail show everything, run nothing, and only this machine sees them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from pytest_django.fixtures import Settings

from billionmail.catcher import inbox, views

MAIL = (
    b"From: Shop <shop@example.com>\r\nTo: ada@example.com\r\nSubject: Your <b>order</b>\r\n"
    b"Content-Type: text/html; charset=utf-8\r\n\r\n"
    b"<script>alert(1)</script><img src=https://evil.test/x.gif><p>Thanks</p>\r\n"
)
START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def directory(settings: Settings, tmp_path: Path) -> Path:
    settings.MAIL_CATCHER = True
    settings.DATA_DIR = tmp_path
    settings.ALLOWED_HOSTS = ["testserver"]
    return inbox.inbox_directory()


def put(directory: Path, *, content: bytes = MAIL, seconds: int = 0) -> str:
    return inbox.store(
        directory,
        content=content,
        envelope_sender="bounce+1@example.com",
        recipients=["ada@example.com"],
        received_at=START + timedelta(seconds=seconds),
    )


def test_empty_inbox_says_how_to_send_a_first_mail(client: Client, directory: Path) -> None:
    page = client.get("/inbox/").content.decode()
    assert "curl http://testserver/api/batch_mail/api/send" in page


def test_list_shows_the_newest_first(client: Client, directory: Path) -> None:
    older = put(directory)
    newer = put(directory, seconds=1)
    page = client.get("/inbox/").content.decode()
    assert 0 < page.index(newer) < page.index(older)


def test_list_escapes_what_a_mail_says(client: Client, directory: Path) -> None:
    put(directory)
    assert "Your &lt;b&gt;order&lt;/b&gt;" in client.get("/inbox/").content.decode()


def test_list_is_given_to_programs_as_json(client: Client, directory: Path) -> None:
    name = put(directory)
    assert client.get("/inbox/?format=json").json() == [
        {
            "name": name,
            "time": "2026-01-02T03:04:05+00:00",
            "from": "Shop <shop@example.com>",
            "to": ["ada@example.com"],
            "subject": "Your <b>order</b>",
            "envelope_sender": "bounce+1@example.com",
            "size_bytes": len(MAIL),
        }
    ]


def test_long_list_continues_where_it_stopped(client: Client, directory: Path) -> None:
    names = [put(directory, seconds=second) for second in range(views.PAGE_SIZE + 3)]
    page = client.get("/inbox/").content.decode()
    assert f'<a href="?before={names[3]}">3 more</a>' in page
    rest = client.get(f"/inbox/?before={names[3]}&format=json").json()
    assert [mail["name"] for mail in rest] == [names[2], names[1], names[0]]


def test_only_the_newest_mails_refresh_and_only_if_wanted(client: Client, directory: Path) -> None:
    refresh = 'http-equiv="refresh"'
    assert refresh in client.get("/inbox/").content.decode()
    assert refresh not in client.get("/inbox/?live=off").content.decode()
    assert refresh not in client.get(f"/inbox/?before={put(directory)}").content.decode()


@pytest.mark.parametrize(
    ("view", "expected"),
    [
        ("html", '<iframe sandbox="" src="/inbox/{name}/html"'),
        ("text", "no text part"),
        ("headers", '<th scope="row">Subject</th>'),
        ("source", "&lt;script&gt;alert(1)"),
        ("nonsense", '<iframe sandbox=""'),
    ],
)
def test_mail_is_shown_in_every_view(
    client: Client, directory: Path, view: str, expected: str
) -> None:
    name = put(directory)
    page = client.get(f"/inbox/{name}/?view={view}").content.decode()
    assert expected.format(name=name) in page
    assert "&lt;bounce+1@example.com&gt;" in page
    assert "<script" not in page


def test_html_of_a_mail_can_load_and_run_nothing(client: Client, directory: Path) -> None:
    response = client.get(f"/inbox/{put(directory)}/html")
    policy = response.headers["Content-Security-Policy"].split("; ")
    assert {"default-src 'none'", "img-src data:", "sandbox", "form-action 'none'"} <= set(policy)
    assert not any("script" in directive or "http" in directive for directive in policy)
    assert b"<p>Thanks</p>" in response.content


def test_pages_load_nothing_from_elsewhere(client: Client, directory: Path) -> None:
    name = put(directory)
    for address in ("/inbox/", f"/inbox/{name}/"):
        policy = client.get(address).headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; ")
        assert "http" not in policy


def test_source_is_exactly_the_bytes_as_plain_text(client: Client, directory: Path) -> None:
    raw = b"Subject: \xff\x00\r\n\r\n<script>\nbare\r\n"
    response = client.get(f"/inbox/{put(directory, content=raw)}/source")
    assert b"".join(response) == raw
    assert response.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert response.headers["X-Content-Type-Options"] == "nosniff"


def test_long_source_says_that_it_was_cut(client: Client, directory: Path) -> None:
    name = put(directory, content=MAIL + b"x" * views.MAX_SHOWN_BYTES)
    page = client.get(f"/inbox/{name}/?view=source").content.decode()
    assert "only the beginning" in page


@pytest.mark.parametrize("raw", [b"", b"\xff\x00\xfe", b"Content-Type: multipart/mixed\r\n\r\n"])
def test_broken_mail_is_shown_as_it_came(client: Client, directory: Path, raw: bytes) -> None:
    name = put(directory, content=raw)
    assert client.get("/inbox/").status_code == 200
    for view in views.TABS:
        assert client.get(f"/inbox/{name}/?view={view}").status_code == 200


@pytest.mark.parametrize(
    "name",
    ["..", "%2e%2e%2fsecrets.env", "secrets.env", "20260102T030405.000000Z-00000000", "x\u0663"],
)
@pytest.mark.parametrize("page", ["", "html", "source"])
def test_name_of_no_caught_mail_is_not_found(
    client: Client, directory: Path, name: str, page: str
) -> None:
    put(directory)
    (directory / "secrets.env.eml").touch()
    assert client.get(f"/inbox/{name}/{page}").status_code == 404


def test_mail_without_html_has_no_frame_to_serve(client: Client, directory: Path) -> None:
    name = put(directory, content=b"Subject: Hi\r\n\r\nHello")
    assert client.get(f"/inbox/{name}/html").status_code == 404
    assert "<iframe" not in client.get(f"/inbox/{name}/").content.decode()


def test_mail_deleted_while_listing_is_left_out(client: Client, directory: Path) -> None:
    name = put(directory)
    (directory / f"{name}.eml").unlink()
    (directory / f"{name}.eml").symlink_to("nowhere")
    assert client.get("/inbox/?format=json").json() == []


def test_clearing_deletes_everything(client: Client, directory: Path) -> None:
    name = put(directory)
    response = client.post("/inbox/clear")
    assert (response.status_code, response.headers["Location"]) == (302, "/inbox/")
    assert list(directory.iterdir()) == []
    assert client.get(f"/inbox/{name}/").status_code == 404


def test_clearing_needs_the_token_of_the_page(directory: Path) -> None:
    put(directory)
    client = Client(enforce_csrf_checks=True)
    assert client.post("/inbox/clear").status_code == 403
    client.get("/inbox/")
    token = client.cookies["csrftoken"].value
    assert client.post("/inbox/clear", {"csrfmiddlewaretoken": token}).status_code == 302


def test_reading_the_address_of_clearing_deletes_nothing(client: Client, directory: Path) -> None:
    put(directory)
    assert client.get("/inbox/clear").status_code == 405
    assert len(inbox.names(directory)) == 1


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"])
def test_this_machine_sees_the_pages(client: Client, directory: Path, address: str) -> None:
    assert client.get("/inbox/", REMOTE_ADDR=address).status_code == 200


@pytest.mark.parametrize(
    "meta",
    [
        {"REMOTE_ADDR": "192.0.2.1"},
        {"REMOTE_ADDR": ""},
        {"REMOTE_ADDR": "::ffff:192.0.2.1"},
        {"HTTP_X_FORWARDED_FOR": "127.0.0.1"},
        {"HTTP_FORWARDED": "for=127.0.0.1"},
    ],
)
@pytest.mark.parametrize("page", ["", "{name}/", "{name}/html", "{name}/source", "clear"])
def test_nobody_else_sees_the_pages(directory: Path, meta: dict[str, Any], page: str) -> None:
    name = put(directory)
    method = "POST" if page == "clear" else "GET"
    address = f"/inbox/{page.format(name=name)}"
    assert Client(**meta).generic(method, address).status_code == 404
    assert inbox.names(directory) == [name]


def test_pages_vanish_when_the_catcher_is_off(
    client: Client, directory: Path, settings: Settings
) -> None:
    settings.MAIL_CATCHER = False
    assert client.get("/inbox/").status_code == 404
