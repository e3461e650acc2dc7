"""Tell the country of an address, from a MaxMind file that the operator may supply."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import maxminddb
from django.conf import settings


def country_of(ip: str) -> str:
    """Return the ISO 3166 code of the country of an address; empty when nobody can tell."""
    if not settings.GEOIP_FILE or not ip:
        return ""
    try:
        # A new file, put in the place of the old one, is read from then on.
        reader = _reader(settings.GEOIP_FILE, Path(settings.GEOIP_FILE).stat().st_mtime_ns)
        found = reader.get(ip)
    except (OSError, ValueError, maxminddb.InvalidDatabaseError):
        # The system check says so; an event is worth more than its country.
        return ""
    country = found.get("country") if isinstance(found, dict) else None
    code = country.get("iso_code") if isinstance(country, dict) else None
    return code[:2] if isinstance(code, str) else ""


@lru_cache(maxsize=1)
def _reader(path: str, changed_at_ns: int) -> maxminddb.Reader:
    return maxminddb.open_database(path)
