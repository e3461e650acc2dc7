"""Hold real servers to the form of RFC 2920 section 3.1 in which the final dot is not waited for.

One write ends a message and offers the next: these tests say which servers take that.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from tests.rig.mail_servers import MailServer
from tests.sending.transports.real_servers import EXIM, OPENSMTPD, POSTFIX, only, subjects

pytestmark = pytest.mark.integration


class Connection:
    """A connection to a server, in words of SMTP."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self._file = self._socket.makefile("rb")
        self.read()
        [self.offer] = self.exchange("EHLO client.example.com", replies=1)

    def exchange(self, *lines: str, replies: int) -> list[str]:
        """Send the lines in one write and return so many replies."""
        self._socket.sendall("".join(f"{line}\r\n" for line in lines).encode())
        return [self.read() for _ in range(replies)]

    def read(self) -> str:
        lines = [self._file.readline()]
        while lines[-1][3:4] == b"-":
            lines.append(self._file.readline())
        return b"".join(lines).decode()

    def close(self) -> None:
        self._file.close()
        self._socket.close()


@pytest.fixture
def connection(server: MailServer) -> Iterator[Connection]:
    opened = Connection(server.port)
    yield opened
    opened.close()


def envelope(recipient: str = "ann@example.org") -> list[str]:
    return ["MAIL FROM:<shop@example.com>", f"RCPT TO:<{recipient}>", "DATA"]


def content(subject: str) -> list[str]:
    return [f"Subject: {subject}", "", "..dot", "."]


def codes(replies: list[str]) -> list[int]:
    return [int(reply[:3] or 0) for reply in replies]


@only(POSTFIX, EXIM)
def test_the_dot_and_the_next_envelope_go_in_one_write(server, connection):
    assert "PIPELINING" in connection.offer
    assert codes(connection.exchange(*envelope(), replies=3)) == [250, 250, 354]

    for number in range(4):
        replies = connection.exchange(*content(f"m{number}"), *envelope(), replies=4)
        assert codes(replies) == [250, 250, 250, 354]
    assert codes(connection.exchange(*content("m4"), "QUIT", replies=2)) == [250, 221]

    assert subjects(server.arrived(5)) == ["m0", "m1", "m2", "m3", "m4"]


@only(POSTFIX, EXIM)
def test_a_refused_dot_leaves_the_next_envelope_alone(server, connection):
    connection.exchange(*envelope(), replies=3)

    replies = connection.exchange(*content("refuse this"), *envelope(), replies=4)

    assert codes(replies) == [550, 250, 250, 354]
    assert codes(connection.exchange(*content("next"), replies=1)) == [250]
    assert subjects(server.arrived(1)) == ["next"]


@only(POSTFIX, EXIM)
def test_after_a_refused_recipient_reset_and_envelope_go_in_one_write(server, connection):
    connection.exchange(*envelope(), replies=3)
    replies = connection.exchange(*content("first"), *envelope("no@example.org"), replies=4)
    assert codes(replies)[:3] == [250, 250, 550]
    assert codes(replies)[3] in (503, 554)

    replies = connection.exchange("RSET", *envelope(), replies=4)

    assert codes(replies) == [250, 250, 250, 354]
    assert codes(connection.exchange(*content("second"), replies=1)) == [250]
    assert subjects(server.arrived(2)) == ["first", "second"]


@only(POSTFIX)
def test_without_the_reset_the_refused_transaction_goes_on(connection):
    """The next body would go out under the sender of the refused message."""
    connection.exchange(*envelope("no@example.org"), replies=3)

    assert codes(connection.exchange(*envelope(), replies=3)) == [503, 250, 354]


@only(OPENSMTPD)
def test_a_server_that_does_not_offer_pipelining_may_refuse_the_dot(server, connection):
    assert "PIPELINING" not in connection.offer
    for command, code in zip(envelope(), (250, 250, 354), strict=True):
        assert codes(connection.exchange(command, replies=1)) == [code]

    assert codes(connection.exchange(*content("lost"), "QUIT", replies=2)) == [500, 0]
