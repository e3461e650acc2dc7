"""A standing order is found, names its rule, and the recipient's own no outlives a bounce."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from sending.addresses import InvalidAddress
from sending.commands import accept_batch
from sending.errors import InvalidRecipient, TooManyRules
from sending.models import Stream, Suppression
from sending.screening import passed_over
from sending.suppressions import decide, examine, history, lift, read_rule, suppress
from tests.factories.sending import RouteFactory, SendingProfileFactory

pytestmark = pytest.mark.django_db

ANN = "ann@recipient.example"
Reason = Suppression.Reason


def order(address: str, reason: Suppression.Reason) -> bool:
    return suppress(address, reason=reason, now=timezone.now())


def test_an_address_without_an_order_gets_mail() -> None:
    assert decide([ANN]) == {}


def test_an_order_names_its_reason() -> None:
    order(ANN, Reason.COMPLAINT)
    assert str(decide([ANN, "bob@recipient.example"])[ANN]) == (
        f"complained: {ANN} has complained about mail from here"
    )


def test_a_blacklisted_domain_blocks_everybody_there_and_nobody_elsewhere() -> None:
    order("@recipient.example", Reason.BLACKLIST)
    verdicts = decide([ANN, "bob@sub.recipient.example"])
    assert set(verdicts) == {ANN}
    assert "rule @recipient.example" in str(verdicts[ANN])


def test_a_thousand_addresses_are_decided_in_one_query(
    django_assert_num_queries: Any,
) -> None:
    with django_assert_num_queries(1):
        decide([f"r{number}@recipient.example" for number in range(1000)])


def test_a_no_and_a_bounce_are_two_orders_and_the_no_is_told() -> None:
    assert order(ANN, Reason.HARD_BOUNCE)
    assert order(ANN, Reason.UNSUBSCRIBED)
    assert not order(ANN, Reason.HARD_BOUNCE)
    assert decide([ANN])[ANN].reason == Reason.UNSUBSCRIBED
    assert lift(ANN, reason=Reason.HARD_BOUNCE)
    assert decide([ANN])[ANN].reason == Reason.UNSUBSCRIBED


def test_a_lifted_order_is_gone_and_leaves_its_trace() -> None:
    order(ANN, Reason.HARD_BOUNCE)
    assert lift(ANN.upper(), by="kim", note="The box is back.")
    assert not lift(ANN)
    assert decide([ANN]) == {}
    (ended,) = history(ANN)
    assert (ended.reason, ended.lifted_by, ended.lift_note) == (
        Reason.HARD_BOUNCE,
        "kim",
        "The box is back.",
    )


def test_an_order_ends_by_itself_and_can_be_given_again() -> None:
    now = timezone.now()
    suppress(ANN, reason=Reason.MANUAL, now=now, expires_at=now - timedelta(seconds=1))
    assert decide([ANN]) == {}
    assert suppress(ANN, reason=Reason.MANUAL, now=now, expires_at=now + timedelta(hours=1))
    assert set(decide([ANN])) == {ANN}
    assert [ended.lift_note for ended in history(ANN)] == ["It had expired."]


@pytest.mark.parametrize(("by", "expected"), [("ann", False), ("bob", True)])
def test_an_order_remembers_that_somebody_else_gave_it_too(by: str, expected: bool) -> None:
    now = timezone.now()
    suppress(ANN, reason=Reason.INVALID, now=now, by="ann")
    suppress(ANN, reason=Reason.INVALID, now=now, by=by)
    assert Suppression.objects.get().is_repeated is expected


def test_an_order_that_stands_lasts_as_long_as_the_longest_that_was_given() -> None:
    now = timezone.now()
    for hours in (2, 1):
        suppress(ANN, reason=Reason.MANUAL, now=now, expires_at=now + timedelta(hours=hours))
    assert Suppression.objects.get().expires_at == now + timedelta(hours=2)
    suppress(ANN, reason=Reason.MANUAL, now=now)
    assert Suppression.objects.get().expires_at is None


@pytest.mark.parametrize(
    ("rule", "blocked"),
    [
        ("@recipient.example", {"ann@recipient.example"}),
        (".recipient.example", {"ann@recipient.example", "ann@sub.recipient.example"}),
        (
            "pattern:*@*recipient.example",
            {"ann@recipient.example", "ann@sub.recipient.example", "ann@otherrecipient.example"},
        ),
        ("pattern:a_n@*", set()),
        ("pattern:an*@recip*", {"ann@recipient.example"}),
        (".cipient.example", set()),
    ],
)
def test_a_rule_blocks_whom_it_names_at_acceptance_and_at_sending(
    rule: str, blocked: set[str]
) -> None:
    asked = ["ann@recipient.example", "ann@sub.recipient.example", "ann@otherrecipient.example"]
    order(read_rule(rule), Reason.BLACKLIST)
    assert set(decide(asked)) == blocked
    assert {verdict.rule for verdict in decide(asked).values()} <= {rule}
    refused = accept_all(asked)
    assert refused == blocked


def accept_all(recipients: list[str]) -> set[str]:
    """Accept a mail for each, as a batch; return who was refused."""
    RouteFactory.create(is_default=True)
    key = SendingProfileFactory.create().api_key
    try:
        receipt = accept_batch(key=key, recipients=recipients)
    except InvalidRecipient:
        return set(recipients)
    return {rejection.recipient for rejection in receipt.rejected}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("ann", "no @"),
        ("@nodot", "no dot"),
        ("@.example.com", "Write .example.com"),
        ("pattern:*@*", "nearly everybody"),
        ("pattern:ann@example.com", "one to 4 stars"),
        ("pattern:a*b*c*d*e*@example.com", "one to 4 stars"),
    ],
)
def test_what_is_no_rule_is_explained(text: str, why: str) -> None:
    with pytest.raises(InvalidAddress, match=why):
        read_rule(text)


def test_broad_rules_stay_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sending.suppressions.MAX_BROAD", 2)
    for rule in (".a.example", ".b.example", ".a.example", "@c.example"):
        order(rule, Reason.BLACKLIST)
    with pytest.raises(TooManyRules, match="whole domains instead"):
        order("pattern:*@d*.example", Reason.BLACKLIST)


def test_an_unsubscribe_stops_transactional_mail_unless_the_key_says_no() -> None:
    despite = passed_over(Stream.TRANSACTIONAL, heeds_unsubscribes=False)
    order(ANN, Reason.UNSUBSCRIBED)
    assert set(decide([ANN])) == {ANN}
    assert decide([ANN], despite=despite) == {}
    (finding,) = examine([ANN], despite=despite)
    assert finding.blocked_by is None
    assert "although unsubscribed" in str(finding)
    order(ANN, Reason.HARD_BOUNCE)
    assert decide([ANN], despite=despite)[ANN].reason == Reason.HARD_BOUNCE


def test_bulk_mail_heeds_every_unsubscribe() -> None:
    assert passed_over(Stream.BULK, heeds_unsubscribes=False) == set()
