"""A refusal by policy raises an alarm about the sender, and never touches the address."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from guard import alerts, watch
from guard.models import Alert
from sending import blocks
from sending.blocks import Refusal
from sending.commands import accept_batch
from sending.delivery import deliver_due
from sending.models import Route, SenderBlock, Suppression
from tests.factories.sending import SendingProfileFactory
from tests.sink import Sink

pytestmark = pytest.mark.django_db

REFUSAL = Refusal("sender.example", "recipient.example", "550 5.7.26 DMARC <b>policy</b>")


def test_refusals_add_up_while_they_last(caplog: pytest.LogCaptureFixture) -> None:
    now = timezone.now()
    blocks.note([REFUSAL, REFUSAL], now=now - timedelta(hours=20))
    blocks.note([REFUSAL], now=now)
    (block,) = blocks.lasting(now=now, limit=5)
    assert (block.count, block.first_at) == (3, now - timedelta(hours=20))
    assert caplog.text.count("recipient.example refuses mail from sender.example") == 1


def test_after_a_day_without_one_it_is_over_and_a_new_one_begins_anew() -> None:
    now = timezone.now()
    blocks.note([REFUSAL] * 7, now=now - timedelta(hours=25))
    assert blocks.lasting(now=now, limit=5) == []
    blocks.note([REFUSAL], now=now)
    (block,) = blocks.lasting(now=now, limit=5)
    assert (block.count, block.first_at) == (1, now)


def test_the_first_page_tells_it_until_somebody_has_seen_to_it(admin_client: Client) -> None:
    now = timezone.now()
    blocks.note([REFUSAL], now=now)
    watch.look(now=now)
    shown = admin_client.get("/admin/").content.decode()
    assert "recipient.example refuses sender.example" in shown
    assert "DMARC &lt;b&gt;policy" in shown
    alert = Alert.objects.get()
    alerts.acknowledge([alert.pk], by=None, now=now)
    assert "DMARC" not in admin_client.get("/admin/").content.decode()


@pytest.mark.django_db(transaction=True)
@pytest.mark.integration
def test_what_the_next_hop_refuses_by_policy_is_counted(route: Route, sink: Sink) -> None:
    key = SendingProfileFactory.create(route=route).api_key
    people = [f"ann{number}@recipient.example" for number in range(3)]
    for one in people:
        sink.replies[one] = "550 5.7.1 Blocked, see our policy"
    sink.replies["gone@recipient.example"] = "550 5.1.1 No such user"
    accept_batch(key=key, recipients=[*people, "gone@recipient.example"])
    deliver_due()

    block = SenderBlock.objects.get()
    assert (block.sender_domain, block.recipient_domain) == ("sender.example", "recipient.example")
    assert block.count == 3
    assert "Blocked, see our policy" in block.reply
    assert [order.address for order in Suppression.objects.all()] == ["gone@recipient.example"]
