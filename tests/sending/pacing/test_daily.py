"""What is counted by the day is shared exactly, however many ask at once."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import date

import pytest
from django.db import connection

from sending.models import DailyCount
from sending.pacing import daily

TODAY = date(2026, 11, 24)


@pytest.mark.django_db
def test_what_is_left_of_each_allowance_is_given() -> None:
    allowances = {"a": 5, "b": 100}
    assert daily.take(Counter(a=3), allowances=allowances, today=TODAY) == {"a": 3}
    given = daily.take(Counter(a=3, b=3), allowances=allowances, today=TODAY)
    assert given == {"a": 2, "b": 3}
    assert daily.used(["a", "b", "c"], today=TODAY) == {"a": 5, "b": 3}


@pytest.mark.django_db
def test_allowance_that_was_lowered_gives_nothing() -> None:
    daily.take(Counter(a=5), allowances={"a": 5}, today=TODAY)
    assert daily.take(Counter(a=1), allowances={"a": 3}, today=TODAY) == {"a": 0}
    assert DailyCount.objects.get().used == 5


@pytest.mark.django_db(transaction=True)
def test_workers_that_ask_at_the_same_time_share_one_day() -> None:
    def ask(number: int) -> Counter[str]:
        wanted = Counter({"a": 3, "b": 2} if number % 2 else {"b": 2, "c": 1})
        try:
            return Counter(daily.take(wanted, allowances={"a": 20, "b": 50, "c": 7}, today=TODAY))
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        given = sum(pool.map(ask, range(40)), Counter())

    assert given == {"a": 20, "b": 50, "c": 7}
    assert daily.used(["a", "b", "c"], today=TODAY) == dict(given)
