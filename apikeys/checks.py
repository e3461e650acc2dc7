"""Find settings that would make keys unsafe, before the first request."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register

MIN_HASH_KEY_LENGTH = 32


@register()
def check_hash_key(**kwargs: Any) -> list[CheckMessage]:
    """Refuse a missing or short API_KEY_HASH_KEY (apikeys.E001)."""
    if len(settings.API_KEY_HASH_KEY) >= MIN_HASH_KEY_LENGTH:
        return []
    return [
        Error(
            "API_KEY_HASH_KEY is not set, or is shorter than "
            f"{MIN_HASH_KEY_LENGTH} characters: the stored hashes of API keys would be weak.",
            hint='Generate one: python3 -c "import secrets; print(secrets.token_urlsafe(48))" '
            "and keep it: changing it makes every existing API key invalid.",
            id="apikeys.E001",
        )
    ]


@register()
def check_trusted_proxy_count(**kwargs: Any) -> list[CheckMessage]:
    """Refuse a negative TRUSTED_PROXY_COUNT (apikeys.E002)."""
    if settings.TRUSTED_PROXY_COUNT >= 0:
        return []
    return [
        Error(
            f"TRUSTED_PROXY_COUNT is {settings.TRUSTED_PROXY_COUNT}, which is negative.",
            hint="Set it to how many proxies of yours every request passes: 0 for none.",
            id="apikeys.E002",
        )
    ]


@register()
def check_failed_auth_per_minute(**kwargs: Any) -> list[CheckMessage]:
    """Refuse a FAILED_AUTH_PER_MINUTE below one (apikeys.E003)."""
    if settings.FAILED_AUTH_PER_MINUTE >= 1:
        return []
    return [
        Error(
            f"FAILED_AUTH_PER_MINUTE is {settings.FAILED_AUTH_PER_MINUTE}; it must be at least 1.",
            hint="Leave it unset for 30 requests with a bad API key a minute and address.",
            id="apikeys.E003",
        )
    ]
