"""DKIM: an independent verifier accepts our signatures, and only the untouched message."""

import base64
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import dkim
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sending.dkim import (
    SIGNED_HEADERS,
    DkimKey,
    dns_record,
    generate_key,
    load_private_key,
    sign,
)

PEM, RECORD = generate_key()
KEY = DkimKey(domain="example.com", selector="s1", private_key=load_private_key(PEM))
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
HEADERS = [
    ("Date", "Sun, 01 Mar 2026 12:00:00 +0000"),
    ("Message-ID", "<1@example.com>"),
    ("From", "News <news@example.com>"),
    ("To", "ann@example.org"),
    ("Reply-To", "help@example.com"),
    ("Subject", "Hello"),
    ("List-Unsubscribe", "<https://example.com/u/1>"),
    ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"),
    ("Feedback-ID", "a:b:c:sender"),
    ("MIME-Version", "1.0"),
    ("Content-Type", "text/plain"),
]
BODY = b"Hello Ann,\r\n\r\nbye.\r\n"


def look_up(name: bytes, timeout: int = 5) -> bytes:
    """Answer as the DNS would."""
    return RECORD.encode() if name == b"s1._domainkey.example.com." else b""


def signed(
    headers: list[tuple[str, str]] = HEADERS, body: bytes = BODY, key: DkimKey = KEY
) -> bytes:
    block = "".join(f"{name}: {value}\r\n" for name, value in headers).encode()
    return sign(key, headers, body, now=NOW) + block + b"\r\n" + body


def is_valid(raw: bytes) -> bool:
    return bool(dkim.verify(raw, dnsfunc=look_up))


def with_value(name: str, value: str) -> list[tuple[str, str]]:
    return [(each, value if each == name else old) for each, old in HEADERS]


def test_independent_verifier_accepts_the_signature() -> None:
    assert is_valid(signed())


@pytest.mark.parametrize("name", SIGNED_HEADERS)
def test_changing_a_signed_header_breaks_the_signature(name: str) -> None:
    value = dict(HEADERS)[name]
    raw = signed()
    assert is_valid(raw)
    assert not is_valid(
        raw.replace(f"\r\n{name}: {value}\r\n".encode(), f"\r\n{name}: x{value}\r\n".encode())
    )


@pytest.mark.parametrize("name", SIGNED_HEADERS)
def test_removing_a_signed_header_breaks_the_signature(name: str) -> None:
    line = f"{name}: {dict(HEADERS)[name]}\r\n".encode()
    assert not is_valid(signed().replace(b"\r\n" + line, b"\r\n"))


@pytest.mark.parametrize("name", SIGNED_HEADERS)
@pytest.mark.parametrize("place", ["top", "bottom"])
def test_adding_another_signed_header_breaks_the_signature(name: str, place: str) -> None:
    line = f"{name}: <added@example.net>\r\n".encode()
    head, _, body = signed().partition(b"\r\n\r\n")
    head += b"\r\n"
    changed = line + head if place == "top" else head + line
    assert not is_valid(changed + b"\r\n" + body)


@pytest.mark.parametrize("name", ["Reply-To", "List-Unsubscribe", "Feedback-ID"])
def test_adding_a_header_that_was_absent_breaks_the_signature(name: str) -> None:
    raw = signed([header for header in HEADERS if header[0] != name])
    assert is_valid(raw)
    assert not is_valid(f"{name}: <added@example.net>\r\n".encode() + raw)


def test_changing_or_extending_the_body_breaks_the_signature() -> None:
    assert not is_valid(signed().replace(b"bye", b"buy"))
    assert not is_valid(signed() + b"One more line.\r\n")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\r\n",
        b"\r\n\r\n\r\n",
        b" \t\r\n",
        b"no line end",
        b"blank at the end \t\r\n",
        b"blank lines after\r\n\r\n \r\n\r\n",
        b"\r\n\r\nblank lines before\r\n",
        b"tabs\tand  runs \t of\t\tblanks   \r\n  indented\r\n",
        b".\r\n..\r\n.dots\r\n",
        "Grüße 🎉\r\n".encode(),
    ],
)
def test_every_shape_of_body_verifies(body: bytes) -> None:
    assert is_valid(signed(body=body))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(" \tab.=", max_size=12), max_size=8))
