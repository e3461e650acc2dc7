"""A pseudonym tells nothing of the address, and is found again after a key was rotated."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.utils import timezone

from sending import ledger
from sending.addresses import parse_address
from sending.checks import check_forgotten
from sending.commands.requests import check_request
from sending.models import Priority, Suppression
from sending.pseudonyms import is_pseudonym, pseudonym, pseudonyms
from sending.suppressions import decide, suppress
from tests.factories.sending import RouteFactory, SendingProfileFactory

ANN = "ann@recipient.example"


def test_it_is_an_address_that_can_be_stored_and_holds_nothing_of_the_person() -> None:
    made = pseudonym(ANN)
    assert parse_address(made).suppression_key == made
    assert is_pseudonym(made)
    assert "ann" not in made
    assert "recipient" not in made
    assert not is_pseudonym(ANN)


def test_another_address_and_another_installation_give_another_one(settings: Any) -> None:
    first = pseudonym(ANN)
    assert pseudonym("bob@recipient.example") != first
    settings.ENCRYPTION_KEYS = ["x" * 40]
    assert pseudonym(ANN) != first


def test_without_a_key_there_is_none(settings: Any) -> None:
    settings.ENCRYPTION_KEYS = []
    with pytest.raises(ImproperlyConfigured, match="ENCRYPTION_KEYS"):
        pseudonym(ANN)
    assert pseudonyms(ANN) == []


@pytest.mark.django_db
def test_no_outlives_the_rotation_of_keys_at_every_door(settings: Any) -> None:
    suppress(pseudonym(ANN), reason=Suppression.Reason.FORGOTTEN, now=timezone.now())
    settings.ENCRYPTION_KEYS = ["new" * 20, *settings.ENCRYPTION_KEYS]

    verdict = decide([ANN])[ANN]
    assert verdict.reason == Suppression.Reason.FORGOTTEN
    assert is_pseudonym(verdict.rule)
    RouteFactory.create(is_default=True)
    request = check_request(SendingProfileFactory.create(), addresser=None, attribs=None)
    intake = request.intake(
        [parse_address("Ann@Recipient.example"), parse_address("bob@recipient.example")],
        priority=Priority.SINGLE,
    )
    blocked = ledger.take_in(intake)
    assert [str(one) for one in blocked.values()] == [str(verdict)]


@pytest.mark.django_db
def test_a_key_that_was_taken_away_too_early_is_noticed(settings: Any) -> None:
    suppress(pseudonym(ANN), reason=Suppression.Reason.FORGOTTEN, now=timezone.now())
    assert check_forgotten(databases=["default"]) == []
    settings.ENCRYPTION_KEYS = ["new" * 20]
    (warning,) = check_forgotten(databases=["default"])
    assert warning.id == "sending.W003"
    assert "1 people" in warning.msg
