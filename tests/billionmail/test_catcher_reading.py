"""Any bytes can be shown: a damaged mail loses a part on the page, never the page."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path

import pytest

from billionmail.catcher import inbox, reading

HOSTILE = [
    b"",
    b"\r\n",
    b"\xff\xfe\x00" * 1000,
    b"no headers at all",
    b"Subject: =?utf-8?b?!!!!?=\r\n\r\n",
    b"Subject: =?no-such-charset?q?x=FF?=\r\n\r\n",
    b"Subject: =?unicode_escape?q?=5Cud800?=\r\n\r\n",
    b"From: \xed\xa0\x80\r\nTo: <\xff>\r\n\r\nx",
    b"Content-Type: text/plain; charset=idna\r\n\r\n\xff..a",
    b"Content-Type: text/plain; charset=base64\r\n\r\nx",
    b'Content-Type: text/plain; charset="a\x00b"\r\n\r\nx',
    b"Content-Type: text/html; charset*=bad'bad'%ZZ\r\n\r\n<p>",
    b"Content-Transfer-Encoding: base64\r\n\r\n====\xff",
    b"Content-Transfer-Encoding: x-uuencode\r\n\r\nbegin 666 x\r\n\xff\r\nend",
    b"Content-Type: multipart/mixed\r\n\r\nno boundary",
    b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n--b\r\n--b--",
    b"Content-Type: message/rfc822\r\n\r\nContent-Type: message/rfc822\r\n\r\n",
    b"Content-Disposition: attachment; filename*0*=x''%ff; filename*1=b\r\n\r\nx",
    b"Content-Type: message/rfc822\r\n\r\n" * 3000,
    b"X: " + b"=?a?q?" * 60_000 + b"\r\n\r\n",
]


def content_of(tmp_path: Path, raw: bytes) -> reading.Content:
    path = tmp_path / "mail.eml"
    path.write_bytes(raw)
    return reading.read_content(path)


def newsletter() -> EmailMessage:
    message = EmailMessage()
    message["From"] = "Jürgen <news@example.com>"
    message["To"] = "ada@example.com"
    message["Subject"] = "Grüße aus München"
    message["List-Unsubscribe"] = "<mailto:u@example.com>, <https://example.com/u/1>"
    message.set_content("Hallo é")
    message.add_alternative(
        '<p><a href="https://example.com/?a=1&amp;b=2">é</a>'
        '<a href="javascript:alert(1)">x</a></p>',
        subtype="html",
    )
    message.add_attachment(b"12345", maintype="application", subtype="pdf", filename="plan.pdf")
    return message


def test_parts_of_a_mail_are_found(tmp_path: Path) -> None:
    content = content_of(tmp_path, bytes(newsletter()))
    assert content.text == "Hallo é\n"
    assert content.html is not None
    assert "é</a>" in content.html
    assert content.attachments == (reading.Attachment("plan.pdf", "application/pdf", 5),)
    assert reading.header(content.headers, "subject") == "Grüße aus München"
    assert content.problem == ""


def test_links_are_those_a_recipient_can_follow(tmp_path: Path) -> None:
    content = content_of(tmp_path, bytes(newsletter()))
    assert reading.links(content) == ["https://example.com/?a=1&b=2", "https://example.com/u/1"]


def test_text_file_attached_to_a_mail_is_not_its_text(tmp_path: Path) -> None:
    message = EmailMessage()
    message.add_attachment("secret plan", filename="plan.txt")
    content = content_of(tmp_path, bytes(message))
    assert content.text is None
    assert content.attachments[0].filename == "plan.txt"


def test_raw_utf8_in_headers_is_read(tmp_path: Path) -> None:
    content = content_of(tmp_path, "Subject: Grüße\r\n aus München\r\n\r\n".encode())
    assert content.headers == (("Subject", "Grüße aus München"),)


@pytest.mark.filterwarnings("ignore:invalid escape sequence:DeprecationWarning")
@pytest.mark.parametrize("raw", HOSTILE, ids=lambda raw: raw[:40].decode("ascii", "replace"))
def test_hostile_mail_is_read_and_can_be_written_to_a_page(tmp_path: Path, raw: bytes) -> None:
    repr_of_all = str(content_of(tmp_path, raw))
    repr_of_all.encode("utf-8")


@pytest.mark.filterwarnings("ignore:invalid escape sequence:DeprecationWarning")
def test_mail_damaged_at_random_is_read(tmp_path: Path) -> None:
    whole = bytearray(bytes(newsletter()))
    dice = random.Random(7)
    for _ in range(300):
        damaged = bytearray(whole)
        for _ in range(12):
            damaged[dice.randrange(len(damaged))] = dice.randrange(256)
        content = content_of(tmp_path, bytes(damaged))
        "".join(value for _, value in content.headers).encode()
        ((content.text or "") + (content.html or "")).encode()


def test_mail_nested_too_deep_is_reported_and_keeps_its_headers(tmp_path: Path) -> None:
    nested = b"".join(
        b"Content-Type: multipart/mixed; boundary=%d\r\n\r\n--%d\r\n" % (depth, depth)
        for depth in range(2000)
    )
    content = content_of(tmp_path, b"Subject: Deep\r\n" + nested)
    assert "cannot be read (RecursionError)" in content.problem
    assert reading.header(content.headers, "Subject") == "Deep"


def test_only_the_beginning_of_a_huge_mail_is_read(tmp_path: Path) -> None:
    raw = b"Subject: Huge\r\n\r\n" + b"x" * reading.MAX_READ_BYTES
    content = content_of(tmp_path, raw)
    assert content.text is not None
    assert len(content.text) < reading.MAX_READ_BYTES
    assert "first 8 MiB" in content.problem


def test_lost_envelope_leaves_the_mail_readable(tmp_path: Path) -> None:
    name = inbox.store(
        tmp_path,
        content=b"Subject: Hi\r\n\r\n",
        envelope_sender="a@a.test",
        recipients=["b@b.test"],
        received_at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    )
    (tmp_path / f"{name}.json").write_text("{")
    summary = reading.summary(tmp_path, name=name)
    assert (summary.subject, summary.recipients) == ("Hi", ())
    assert summary.received_at == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
