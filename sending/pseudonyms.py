"""Stand in for the address of somebody who was forgotten: keyed, so that nobody can read it back.

A pseudonym is an address in a reserved domain (RFC 2606), made of 128 bits of keyed BLAKE2b (RFC
7693), a quarter of the time of an HMAC, under a key that is derived from ``ENCRYPTION_KEYS``. The
first of them makes new ones, all of them find old ones: as with what is encrypted, a key that was
used stays in the list for ever.
"""

from __future__ import annotations

import hmac
from functools import lru_cache
from hashlib import blake2b

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from sending.signing import key_id

DOMAIN = "forgotten.invalid"
AT_DOMAIN = f"@{DOMAIN}"
PURPOSE = b"pseudonym-of-an-address"
MAC_BYTES = 16


def pseudonym(address: str) -> str:
    """Return what stands in for a case-folded address from now on."""
    if not settings.ENCRYPTION_KEYS:
        raise ImproperlyConfigured("ENCRYPTION_KEYS is not set; .env.example says how to make one.")
    return pseudonyms(address)[0]


def pseudonyms(address: str) -> list[str]:
    """Return what may stand in for a case-folded address already: one for each key."""
    octets = address.encode("utf-8", "surrogatepass")
    return [
        prefix + blake2b(octets, digest_size=MAC_BYTES, key=key).hexdigest() + AT_DOMAIN
        for prefix, key in _keys(tuple(settings.ENCRYPTION_KEYS))
    ]


def is_pseudonym(address: str) -> bool:
    """Tell whether the address of somebody who was forgotten stood here."""
    return address.endswith(AT_DOMAIN)


def prefixes() -> list[str]:
    """Return how the pseudonyms begin that can be found with the keys of today."""
    return [prefix for prefix, _ in _keys(tuple(settings.ENCRYPTION_KEYS))]


@lru_cache(maxsize=8)
def _keys(secrets: tuple[str, ...]) -> list[tuple[str, bytes]]:
    """Return for each secret how its pseudonyms begin, and the key that makes them."""
    return [
        (f"{key_id(secret):02x}-", hmac.digest(secret.encode(), PURPOSE, "sha256"))
        for secret in secrets
    ]