@example(["", " ", "a", "", " ", ""])
def test_any_arrangement_of_blanks_verifies(lines: list[str]) -> None:
    assert is_valid(signed(body="".join(f"{line}\r\n" for line in lines).encode()))


def test_relays_may_change_blanks() -> None:
    raw = signed(body=b"two words\r\n")
    assert is_valid(raw.replace(b"two words\r\n", b"two \t words  \r\n\r\n"))
    assert is_valid(raw.replace(b"Subject: Hello", b"subject:\r\n\tHello  "))


@pytest.mark.parametrize(
    "value",
    [
        "a folded\r\n subject",
        "a folded\r\n\t subject  with\ttabs",
        "blanks at the end  \t",
        "",
        "=?utf-8?b?8J+OiQ==?=\r\n =?utf-8?b?8J+OiQ==?=",
    ],
)
def test_every_shape_of_header_verifies(value: str) -> None:
    assert is_valid(signed(with_value("Subject", value)))


def test_address_outside_ascii_verifies() -> None:
    assert is_valid(signed(with_value("To", "jürgen@example.org")))


def test_header_that_occurs_twice_verifies() -> None:
    assert is_valid(signed([*HEADERS, ("Subject", "Another")]))


def test_unsigned_headers_may_be_added_by_relays() -> None:
    assert is_valid(b"Received: from a by b\r\nX-Spam: no\r\n" + signed())


def test_signature_lines_are_short_and_end_in_crlf() -> None:
    key = replace(KEY, domain=".".join(["long"] * 12), selector="selector-2026-03")
    for line in sign(key, HEADERS, BODY, now=NOW).split(b"\r\n"):
        assert len(line) <= 78
        assert b"\n" not in line


def test_signature_has_the_time_and_no_length_limit() -> None:
    signature = sign(KEY, HEADERS, BODY, now=NOW)
    assert f"t={int(NOW.timestamp())};".encode() in signature
    assert b" l=" not in signature


def test_signing_twice_gives_the_same_bytes() -> None:
    assert signed() == signed()


def test_generated_key_matches_its_dns_record() -> None:
    key = load_private_key(PEM)
    assert key.key_size == 2048
    assert dns_record(key.public_key()) == RECORD
    assert RECORD.startswith("v=DKIM1; k=rsa; p=")
    der = base64.b64decode(RECORD.partition("p=")[2], validate=True)
    assert serialization.load_der_public_key(der) == key.public_key()


def pem_of(
    key: rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey, *, passphrase: bytes | None = None
) -> str:
    encryption = (
        serialization.BestAvailableEncryption(passphrase)
        if passphrase
        else serialization.NoEncryption()
    )
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
    ).decode()


def test_key_that_is_not_rsa_is_refused() -> None:
    with pytest.raises(ValueError, match="not an RSA key"):
        load_private_key(pem_of(ed25519.Ed25519PrivateKey.generate()))


def test_key_with_a_passphrase_is_refused() -> None:
    with pytest.raises(ValueError, match="without a passphrase"):
        load_private_key(pem_of(KEY.private_key, passphrase=b"secret"))


def test_damaged_key_is_refused() -> None:
    with pytest.raises(ValueError, match="DKIM key"):
        load_private_key("-----BEGIN PRIVATE KEY-----\nabc\n-----END PRIVATE KEY-----\n")


@pytest.mark.parametrize("change", [{"domain": "bücher.example"}, {"selector": "s1; d=x"}])
def test_names_that_cannot_be_looked_up_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="not a DNS name"):
        replace(KEY, **change)
