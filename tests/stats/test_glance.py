"""What a page shows together is what the single questions answer, in few statements."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from sending.models import SendingProfile, Status
from stats import queries, rollups
from stats.models import Day, Hour
from stats.queries import By, Cut, Step
from tests.factories.sending import SendingProfileFactory
from tests.stats.stories import answered, handed_off, today

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 3, 29, 12, tzinfo=UTC)


def counted(profile: SendingProfile, at: datetime, **counts: int) -> None:
    """Put counts where the roller would put them."""
    for model, begin in ((Hour, at), (Day, at.replace(hour=0))):
        row, _ = model.objects.get_or_create(
            dimension="all", api_key=profile.api_key, began_at=begin, value=""
        )
        for name, number in counts.items():
            setattr(row, name, getattr(row, name) + number)
        row.save()


@pytest.mark.parametrize("zone", ["UTC", "Europe/Lisbon", "Asia/Kolkata"])
@pytest.mark.parametrize("step", [Step.HOUR, Step.DAY])
def test_course_is_the_series_and_both_sums_of_it(zone: str, step: Step) -> None:
    profile = SendingProfileFactory.create()
    for hours in range(0, 24 * 9, 5):
        counted(profile, NOON - timedelta(hours=hours), taken=hours + 1, bounced=1)
    about = {"keys": frozenset({profile.api_key_id}), "zone": ZoneInfo(zone)}
    end = NOON + timedelta(minutes=20)
    cut = Cut(start=end - timedelta(days=3), end=end, **about)
    earlier = Cut(start=end - timedelta(days=7), end=end - timedelta(days=4), **about)
    with CaptureQueriesContext(
        connection,
    ) as asked:
        course = queries.course(cut, earlier=earlier, step=step)
    assert len(asked) == 1
    assert course.points == queries.series(cut, step=step)
    assert course.now == queries.totals(cut)
    assert course.before == queries.totals(earlier)
    assert course.before.bounced > 0


def test_course_of_one_template_leaves_out_the_others() -> None:
    profile, other = SendingProfileFactory.create_batch(2)
    answered(handed_off(profile, number=2))
    answered(handed_off(other))
    rollups.roll()
    cut = today(by=By.TEMPLATE, value=str(profile.template_id))
    course = queries.course(cut, earlier=queries.before(cut), step=Step.DAY)
    assert course.now.sent == 2
    assert course.before.sent == 0


def test_leaders_are_those_who_sent_most_by_key_and_by_template() -> None:
    small, large = SendingProfileFactory.create_batch(2)
    answered(handed_off(small))
    answered(handed_off(large, number=2), Status.BOUNCED)
    answered(handed_off(large))
    rollups.roll()
    now = timezone.now()
    lately = Cut(start=now - timedelta(hours=2), end=now)
    found = queries.leaders(today(), lately=lately, limit=1)
    assert [(key, one.sent) for key, one in found.keys] == [(large.api_key_id, 3)]
    (template,) = found.templates
    assert (template.value, template.label) == (str(large.template_id), large.template.name)
    assert template.totals == found.keys[0][1]
    assert found.lately[large.api_key_id].bounced == 2
    assert found.lately[small.api_key_id].sent == 1


def test_courses_of_keys_are_day_by_day_and_only_of_the_days_asked_for() -> None:
    first, second = SendingProfileFactory.create_batch(2)
    for days, number in ((0, 1), (2, 5), (3, 100)):
        counted(first, NOON - timedelta(days=days), taken=number)
    keys = [first.api_key_id, second.api_key_id]
    found = queries.key_courses(keys, last=NOON.date(), days=3)
    assert [one.sent for one in found[first.api_key_id].days] == [5, 0, 1]
    assert found[first.api_key_id].totals.sent == 6
    assert found[second.api_key_id].totals.sent == 0


def test_breakdown_of_a_long_span_reads_days_and_hours_in_one_statement(
    django_assert_num_queries: Any,
) -> None:
    profile = SendingProfileFactory.create()
    for hours in (1, 30, 60):
        counted(profile, NOON - timedelta(hours=hours), taken=1)
    cut = Cut(start=NOON - timedelta(hours=61), end=NOON, keys=frozenset({profile.api_key_id}))
    with django_assert_num_queries(1):
        assert queries.totals(cut).taken == 3
