"""Say why a request is not let in, as one tree.

ApiKeyError                 code 1001, HTTP 401
├── InvalidKey              1001, 401: missing, unknown, disabled, revoked, expired: one text
├── MissingScope            1001, 403: the key is good, but not for this
├── KeyRevoked              1001, 409: an operator asks for a new secret of a revoked key
├── KeyPaused               1005, 403: the key is good, but stopped for the reason in the text
├── AddressNotAllowed       1002, 403: the key has networks and the caller is in none of them
└── TooManyRequests         1006, 429: ``retry_after_seconds``, ``limit``, ``remaining``, ``reset``
    └── QuotaExceeded       1006, 429: the key's messages of this UTC day are used up

``code`` is the number of the error in the public contract, ``http_status`` the status that goes
with it.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from uuid import UUID


class ApiKeyError(Exception):
    """A request that is not let in; its text is meant for the caller."""

    code = 1001
    http_status = 401


class InvalidKey(ApiKeyError):
    """No usable key was given. ``reason`` is for the log; the caller never learns it."""

    def __init__(self, reason: str, *, key_id: UUID | None = None) -> None:
        super().__init__("Invalid API key")
        self.reason = reason
        self.key_id = key_id


class MissingScope(ApiKeyError):
    """The key lacks the scope that the view asks for."""

    http_status = 403

    def __init__(self, scope: str) -> None:
        super().__init__(
            f'This API key may not do this: it lacks the scope "{scope}". '
            "Ask the operator to add it to the key, or use another key."
        )
        self.scope = scope


class KeyRevoked(ApiKeyError):
    """A revoked key stays revoked."""

    http_status = 409

    def __init__(self, name: str) -> None:
        super().__init__(
            f'The API key "{name}" is revoked and gets no new secret. Create a new key.'
        )


class KeyPaused(ApiKeyError):
    """The key was stopped, by an operator or by a limit, until an operator resumes it."""

    code = 1005
    http_status = 403

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"This API key is paused: {reason.rstrip('.')}. Ask the operator to resume it."
        )


class AddressNotAllowed(ApiKeyError):
    """The caller's address is outside the networks of the key, or cannot be known."""

    code = 1002
    http_status = 403

    def __init__(self, address: IPv4Address | IPv6Address | None) -> None:
        caller = str(address or "the caller, whose address is not known,")
        super().__init__(
            f"IP not allowed: {caller} is not in the networks of this API key. "
            "Ask the operator to add it."
        )
        self.address = address


class TooManyRequests(ApiKeyError):
    """A limit is reached.

    ``limit`` is how many the limit allows in its window, ``remaining`` how many of them are left,
    ``reset`` the seconds until more are allowed.
    """

    code = 1006
    http_status = 429

    def __init__(
        self, message: str, *, retry_after_seconds: int, limit: int, remaining: int = 0
    ) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds
        self.limit = limit
        self.remaining = remaining
        self.reset = retry_after_seconds


class QuotaExceeded(TooManyRequests):
    """The messages that the key may send in this UTC day do not suffice for the request."""
