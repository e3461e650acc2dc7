"""Find a configuration of sending that could not work, before mail is accepted."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.db import DatabaseError

from sending.models import Suppression
from sending.pseudonyms import prefixes
from sending.steps import message_steps


@register()
def check_message_steps(**kwargs: Any) -> list[CheckMessage]:
    """Refuse a MESSAGE_STEPS line that names nothing, or something without both halves (E001)."""
    try:
        steps = message_steps()
    except ImportError as error:
        return [_error(f"A line of MESSAGE_STEPS cannot be resolved: {error}", "E001")]
    return [
        _error(f"{step!r} in MESSAGE_STEPS has no prepare() or no fill().", "E001")
        for step in steps
        if not (hasattr(step, "prepare") and hasattr(step, "fill"))
    ]


@register()
def check_times(**kwargs: Any) -> list[CheckMessage]:
    """Refuse numbers that cannot work: a lease or a lifetime of nothing, no worker (E002)."""
    limits = {
        "LEASE_SECONDS": 1,
        "SWEEP_SECONDS": 0.01,
        "QUEUE_LIFETIME_HOURS": 1,
        "PACING_ASSUMED_WORKERS": 1,
    }
    return [
        _error(f"{name} is {getattr(settings, name)}; it must be at least {least}.", "E002")
        for name, least in limits.items()
        if getattr(settings, name) < least
    ]


@register(Tags.database)
def check_forgotten(
    *, databases: Collection[str] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """Warn when a key was taken away under which people were forgotten (W003).

    By `migrate` and `check --database default`, as all checks that ask the database.
    """
    if not databases:
        return []
    lost = Suppression.objects.filter(reason=Suppression.Reason.FORGOTTEN)
    for prefix in prefixes():
        lost = lost.exclude(address__startswith=prefix)
    try:
        number = lost.count()
    except DatabaseError:  # before the first migration
        return []
    if not number:
        return []
    return [
        Warning(
            f"{number} people who asked to be forgotten would get mail again: their addresses "
            "were hashed with a key that is in ENCRYPTION_KEYS no more.",
            hint="Put the former key back at the end of ENCRYPTION_KEYS.",
            id="sending.W003",
        )
    ]


@register()
def check_caps(**kwargs: Any) -> list[CheckMessage]:
    """Refuse a cap below nothing (E004)."""
    names = ("BULK_CAP_PER_DAY", "BULK_CAP_PER_WEEK")
    return [
        _error(f"{name} is {getattr(settings, name)}; it must be 0 (no cap) or more.", "E004")
        for name in names
        if getattr(settings, name) < 0
    ]


def _error(message: str, number: str) -> Error:
    return Error(
        message, hint="Correct it in the settings or the environment.", id=f"sending.{number}"
    )
