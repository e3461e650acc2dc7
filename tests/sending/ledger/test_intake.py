"""New messages are screened and stored in one go, once, whatever becomes of the connection."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID, uuid4

import pytest
from django.db import IntegrityError, connection
from django.utils import timezone

from sending import ledger
from sending.addresses import parse_address
from sending.commands.requests import check_request
from sending.ledger import Intake
from sending.models import (
    Event,
    Message,
    Priority,
    SendingProfile,
    Suppression,
    in_batch,
    made_at,
    new_message_id,
)
from sending.suppressions import suppress
from tests.factories.sending import SendingProfileFactory

pytestmark = pytest.mark.django_db

on_postgresql = pytest.mark.skipif(
    connection.vendor != "postgresql", reason="is about connections to PostgreSQL"
)


def intake(
    *recipients: str,
    profile: SendingProfile | None = None,
    marks: Mapping[str, object] | None = None,
    batch_id: UUID | None = None,
    **attribs: object,
) -> Intake:
    profile = profile or SendingProfileFactory.create()
    request = check_request(profile, addresser=None, attribs=attribs, **marks or {})
    addresses = [parse_address(recipient) for recipient in recipients]
    return request.intake(addresses, priority=Priority.SINGLE, batch_id=batch_id)


def stored() -> set[str]:
    return set(Message.objects.values_list("recipient", flat=True))


def suppress_all(addresses: Iterable[str]) -> None:
    for address in addresses:
        suppress(address, reason=Suppression.Reason.BLACKLIST, now=timezone.now())


def test_what_is_stored_is_what_was_given() -> None:
    attribs = {"name": "Ann \U0001f600 \"'\\", "age": 7, "x": None, "ratio": 0.1, "yes": True}
    marks = {"variant": 'B "short"', "tags": ["one", "größe, 7", "{x}", "null"]}
    recipients = ("Ann@recipient.example", "ü@bücher.example")
    given = intake(*recipients, marks=marks, batch_id=new_message_id(), **attribs)
    assert ledger.take_in(given) == {}
    for message in given.messages(now=ledger.database_now()):
        row = Message.objects.get(pk=message.pk)
        assert re.fullmatch(rf"<{row.pk}\.[0-9a-f]{{12}}@sender\.example>", row.message_id)
        for field in {*ledger.MESSAGE_FIELDS} - {"message_id"}:
            if not field.endswith("_at"):
                assert getattr(row, field) == getattr(message, field), field
        assert row.accepted_at == row.status_at == row.next_attempt_at
        assert row.expires_at - row.accepted_at == message.expires_at - message.accepted_at
        event = Event.objects.get(message=row)
        assert (event.kind, event.status_before, event.status_after) == ("queued", "", "queued")
        assert event.occurred_at == row.accepted_at


def test_what_has_no_marks_stores_none() -> None:
    given = intake("ann@recipient.example")
    ledger.take_in(given)
    row = Message.objects.get()
    assert (row.batch_id, row.variant, row.tags) == (None, "", [])


def test_a_batch_is_found_by_its_id_alone() -> None:
    profile = SendingProfileFactory.create()
    one, other = new_message_id(), new_message_id()
    for batch_id, names in ((one, "ab"), (other, "cd"), (None, "e")):
        recipients = [f"{name}@recipient.example" for name in names]
        ledger.take_in(intake(*recipients, profile=profile, batch_id=batch_id))
    found = Message.objects.filter(in_batch(one)).values_list("recipient", flat=True)
    assert sorted(found) == ["a@recipient.example", "b@recipient.example"]
    assert not Message.objects.filter(in_batch(UUID(int=(1 << 128) - 1))).exists()
    ids = Message.objects.exclude(batch_id=None).values_list("id", "batch_id")
    assert all(one.version == 7 and made_at(one) == made_at(batch) for one, batch in ids)


def test_what_the_figures_alone_need_is_not_read_by_a_delivery() -> None:
    given = intake("ann@recipient.example", marks={"tags": ["a"]}, batch_id=new_message_id())
    ledger.take_in(given)
    [claimed] = ledger.claim(limit=1)
    assert claimed.get_deferred_fields() >= {"batch_id", "variant", "tags"}


def test_standing_orders_block_an_address_and_a_domain_and_name_their_rule() -> None:
    suppress_all(["ann@recipient.example", "@gone.example", "bob@gone.example"])
    given = intake("Ann@Recipient.Example", "bob@gone.example", "c@gone.example", "d@x.example")
    blocked = ledger.take_in(given)
    assert {given.recipients[one].address: verdict.rule for one, verdict in blocked.items()} == {
        "Ann@recipient.example": "ann@recipient.example",
        "bob@gone.example": "bob@gone.example",
        "c@gone.example": "@gone.example",
    }
    assert stored() == {"d@x.example"}
    assert Event.objects.count() == 1


@on_postgresql
def test_storing_the_same_messages_again_changes_nothing() -> None:
    given = intake("ann@recipient.example")
    ledger.take_in(given)
    ledger.take_in(given)
    assert Message.objects.count() == Event.objects.count() == 1


@on_postgresql
@pytest.mark.django_db(transaction=True)
def test_a_connection_that_the_server_closed_is_replaced_unseen() -> None:
    given = intake("ann@recipient.example")
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (pid,) = cursor.fetchone()
    end_backend(pid)
    assert ledger.take_in(given) == {}
    assert Message.objects.count() == Event.objects.count() == 1


@on_postgresql
@pytest.mark.django_db(transaction=True)
def test_many_threads_store_everything_once_and_one_that_cannot_fails_alone() -> None:
    profile = SendingProfileFactory.create()
    suppress_all(["r7@recipient.example"])
    intakes = [intake(f"r{number}@recipient.example", profile=profile) for number in range(60)]
    orphan = intake("orphan@recipient.example", profile=profile)
    object.__setattr__(orphan, "api_key_id", uuid4())

    def store(one: Intake) -> object:
        try:
            return ledger.take_in(one)
        except IntegrityError as error:
            return error
        finally:
            connection.close()

    with ThreadPoolExecutor(12) as threads:
        *results, last = threads.map(store, [*intakes, orphan])
    assert isinstance(last, IntegrityError)
    assert [bool(result) for result in results] == [number == 7 for number in range(60)]
    assert stored() == {f"r{number}@recipient.example" for number in range(60) if number != 7}
    assert Event.objects.count() == Message.objects.count()


def end_backend(pid: int) -> None:
    """End the server's side of a connection, from another one."""
    other = connection.copy()
    try:
        with other.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
    finally:
        other.close()
