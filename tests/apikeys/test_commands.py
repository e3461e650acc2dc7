"""The life of a key, and what it may use."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest
from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.utils import timezone

from apikeys.authentication import identify
from apikeys.commands import (
    create_key,
    note_use,
    pause_key,
    revoke_key,
    rotate_key,
    take_quota,
)
from apikeys.errors import InvalidKey, KeyRevoked, QuotaExceeded
from apikeys.models import ApiKeySecret, DailyUsage
from tests.factories.apikeys import ApiKeyFactory, key_with_secret

NOW = datetime(2031, 5, 6, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.mark.django_db
def test_created_key_opens_with_its_secret() -> None:
    key, secret = create_key(name="Shop", networks=["10.0.0.1"], now=NOW)

    assert identify(secret, now=NOW) == key
    assert key.scopes == ["send"]
    assert key.networks == ["10.0.0.1/32"]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"scopes": ["admin"]}, "scopes"),
        ({"networks": ["0.0.0.0/0"]}, "networks"),
        ({"quota_per_day": 0}, "quota_per_day"),
        ({"rate_per_second": 0}, "rate_per_second"),
    ],
)
def test_key_with_a_wrong_field_is_refused_by_name(fields: dict, field: str) -> None:
    with pytest.raises(ValidationError) as refused:
        create_key(**{"name": "Shop", "now": NOW, **fields})

    assert field in refused.value.message_dict
    assert not ApiKeySecret.objects.exists()


@pytest.mark.django_db
def test_rotated_secret_works_for_its_grace_and_not_longer() -> None:
    key, old = create_key(name="Shop", now=NOW)

    new = rotate_key(key=key, grace=DAY, now=NOW)

    assert identify(new, now=NOW + 2 * DAY) == key
    assert identify(old, now=NOW + DAY - timedelta(seconds=1)) == key
    with pytest.raises(InvalidKey):
        identify(old, now=NOW + DAY)


@pytest.mark.django_db
def test_rotation_without_grace_ends_the_old_secret_at_once() -> None:
    key, old = create_key(name="Shop", now=NOW)

    rotate_key(key=key, grace=timedelta(0), now=NOW)

    with pytest.raises(InvalidKey):
        identify(old, now=NOW)


@pytest.mark.django_db
def test_never_more_than_two_secrets_are_alive() -> None:
    key, first = create_key(name="Shop", now=NOW)
    second = rotate_key(key=key, grace=DAY, now=NOW)

    third = rotate_key(key=key, grace=DAY, now=NOW)

    with pytest.raises(InvalidKey):
        identify(first, now=NOW)
    assert identify(second, now=NOW) == identify(third, now=NOW) == key


@pytest.mark.django_db
def test_revoked_key_is_refused_for_ever() -> None:
    key, old = create_key(name="Shop", now=NOW)
    new = rotate_key(key=key, grace=DAY, now=NOW)

    revoke_key(key=key, now=NOW)
    revoke_key(key=key, now=NOW + DAY)

    for secret in (old, new):
        with pytest.raises(InvalidKey):
            identify(secret, now=NOW)
    with pytest.raises(KeyRevoked, match='"Shop" is revoked'):
        rotate_key(key=key, grace=DAY, now=NOW)
    key.refresh_from_db()
    assert key.revoked_at == NOW
    assert not key.is_active


@pytest.mark.django_db
def test_paused_key_keeps_its_first_reason() -> None:
    key = ApiKeyFactory.create()

    pause_key(key=key, reason="Bounces are at 9 %")
    pause_key(key=key, reason="Complaints are at 1 %")

    key.refresh_from_db()
    assert key.paused_reason == "Bounces are at 9 %"


@pytest.mark.django_db
def test_quota_is_used_up_to_the_last_message() -> None:
    key = ApiKeyFactory.create(quota_per_day=10)

    take_quota(key=key, count=7, now=NOW)
    with pytest.raises(QuotaExceeded) as refused:
        take_quota(key=key, count=4, now=NOW)
    take_quota(key=key, count=3, now=NOW)

    assert DailyUsage.objects.get().accepted == 10
    assert (refused.value.limit, refused.value.remaining) == (10, 3)
    assert refused.value.retry_after_seconds == 12 * 60 * 60


@pytest.mark.django_db
def test_request_over_the_whole_quota_says_to_split_it() -> None:
    with pytest.raises(QuotaExceeded, match="Split the request"):
        take_quota(key=ApiKeyFactory.create(quota_per_day=10), count=11, now=NOW)


@pytest.mark.django_db
def test_quota_is_full_again_at_midnight_utc() -> None:
    key = ApiKeyFactory.create(quota_per_day=1)
    late = datetime(2031, 5, 6, 23, 59, 59, 500_000, tzinfo=UTC)
    take_quota(key=key, count=1, now=late)

    with pytest.raises(QuotaExceeded) as refused:
        take_quota(key=key, count=1, now=late)
    take_quota(key=key, count=1, now=late + timedelta(seconds=refused.value.retry_after_seconds))


@pytest.mark.django_db
def test_lowered_quota_refuses_and_says_nothing_is_left() -> None:
    key = ApiKeyFactory.create(quota_per_day=10)
    take_quota(key=key, count=9, now=NOW)
    key.quota_per_day = 5

    with pytest.raises(QuotaExceeded) as refused:
        take_quota(key=key, count=1, now=NOW)

    assert refused.value.remaining == 0


@pytest.mark.django_db
def test_key_without_quota_costs_no_query(django_assert_num_queries) -> None:
    key = ApiKeyFactory.create()

    with django_assert_num_queries(0):
        take_quota(key=key, count=10_000, now=NOW)


@pytest.mark.django_db
def test_quota_costs_one_query_after_the_first_of_the_day(django_assert_num_queries) -> None:
    key = ApiKeyFactory.create(quota_per_day=10)
    take_quota(key=key, count=1, now=NOW)

    with django_assert_num_queries(1):
        take_quota(key=key, count=1, now=NOW)


@pytest.mark.django_db(transaction=True)
def test_quota_is_given_back_when_nothing_was_stored() -> None:
    key = ApiKeyFactory.create(quota_per_day=10)

    with transaction.atomic():
        take_quota(key=key, count=10, now=NOW)
        transaction.set_rollback(True)
    with transaction.atomic():
        take_quota(key=key, count=10, now=NOW)

    assert DailyUsage.objects.get().accepted == 10


@pytest.mark.django_db(transaction=True)
def test_quota_is_not_counted_outside_a_transaction() -> None:
    with pytest.raises(transaction.TransactionManagementError):
        take_quota(key=ApiKeyFactory.create(quota_per_day=1), count=1, now=NOW)


@pytest.mark.django_db(transaction=True)
def test_callers_at_the_same_time_share_one_quota() -> None:
    key = ApiKeyFactory.create(quota_per_day=25)

    def send(_: int) -> bool:
        try:
            with transaction.atomic():
                take_quota(key=key, count=2, now=NOW)
        except QuotaExceeded:
            return False
        else:
            return True
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        accepted = sum(pool.map(send, range(40)))

    assert accepted == 12
    assert DailyUsage.objects.get().accepted == 24


@pytest.mark.django_db(transaction=True)
def test_rotations_at_the_same_time_leave_one_newest_secret() -> None:
    key, _ = key_with_secret()

    def rotate(_: int) -> str:
        try:
            return rotate_key(key=key, grace=DAY, now=timezone.now())
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        secrets = list(pool.map(rotate, range(4)))

    assert len(set(secrets)) == 4
    newest = ApiKeySecret.objects.filter(key=key, expires_at=None, revoked_at=None)
    assert newest.count() == 1


@pytest.mark.django_db
def test_use_is_noted_at_most_once_a_minute(django_assert_num_queries) -> None:
    key = ApiKeyFactory.create()
    note_use(key=key, address=ip_address("203.0.113.7"), now=NOW)
    stale_copy = ApiKeyFactory.build(pk=key.pk)
    key.refresh_from_db()

    with django_assert_num_queries(0):
        note_use(key=key, address=ip_address("203.0.113.8"), now=NOW + timedelta(seconds=59))
    note_use(key=stale_copy, address=ip_address("203.0.113.8"), now=NOW + timedelta(seconds=59))
    key.refresh_from_db()
    assert (key.last_used_at, key.last_used_address) == (NOW, "203.0.113.7")

    note_use(key=key, address=ip_address("2001:db8::5"), now=NOW + timedelta(minutes=1))
    key.refresh_from_db()
    assert key.last_used_address == "2001:db8::5"


@pytest.mark.django_db
def test_use_from_an_unknown_address_is_noted_without_it() -> None:
    key = ApiKeyFactory.create()

    note_use(key=key, address=None, now=NOW)

    key.refresh_from_db()
    assert (key.last_used_at, key.last_used_address) == (NOW, None)
