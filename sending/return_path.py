"""Put the id of a message into its return-path, and read it back from a bounce (VERP).

The local part is ``b+<id>.<mac>``: 26 and 16 characters of lower-case base32, 45 with the rest, so
that hosts which change the case of an address, or cut it at 64 octets, do no harm.
"""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Sequence
from uuid import UUID

_MAC_BYTES = 10  # 80 bits: a guess can only be tried by sending us mail
_PURPOSE = b"return-path:"  # keeps a MAC made elsewhere with the same key from being valid here

_match_local = re.compile(r"b\+([a-z2-7]{26})\.[a-z2-7]{16}").fullmatch


def encode(message_id: UUID, *, domain: str, key: bytes) -> str:
    """Return the envelope sender under which bounces of this message come back to ``domain``."""
    return f"{_local(message_id, key=key)}@{domain}"


def decode(address: str, *, keys: Sequence[bytes]) -> UUID | None:
    """Return the id that ``encode`` put into ``address``, None unless one of ``keys`` signed it.

    The case of letters and the domain are ignored; the time taken does not tell which key fits.
    """
    local = address.rpartition("@")[0].lower()
    match = _match_local(local)
    if match is None:
        return None
    message_id = UUID(bytes=base64.b32decode(match[1].upper() + "======"))
    # The whole local part is compared, so that the spare bits of base32 cannot be varied either.
    verdicts = [hmac.compare_digest(local, _local(message_id, key=key)) for key in keys]
    return message_id if any(verdicts) else None


def _local(message_id: UUID, *, key: bytes) -> str:
    mac = hmac.digest(key, _PURPOSE + message_id.bytes, "sha256")[:_MAC_BYTES]
    return f"b+{_base32(message_id.bytes)}.{_base32(mac)}"


def _base32(octets: bytes) -> str:
    return base64.b32encode(octets).decode("ascii").rstrip("=").lower()
