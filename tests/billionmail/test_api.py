"""Callers of /api/ meet one envelope, whatever goes wrong."""

from __future__ import annotations

import io
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.test import Client
from rest_framework.exceptions import ParseError

from billionmail.api import MAX_DEPTH, parse_object
from sending import commands
from tests.factories.apikeys import key_with_secret

SEND = "/api/batch_mail/api/send"


def test_an_object_is_read_as_it_is() -> None:
    assert parse_object('{"a": [1, "ü", null, true, {"b": 1.5}]}'.encode()) == {
        "a": [1, "ü", None, True, {"b": 1.5}]
    }


def test_nesting_is_read_up_to_the_limit_and_refused_beyond() -> None:
    def nested(levels: int) -> bytes:
        return b'{"a":' * levels + b"1" + b"}" * levels

    assert parse_object(nested(MAX_DEPTH))
    with pytest.raises(ParseError, match="nested deeper than 20"):
        parse_object(nested(MAX_DEPTH + 1))


@pytest.mark.parametrize(
    ("raw", "tells"),
    [
        (b"{", "line 1, column 2"),
        (b'{"a": 1, "a": 2}', "the key 'a' twice"),
        (b'{"a": {"b": 1, "b": 2}}', "the key 'b' twice"),
        (b'{"a": Infinity}', "Infinity"),
        (b'{"a\\u0000": 1}', "NUL"),
        (b'{"a": "\\udc00"}', "lone surrogate"),
        (b'{"a": 1e999}', "the number 1e999, which is too large"),
        (b'{"a": [-1e999]}', "the number -1e999"),
        (b'{"a": ' + b"9" * 5000 + b"}", "an integer of 5000 characters; send"),
        (b'\xef\xbb\xbf{"a": 1}', "begins with a byte order mark"),
        (b"\xff", "not UTF-8"),
        (b"[1]", "must be a JSON object"),
    ],
)
def test_a_refused_body_is_told_why(raw: bytes, tells: str) -> None:
    with pytest.raises(ParseError, match=tells):
        parse_object(raw)


@pytest.mark.django_db
def test_an_unreachable_database_is_503_with_a_time_to_come_back(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(**kwargs: Any) -> None:
        raise OperationalError("connection refused")

    monkeypatch.setattr(commands, "accept_one", away)
    _, secret = key_with_secret()
    answer = client.post(
        SEND, {"recipient": "a@b.example"}, "application/json", headers={"X-API-Key": secret}
    )
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "5"
    assert answer.json()["code"] == 1005
    assert "nothing was accepted" in answer.json()["msg"]


@pytest.mark.django_db
def test_a_defect_is_500_in_the_envelope_and_tells_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(**kwargs: Any) -> None:
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr(commands, "accept_one", broken)
    _, secret = key_with_secret()
    answer = Client(raise_request_exception=False).post(
        SEND, {"recipient": "a@b.example"}, "application/json", headers={"X-API-Key": secret}
    )
    assert answer.status_code == 500
    assert answer.json()["success"] is False
    assert "secret detail" not in answer.text


def test_a_refused_key_is_told_how_to_authenticate(client: Client, db: None) -> None:
    answer = client.post(SEND, {}, "application/json")
    assert answer.headers["WWW-Authenticate"] == "ApiKey"


@pytest.mark.django_db
@pytest.mark.parametrize("accept", ["text/html", "application/xml", "nonsense"])
def test_json_is_answered_whatever_is_asked_for(client: Client, accept: str) -> None:
    _, secret = key_with_secret()
    headers = {"X-API-Key": secret, "Accept": accept}
    answer = client.post(f"{SEND}?format=xml", {}, "application/json", headers=headers)
    assert answer.json()["code"] == 1004  # the key has no template: the view was reached
    assert answer.headers["Content-Type"] == "application/json"
    assert list(answer.json()) == ["success", "code", "msg", "data"]


@pytest.mark.django_db
def test_options_is_not_allowed_and_says_so_in_the_envelope(client: Client) -> None:
    _, secret = key_with_secret()
    answer = client.options(SEND, headers={"X-API-Key": secret})
    assert answer.status_code == 405
    assert answer.json()["code"] == 1005


@pytest.mark.parametrize("path", ["/api", "/api/", "/api/nowhere"])
def test_an_unknown_address_of_the_api_is_answered_in_the_envelope(
    client: Client, path: str
) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    assert list(answer.json()) == ["success", "code", "msg", "data"]


class BrokenOff(io.RawIOBase):
    """A body whose sender went away."""

    def read(self, size: int = -1) -> bytes:
        raise ConnectionResetError


@pytest.mark.django_db
def test_a_body_that_breaks_off_is_told_so_in_the_envelope(client: Client) -> None:
    _, secret = key_with_secret()
    answer = client.post(
        SEND,
        {"recipient": "a@b.example"},
        "application/json",
        headers={"X-API-Key": secret},
        **{"wsgi.input": BrokenOff()},
    )
    assert answer.status_code == 400
    assert "nothing was accepted" in answer.json()["msg"]


def test_an_unknown_page_outside_the_api_is_a_page(client: Client) -> None:
    answer = client.get("/nowhere")
    assert answer.status_code == 404
    assert answer.headers["Content-Type"].startswith("text/html")


@pytest.mark.django_db
def test_health_is_ok_and_readiness_follows_the_database(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}
    assert client.get("/readyz").status_code == 200

    def away() -> None:
        raise OperationalError("gone")

    monkeypatch.setattr(connection, "cursor", away)
    assert client.get("/readyz").status_code == 503


def test_a_foreign_host_name_is_answered_in_the_envelope(client: Client, settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["mail.example.com"]
    answer = client.post(SEND, {}, "application/json", headers={"Host": "evil.example"})
    assert answer.status_code == 400
    assert answer.json()["code"] == 1005
    assert "host name" in answer.json()["msg"]
