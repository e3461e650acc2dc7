"""What figures are called where people read them."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from stats import words


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0.2173, "about 220 ms"),
        (0.9999, "about 1.0 s"),
        (1.234, "about 1.2 s"),
        (9.97, "about 10 s"),
        (54.61, "about 55 s"),
        (97.3, "about 97 s"),
        (1234, "about 20 min"),
    ],
)
def test_a_wait_is_told_in_no_more_digits_than_are_known(seconds: float, told: str) -> None:
    assert words.seconds(seconds) == told


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
