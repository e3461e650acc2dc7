"""Kill whoever counts, again and again, while mail is sent and opened: ``SEED DEATHS``.

Run as a program with the environment of a stage. Prints a JSON object: what differs from the log
in the end, and how it went. It forks, because a new interpreter for each death would take minutes.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from random import Random
from uuid import UUID

import django

os.environ["DJANGO_SETTINGS_MODULE"] = "billionmail.settings"
django.setup()

from django.db import connection  # noqa: E402 - Django is set up first
from django.utils import timezone  # noqa: E402
from django.utils.text import slugify  # noqa: E402

from sending import ledger  # noqa: E402
from sending.models import Event, Message, SendingProfile, Status  # noqa: E402
from stats import rollups  # noqa: E402
from stats.models import Progress  # noqa: E402
from stats.rollups.horizon import Horizon  # noqa: E402
from tests.factories.facts import FactFactory  # noqa: E402
from tests.factories.sending import SendingProfileFactory  # noqa: E402
from tests.factories.tracking import HitFactory  # noqa: E402
from tests.processes import wait_until  # noqa: E402
from tests.stats.stories import accepted, answered, handed_off  # noqa: E402
from tracking import visits  # noqa: E402
from tracking.events import record_hits  # noqa: E402

WRITERS = 2
# From when it is connected. To count a lot takes a part of that.
LIFE_SECONDS = (0.0, 0.3)
# How many are killed in the middle for each that lives until it has counted something: on a slow
# machine none would.
MIDDLE = 9
ROLLER = "roller-that-dies"


def main(seed: str, deaths: int) -> None:
    """Do it and tell."""
    rng = Random(seed)
    rollups.rebuild(watch=no_watch)
    key_id = SendingProfileFactory.create(
        template__name=seed, template__slug=slugify(seed), route__name=seed
    ).api_key_id
    began_at = _progress()
    writers = [_fork(partial(write, key_id, seed=f"{seed}:{at}")) for at in range(WRITERS)]
    interrupted = 0
    for number in range(1, deaths + 1):
        ready, is_ready = os.pipe()
        roller = _fork(partial(roll, is_ready))
        os.read(ready, 1)
        if number % (MIDDLE + 1):
            time.sleep(rng.uniform(*LIFE_SECONDS))
        else:
            wait_until(partial(_has_counted_since, _progress()))
        interrupted += _is_counting()
        for end in (ready, is_ready):
            os.close(end)
        os.kill(roller, signal.SIGKILL)
        os.waitpid(roller, 0)
    for writer in writers:
        os.kill(writer, signal.SIGTERM)
    failed = [os.waitpid(writer, 0)[1] for writer in writers]
    counted_meanwhile = _progress() - began_at
    rollups.roll()
    told = {
        "writers_failed": [status for status in failed if status],
        "events": Event.objects.count(),
        "messages": Message.objects.filter(api_key=key_id).count(),
        "interrupted": interrupted,
        "counted_meanwhile": counted_meanwhile,
        "uncounted": Event.objects.filter(id__gt=_progress()).count(),
        "differences": [str(one) for one in rollups.check(watch=no_watch)],
    }
    print(json.dumps(told))


def no_watch(done: int, total: int) -> None:
    """Show nothing."""


def roll(is_ready: int) -> None:
    """Count until killed, without a pause; first say that it begins."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('application_name', %s, false)", [ROLLER])
    os.write(is_ready, b"1")
    horizon = Horizon()
    while True:
        rollups.roll(horizon)


def write(key_id: UUID, *, seed: str) -> None:
    """Let mail be accepted, sent, delivered, opened and judged anew until told to stop."""
    is_told: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: is_told.append(number))
    rng = Random(seed)
    profile = SendingProfile.objects.select_related("api_key", "template").get(pk=key_id)
    while not is_told:
        accepted(profile, number=rng.randint(1, 5))
        sent = answered(handed_off(profile, number=rng.randint(1, 5)))
        answered(handed_off(profile, number=1), Status.BOUNCED, reason="550 5.1.1 User unknown")
        at = timezone.now() + timedelta(minutes=1)
        some = [one for one in sent if rng.random() < 0.7]
        record_hits([HitFactory.build(message=one, at=at, key=f"{seed}:{one.id}") for one in some])
        # What was opened right after the delivery that is told only now was no person.
        late = [one for one in some if rng.random() < 0.5]
        ledger.report([
            FactFactory.build(message=one, occurred_at=at - timedelta(seconds=1), key=f"d:{one.id}")
            for one in late
        ])  # fmt: skip
        visits.reconsider([one.id for one in late])


def _fork(act: Callable[[], None]) -> int:
    """Let a process of its own do it, with a connection of its own; return its number."""
    connection.close()
    number = os.fork()
    if number:
        return number
    try:
        act()
    except BaseException:  # the parent must not be continued here, whatever happened
        sys.excepthook(*sys.exc_info())
        os._exit(1)
    os._exit(0)


def _progress() -> int:
    return Progress.objects.get().event_id


def _has_counted_since(event_id: int) -> bool:
    return _progress() > event_id


def _is_counting() -> bool:
    """Tell whether a roller has a transaction open at this moment."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE application_name = %s AND backend_xid IS NOT NULL",
            [ROLLER],
        )
        return bool(cursor.fetchone()[0])


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
