"""What could not work is told at the start."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tracking.checks import check_countries, check_days

COUNTRIES = Path(__file__).parent / "data" / "GeoLite2-Country-Test.mmdb"


def test_a_maxmind_file_or_none_is_fine(settings: Any) -> None:
    for path in ("", str(COUNTRIES)):
        settings.GEOIP_FILE = path
        assert check_countries() == []


@pytest.mark.parametrize("content", [None, b"", b"this is no MaxMind file"])
def test_a_file_that_tells_no_country_is_refused(
    settings: Any, tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "countries.mmdb"
    if content is not None:
        path.write_bytes(content)
    settings.GEOIP_FILE = str(path)
    (complaint,) = check_countries()
    assert complaint.id == "tracking.E001"
    assert "GEOIP_FILE" in complaint.msg


@pytest.mark.parametrize(("days", "number"), [(30, 0), (0, 0), (-1, 1)])
def test_days_that_cannot_be_are_refused(settings: Any, days: int, number: int) -> None:
    settings.IP_DAYS = days
    assert len(check_days()) == number
