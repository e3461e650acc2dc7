"""What a mailed report says is understood, whoever wrote it, and nothing breaks the reader.

The mails in `corpus` were written for these tests in the shape that each server gives its own;
`expected.json` says what each has to be taken for.
"""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from tests.tracking.mutations import mutate
from tracking.reading import ReadingKind, read_report

CORPUS = Path(__file__).parent / "corpus"
EXPECTED = json.loads((CORPUS / "expected.json").read_text())
FUZZED = 10_000
SLICES = 10


def octets(name: str) -> bytes:
    return (CORPUS / f"{name}.eml").read_bytes()


@pytest.mark.parametrize("name", EXPECTED)
def test_a_report_is_taken_for_what_it_is(name: str) -> None:
    expected = EXPECTED[name]
    reading = read_report(octets(name))
    first = reading.findings[0]
    kind = ReadingKind.UNKNOWN if first.kind is ReadingKind.DELIVERED else first.kind

    assert {
        "kind": kind,
        "class": first.bounce_class,
        "recipient": first.recipient,
        "enhanced_status": first.reply.enhanced,
    } == {name: expected[name] for name in ("kind", "class", "recipient", "enhanced_status")}
    assert expected["diagnostic"] in first.reply.text


def test_every_mail_of_the_corpus_has_an_expectation() -> None:
    assert {path.stem for path in CORPUS.glob("*.eml")} == set(EXPECTED)
    assert len(EXPECTED) >= 60


@pytest.mark.parametrize("name", [name for name in EXPECTED if EXPECTED[name]["kind"] == "bounce"])
def test_a_bounce_whose_lines_end_in_crlf_is_the_same(name: str) -> None:
    unix = octets(name).replace(b"\r\n", b"\n")
    reading, other = read_report(unix), read_report(unix.replace(b"\n", b"\r\n"))
    assert [one.kind for one in reading.findings] == [one.kind for one in other.findings]
    assert reading.findings[0].recipient == other.findings[0].recipient
    assert reading.identity == other.identity


@pytest.mark.parametrize("number", range(SLICES))
def test_a_damaged_report_never_breaks_the_reader(number: int) -> None:
    rng = random.Random(3464 + number)
    mails = [octets(name) for name in EXPECTED]
    for _ in range(FUZZED // SLICES):
        reading = read_report(mutate(rng.choice(mails), others=mails, rng=rng))
        for finding in reading.findings:
            json.dumps([finding.kind, finding.recipient, finding.reply.text]).encode()
            finding.recipient.encode()
            assert "\0" not in finding.recipient + finding.reply.text


FAILURE = b"From: MAILER-DAEMON\nSubject: failure notice\n"
HOSTILE = {
    "deep multiparts": b"".join(
        b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (n, n) for n in range(3000)
    ),
    "deep messages": b"Content-Type: message/rfc822\n\n" * 5000,
    "open multiparts over many lines": FAILURE
    + b"".join(
        b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (n, n) for n in range(900)
    )
    + b"\n"
    + b"a\n" * 300_000,
    "a field of many lines": FAILURE
    + b"Content-Type: multipart/report; boundary=x\n\n--x\n"
    + b"Content-Type: message/feedback-report\n\nFeedback-Type: abuse\n"
    + b" a\n" * 300_000,
    "a list of parameters": FAILURE + b"Content-Type: multipart/mixed" + b';"' * 400_000 + b"\n\n",
    "six hundred addresses that failed": FAILURE
    + b"X-Failed-Recipients: "
    + b", ".join(b"a%d@b.example" % n for n in range(600))
    + b"\n\n"
    + b"x 550\n" * 3_000,
    "half addresses": FAILURE + b"\n" + b"a@" * 200_000,
    "one long word": FAILURE + b"\n<" + b"a" * 400_000,
    "open tags": FAILURE + b"Content-Type: text/html\n\n" + b"<style " * 50_000,
    "codes": FAILURE + b"\n" + b"550 " * 200_000,
    "blanks": FAILURE + b"\n" + b" " * 300_000 + b"x\n" + b"\n \n" * 100_000,
    "encoded words": b"Subject: " + b"=?utf-8?q?a?= " * 60_000 + b"\n\n",
    "ten thousand recipients": b"Content-Type: multipart/report; boundary=x\n\n--x\n"
    b"Content-Type: message/delivery-status\n\n"
    + b"Final-Recipient: rfc822;a@b.example\nAction: failed\nStatus: 5.1.1\n\n"
    * 10_000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_mail_is_read_to_its_end(name: str) -> None:
    assert read_report(HOSTILE[name]).findings


@pytest.mark.parametrize("returned", [b"a\n" * 400_000, b"a;" * 400_000, b"x" * 900_000])
def test_a_report_is_understood_however_long_the_returned_mail_is(returned: bytes) -> None:
    report = (
        b"Content-Type: multipart/report; boundary=x\n\n--x\n"
        b"Content-Type: message/delivery-status\n\n"
        b"Final-Recipient: rfc822;a@b.example\nAction: failed\nStatus: 5.1.1\n\n"
        b"--x\nContent-Type: message/rfc822\n\nSubject: Hello\n\n"
    )
    (finding,) = read_report(FAILURE + report + returned + b"\n--x--\n").findings
    assert (finding.kind, finding.recipient) == (ReadingKind.BOUNCE, "a@b.example")
