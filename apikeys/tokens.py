"""Make, take apart and hash the secret that a caller sends.

``bm_k3v9x0q2mz_`` and 43 characters: a readable prefix that finds the row, then 256 random bits.
The random part is too long to guess, so a fast keyed hash is as strong as a slow one; the key of
the hash stays outside the database, so a copy of the database alone proves nothing.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import string
from typing import NamedTuple

from django.conf import settings

PREFIX_ALPHABET = string.ascii_lowercase + string.digits
PREFIX_LENGTH = 10
RANDOM_BYTES = 32
SHAPE = re.compile(r"(bm_[a-z0-9]{10})_([A-Za-z0-9_-]{43})")


class Token(NamedTuple):
    """A secret in its two halves: the public prefix and what nobody else may know."""

    prefix: str
    random_part: str

    @property
    def text(self) -> str:
        """Return the secret as its caller sends it."""
        return f"{self.prefix}_{self.random_part}"


def new_token() -> Token:
    """Return a fresh token from the system's random source."""
    letters = "".join(secrets.choice(PREFIX_ALPHABET) for _ in range(PREFIX_LENGTH))
    return Token(prefix=f"bm_{letters}", random_part=secrets.token_urlsafe(RANDOM_BYTES))


def split(text: str) -> Token | None:
    """Return the halves of a secret, or None for what cannot be one."""
    found = SHAPE.fullmatch(text)
    return Token(found[1], found[2]) if found else None


def digest(random_part: str) -> str:
    """Return the hex HMAC-SHA256 that is stored in place of the random part."""
    hash_key = settings.API_KEY_HASH_KEY.encode()
    return hmac.new(hash_key, random_part.encode(), hashlib.sha256).hexdigest()
