"""Make and read the tokens in unsubscribe links: they name a message, and nobody can forge one.

A token is base64url of a version byte, the 16 bytes of the message's id and 128 bits of
HMAC-SHA256. In a mail address, whose case may be lost on the way and whose local part may have 64
octets, id and 96 bits are written in hexadecimal. It holds no address. The first of
``SIGNING_KEYS`` signs, all of them verify, so links outlive the rotation of keys.
"""

from __future__ import annotations

import re
from uuid import UUID

from django.conf import settings

from sending.signing import from_text, is_mac, mac, to_text

VERSION = b"\x01"
MAC_BYTES = 16
PURPOSE = b"unsubscribe"
TOKEN_LENGTH = 44
LOCAL_PREFIX = "u+"
LOCAL_MAC_BYTES = 12  # 96 bits: a guess can only be tried by sending us mail

_match_local = re.compile(r"u\+([0-9a-f]{56})").fullmatch


def make(message_id: UUID) -> str:
    """Return the token of a message: 44 characters that are safe in a URL."""
    return to_text(_sign(message_id))


def make_both(message_id: UUID) -> tuple[str, str]:
    """Return the token for a URL and the one for a mail address; they are signed once."""
    raw = _sign(message_id)
    return to_text(raw), LOCAL_PREFIX + raw[1 : 17 + LOCAL_MAC_BYTES].hex()


def read(token: str) -> UUID | None:
    """Return the message that the token names, None for one that was not made here."""
    raw = from_text(token) if len(token) == TOKEN_LENGTH else None
    return _verified(raw[:17], raw[17:]) if raw is not None else None


def read_local_part(local_part: str) -> UUID | None:
    """Return the message that a mail address names, whatever the case; None for any other."""
    match = _match_local(local_part.lower())
    if match is None:
        return None
    raw = bytes.fromhex(match[1])
    return _verified(VERSION + raw[:16], raw[16:])


def _verified(body: bytes, given: bytes) -> UUID | None:
    good = [is_mac(given, body, purpose=PURPOSE, key=key) for key in settings.SIGNING_KEYS]
    return UUID(bytes=body[1:]) if body[:1] == VERSION and any(good) else None


def _sign(message_id: UUID) -> bytes:
    body = VERSION + message_id.bytes
    return body + mac(body, purpose=PURPOSE, key=settings.SIGNING_KEYS[0], size=MAC_BYTES)
