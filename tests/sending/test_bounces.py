"""An address is given up when its refusals add up, and a message that went through clears it."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

import pytest
from django.utils import timezone

from sending import bounces
from sending.errors import Phase, Reply
from sending.models import (
    Message,
    Route,
    SendingProfile,
    Status,
    first_id_since,
    new_message_id,
)
from sending.replies import Kind, classify
from tests.factories.sending import AttemptFactory, MessageFactory, SendingProfileFactory

pytestmark = pytest.mark.django_db

ANN = "Ann@recipient.example"
REPLIES = {
    Kind.HARD: Reply(550, "5.1.1", "No such user"),
    Kind.DISABLED: Reply(550, "5.2.1", "Mailbox disabled"),
    Kind.UNDETERMINED: Reply(554, "", "Transaction failed"),
    Kind.SOFT: Reply(452, "4.2.2", "Mailbox full"),
    Kind.DOMAIN: Reply(550, "5.1.2", "Host unknown"),
    Kind.POLICY: Reply(550, "5.7.1", "Blocked"),
}


@pytest.fixture
def profile() -> SendingProfile:
    return SendingProfileFactory.create()


def id_at(moment: datetime) -> UUID:
    return UUID(int=first_id_since(moment).int | new_message_id().int & (1 << 80) - 1)


class Past:
    """The tries to one address, told by how many hours ago they were."""

    def __init__(self, profile: SendingProfile) -> None:
        self.now = timezone.now()
        self.profile = profile
        self.route: Route | None = profile.route

    def tried(
        self, hours: float, *, kind: str, outcome: Status, recipient: str = ANN, **fields: object
    ) -> None:
        at = self.now - timedelta(hours=hours)
        message: Message = MessageFactory.create(
            profile=self.profile,
            id=id_at(at),
            recipient=recipient,
            status=fields.get("status", outcome),
        )
        AttemptFactory.create(
            message=message, route=self.route, started_at=at, kind=kind, outcome=outcome
        )

    def refused(self, *hours: float, kind: Kind, recipient: str = ANN) -> None:
        outcome = Status.DEFERRED if kind is Kind.SOFT else Status.BOUNCED
        for one in hours:
            self.tried(one, kind=kind, outcome=outcome, recipient=recipient)

    def is_dead(self, kind: Kind) -> bool:
        verdict = classify(REPLIES[kind], phase=Phase.RCPT)
        assert verdict.kind is kind
        return bounces.is_dead(ANN, verdict=verdict, now=self.now)


@pytest.fixture
def past(profile: SendingProfile) -> Past:
    return Past(profile)


DAY = 24


@pytest.mark.parametrize(
    ("kind", "hours", "is_dead"),
    [
        (Kind.HARD, [0], True),
        (Kind.DISABLED, [0], False),
        (Kind.DISABLED, [6 * DAY, 3, 0], False),
        (Kind.DISABLED, [7 * DAY, 0], True),
        (Kind.UNDETERMINED, [1, 0], False),
        (Kind.UNDETERMINED, [2, 1, 0], True),
        (Kind.SOFT, [14 * DAY, 9, 2, 0], False),
        (Kind.SOFT, [13 * DAY, 9, 4, 2, 0], False),
        (Kind.SOFT, [14 * DAY, 9, 4, 2, 0], True),
        (Kind.DOMAIN, [0], False),
        (Kind.DOMAIN, [0.9, 0], False),
        (Kind.DOMAIN, [1, 0], True),
        (Kind.POLICY, [50 * DAY, 40 * DAY, 30 * DAY, 20 * DAY, 10 * DAY, 0], False),
        (Kind.DISABLED, [100 * DAY, 0], False),
    ],
)
def test_so_many_refusals_over_so_long_end_an_address(
    past: Past, kind: Kind, hours: list[float], is_dead: bool
) -> None:
    past.refused(*hours, kind=kind)
    assert past.is_dead(kind) is is_dead


@pytest.mark.parametrize("kind", [Kind.DISABLED, Kind.UNDETERMINED, Kind.SOFT, Kind.DOMAIN])
def test_a_message_that_went_through_clears_the_count(past: Past, kind: Kind) -> None:
    past.refused(20 * DAY, 19 * DAY, 18 * DAY, 17 * DAY, 2, kind=kind)
    past.tried(1, kind="", outcome=Status.SENT)
    past.refused(0, kind=kind)
    assert not past.is_dead(kind)


def test_a_message_that_came_back_later_clears_nothing(past: Past) -> None:
    past.refused(8 * DAY, kind=Kind.DISABLED)
    past.tried(1, kind="", outcome=Status.SENT, status=Status.BOUNCED)
    past.refused(0, kind=Kind.DISABLED)
    assert past.is_dead(Kind.DISABLED)


def test_refusals_of_another_kind_or_of_another_address_do_not_count(past: Past) -> None:
    past.refused(9 * DAY, 8 * DAY, kind=Kind.UNDETERMINED)
    past.refused(9 * DAY, 8 * DAY, kind=Kind.DISABLED, recipient="bob@recipient.example")
    past.refused(0, kind=Kind.DISABLED)
    assert not past.is_dead(Kind.DISABLED)


def test_an_address_in_lower_case_is_the_same(past: Past) -> None:
    past.refused(8 * DAY, kind=Kind.DISABLED, recipient=ANN.lower())
    past.refused(0, kind=Kind.DISABLED)
    assert past.is_dead(Kind.DISABLED)


def test_a_name_server_that_failed_for_a_moment_does_not_count(past: Past) -> None:
    past.tried(5, kind=Kind.DOMAIN, outcome=Status.DEFERRED)
    past.refused(0, kind=Kind.DOMAIN)
    assert not past.is_dead(Kind.DOMAIN)


def report(past: Past, hours: float, *, kind: Kind) -> None:
    """Have a message of then come back by a report."""
    at = past.now - timedelta(hours=hours)
    past.tried(hours, kind="", outcome=Status.SENT, status=Status.BOUNCED)
    message = Message.objects.order_by("-id").get(id=id_of_newest(at))
    bounces.keep_reported(
        ANN, message_id=message.id, kind=kind, enhanced_status="", diagnostic="", now=at
    )


def id_of_newest(at: datetime) -> UUID:
    return Message.objects.filter(id__gte=first_id_since(at)).order_by("id")[0].id


def test_reported_bounces_count_with_those_on_the_wire(past: Past) -> None:
    past.refused(14 * DAY, 9 * DAY, kind=Kind.SOFT)
    report(past, 5 * DAY, kind=Kind.SOFT)
    report(past, 2, kind=Kind.SOFT)
    assert not past.is_dead(Kind.SOFT)
    past.refused(0, kind=Kind.SOFT)
    assert past.is_dead(Kind.SOFT)


def test_a_message_that_went_through_clears_reported_bounces_too(past: Past) -> None:
    for days in (20, 18, 12, 8, 5):
        report(past, days * DAY, kind=Kind.SOFT)
    assert past.is_dead(Kind.SOFT)
    past.tried(1, kind="", outcome=Status.SENT)
    report(past, 0, kind=Kind.SOFT)
    assert not past.is_dead(Kind.SOFT)
