"""Limits for real: several workers, Redis, and a next hop that refuses what comes too fast."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connection

from apikeys.models import ApiKey
from sending.commands import accept_batch
from sending.models import Event, Limit, Message, Route, SlowDown, Status
from tests.factories.sending import SendingProfileFactory
from tests.processes import program, wait_until
from tests.redis_server import RedisServer
from tests.sink import Sink

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.integration,
    pytest.mark.skipif(
        "postgresql" not in settings.DATABASES["default"]["ENGINE"],
        reason="runs in the PostgreSQL half of `make test`",
    ),
]

WORKERS = 3
PER_SECOND = 20
# Forked, because each interpreter takes a second to start.
DELIVER = """
import django, os, signal, sys, threading
django.setup()
from sending import delivery
others = []
for _ in range(int(sys.argv[1]) - 1):
    number = os.fork()
    if not number:
        others = []
        break
    others.append(number)
done = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: done.set())
delivery.start()
print("ready", flush=True)
done.wait()
for number in others:
    os.kill(number, signal.SIGTERM)
delivery.stop()
for number in others:
    os.waitpid(number, 0)
"""


class Workers:
    """Workers over the database of this test and one Redis; `end` stops them."""

    def __init__(self, directory: Path, redis: RedisServer) -> None:
        self.log = directory / "log"
        self._running = ExitStack()
        database = connection.settings_dict
        self._environment = {
            name: os.environ[name]
            for name in ("SECRET_KEY", "API_KEY_HASH_KEY", "ENCRYPTION_KEYS", "SIGNING_KEYS")
        } | {
            "DJANGO_SETTINGS_MODULE": "billionmail.settings",
            "DATA_DIR": str(directory),
            "DATABASE_URL": f"postgres://postgres@/{database['NAME']}"
            f"?host={database['OPTIONS']['host']}",
            "REDIS_URL": redis.url,
            "PACING_ASSUMED_WORKERS": str(WORKERS),
            "MX_LOOKUPS": "false",
        }

    def start(self) -> None:
        workers = program("-c", DELIVER, str(WORKERS), log=self.log, **self._environment)
        self._running.enter_context(workers)
        wait_until(lambda: self.log.read_text().count("ready") == WORKERS)

    def end(self) -> None:
        self._running.close()


@pytest.fixture
def key(route: Route) -> ApiKey:
    return SendingProfileFactory.create(route=None).api_key


@pytest.fixture
def workers(tmp_path: Path, redis_server: RedisServer) -> Iterator[Workers]:
    running = Workers(tmp_path, redis_server)
    yield running
    running.end()


@pytest.fixture
def sink(sink: Sink) -> Sink:
    # A window long enough for what a busy machine brings together on the way to the sink.
    sink.most_seconds = 5
    sink.most = int(1.5 * PER_SECOND * sink.most_seconds)
    return sink


def limited_batch(key: ApiKey, number: int) -> None:
    Limit.objects.create(messages=PER_SECOND, period=1, burst=5, provider="recipient.example")
    accept_batch(key=key, recipients=[f"r{n}@recipient.example" for n in range(number)])


def all_arrived_once(sink: Sink, number: int) -> bool:
    return sorted(sink.recipients) == sorted(f"r{n}@recipient.example" for n in range(number))


def test_next_hop_with_a_limit_refuses_nothing_when_ours_is_below(
    key: ApiKey, sink: Sink, workers: Workers
) -> None:
    workers.start()
    limited_batch(key, 160)
    accept_batch(key=key, recipients=["free@other.example"])
    wait_until(lambda: len(sink.recipients) == 161)
    workers.end()
    assert sink.refusals == 0
    assert not SlowDown.objects.exists()
    assert set(Message.objects.values_list("status", flat=True)) == {Status.SENT}
    assert sink.recipients.index("free@other.example") < 150  # it did not queue behind them
    claims = Event.objects.filter(kind=Status.SENDING).count()
    assert claims < 3 * 160


def test_without_our_limit_the_same_next_hop_does_refuse(
    key: ApiKey, sink: Sink, workers: Workers
) -> None:
    accept_batch(key=key, recipients=[f"r{n}@recipient.example" for n in range(600)])
    workers.start()
    wait_until(lambda: SlowDown.objects.filter(provider="recipient.example").exists())
    assert sink.refusals > 0
    accept_batch(key=key, recipients=[f"later{n}@recipient.example" for n in range(400)])
    wait_until(
        lambda: Message.objects.filter(
            is_limited=True, reason__contains="recipient.example asked us to slow down"
        ).exists()
    )


@pytest.mark.parametrize("fault", ["emptied", "frozen", "gone"])
def test_redis_that_fails_in_the_middle_opens_no_gate(
    key: ApiKey, sink: Sink, workers: Workers, redis_server: RedisServer, fault: str
) -> None:
    limited_batch(key, 100)
    workers.start()
    wait_until(lambda: len(sink.recipients) >= 30)
    if fault == "emptied":
        redis_server.empty()
    elif fault == "frozen":
        redis_server.signal(signal.SIGSTOP)
    else:
        redis_server.stop()
    wait_until(lambda: len(sink.recipients) >= 60)
    if fault == "frozen":
        redis_server.signal(signal.SIGCONT)
    elif fault == "gone":
        redis_server.start()
    wait_until(lambda: len(sink.recipients) == 100)
    workers.end()
    assert all_arrived_once(sink, 100)
    assert sink.refusals == 0
