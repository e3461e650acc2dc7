"""Encrypt the secrets that must be read back (passwords, provider keys, DKIM keys) at rest.

The keys come from ``ENCRYPTION_KEYS``: the first encrypts, all of them decrypt, so that a key is
replaced by putting a new one in front.
"""

from __future__ import annotations

import base64
import hashlib
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import models


def _fernet() -> MultiFernet:
    if not settings.ENCRYPTION_KEYS:
        raise ImproperlyConfigured("ENCRYPTION_KEYS is not set; .env.example says how to make one.")
    digests = [hashlib.sha256(key.encode()).digest() for key in settings.ENCRYPTION_KEYS]
    return MultiFernet([Fernet(base64.urlsafe_b64encode(digest)) for digest in digests])


def encrypt(plain: str) -> str:
    """Return a token that only the keys can read; an empty text stays empty."""
    return _fernet().encrypt(plain.encode()).decode() if plain else ""


def decrypt(token: str) -> str:
    """Return what was encrypted; raise ImproperlyConfigured when no key fits."""
    if not token:
        return ""
    try:
        return _fernet().decrypt(token.encode()).decode()
    except InvalidToken:
        raise ImproperlyConfigured(
            "A stored secret cannot be decrypted: none of the ENCRYPTION_KEYS is the one it was "
            "encrypted with. Put the former key back at the end of the list."
        ) from None


class EncryptedTextField(models.TextField):
    """A text that the database holds encrypted and Python sees in clear."""

    def from_db_value(self, value: str | None, *args: Any) -> str | None:
        """Decrypt what the database holds."""
        return value if value is None else decrypt(value)

    def get_prep_value(self, value: Any) -> Any:
        """Encrypt what the database will hold."""
        return value if value is None else encrypt(str(value))
