"""Find out which API key a request comes with.

A key is remembered for half a second (`apikeys.recent`), so a revoked one is refused within a
second in every process. A key is checked before its address is blamed: somebody who tries keys
from a shared address cannot lock out a neighbour whose key is good.
"""

from __future__ import annotations

import hmac
import logging
import math
from datetime import datetime

from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.utils import timezone
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from apikeys import pacing, refusals, tokens
from apikeys.addresses import IPAddress, client_address
from apikeys.errors import InvalidKey, KeyPaused, TooManyRequests
from apikeys.models import ApiKey, ApiKeySecret
from apikeys.recent import Recent

log = logging.getLogger(__name__)

HEADER = "X-API-Key"
META_NAME = "HTTP_X_API_KEY"  # as WSGI has it; request.headers makes an object of all headers
# Compared when there is no row, so that an unknown prefix costs what a known one does.
NO_DIGEST = "0" * 64


class ApiKeyAuthentication(BaseAuthentication):
    """Read the header X-API-Key; afterwards `request.auth` is the ApiKey.

    Raises InvalidKey, KeyPaused, and TooManyRequests for an address with too many bad keys.
    """

    def authenticate(self, request: Request) -> tuple[AnonymousUser, ApiKey]:
        """Return nobody and the key, or raise."""
        try:
            key = identify(request.META.get(META_NAME, ""), now=timezone.now())
        except InvalidKey as error:
            address = client_address(request)
            refusals.note(
                reason=error.reason.partition(" (")[0], key_id=error.key_id, address=address
            )
            count_failure(address, reason=error.reason)
            raise
        if key.paused_reason:
            refusals.note(reason="paused", key_id=key.pk, address=client_address(request))
            raise KeyPaused(key.paused_reason)
        return AnonymousUser(), key

    def authenticate_header(self, request: Request) -> str:
        """Return the challenge that goes with a 401 (RFC 9110 section 11.6.1)."""
        return HEADER


def identify(text: str, *, now: datetime) -> ApiKey:
    """Return the usable key that this secret opens; raise InvalidKey with the reason."""
    if not text:
        raise InvalidKey("missing")
    token = tokens.split(text)
    if token is None:
        raise InvalidKey("malformed")
    secret = _secrets.get(token.prefix)
    stored = secret.digest if secret else NO_DIGEST
    is_same = hmac.compare_digest(tokens.digest(token.random_part), stored)
    if secret is None or not is_same:
        raise InvalidKey("unknown")
    reason = secret.key.why_refused(now=now) or secret.why_refused(now=now)
    if reason:
        raise InvalidKey(f"{reason} ({secret.prefix})", key_id=secret.key_id)
    return secret.key


def _secret_of(prefix: str) -> ApiKeySecret | None:
    return ApiKeySecret.objects.select_related("key").filter(prefix=prefix).first()


_secrets: Recent[str, ApiKeySecret] = Recent(_secret_of)


def count_failure(address: IPAddress | None, *, reason: str) -> None:
    """Count a bad key against the address; raise TooManyRequests when it sent too many."""
    per_minute = settings.FAILED_AUTH_PER_MINUTE
    wait_ms = pacing.limiter().take(
        f"bad-key:{refusals.subscriber(address)}", per_second=per_minute / 60, burst=per_minute
    )
    if wait_ms:
        # Not logged one by one: whoever tries keys must not be able to fill the disk.
        raise TooManyRequests(
            "Too many requests with an invalid API key from this address. "
            "Check the key, then wait.",
            retry_after_seconds=math.ceil(wait_ms / 1000),
            limit=per_minute,
        )
    log.warning("An API key was refused: address %s, reason: %s", address or "unknown", reason)
