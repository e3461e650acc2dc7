"""Make and read the tokens in unsubscribe links: they name a message, and nobody can forge one.

A token is base64url of a version byte, the 16 bytes of the message's id and 128 bits of
HMAC-SHA256. It holds no address. The first of ``SIGNING_KEYS`` signs, all of them verify, so links
outlive the rotation of keys.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from uuid import UUID

from django.conf import settings

VERSION = b"\x01"
MAC_BYTES = 16
PURPOSE = b"unsubscribe"
TOKEN_LENGTH = 44


def make(message_id: UUID) -> str:
    """Return the token of a message: 44 characters that are safe in a URL."""
    body = VERSION + message_id.bytes
    return base64.urlsafe_b64encode(body + _mac(body, settings.SIGNING_KEYS[0])).decode()


def read(token: str) -> UUID | None:
    """Return the message that the token names, None for one that was not made here."""
    if len(token) != TOKEN_LENGTH:
        return None
    try:
        raw = base64.b64decode(token.encode("ascii"), altchars=b"-_", validate=True)
    except (binascii.Error, UnicodeEncodeError):
        return None
    body, mac = raw[:17], raw[17:]
    # base64 has several spellings of the same bytes; only the one that `make` writes is good.
    if base64.urlsafe_b64encode(raw).decode() != token or body[:1] != VERSION:
        return None
    good = [hmac.compare_digest(mac, _mac(body, key)) for key in settings.SIGNING_KEYS]
    return UUID(bytes=body[1:]) if any(good) else None


def _mac(body: bytes, key: str) -> bytes:
    return hmac.digest(key.encode(), PURPOSE + body, hashlib.sha256)[:MAC_BYTES]
