"""Questions about any span of time are answered with the numbers that were counted in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo, available_timezones

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from hypothesis import given, settings
from hypothesis import strategies as st

from apikeys.models import ApiKey
from sending.models import RecipientDomain, Status, made_at, new_message_id
from stats import queries, rollups
from stats.models import SEPARATOR, WAIT_RATIO, Hour, Tally
from stats.queries import By, Cut, Step
from stats.queries.counts import begin_of
from stats.rollups.deltas import Deltas
from tests.factories.apikeys import ApiKeyFactory
from tests.factories.sending import MessageFactory, SendingProfileFactory, TemplateVersionFactory
from tests.factories.tracking import HitFactory, TrackedLinkFactory
from tests.stats.stories import today
from tracking.events import record_hits

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
SUNDAY, MONDAY = 6, 0


@pytest.fixture
def key(db: None) -> ApiKey:
    return ApiKeyFactory.create()


def counted(
    key: ApiKey, hours: Mapping[datetime, int], *, dimension: str = "all", value: str = ""
) -> None:
    """Let so many messages of each hour be with the next hop."""
    deltas = Deltas()
    for hour, number in hours.items():
        deltas.add((dimension, key.pk, hour, value), "taken", number)
    deltas.apply()


def tallied(key: ApiKey, series: Tally.Series, rows: Iterable[tuple[datetime, str, int]]) -> None:
    deltas = Deltas()
    for hour, value, number in rows:
        deltas.tally((series.value, key.pk, hour, value), number)
    deltas.apply()


def hours_from(start: datetime, number: int) -> list[datetime]:
    return [start.astimezone(UTC) + HOUR * at for at in range(number)]


@pytest.mark.parametrize(
    ("zone", "day", "length"),
    [
        ("UTC", date(2025, 3, 30), 24),
        ("Europe/Berlin", date(2025, 3, 30), 23),
        ("Europe/Berlin", date(2025, 10, 26), 25),
        ("America/New_York", date(2025, 3, 9), 23),
        ("America/New_York", date(2025, 11, 2), 25),
        ("Africa/Cairo", date(2024, 4, 26), 23),  # there is no midnight
        ("America/Havana", date(2025, 11, 2), 25),  # there are two midnights
        ("Asia/Kolkata", date(2025, 3, 30), 24),
    ],
)
def test_a_day_has_the_hours_that_the_clocks_there_give_it(
    key: ApiKey, zone: str, day: date, length: int
) -> None:
    place = ZoneInfo(zone)
    before = datetime(day.year, day.month, day.day, tzinfo=place) - timedelta(days=1)
    hours = hours_from(datetime.combine(before.date(), before.time(), UTC) - 20 * HOUR, 96)
    counted(key, dict.fromkeys(hours, 1))
    cut = Cut(start=hours[0], end=hours[-1] + HOUR, keys=frozenset({key.pk}), zone=place)
    days = queries.series(cut, step=Step.DAY)
    assert sum(point.totals.taken for point in days) == 96
    assert {point.start.date(): point.totals.taken for point in days}[day] == length


@pytest.mark.parametrize(
    ("zone", "change"),
    [
        ("Europe/Berlin", datetime(2025, 10, 26, 1, tzinfo=UTC)),
        ("America/New_York", datetime(2025, 11, 2, 6, tzinfo=UTC)),
        ("Australia/Lord_Howe", datetime(2025, 4, 5, 15, tzinfo=UTC)),  # by half an hour
        ("Europe/Berlin", datetime(2025, 3, 30, 1, tzinfo=UTC)),
    ],
)
def test_an_hour_that_comes_twice_is_two_hours(key: ApiKey, zone: str, change: datetime) -> None:
    hours = hours_from(change - 5 * HOUR, 10)
    counted(key, {hour: place + 1 for place, hour in enumerate(hours)})
    cut = Cut(start=hours[0], end=hours[-1] + HOUR, keys=frozenset({key.pk}), zone=ZoneInfo(zone))
    points = queries.series(cut, step=Step.HOUR)
    assert [point.totals.taken for point in points] == list(range(1, 11))
    assert [point.start.astimezone(UTC) for point in points] == hours
    assert len({point.start.isoformat() for point in points}) == 10
    acts = [(hour, "opened", place + 1) for place, hour in enumerate(hours)]
    tallied(key, Tally.Series.ACT, acts)
    found = queries.acts(cut, step=Step.HOUR)
    assert [counts["opened"] for counts in found.values()] == list(range(1, 11))


@settings(deadline=None, max_examples=300)
@given(
    zone=st.sampled_from(sorted(available_timezones())),
    moment=st.datetimes(
        datetime(1990, 1, 1),  # noqa: DTZ001 - hypothesis adds the zone
        datetime(2036, 1, 1),  # noqa: DTZ001
        timezones=st.just(UTC),
    ),
    step=st.sampled_from(Step),
)
def test_every_moment_is_in_the_step_that_began_last_in_any_zone(
    zone: str, moment: datetime, step: Step
) -> None:
    place = ZoneInfo(zone)
    began = begin_of(moment, step=step, zone=place)
    assert began.astimezone(UTC) <= moment
    assert begin_of(began, step=step, zone=place).astimezone(UTC) == began.astimezone(UTC)
    local = moment.astimezone(place)
    if step == Step.HOUR:
        assert moment - began < HOUR
    elif step == Step.DAY:
        assert began.date() == local.date()
    elif step == Step.WEEK:
        assert began.weekday() == MONDAY
        assert 0 <= (local.date() - began.date()).days < 7
    else:
        assert (began.day, began.month, began.year) == (1, local.month, local.year)


def test_weeks_begin_on_monday_and_months_on_the_first(key: ApiKey) -> None:
    hours = hours_from(datetime(2025, 2, 26, tzinfo=UTC), 24 * 10)
    counted(key, dict.fromkeys(hours, 1))
    cut = Cut(start=hours[0], end=hours[-1] + HOUR, keys=frozenset({key.pk}))
    weeks = queries.series(cut, step=Step.WEEK)
    assert [(str(one.start.date()), one.totals.taken) for one in weeks] == [
        ("2025-02-24", 5 * 24),
        ("2025-03-03", 5 * 24),
    ]
    months = queries.series(cut, step=Step.MONTH)
    assert [(str(one.start.date()), one.totals.taken) for one in months] == [
        ("2025-02-01", 3 * 24),
        ("2025-03-01", 7 * 24),
    ]


def test_a_span_is_compared_with_the_one_of_the_same_length_before(key: ApiKey) -> None:
    now = datetime(2025, 6, 15, 12, tzinfo=UTC)
    week = timedelta(days=7)
    counted(key, {now - HOUR: 5, now - week: 2, now - week - HOUR: 30, now - 2 * week: 1,
                  now - 2 * week - HOUR: 100, now: 1000})  # fmt: skip
    compared = queries.comparison(Cut(start=now - week, end=now, keys=frozenset({key.pk})))
    assert (compared.now.taken, compared.before.taken) == (7, 31)


def test_opens_stand_at_the_hour_and_day_of_whoever_looks(key: ApiKey) -> None:
    # Two in the night of Sunday come twice in Berlin; in New York it is Saturday still.
    twice = datetime(2025, 10, 26, 0, tzinfo=UTC)
    tallied(key, Tally.Series.ACT, [(twice, "opened", 3), (twice + HOUR, "opened", 4),
                                    (twice, "clicked", 9)])  # fmt: skip
    span = {"start": twice - 24 * HOUR, "end": twice + 24 * HOUR, "keys": frozenset({key.pk})}
    berlin = queries.open_times(Cut(**span, zone=ZoneInfo("Europe/Berlin")))
    assert berlin[SUNDAY][2] == 7
    assert sum(map(sum, berlin)) == 7
    new_york = queries.open_times(Cut(**span, zone=ZoneInfo("America/New_York")))
    assert (new_york[5][20], new_york[5][21]) == (3, 4)
    clicks = queries.open_times(Cut(**span, zone=ZoneInfo("Europe/Berlin")), kind="clicked")
    assert clicks[SUNDAY][2] == 9


def test_links_are_ranked_by_clicks_of_people_and_say_who_followed(db: None) -> None:
    profile = SendingProfileFactory.create()
    ann, ben = (
        MessageFactory.create(
            profile=profile, status=Status.SENT, handed_off_at=timezone.now() - HOUR
        )
        for _ in range(2)
    )
    version = ann.template_version
    first, second = (
        TrackedLinkFactory.create(template_version=version, position=position)
        for position in (1, 2)
    )
    now = timezone.now()
    for at, message, link, agent in (
        (now - 9 * MINUTE, ann, second, None),
        (now - 6 * MINUTE, ann, second, None),
        (now - 3 * MINUTE, ben, second, None),
        (now, ben, first, None),
        (now, ann, first, "curl/8"),
        (now, ann, first, "curl/8"),
    ):
        fields = {"user_agent": agent} if agent else {}
        record_hits([HitFactory.build(message=message, kind="clicked", link=link, at=at, **fields)])
    rollups.roll()
    found = queries.links(today())
    assert [(one.link_id, one.clicks, one.clickers, one.machine_clicks) for one in found] == [
        (second.pk, 3, 2, 0),
        (first.pk, 1, 1, 2),
    ]
    followed = queries.clickers(second.pk, cut=today())
    assert [one.recipient for one in followed] == [ben.recipient, ann.recipient, ann.recipient]
    assert followed[0].at == now - 3 * MINUTE
    assert [one.is_human for one in queries.clickers(first.pk, cut=today())] == [False, False, True]
    elsewhere = str(TemplateVersionFactory.create().template_id)
    assert queries.links(today(by=By.TEMPLATE, value=elsewhere)) == []
    assert queries.clickers(second.pk, cut=today(keys=frozenset({ApiKeyFactory.create().pk}))) == []


def test_half_of_the_mail_is_handed_off_within_the_median_wait(key: ApiKey) -> None:
    assert queries.waits(today()).p50 is None
    hour = today().start
    waits_ms = [10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 60_000]
    tallied(key, Tally.Series.WAIT, [(hour, str(bucket_of(wait)), 10) for wait in waits_ms])
    found = queries.waits(today())
    assert found.number == 100
    for share, expected in ((found.p50, 0.2), (found.p90, 5.0), (found.p95, 60), (found.p99, 60)):
        assert share == pytest.approx(expected, rel=0.1)


def bucket_of(milliseconds: float) -> int:
    return next(at for at in range(200) if WAIT_RATIO ** (at + 1) > milliseconds)


def test_failures_of_a_kind_are_together_the_most_frequent_first(key: ApiKey) -> None:
    hour = today().start
    unknown = SEPARATOR.join(("bounced", "550", "5.1.1", "User unknown"))
    later = SEPARATOR.join(("deferred", "451", "4.7.1", "Come again"))
    tallied(key, Tally.Series.FAILURE, [(hour, unknown, 2), (hour, later, 9),
                                        (hour + HOUR, unknown, 8)])  # fmt: skip
    groups = queries.failures(today())
    assert [(one.kind, one.code, one.enhanced, one.text, one.number) for one in groups] == [
        ("bounced", "550", "5.1.1", "User unknown", 10),
        ("deferred", "451", "4.7.1", "Come again", 9),
    ]
    assert len(queries.failures(today(), limit=1)) == 1


def test_a_breakdown_names_the_most_and_sums_the_others(key: ApiKey) -> None:
    hour = today().start
    RecipientDomain.objects.create(
        domain="mail.northwind.example", provider="gmail", looked_up_at=hour
    )
    numbers = {"gmail.com": 5, "mail.northwind.example": 3, "a.example": 2, "b.example": 1}
    for domain, number in numbers.items():
        counted(key, {hour: number}, dimension="recipient_domain", value=domain)
    found = queries.breakdown(today(), by=By.PROVIDER, limit=2)
    assert [(one.value, one.totals.taken) for one in found.rows] == [("gmail", 8), ("a.example", 2)]
    assert (found.other_count, found.others.taken) == (1, 1)


def test_batches_are_ranked_and_the_others_summed_by_the_database(key: ApiKey) -> None:
    hour = today().start
    ids = [str(new_message_id()) for _ in range(5)]
    for number, batch_id in enumerate(ids, start=1):
        counted(key, {hour: number}, dimension="batch", value=batch_id)
    Hour.objects.filter(value=ids[0]).update(waiting=10, opened=4)
    Hour.objects.filter(value=ids[1]).update(opened=7)
    with CaptureQueriesContext(connection) as asked:
        found = queries.breakdown(today(), by=By.BATCH, limit=2)
    assert [(one.value, one.totals.accepted) for one in found.rows] == [(ids[0], 11), (ids[4], 5)]
    assert found.rows[0].label == f"{made_at(UUID(ids[0])):%Y-%m-%d %H:%M:%S} UTC"
    assert (found.others.taken, found.others.opened, found.other_count) == (9, 7, 3)
    assert any("LIMIT 2" in one["sql"] for one in asked)
    found = queries.breakdown(today(), by=By.BATCH, limit=5)
    assert (len(found.rows), found.others, found.other_count) == (5, queries.Totals(), 0)
    before = Cut(start=hour - timedelta(days=2), end=hour)
    assert queries.breakdown(before, by=By.BATCH).rows == []


def test_a_cut_of_one_key_has_nothing_of_another(key: ApiKey) -> None:
    other = ApiKeyFactory.create()
    hour = today().start
    counted(key, {hour: 1})
    counted(other, {hour: 10})
    assert taken_of(key.pk) == 1
    assert taken_of(key.pk, other.pk) == queries.totals(today()).taken == 11


def taken_of(*keys: UUID) -> int:
    return queries.totals(today(keys=frozenset(keys))).taken
