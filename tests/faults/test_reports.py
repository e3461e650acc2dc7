"""Facts arrive thrice and in any order; where every message ends does not depend on that."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from itertools import groupby, pairwise
from operator import itemgetter
from random import Random
from uuid import UUID

import pytest
from django.db import connection

from sending import ledger
from sending.ledger import Fact, Outcome
from sending.models import Event, Message, SendingProfile, Status
from sending.models.event import RANKED
from tests.factories.facts import FactFactory
from tests.factories.sending import MessageFactory, SendingProfileFactory

pytestmark = [pytest.mark.django_db, pytest.mark.integration]

FACTS = 5000
COPIES = 3
SHUFFLES = 3
MESSAGES = 1600
LOT = 400
TELLERS = 4
# What may be told of one message.
STORIES = [
    [Status.DELIVERED],
    [Status.BOUNCED],
    [Status.REJECTED],
    [Status.FAILED, Status.DELIVERED],
    [Status.DELIVERED, Status.BOUNCED],  # taken, then returned
    [Status.DELIVERED, Status.COMPLAINED],
    [Status.DELIVERED, Status.BOUNCED, Status.COMPLAINED],
]
HITS = ["opened", "clicked", "unsubscribed", "deferred", "autoresponded"]


def handed_off(profile: SendingProfile, *, number: int = MESSAGES) -> list[Message]:
    """Return messages that are on their way."""
    rows = [MessageFactory.build(profile=profile, **pinned(profile)) for _ in range(number)]
    ledger.accept(rows)
    claimed = ledger.claim(limit=number)
    patience = timedelta(minutes=10)
    ledger.begin_handoff([(one.id, one.claim or 0) for one in claimed], patience=patience)
    return claimed


def pinned(profile: SendingProfile) -> dict[str, object]:
    return {
        "api_key": profile.api_key,
        "template_version": profile.template.current_version,
    }


def stories(
    messages: Sequence[Message], dice: Random, *, number: int = FACTS
) -> tuple[list[Fact], dict[UUID, Status]]:
    """Return what is told of the messages, and where that has to end."""
    facts: list[Fact] = []
    ends = {}
    for message in messages:
        story = dice.choice(STORIES)
        ends[message.id] = max(story, key=RANKED.index)
        facts += [FactFactory.build(message=message, status=status) for status in story]
    while len(facts) < number:
        message = dice.choice(messages)
        facts.append(FactFactory.build(message=message, status=None, kind=dice.choice(HITS)))
    return facts, ends


def answers(messages: Sequence[Message]) -> list[Outcome]:
    return [
        Outcome(
            message_id=message.id,
            claim=message.claim or 0,
            attempt_number=message.attempt_count,
            status=Status.SENT,
        )
        for message in messages
    ]


def history_faults() -> list[UUID]:
    """Return the messages whose history is broken, or does not end where they stand."""
    changes = Event.objects.exclude(status_after="").order_by("message_id", "id")
    rows = changes.values_list("message_id", "status_before", "status_after")
    stands = dict(Message.objects.values_list("id", "status"))
    broken = []
    for message_id, its in groupby(rows, key=itemgetter(0)):
        steps = [(before, after) for _, before, after in its]
        is_chain = all(one[1] == next_one[0] for one, next_one in pairwise(steps))
        if not is_chain or steps[0][0] != "" or steps[-1][1] != stands[message_id]:
            broken.append(message_id)
    return broken


@pytest.mark.parametrize("shuffle", range(SHUFFLES))
def test_thousands_of_facts_thrice_and_shuffled_end_as_if_told_once(shuffle: int) -> None:
    dice = Random(f"{os.environ['FAULT_SEED']}:{shuffle}")
    messages = handed_off(SendingProfileFactory.create())
    facts, ends = stories(messages, dice)
    told = dice.sample(facts * COPIES, len(facts) * COPIES)
    # Half of the answers come before all reports, the others somewhere in between.
    ledger.record(answers(messages[::2]))
    late = dice.randrange(0, len(told), LOT)
    for start in range(0, len(told), LOT):
        ledger.report(told[start : start + LOT])
        if start == late:
            ledger.record(answers(messages[1::2]))
    assert dict(Message.objects.values_list("id", "status")) == ends
    written = Counter(Event.objects.exclude(key="").values_list("message_id", "kind", "key"))
    assert written == Counter((fact.message_id, fact.kind, fact.key) for fact in facts)
    assert history_faults() == []


@pytest.mark.django_db(transaction=True)
def test_several_who_are_told_the_same_at_once_write_it_once() -> None:
    dice = Random(os.environ["FAULT_SEED"])
    messages = handed_off(SendingProfileFactory.create(), number=100)
    facts, ends = stories(messages, dice, number=300)
    shuffled = [dice.sample(facts, len(facts)) for _ in range(TELLERS)]
    failures = []

    def tell(lot: list[Fact]) -> None:
        try:
            for start in range(0, len(lot), 50):
                ledger.report(lot[start : start + 50])
        except Exception as error:
            failures.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=tell, args=[lot]) for lot in shuffled]
    for thread in threads:
        thread.start()
    ledger.record(answers(messages))
    for thread in threads:
        thread.join()
    assert failures == []
    assert dict(Message.objects.values_list("id", "status")) == ends
    assert Event.objects.exclude(key="").count() == len(facts)
    assert history_faults() == []
