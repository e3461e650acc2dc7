"""Sign octets with a truncated HMAC-SHA256, and write them as text for addresses.

The first of the keys signs, and each key verifies: what was sent outlives the rotation of keys as
long as its key stays in the list. A `purpose` keeps what was signed for one use from being good for
another. Text is base64url without padding (RFC 4648 section 5), in one spelling only.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
from functools import lru_cache

FINGERPRINT_BYTES = 6

_written_as = bytes.maketrans(b"+/", b"-_")
_read_as = bytes.maketrans(b"-_", b"+/")


def mac(body: bytes, *, purpose: bytes, key: str, size: int) -> bytes:
    """Return `size` octets that only who has the key can make of the body."""
    signing = _begun(purpose, key).copy()
    signing.update(body)
    return signing.digest()[:size]


@lru_cache(maxsize=64)
def _begun(purpose: bytes, key: str) -> hmac.HMAC:
    """Return what all that is signed for a purpose begins with: mixing in the key takes longest."""
    return hmac.new(key.encode(), purpose, "sha256")


def is_mac(given: bytes, body: bytes, *, purpose: bytes, key: str) -> bool:
    """Tell, in a time that does not depend on the answer, whether the key made `given`."""
    return hmac.compare_digest(given, mac(body, purpose=purpose, key=key, size=len(given)))


@lru_cache(maxsize=256)
def fingerprint(text: str) -> bytes:
    """Return `FINGERPRINT_BYTES` that tell a text from others, such as one template's HTML."""
    octets = text.encode("utf-8", "surrogatepass")
    return hashlib.blake2b(octets, digest_size=FINGERPRINT_BYTES).digest()


@lru_cache(maxsize=16)
def key_id(key: str) -> int:
    """Return a number below 256 that tells keys apart, most of the time, and nothing of them."""
    return hashlib.sha256(b"key-id:" + key.encode()).digest()[0]


def to_text(raw: bytes) -> str:
    """Write octets with letters, digits, - and _."""
    return binascii.b2a_base64(raw, newline=False).translate(_written_as, b"=").decode()


def from_text(text: str) -> bytes | None:
    """Return the octets; None for what `to_text` does not write, other spellings included."""
    try:
        octets = text.encode("ascii")
        raw = binascii.a2b_base64(octets.translate(_read_as) + b"=" * (-len(octets) % 4))
    except (binascii.Error, UnicodeEncodeError):
        return None
    return raw if to_text(raw) == text else None
