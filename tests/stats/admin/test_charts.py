"""Charts, cards and spans say what they are given, however little or much that is."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from stats import words
from stats.admin.cards import cards
from stats.admin.charts import Band, bars, outcomes, spark
from stats.admin.spans import read_span
from stats.queries import Course, Point, Rate, Step, Totals
from stats.queries.counts import placed

NOW = datetime(2026, 3, 29, 12, 20, tzinfo=UTC)


@given(st.lists(st.integers(min_value=0, max_value=10**9), min_size=1, max_size=100))
def test_columns_are_within_the_chart_and_as_high_as_their_counts(numbers: list[int]) -> None:
    titles = [str(at) for at in range(len(numbers))]
    halves = [Band(name, name, numbers) for name in ("a", "b")]
    chart = bars("Both", bands=halves, titles=titles, labels=titles, unit="messages")
    assert len(chart.columns) == len(numbers)
    assert chart.ticks[0][1] == 100
    assert chart.ticks[-1][1] == 0
    assert 2 <= len(chart.ticks) <= 6
    most = max(numbers)
    for number, column in zip(numbers, chart.columns, strict=True):
        heights = sum(part.height for part in column.segments)
        assert heights <= 100.01
        assert all(part.top >= -0.01 for part in column.segments)
        assert bool(column.segments) == bool(number)
        if number == most and most:
            assert heights >= 49.9  # an axis is at most twice as long as what it shows


def test_chart_of_nothing_is_empty() -> None:
    points = [Point(NOW, Totals()), Point(NOW + timedelta(hours=1), Totals())]
    chart = outcomes(points, step=Step.HOUR)
    assert chart.is_empty
    assert chart.columns[0].tip == "Sun 29 Mar, 12:20 to 13:20\nno messages"


def test_every_message_is_in_one_colour() -> None:
    totals = Totals(
        waiting=1, taken=2, confirmed=3, bounced=4, complained=5, rejected=6, failed=7,
        suppressed=8, canceled=9, expired=10, unknown=11,
    )  # fmt: skip
    chart = outcomes([Point(NOW, totals)], step=Step.DAY)
    assert sum(sum(band.numbers) for band in chart.bands) == totals.accepted
    assert len({band.color for band in chart.bands}) == len(chart.bands)


def test_spark_line_has_a_gap_where_nothing_is_known() -> None:
    drawn = spark([1.0, 0.5, None, 0.0], what="Delivered", is_share=True)
    assert drawn.paths == ["M0.0 2.0 L33.3 12.0", "M100.0 22.0 L100.0 22.0"]
    assert drawn.tip == "Delivered: last 0 %, highest 100 %, lowest 0 %"
    assert spark([None], what="Delivered").paths == []


@pytest.mark.parametrize(
    ("share", "written"),
    [
        (None, "–"), (0, "0 %"), (1, "100 %"), (0.5, "50.0 %"), (0.9996, "99.96 %"),
        (0.0003, "0.03 %"), (0.00002, "< 0.01 %"), (0.99998, "> 99.99 %"), (0.01, "1.0 %"),
    ],
)  # fmt: skip
def test_only_all_is_hundred_per_cent_and_only_none_is_zero(
    share: float | None, written: str
) -> None:
    assert words.percent(share) == written


@pytest.mark.parametrize(
    ("number", "written"),
    [(0, "0"), (9999, "9,999"), (66_602, "66.6 k"), (5_020_000, "5.02 M"), (2e9, "2 G")],
)
def test_large_numbers_are_short(number: float, written: str) -> None:
    assert words.short(number) == written


def test_rate_says_its_counts_its_interval_and_what_it_is() -> None:
    assert words.exactly("bounce", Rate(1, 4)) == (
        "bounced / sent\n1 of 4 = 25.000 %\nwith 95 % confidence 4.56 % to 69.94 %"
    )
    assert words.exactly("bounce", Rate(0, 0)) == "bounced / sent"


def test_cards_of_nothing_say_so() -> None:
    found = cards(
        Course([Point(NOW, Totals())], Totals(), Totals()), compared="before", is_new=False
    )
    assert [card.value for card in found] == ["0", *["–"] * 6]
    assert {card.change for card in found} == {"–"}
    assert found[1].detail == "none to count"


@pytest.mark.parametrize(
    ("now", "before", "change"),
    [
        (1000, 1000, "= 0 %"), (10001, 10000, "= 0 %"), (9999, 10000, "= 0 %"),
        (1004, 1000, "▲ 0.4 %"), (996, 1000, "▼ 0.4 %"), (3, 1, "▲ 200 %"), (0, 4, "▼ 100 %"),
    ],
)  # fmt: skip
def test_card_has_an_arrow_only_where_its_digits_changed(
    now: int, before: int, change: str
) -> None:
    course = Course([Point(NOW, Totals())], Totals(taken=now), Totals(taken=before))
    assert cards(course, compared="before", is_new=False)[0].change == change


@pytest.mark.parametrize("is_new", [True, False])
def test_card_of_people_says_the_figure_with_machines_and_that_new_mail_is_read_later(
    is_new: bool,
) -> None:
    now = Totals(taken=10, opened=2, any_opened=5)
    found = cards(Course([Point(NOW, now)], now, Totals()), compared="before", is_new=is_new)
    opens = next(card for card in found if card.name == "open")
    assert opens.value == "20.0 %"
    assert opens.more[0] == "50.0 % with machines"
    assert ("new mail is read later" in opens.more) == is_new
    assert ("still to come" in opens.tip) == is_new


def test_span_of_days_is_compared_with_as_many_up_to_the_same_time() -> None:
    span = read_span({"span": "7d"}, now=NOW)
    assert span.cut.start == datetime(2026, 3, 23, tzinfo=UTC)
    assert span.cut.end == datetime(2026, 3, 29, 13, tzinfo=UTC)
    assert span.earlier.start == datetime(2026, 3, 16, tzinfo=UTC)
    assert span.earlier.end == datetime(2026, 3, 22, 13, tzinfo=UTC)
    assert (span.step, span.query) == (Step.DAY, "span=7d")


def test_day_of_a_span_has_the_hours_of_its_zone() -> None:
    with timezone.override("Europe/Lisbon"):  # an hour forward in this night
        span = read_span({"from": "2026-03-29", "to": "2026-03-29"}, now=NOW + timedelta(days=9))
    assert span.cut.end - span.cut.start == timedelta(hours=23)
    assert span.earlier.end - span.earlier.start == timedelta(hours=24)
    assert span.step == Step.HOUR


@pytest.mark.parametrize(
    ("query", "first", "last", "step"),
    [
        ({"from": "2026-03-01", "to": "2026-03-02"}, date(2026, 3, 1), date(2026, 3, 2), Step.HOUR),
        ({"from": "2026-03-02", "to": "2026-03-01"}, date(2026, 3, 1), date(2026, 3, 2), Step.HOUR),
        ({"from": "2025-06-01"}, date(2025, 6, 1), date(2026, 3, 29), Step.WEEK),
        ({"from": "2020-01-01"}, date(2020, 1, 1), date(2026, 3, 29), Step.MONTH),
        ({"to": "2026-03-01"}, date(2026, 3, 1), date(2026, 3, 1), Step.HOUR),
        ({"from": "2030-01-01"}, date(2026, 3, 29), date(2026, 3, 29), Step.HOUR),
        ({"from": "2026-02-31"}, date(2026, 3, 23), date(2026, 3, 29), Step.DAY),
        ({"from": "0001-01-01"}, date(2016, 2, 10), date(2026, 3, 29), Step.MONTH),
        ({"span": "nothing"}, date(2026, 3, 23), date(2026, 3, 29), Step.DAY),
    ],
)  # fmt: skip
def test_any_question_about_a_time_has_an_answer(
    query: dict[str, str], first: date, last: date, step: Step
) -> None:
    span = read_span(query, now=NOW)
    assert (span.first, span.last, span.step) == (first, last, step)


def test_days_of_a_zone_that_is_half_an_hour_off_are_no_more_than_asked_for() -> None:
    with timezone.override("Asia/Kolkata"):
        span = read_span({"span": "7d"}, now=NOW)
    assert span.cut.start == datetime(2026, 3, 22, 19, tzinfo=UTC)
    days = placed([], cut=span.cut, step=span.step)
    assert [one.start.day for one in days] == [23, 24, 25, 26, 27, 28, 29]
    assert span.earlier.end <= span.cut.start


def test_span_at_midnight_is_not_empty() -> None:
    midnight = datetime(2026, 3, 29, tzinfo=UTC)
    span = read_span({"from": "2026-03-29"}, now=midnight)
    assert span.cut.start < span.cut.end
