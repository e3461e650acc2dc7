"""gunicorn's main loop answers plain hits as a thread would, and nobody else's requests."""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.billionmail.web import Web
from tests.processes import wait_until
from tracking import tokens
from tracking.hits import GIF, Record
from tracking.spool import records

TOKEN = tokens.sign_message(uuid4(), b"sixbyt", key="t" * 40).token
LINK = TOKEN + tokens.shared_link(3, "https://shop.example/a", b"sixbyt", key="t" * 40)
PIXEL = f"/t/o/{TOKEN}.gif"


def ask(path: str, *fields: str, method: str = "GET") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", *fields, "", ""]
    return "\r\n".join(lines).encode()


class Caller:
    """A connection that is kept."""

    def __init__(self, web: Web) -> None:
        self.connection = web.connect(b"")
        self.stream = self.connection.makefile("rb")

    def send(self, octets: bytes) -> None:
        self.connection.sendall(octets)

    def answer(self, *, has_body: bool = True) -> tuple[str, dict[str, str], bytes]:
        status = self.stream.readline().decode().strip()
        fields: dict[str, str] = {}
        while (line := self.stream.readline().decode().strip()) != "":
            name, _, value = line.partition(": ")
            fields[name] = value
        length = int(fields["Content-Length"]) if has_body else 0
        return status, fields, self.stream.read(length)


@pytest.fixture
def caller(web: Web) -> Any:
    one = Caller(web)
    yield one
    one.stream.close()
    one.connection.close()


def spooled(web: Web) -> list[Record]:
    home: Path = web.log.parent
    octets = b"".join(path.read_bytes() for path in sorted(home.rglob("*.hits")))
    return [Record.decoded(record) for _, record in records(octets)]


def test_the_answers_are_those_of_a_thread(caller: Caller) -> None:
    for path in (PIXEL, f"/t/c/{LINK}", "/t/c/forged", "/t/o/forged.gif"):
        for method in ("GET", "HEAD"):
            caller.send(ask(path, method=method))
            at_once = caller.answer(has_body=method == "GET")
            caller.send(ask(path, "Content-Length: 0", method=method))
            by_thread = caller.answer(has_body=method == "GET")
            at_once[1].pop("Date")
            by_thread[1].pop("Date")
            assert at_once == by_thread


def test_a_connection_is_kept_for_hits_and_for_pages(caller: Caller) -> None:
    for _ in range(3):
        caller.send(ask(PIXEL))
        assert caller.answer()[2] == GIF
        caller.send(ask("/healthz"))
        assert caller.answer()[0] == "HTTP/1.1 200 OK"


def test_a_request_that_comes_in_pieces_or_with_another_is_answered_too(caller: Caller) -> None:
    octets = ask(PIXEL)
    caller.send(octets[:20])
    caller.send(octets[20:] + octets + octets)
    for _ in range(3):
        assert caller.answer()[2] == GIF


def test_a_body_belongs_to_its_request(caller: Caller) -> None:
    smuggled = ask("/t/c/forged")
    caller.send(ask(PIXEL, f"Content-Length: {len(smuggled)}") + smuggled)
    assert caller.answer()[2] == GIF
    caller.send(ask("/healthz"))
    assert caller.answer()[0] == "HTTP/1.1 200 OK"


def test_who_wants_to_end_is_let_go(caller: Caller) -> None:
    caller.send(ask(PIXEL, "Connection: close"))
    assert caller.answer()[2] == GIF
    assert caller.stream.read() == b""


def test_a_hit_is_written_down_with_whose_it_was(web: Web, caller: Caller) -> None:
    token = tokens.sign_message(uuid4(), b"sixbyt", key="t" * 40).token
    for fields in (["User-Agent: Plain/1", "Accept: */*"], ["User-Agent: Slow/1", "TE: x"]):
        caller.send(ask(f"/t/o/{token}.gif", *fields, "Sec-Purpose: prefetch"))
        caller.answer()
    found = [one for one in spooled(web) if one.user_agent in ("Plain/1", "Slow/1")]
    assert [(one.ip, one.has_accept, one.purpose) for one in found] == [
        ("127.0.0.1", True, "prefetch"),
        ("127.0.0.1", False, "prefetch"),
    ]


def test_who_reads_no_answer_is_hung_up_on_and_keeps_nobody_waiting(web: Web) -> None:
    with web.connect(b"") as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
        deaf.settimeout(0.2)
        with contextlib.suppress(OSError):  # hung up on, or no room for more
            while True:
                deaf.sendall(ask(PIXEL) * 50)
        wait_until(lambda: web.answers_within(2))
