"""Find a way in for reports that anybody could use, or nobody."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register

from tracking.addressees import report_handlers
from tracking.webhook_protection import PROVIDERS, why_unprotected

MIN_SECRET_LENGTH = 32


@register()
def check_webhooks(**kwargs: Any) -> list[CheckMessage]:
    """Refuse webhooks that are unknown (tracking.E101) or not protected (E102)."""
    found: list[CheckMessage] = []
    for provider in settings.WEBHOOKS:
        if provider not in PROVIDERS:
            hint = f"Known are: {', '.join(PROVIDERS)}."
            found.append(_error(f"WEBHOOKS names {provider!r}, which is unknown.", hint, "E101"))
        elif missing := why_unprotected(provider):
            text = f"The webhook of {provider} is not protected: {missing}"
            hint = "Set it, and give the provider https://user:password@HOST/hooks/NAME/."
            found.append(_error(text, hint, "E102"))
    return found


@register()
def check_report_intake(**kwargs: Any) -> list[CheckMessage]:
    """Refuse REPORT_INTAKE without secrets of good length (tracking.E103)."""
    secrets = settings.REPORT_INTAKE_SECRETS
    if not settings.REPORT_INTAKE:
        return []
    if secrets and min(map(len, secrets)) >= MIN_SECRET_LENGTH:
        return []
    text = (
        f"REPORT_INTAKE is on, but REPORT_INTAKE_SECRETS has none of {MIN_SECRET_LENGTH} letters."
    )
    hint = 'Generate one: python3 -c "import secrets; print(secrets.token_urlsafe(48))"'
    return [_error(text, hint, "E103")]


@register()
def check_report_handlers(**kwargs: Any) -> list[CheckMessage]:
    """Refuse a line of REPORT_HANDLERS that names nothing of use (tracking.E104)."""
    hint = "Correct it in the settings."
    try:
        handlers = report_handlers()
    except ImportError as error:
        return [_error(f"A line of REPORT_HANDLERS cannot be resolved: {error}", hint, "E104")]
    return [
        _error(f"{one!r} in REPORT_HANDLERS has no accepts() or no take().", hint, "E104")
        for one in handlers
        if not (hasattr(one, "accepts") and hasattr(one, "take"))
    ]


def _error(text: str, hint: str, number: str) -> Error:
    return Error(text, hint=hint, id=f"tracking.{number}")
