"""Keep each key within its requests a second."""

from __future__ import annotations

import math
from typing import Any

from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from apikeys import pacing, refusals
from apikeys.addresses import client_address
from apikeys.errors import TooManyRequests
from apikeys.models import ApiKey


class KeyRateThrottle(BaseThrottle):
    """Let `rate_per_second` requests of a key through, at most one second's worth at a time.

    Raises TooManyRequests. A key without a rate is not limited.
    """

    def allow_request(self, request: Request, view: Any) -> bool:
        """Return True or raise."""
        key = request.auth
        if not isinstance(key, ApiKey) or key.rate_per_second is None:
            return True
        rate = key.rate_per_second
        wait_ms = pacing.limiter().take(f"key:{key.pk}", per_second=rate, burst=rate)
        if wait_ms:
            refusals.note(reason="rate", key_id=key.pk, address=client_address(request))
            raise TooManyRequests(
                f"Too many requests: this API key may send {rate} a second. Slow down.",
                retry_after_seconds=math.ceil(wait_ms / 1000),
                limit=rate,
            )
        return True
