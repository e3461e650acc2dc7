"""A standing order is found, names its rule, and the recipient's own no outlives a bounce."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone

from sending.models import Suppression
from sending.suppressions import decide, lift, suppress

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


def test_a_no_replaces_a_bounce_and_a_bounce_never_a_no() -> None:
    assert order(ANN, Reason.HARD_BOUNCE)
    assert not order(ANN, Reason.UNSUBSCRIBED)
    assert not order(ANN, Reason.HARD_BOUNCE)
    assert Suppression.objects.get().reason == Reason.UNSUBSCRIBED


def test_a_lifted_order_is_gone() -> None:
    order(ANN, Reason.HARD_BOUNCE)
    assert lift(ANN.upper())
    assert not lift(ANN)
    assert decide([ANN]) == {}
