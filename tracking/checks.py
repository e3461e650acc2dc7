"""Find a configuration of tracking that could not work, before hits are lost on it."""

from __future__ import annotations

from typing import Any

import maxminddb
from django.conf import settings
from django.core.checks import CheckMessage, Error, register


@register()
def check_countries(**kwargs: Any) -> list[CheckMessage]:
    """Refuse a GEOIP_FILE that is no MaxMind file (E001)."""
    if not settings.GEOIP_FILE:
        return []
    try:
        maxminddb.open_database(settings.GEOIP_FILE).close()
    except (OSError, ValueError, maxminddb.InvalidDatabaseError) as error:
        return [
            Error(
                f"GEOIP_FILE cannot be read: {error}",
                hint="Name a file such as GeoLite2-Country.mmdb, or leave the variable out.",
                id="tracking.E001",
            )
        ]
    return []


@register()
def check_days(**kwargs: Any) -> list[CheckMessage]:
    """Refuse a negative number of days (E002)."""
    if settings.IP_DAYS >= 0:
        return []
    return [
        Error(
            f"IP_DAYS is {settings.IP_DAYS}; it must be at least 0.",
            hint="0 shortens the addresses within the hour.",
            id="tracking.E002",
        )
    ]
