"""What is abnormal is found, told once, and stopped."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.utils import timezone

from apikeys import arrivals, refusals
from apikeys.addresses import parse_address
from apikeys.commands import resume_key
from apikeys.models import ApiKey, KeyNetwork, RefusedAccess
from guard import alerts, watch
from guard.models import Alert
from sending import blocks, outages
from sending.models import Message, Status, first_id_since
from stats.models import Dimension, Hour
from tests.factories.apikeys import key_with_secret
from tests.factories.sending import MessageFactory, RouteFactory, SendingProfileFactory

pytestmark = pytest.mark.django_db

KINDS = Alert.Kind


def sent(number: int, status: Status, key: ApiKey | None = None) -> ApiKey:
    profile = key.sending_profile if key else SendingProfileFactory.create()
    MessageFactory.create_batch(number, profile=profile, status=status)
    return profile.api_key


def kinds() -> list[str]:
    return list(Alert.objects.values_list("kind", flat=True))


@pytest.mark.parametrize(("bounced", "is_paused"), [(1, False), (2, True)])
def test_key_is_paused_when_its_hard_bounces_pass_the_limit(
    settings, bounced: int, is_paused: bool
) -> None:
    settings.KEY_PAUSE_MIN_MESSAGES = 20
    key = sent(20 - bounced, Status.SENT)
    sent(bounced, Status.BOUNCED, key)

    watch.look(now=timezone.now())

    key.refresh_from_db()
    assert bool(key.paused_reason) == is_paused
    assert kinds() == ([KINDS.KEY_PAUSED] if is_paused else [])


def test_key_with_few_messages_is_not_judged(settings) -> None:
    settings.KEY_PAUSE_MIN_MESSAGES = 20
    key = sent(5, Status.BOUNCED)
    sent(14, Status.QUEUED, key)  # has not been tried, so it is no proof

    watch.look(now=timezone.now())

    key.refresh_from_db()
    assert key.paused_reason == ""


def test_complaints_pause_a_key_and_its_caller_reads_why(client: Client, settings) -> None:
    settings.KEY_PAUSE_MIN_MESSAGES = 10
    key, secret = key_with_secret()
    SendingProfileFactory.create(api_key=key)
    sent(9, Status.SENT, key)
    sent(1, Status.COMPLAINED, key)

    watch.look(now=timezone.now())

    answer = client.post(
        "/api/batch_mail/api/send",
        {"recipient": "a@b.example"},
        content_type="application/json",
        headers={"X-API-Key": secret},
    )
    assert answer.status_code == 403
    assert "1 of its last 10 messages were complained of (10.00 %" in answer.json()["msg"]


def test_resumed_key_is_not_paused_again_for_the_same_mail(settings) -> None:
    settings.KEY_PAUSE_MIN_MESSAGES = 5
    key = sent(5, Status.BOUNCED)
    watch.look(now=timezone.now())
    # Ids are in milliseconds.
    assert resume_key(key=key, now=timezone.now() + timedelta(seconds=1))

    watch.look(now=timezone.now())

    key.refresh_from_db()
    assert key.paused_reason == ""


def test_refusals_are_counted_not_listed(client: Client) -> None:
    key, secret = key_with_secret(networks=["10.0.0.0/8"])
    for given in (secret, secret, "nonsense"):
        client.post("/api/batch_mail/api/send", headers={"X-API-Key": given})
    refusals.counted.flush()
    client.post("/api/batch_mail/api/send", headers={"X-API-Key": secret})
    refusals.counted.flush()

    rows = set(RefusedAccess.objects.values_list("key", "address", "reason"))
    assert rows == {(key.pk, "127.0.0.1", "network"), (None, "127.0.0.1", "malformed")}
    assert sum(RefusedAccess.objects.values_list("count", flat=True)) == 4


def test_attack_from_many_addresses_makes_few_rows() -> None:
    now = timezone.now()
    for number in range(3 * refusals.MAX_TOLD_APART):
        refusals.counted.note(reason="unknown", key_id=None, caller=f"a{number}", now=now)
    refusals.counted.flush()

    assert RefusedAccess.objects.count() == refusals.MAX_TOLD_APART + 1
    assert RefusedAccess.objects.get(address="").count == 2 * refusals.MAX_TOLD_APART


def test_burst_of_refusals_is_one_alert(settings) -> None:
    settings.REFUSALS_ALERT = 10
    for _ in range(10):
        refusals.note(reason="unknown", address=None)
    refusals.counted.flush()

    watch.look(now=timezone.now())
    watch.look(now=timezone.now())

    assert kinds() == [KINDS.REFUSALS]
    assert Alert.objects.get().count == 1


def test_second_network_of_a_key_is_told_but_not_its_first() -> None:
    key, _ = key_with_secret(name="Shop")
    for address in ("192.0.2.1", "192.0.2.77"):
        arrivals.note(key_id=key.pk, address=parse_address(address))
    arrivals.flush()
    KeyNetwork.objects.update(first_at=timezone.now() - timedelta(minutes=5))
    watch.look(now=timezone.now())
    assert kinds() == []

    arrivals.note(key_id=key.pk, address=parse_address("2001:db8::1"))
    arrivals.flush()
    watch.look(now=timezone.now())

    assert Alert.objects.get().subject == "Shop from 2001:db8::/48"


def accepted_ago(key: ApiKey, number: int, **ago: int) -> None:
    """Have messages of the key accepted some time ago, and counted."""
    at = timezone.now() - timedelta(**ago)
    batch = [
        MessageFactory.build(profile=key.sending_profile, api_key=key, template_version=None)
        for _ in range(number)
    ]
    for one in batch:
        one.id = UUID(int=first_id_since(at).int | one.id.int & (1 << 80) - 1)
        one.accepted_at, one.status, one.next_attempt_at = at, Status.SENT, None
    Message.objects.bulk_create(batch)
    began_at = at.replace(minute=0, second=0, microsecond=0)
    Hour.objects.create(dimension=Dimension.ALL, api_key=key, began_at=began_at, taken=number)


@pytest.mark.parametrize(
    ("before", "is_spike"),
    [
        ([], False),  # nothing is usual of a new key
        ([(2, {"days": 2})], True),
        ([(3, {"days": 2})], False),
        ([(3, {"days": 27}), (1, {"days": 2})], False),  # a mailing like the one weeks ago
        ([(9, {"days": 40}), (2, {"days": 2})], True),
        ([(1, {"days": 40})], True),  # silent for weeks
    ],
)
def test_hour_with_more_than_twice_the_busiest_one_of_four_weeks_is_a_spike(
    monkeypatch: pytest.MonkeyPatch, before: list[tuple[int, dict[str, int]]], is_spike: bool
) -> None:
    monkeypatch.setattr(watch, "SPIKE_AT_LEAST", 3)
    key = sent(5, Status.SENT)
    for number, ago in before:
        accepted_ago(key, number, **ago)

    watch.look(now=timezone.now())

    assert kinds() == ([KINDS.SPIKE] if is_spike else [])


def test_spike_says_what_it_is_compared_with(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "SPIKE_AT_LEAST", 3)
    key = sent(5, Status.SENT)
    accepted_ago(key, 2, days=2)
    watch.look(now=timezone.now())
    told = "5 messages in the last hour; its busiest one before had 2."
    assert Alert.objects.get().text == told


def test_paused_route_and_policy_block_are_told_until_seen_and_not_again() -> None:
    now = timezone.now()
    route = RouteFactory.create(name="Relay")
    outages.pause(route, reason="535 no", now=now)
    blocks.note([blocks.Refusal("a.example", "b.example", "550 5.7.1 no")], now=now)
    watch.look(now=now)
    assert sorted(kinds()) == [KINDS.POLICY, KINDS.ROUTE]

    alerts.acknowledge(Alert.objects.values_list("pk", flat=True), by=None, now=now)
    watch.look(now=timezone.now())
    assert alerts.open_alerts(limit=9) == []

    outages.resume(route)
    outages.pause(route, reason="535 no", now=timezone.now() + timedelta(seconds=1))
    watch.look(now=timezone.now())
    assert [one.kind for one in alerts.open_alerts(limit=9)] == [KINDS.ROUTE]


def test_alert_is_acknowledged_in_the_dashboard_and_that_is_logged(admin_client: Client) -> None:
    now = timezone.now()
    alerts.tell(KINDS.SPIKE, subject="Shop", text="Much.", since=now, now=now)
    alert = Alert.objects.get()
    assert "Shop" in admin_client.get("/admin/guard/alert/").content.decode()

    admin_client.post(f"/admin/guard/alert/{alert.pk}/acknowledge/")

    alert.refresh_from_db()
    assert alert.acknowledged_by.username == "admin"
    Alert.objects.update(acknowledged_by=None)  # as when the account is deleted
    assert (
        "an account that is gone"
        in admin_client.get("/admin/guard/alert/?acknowledged_at__isempty=0").text
    )
    assert LogEntry.objects.get().change_message == "Acknowledged."


def test_refused_access_page_shows_who_and_why(admin_client: Client) -> None:
    empty = admin_client.get("/admin/apikeys/refusedaccess/").content.decode()
    assert "None. Requests with a bad key" in empty
    refusals.note(reason="unknown", address=parse_address("192.0.2.1"))
    refusals.counted.flush()

    shown = admin_client.get("/admin/apikeys/refusedaccess/").content.decode()
    assert "192.0.2.1" in shown
    assert ": 1 refused" in shown
    assert "unknown" in shown
