"""Make and read the tokens in tracked links and pixels; nobody else can make one.

A message's token is base64url of a version, the number of the key, the id of the message, the
fingerprint of its template version, and 96 bits of HMAC-SHA256: 48 characters. What follows it
in a link names the link and where it leads: its place in the template, the URL, and 96 bits of
HMAC over these and the fingerprint, which is the same in all messages of a version. Where the URL
depends on values of the message, the link is the message's own: its MAC is a keyed BLAKE2b (RFC
7693) under octets of the message's HMAC that nobody is shown, so that a message costs one HMAC,
however many links it has. A link is good with no other destination and in no mail but those that
it was made for, and is understood without the database. No recipient's address is in a token.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import NamedTuple
from uuid import UUID

from sending.signing import FINGERPRINT_BYTES, from_text, is_mac, key_id, mac, to_text

VERSION = 1
MAC_BYTES = 12
_FULL_MAC_BYTES = 32
HEAD_BYTES = 2 + 16 + FINGERPRINT_BYTES
MESSAGE_CHARACTERS = 48
MAX_URL_BYTES = 1400  # the whole link then stays below 2083 characters, the limit of Outlook
MAX_LINKS = 0x7FFF

_MESSAGE = b"tracking-message:"
_LINK = b"tracking-link:"
_IS_OWN = 0x8000


@dataclass(frozen=True, slots=True)
class Click:
    """A link that was followed: of which message, which of its links, and where it leads."""

    message_id: UUID
    link: int
    url: str


class Signed(NamedTuple):
    """A message's token, and the keyed hash that signs the links of this message alone."""

    token: str
    own: blake2b


def sign_message(message_id: UUID, fingerprint: bytes, *, key: str) -> Signed:
    """Return the token of a message and its secret."""
    head = _beginning(key) + message_id.bytes + fingerprint
    signature = mac(head, purpose=_MESSAGE, key=key, size=_FULL_MAC_BYTES)
    own = blake2b(digest_size=MAC_BYTES, key=signature[MAC_BYTES:])
    return Signed(to_text(head + signature[:MAC_BYTES]), own)


@lru_cache(maxsize=16)
def _beginning(key: str) -> bytes:
    return bytes((VERSION, key_id(key)))


def shared_link(link: int, url: str, fingerprint: bytes, *, key: str) -> str:
    """Return what follows the token of any message of a version, for a link they share."""
    body = link.to_bytes(2) + url.encode()
    return to_text(body + mac(fingerprint + body, purpose=_LINK, key=key, size=MAC_BYTES))


def own_link(link: int, url: str, own: blake2b) -> str:
    """Return what follows the token of the message with this hash, for a link of its own."""
    body = (link | _IS_OWN).to_bytes(2, "big") + url.encode()
    signing = own.copy()
    signing.update(body)
    return to_text(body + signing.digest())


def _own_mac(body: bytes, secret: bytes) -> bytes:
    return blake2b(body, digest_size=MAC_BYTES, key=secret).digest()


def read_message(token: str, *, keys: Sequence[str]) -> UUID | None:
    """Return the message of a pixel, None for what was not made here."""
    head = _read_head(token, keys)
    return head.message_id if head else None


def read_click(token: str, *, keys: Sequence[str]) -> Click | None:
    """Return what a link says, None for what was not made here."""
    head = _read_head(token[:MESSAGE_CHARACTERS], keys)
    raw = from_text(token[MESSAGE_CHARACTERS:])
    if head is None or raw is None or len(raw) <= 2 + MAC_BYTES:
        return None
    body, given = raw[:-MAC_BYTES], raw[-MAC_BYTES:]
    number = int.from_bytes(body[:2])
    if number & _IS_OWN:
        is_good = hmac.compare_digest(given, _own_mac(body, head.secret))
    else:
        is_good = is_mac(given, head.fingerprint + body, purpose=_LINK, key=head.key)
    return Click(head.message_id, number & ~_IS_OWN, body[2:].decode()) if is_good else None


class _Head(NamedTuple):
    message_id: UUID
    fingerprint: bytes
    secret: bytes
    key: str


def _read_head(token: str, keys: Sequence[str]) -> _Head | None:
    raw = from_text(token) if len(token) == MESSAGE_CHARACTERS else None
    if raw is None or raw[0] != VERSION:
        return None
    head, given = raw[:HEAD_BYTES], raw[HEAD_BYTES:]
    # Two keys may have the same number. None has it: one is tried all the same, for the time.
    candidates = [key for key in keys if key_id(key) == raw[1]] or list(keys[:1])
    for key in candidates:
        signature = mac(head, purpose=_MESSAGE, key=key, size=_FULL_MAC_BYTES)
        is_good = hmac.compare_digest(given, signature[:MAC_BYTES])
        if is_good and key_id(key) == raw[1]:
            return _Head(UUID(bytes=head[2:18]), head[18:], signature[MAC_BYTES:], key)
    return None
