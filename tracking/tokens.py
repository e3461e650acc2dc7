"""Make and read the tokens in tracked links and pixels; nobody else can make one.

A message's token is base64url of a version, the number of the key, the id of the message, the
fingerprint of its template version, and 96 bits of HMAC-SHA256: 48 characters. What follows it
in a link names the link and where it leads: its place in the template, the URL, and 96 bits of
HMAC over these and the fingerprint, which is the same in all messages of a version; or, where the
URL depends on values of the message, over these and the message's token. So a link is good with
no other destination and in no other mail, and is understood without the database. No recipient's
address is in a token.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from uuid import UUID

from sending.signing import from_text, is_mac, key_id, mac, to_text
from sending.steps import FINGERPRINT_BYTES

VERSION = 1
MAC_BYTES = 12
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


def message_token(message_id: UUID, fingerprint: bytes, *, key: str) -> str:
    """Return the token of a message."""
    head = _beginning(key) + message_id.bytes + fingerprint
    return to_text(head + mac(head, purpose=_MESSAGE, key=key, size=MAC_BYTES))


@lru_cache(maxsize=16)
def _beginning(key: str) -> bytes:
    return bytes((VERSION, key_id(key)))


def shared_link(link: int, url: str, fingerprint: bytes, *, key: str) -> str:
    """Return what follows the token of any message of a version, for a link they share."""
    return _link(link, url, fingerprint, key=key)


def own_link(link: int, url: str, token: str, *, key: str) -> str:
    """Return what follows this message's token, for a link that no other message has."""
    return _link(link | _IS_OWN, url, token.encode(), key=key)


def _link(number: int, url: str, owner: bytes, *, key: str) -> str:
    body = number.to_bytes(2) + url.encode()
    return to_text(body + mac(owner + body, purpose=_LINK, key=key, size=MAC_BYTES))


def read_message(token: str, *, keys: Sequence[str]) -> UUID | None:
    """Return the message of a pixel, None for what was not made here."""
    read = _read_head(token, keys)
    return read[0] if read else None


def read_click(token: str, *, keys: Sequence[str]) -> Click | None:
    """Return what a link says, None for what was not made here."""
    head, rest = token[:MESSAGE_CHARACTERS], token[MESSAGE_CHARACTERS:]
    read = _read_head(head, keys)
    raw = from_text(rest)
    if read is None or raw is None or len(raw) <= 2 + MAC_BYTES:
        return None
    message_id, fingerprint, key = read
    body, given = raw[:-MAC_BYTES], raw[-MAC_BYTES:]
    number = int.from_bytes(body[:2])
    owner = head.encode() if number & _IS_OWN else fingerprint
    if not is_mac(given, owner + body, purpose=_LINK, key=key):
        return None
    return Click(message_id, number & ~_IS_OWN, body[2:].decode())


def _read_head(token: str, keys: Sequence[str]) -> tuple[UUID, bytes, str] | None:
    """Return message, fingerprint and key of a message's token."""
    raw = from_text(token) if len(token) == MESSAGE_CHARACTERS else None
    if raw is None or raw[0] != VERSION:
        return None
    head, given = raw[:HEAD_BYTES], raw[HEAD_BYTES:]
    # Two keys may have the same number. None has it: one is tried all the same, for the time.
    candidates = [key for key in keys if key_id(key) == raw[1]] or list(keys[:1])
    good = [key for key in candidates if is_mac(given, head, purpose=_MESSAGE, key=key)]
    if not good or key_id(good[0]) != raw[1]:
        return None
    return UUID(bytes=head[2:18]), head[18:], good[0]
