"""The plainest requests are read as gunicorn reads them, and no other request is."""

from __future__ import annotations

import pytest
from gunicorn.config import Config
from gunicorn.http.parser import RequestParser
from hypothesis import given
from hypothesis import strategies as st

from billionmail.plain_requests import read_plain

HEAD = b"GET /t/o/abc.gif HTTP/1.1\r\nHost: mail.example.com\r\n"
NAMES = st.from_regex(r"[A-Za-z][A-Za-z0-9-]{0,15}", fullmatch=True)
VALUES = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=30)


def test_a_request_for_a_picture_is_read() -> None:
    fields = b"User-Agent: Mail/1\r\nAccept:*/*\r\nX-Forwarded-For: 192.0.2.1 \r\n"
    assert read_plain(HEAD + fields + b"\r\n", client="127.0.0.1") == {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": "/t/o/abc.gif",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": "mail.example.com",
        "HTTP_USER_AGENT": "Mail/1",
        "HTTP_ACCEPT": "*/*",
        "HTTP_X_FORWARDED_FOR": "192.0.2.1",
    }


@given(st.lists(st.tuples(NAMES, VALUES), max_size=8))
def test_header_fields_are_those_that_gunicorn_reads(fields: list[tuple[str, str]]) -> None:
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
    octets = HEAD + lines.encode() + b"\r\n"
    found = read_plain(octets, client="")
    if found is None:
        return
    request = next(RequestParser(Config(), iter([octets]), ("", 0)))
    expected: dict[str, str] = {}
    for name, value in request.headers:
        key = "HTTP_" + name.upper().replace("-", "_")
        expected[key] = f"{expected[key]},{value}" if key in expected else value
    assert {name: value for name, value in found.items() if name.startswith("HTTP_")} == expected
    assert (found["REQUEST_METHOD"], found["PATH_INFO"]) == (request.method, request.path)


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        HEAD,  # it goes on
        HEAD + b"\r\nGET / HTTP/1.1\r\n",  # more than one
        HEAD + b"\r\n" + HEAD + b"\r\n",
        HEAD + b"Content-Length: 5\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n",
        HEAD + b"Connection: close\r\n\r\n",
        HEAD + b"Connection: upgrade\r\nUpgrade: h2c\r\n\r\n",
        HEAD + b"Expect: 100-continue\r\n\r\n",
        HEAD + b"Host: other.example\r\n\r\n",
        HEAD + b"X : y\r\n\r\n",
        HEAD + b"X: y\r\n folded\r\n\r\n",
        HEAD + b"X_Y: z\r\n\r\n",
        HEAD + b"X: \xff\r\n\r\n",
        HEAD + b"X: a\nY: b\r\n\r\n",
        HEAD + b"X: a\x00b\r\n\r\n",
        HEAD.replace(b"1.1", b"1.0") + b"\r\n",
        HEAD.replace(b"GET", b"POST") + b"\r\n",
        HEAD.replace(b"Host", b"Hast") + b"\r\n",
        HEAD.replace(b"abc", b"a%2Fc") + b"\r\n",
        HEAD.replace(b".gif", b".gif?x=1") + b"\r\n",
        HEAD.replace(b"/t/", b"http://x/t/") + b"\r\n",
    ],
)
def test_everything_else_is_left_to_a_real_server(octets: bytes) -> None:
    assert read_plain(octets, client="") is None


def test_no_octets_whatever_make_it_fail() -> None:
    for number in range(256):
        read_plain(HEAD + bytes([number]) * 3 + b"\r\n\r\n", client="")
        read_plain(bytes([number]), client="")
