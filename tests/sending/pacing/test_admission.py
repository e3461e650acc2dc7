"""Which limits apply to a message, what they make of it, and how it reads."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from apikeys.models import ApiKey
from sending.models import DailyCount, Limit, RecipientDomain, Route, SlowDown, WarmUp
from sending.pacing import Pacing, Wait, Want
from sending.pacing import daily as days
from tests.factories.apikeys import ApiKeyFactory
from tests.factories.sending import RouteFactory

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 11, 24, 14, 3, 10, tzinfo=UTC)
KEY = uuid4()


def want(
    recipient: str = "gmail.com",
    *,
    sender: str = "example.com",
    key: UUID = KEY,
    route_id: int = 1,
    is_returning: bool = False,
) -> Want:
    return Want(key, route_id, sender, recipient, is_returning)


def gone(answers: Sequence[Wait | None]) -> list[bool]:
    return [answer is None for answer in answers]


def limit(**fields: object) -> Limit:
    return Limit.objects.create(**{"messages": 1, "period": 3600, **fields})


def test_without_a_limit_everything_goes_and_costs_no_query(
    django_assert_num_queries, settings
) -> None:
    settings.PACING_RECENT_SECONDS = 60
    settings.REDIS_URL = "redis://127.0.0.1:1/0"  # nobody is there to be asked
    pacing = Pacing()
    pacing.admit([want()], now=NOW)
    with django_assert_num_queries(0):
        assert pacing.admit([want()] * 500, now=NOW) == [None] * 500


@pytest.mark.parametrize(
    ("fields", "limited"),
    [
        ({"sender_domain": "example.com"}, [1, 2, 3]),
        ({"provider": "gmail"}, [0, 1, 2]),
        ({"provider": "gmail", "sender_domain": "example.com"}, [1, 2]),
        ({"provider": "*", "sender_domain": "other.example"}, [0]),
        ({}, [0, 1, 2, 3]),
    ],
)
def test_limit_is_about_the_mail_that_fits_all_it_names(
    fields: dict[str, str], limited: list[int]
) -> None:
    limit(**fields)
    pacing = Pacing()
    wants = [
        want("gmail.com", sender="other.example"),
        want("gmail.com"),
        want("googlemail.com"),
        want("yahoo.com"),
    ]
    pacing.admit([wants[limited[0]]], now=NOW)
    assert [n for n, goes in enumerate(gone(pacing.admit(wants, now=NOW))) if not goes] == limited


def test_limit_of_a_key_and_of_a_route_spares_the_others() -> None:
    key, route = ApiKeyFactory.create(), RouteFactory.create()
    limit(api_key=key)
    limit(route=route)
    pacing = Pacing()
    of_key, by_route = want(key=key.pk, route_id=0), want(route_id=route.pk)
    answers = pacing.admit([of_key, of_key, by_route, by_route, want(route_id=0)], now=NOW)
    assert gone(answers) == [True, False, True, False, True]
    assert f"with the key {key}" in answers[1].reason
    assert f"by the route {route}" in answers[3].reason


def test_star_counts_each_by_itself() -> None:
    limit(provider="*")
    wants = [want("gmail.com"), want("a.example"), want("googlemail.com"), want("b.example")]
    assert gone(Pacing().admit(wants, now=NOW)) == [True, True, False, True]


def test_who_waits_reads_until_when_and_why() -> None:
    limit(messages=6, period=60, provider="gmail", sender_domain="example.com")
    _, waiting = Pacing().admit([want(), want()], now=NOW)
    assert waiting == Wait(
        timedelta(seconds=10),
        "delayed until 14:03:20 UTC, because at most 6 messages a minute may go to gmail "
        "from example.com",
    )


def test_who_waits_for_one_limit_takes_nothing_of_the_others() -> None:
    limit(messages=3600, burst=2, provider="gmail")
    limit(messages=1, sender_domain="slow.example")
    pacing = Pacing()
    assert gone(pacing.admit([want(sender="slow.example")] * 5, now=NOW)) == [True] + 4 * [False]
    limit_of_day = limit(messages=3, period=86400, provider="yahoo")
    limit(messages=1, provider="yahoo", sender_domain="slow.example")
    wants = [want("yahoo.com", sender="slow.example")] * 3
    pacing.admit(wants, now=NOW)
    assert not DailyCount.objects.filter(name__startswith=f"limit:{limit_of_day.pk}:").exists()


def test_day_is_counted_in_the_database_and_ends_at_midnight_utc() -> None:
    limit(messages=3, period=86400, sender_domain="example.com")
    assert gone(Pacing().admit([want()] * 2, now=NOW)) == [True, True]
    first, *waiting = Pacing().admit([want()] * 3, now=NOW)  # another worker
    assert first is None
    midnight = datetime(2026, 11, 25, tzinfo=UTC)
    for answer in waiting:
        assert midnight <= NOW + answer.delay <= midnight + timedelta(minutes=2)
        assert "2026-11-25 00:0" in answer.reason
        assert "at most 3 messages a day may go from example.com" in answer.reason
    assert gone(Pacing().admit([want()] * 4, now=midnight)) == [True, True, True, False]


def test_warm_up_goes_day_by_day_for_each_provider_and_ends() -> None:
    WarmUp.objects.create(
        sender_domain="example.com", provider="*", start_date=date(2026, 11, 24), days=[1, 2]
    )
    pacing = Pacing()
    wants = [want("gmail.com"), want("gmail.com"), want("yahoo.com"), want(sender="b.example")]
    answers = pacing.admit(wants, now=NOW)
    assert gone(answers) == [True, False, True, True]
    assert "day 1 of the warm-up of example.com at gmail has 1 message" in answers[1].reason
    tomorrow = NOW + timedelta(days=1)
    assert gone(pacing.admit([want()] * 3, now=tomorrow)) == [True, True, False]
    for other in (NOW - timedelta(days=1), NOW + timedelta(days=2)):
        assert pacing.admit([want()] * 50, now=other) == [None] * 50


def test_days_that_others_used_meanwhile_are_not_exceeded(monkeypatch) -> None:
    limit(messages=5, period=86400)
    # As if both had looked before either took.
    monkeypatch.setattr(days, "used", lambda names, *, today: {})
    answers = [gone(Pacing().admit([want()] * 4, now=NOW)) for _ in range(2)]
    assert answers == [[True] * 4, [True] + [False] * 3]
    assert DailyCount.objects.get().used == 5


def test_counts_of_old_days_are_not_kept_for_ever() -> None:
    limit(messages=5, period=86400)
    for number in (0, 30, 31):
        Pacing().admit([want()], now=NOW + timedelta(days=number))
    dates = DailyCount.objects.order_by("date").values_list("date", flat=True)
    assert [(one - NOW.date()).days for one in dates] == [30, 31]


def test_domain_without_a_known_provider_is_its_own_until_it_was_looked_up() -> None:
    limit(provider="gmail", messages=1)
    wants = [want("company.example"), want("company.example")]
    assert gone(Pacing().admit(wants, now=NOW)) == [True, True]
    RecipientDomain.objects.create(domain="shop.example", provider="gmail", looked_up_at=NOW)
    assert gone(Pacing().admit([want("shop.example")] * 2, now=NOW)) == [True, False]


def test_limit_that_is_off_or_changed_holds_no_more() -> None:
    row = limit()
    pacing = Pacing()
    assert gone(pacing.admit([want()] * 3, now=NOW)) == [True, False, False]
    Limit.objects.update(messages=3600, burst=10)
    assert pacing.admit([want()], now=NOW) == [None]
    Limit.objects.filter(pk=row.pk).update(is_active=False)
    assert pacing.admit([want()] * 50, now=NOW) == [None] * 50


def test_many_kinds_of_mail_cost_as_many_queries_as_one(django_assert_num_queries) -> None:
    limit(provider="*", period=86400, messages=1000)
    limit(sender_domain="*", period=86400, messages=1000)
    pacing = Pacing()
    wants = [want(f"d{n % 20}.example", sender=f"s{n % 7}.example") for n in range(200)]
    pacing.admit(wants, now=NOW)
    with django_assert_num_queries(3 + 1 + 4):  # rules; used; lock and update in a savepoint
        pacing.admit(wants, now=NOW)


def test_rate_is_looked_after_more_often_while_somebody_waits_for_it() -> None:
    pacing = Pacing()
    assert pacing.pause_seconds(1.0) == 1.0
    limit(messages=4, period=1, burst=1)
    pacing.admit([want()] * 3, now=NOW)
    assert pacing.pause_seconds(1.0) == 0.25
    limit(messages=500, period=1, burst=1)
    pacing.admit([want(is_returning=True)] * 3, now=NOW)
    assert pacing.pause_seconds(1.0) >= 0.05


# --- Slowing down ---


def slowed(pacing: Pacing, *, now: datetime = NOW, domain: str = "gmail.com") -> SlowDown | None:
    return pacing.slow_down(recipient_domain=domain, reply="421 4.7.0 Too fast", now=now)


def test_provider_that_asks_for_it_gets_half_and_all_of_its_domains_wait() -> None:
    limit(provider="gmail", messages=8, period=1)
    pacing = Pacing()
    row = slowed(pacing)
    assert (row.provider, row.per_second, row.full_per_second) == ("gmail", 4, 8)
    answers = pacing.admit([want("googlemail.com")] * 2 + [want("yahoo.com")] * 2, now=NOW)
    assert gone(answers) == [True, False, True, True]
    assert "gmail asked us to slow down" in answers[1].reason


def test_without_a_configured_rate_it_starts_from_what_was_seen() -> None:
    pacing = Pacing()
    assert slowed(pacing, domain="a.example").per_second == 1.0  # nothing: it starts low
    for _ in range(3):
        pacing.admit([want()] * 500, now=NOW)
    assert slowed(pacing).per_second > 5


def test_one_burst_of_refusals_halves_once_and_the_floor_is_kept() -> None:
    pacing = Pacing()
    first = slowed(pacing).per_second
    assert slowed(pacing, now=NOW + timedelta(seconds=9)) is None
    assert slowed(pacing, now=NOW + timedelta(seconds=10)).per_second < first * 0.52
    for number in range(2, 30):
        slowed(pacing, now=NOW + timedelta(seconds=10 * number))
    assert SlowDown.objects.get().per_second == 0.1


def test_rate_recovers_by_a_tenth_a_minute_until_it_is_whole() -> None:
    row = SlowDown(provider="gmail", per_second=10, full_per_second=20, changed_at=NOW)
    rates = [row.rate(NOW + timedelta(minutes=number)) for number in range(9)]
    assert rates[0] == 10
    assert rates[1] == pytest.approx(11)
    assert rates[7] == pytest.approx(10 * 1.1**7)
    assert rates[8] is None


def test_slow_down_that_is_over_costs_nothing_and_the_next_begins_anew() -> None:
    pacing = Pacing()
    slowed(pacing)
    later = NOW + timedelta(hours=5)
    assert pacing.admit([want()] * 50, now=later) == [None] * 50
    for _ in range(3):
        pacing.admit([want()] * 500, now=later)
    row = slowed(pacing, now=later)
    assert row.full_per_second > 10  # what was seen to go since
    assert row.per_second == row.full_per_second / 2
    assert SlowDown.objects.count() == 1


def test_route_whose_own_server_asks_for_it_slows_down_as_a_whole() -> None:
    route: Route = RouteFactory.create()
    pacing = Pacing()
    row = pacing.slow_down(route_id=route.pk, reply="421 4.3.2 Busy", now=NOW)
    assert (row.provider, row.route_id) == ("", route.pk)
    by_it = [want("gmail.com", route_id=route.pk), want("yahoo.com", route_id=route.pk)]
    assert gone(pacing.admit([*by_it, want(route_id=0)], now=NOW)) == [True, False, True]


def test_deleted_key_takes_its_limits_along() -> None:
    key: ApiKey = ApiKeyFactory.create()
    limit(api_key=key)
    key.delete()
    assert not Limit.objects.exists()
