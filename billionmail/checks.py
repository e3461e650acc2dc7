"""Find a configuration that would be unsafe or would not work, before it is used."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register
from django.core.exceptions import ImproperlyConfigured

GENERATE = 'Generate one: python3 -c "import secrets; print(secrets.token_urlsafe(48))"'
MIN_SECRET_LENGTH = 32


@register()
def check_secrets(**kwargs: Any) -> list[CheckMessage]:
    """Refuse missing or short secrets (billionmail.E001 to E003)."""
    found: list[CheckMessage] = []
    lists = (("ENCRYPTION_KEYS", "E002"), ("SIGNING_KEYS", "E003"))
    if len(_secret_key()) < MIN_SECRET_LENGTH:
        found.append(_short("SECRET_KEY", "E001"))
    for name, number in lists:
        keys = getattr(settings, name)
        if not keys or min(map(len, keys)) < MIN_SECRET_LENGTH:
            found.append(_short(name, number))
    return found


def _secret_key() -> str:
    try:
        return settings.SECRET_KEY
    except ImproperlyConfigured:  # how Django reports an empty one
        return ""


def _short(name: str, number: str) -> Error:
    return Error(
        f"{name} is not set, or is shorter than {MIN_SECRET_LENGTH} characters.",
        hint=GENERATE,
        id=f"billionmail.{number}",
    )


@register()
def check_public_url(**kwargs: Any) -> list[CheckMessage]:
    """Refuse a PUBLIC_URL that cannot stand in a mail; warn of plain HTTP (E004, W005)."""
    parts = urlsplit(settings.PUBLIC_URL)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query:
        return [
            Error(
                f"PUBLIC_URL is {settings.PUBLIC_URL!r}, which is not an http(s) address.",
                hint="Set it to the address at which recipients reach this server, "
                "for example https://mail.example.com",
                id="billionmail.E004",
            )
        ]
    if parts.scheme == "http" and parts.hostname not in ("localhost", "127.0.0.1", "::1"):
        return [
            Warning(
                "PUBLIC_URL uses http: passwords and API keys would travel in clear.",
                hint="Put a TLS front before BillionMail and set PUBLIC_URL to its https address.",
                id="billionmail.W005",
            )
        ]
    return []


@register()
def check_memory_broker(**kwargs: Any) -> list[CheckMessage]:
    """Warn when PostgreSQL is used without Redis (W006)."""
    engine = settings.DATABASES["default"]["ENGINE"]
    if "postgresql" in engine and not settings.REDIS_URL:
        return [
            Warning(
                "DATABASE_URL names PostgreSQL but REDIS_URL is empty: workers in other "
                "processes are not rung and find new mail only once a second.",
                hint="Set REDIS_URL.",
                id="billionmail.W006",
            )
        ]
    return []
