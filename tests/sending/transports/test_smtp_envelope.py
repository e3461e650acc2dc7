"""Make a body ready for the wire."""

from __future__ import annotations

import pytest

from sending.errors import PermanentError
from sending.mime import Content
from sending.transports.smtp.envelope import body_for_wire


@pytest.mark.parametrize(
    ("content", "wire"),
    [
        (b"a\r\n", b"a\r\n.\r\n"),
        (b"a", b"a\r\n.\r\n"),
        (b"", b".\r\n"),
        (b".\r\n", b"..\r\n.\r\n"),
        (b"a\r\n.\r\nb\r\n", b"a\r\n..\r\nb\r\n.\r\n"),
        (b"a\r\n..b\r\n.\r\n", b"a\r\n...b\r\n..\r\n.\r\n"),
        (b"a.\r\nb.c\r\n", b"a.\r\nb.c\r\n.\r\n"),
    ],
)
def test_dots_at_the_start_of_a_line_are_doubled(content, wire):
    assert body_for_wire(Content(content)) == wire


@pytest.mark.parametrize(
    "content",
    [
        b"a\n.\r\nMAIL FROM:<eve@example.org>\r\n",
        b"a\r\n.\nb\r\n",
        b"a\r.\rb\r\n",
        b"a\r\r\n",
        b"\nb",
        b"a\r",
    ],
)
def test_a_bare_line_end_cannot_smuggle_a_message(content):
    with pytest.raises(PermanentError, match="CRLF"):
        body_for_wire(Content(content))
