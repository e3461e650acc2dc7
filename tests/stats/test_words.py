"""What figures are called where people read them."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from stats import words


@pytest.mark.parametrize(
    ("name", "month", "told"),
    [
        ("UTC", 1, "UTC"),
        ("America/New_York", 7, "America/New_York"),
        ("Asia/Kolkata", 1, "Asia/Kolkata, days from 00:30 on"),
        ("Asia/Kathmandu", 1, "Asia/Kathmandu, days from 00:45 on"),
        ("America/St_Johns", 7, "America/St_Johns, days from 00:30 on"),
        ("Australia/Lord_Howe", 1, "Australia/Lord_Howe"),
        ("Australia/Lord_Howe", 7, "Australia/Lord_Howe, days from 00:30 on"),
    ],
)
def test_a_zone_whose_hours_lie_within_those_of_utc_says_when_its_days_begin(
    name: str, month: int, told: str
) -> None:
    assert words.days_of(ZoneInfo(name), at=datetime(2026, month, 1, tzinfo=UTC)) == told
