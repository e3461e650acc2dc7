"""The production set-up for real: PostgreSQL, Redis, gunicorn, a Celery worker, an SMTP server."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from django.conf import settings
from django.db import connection

from sending.models import Message, Route, Status
from tests.factories.apikeys import key_with_secret
from tests.factories.sending import SendingProfileFactory, TemplateFactory
from tests.processes import answers, program, stop, wait_until
from tests.rig.servers import redis
from tests.sink import Sink, free_port
from tracking import drainer

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.integration,
    pytest.mark.skipif(
        "postgresql" not in settings.DATABASES["default"]["ENGINE"],
        reason="runs in the PostgreSQL half of `make test`",
    ),
]

TRACKED = '<html><body><a href="https://shop.example/">shop</a></body></html>'


class Production:
    """A web server and workers over the database of this test."""

    def __init__(self, directory: Path, redis_url: str) -> None:
        self.log = directory / "log"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        database = connection.settings_dict
        self.environment = {
            name: os.environ[name]
            for name in ("SECRET_KEY", "API_KEY_HASH_KEY", "ENCRYPTION_KEYS", "SIGNING_KEYS")
        } | {
            "DATA_DIR": str(directory),
            "DATABASE_URL": f"postgres://postgres@/{database['NAME']}"
            f"?host={database['OPTIONS']['host']}",
            "REDIS_URL": redis_url,
            "PUBLIC_URL": self.url,
            "BIND": f"127.0.0.1:{self.port}",
        }
        self.key, self.secret = key_with_secret()
        SendingProfileFactory.create(api_key=self.key, route=None)

    def web(self):
        arguments = ("-m", "gunicorn", "billionmail.wsgi", "-c", "billionmail/gunicorn.py")
        return program(*arguments, log=self.log, **self.environment)

    def worker(self):
        arguments = ("-m", "celery", "-A", "billionmail", "worker", "--loglevel", "INFO")
        return program(*arguments, log=self.log, **self.environment)

    def send(self, recipient: str) -> None:
        answer = requests.post(
            self.url + "/api/batch_mail/api/send",
            json={"recipient": recipient},
            headers={"X-API-Key": self.secret},
            timeout=60,
        )
        assert answer.json()["success"] is True


@pytest.fixture
def redis_url() -> Iterator[str]:
    with redis() as url:
        yield url


@pytest.fixture
def production(tmp_path: Path, redis_url: str, route: Route) -> Iterator[Production]:
    # The sink is a thread of this process: on a busy machine it may be silent for some seconds, and
    # what it took meanwhile would be sent again.
    Route.objects.update(command_timeout_seconds=60, data_timeout_seconds=60)
    running = Production(tmp_path, redis_url)
    # Who needs several asks for them: each is a second of processor time.
    running.environment["WEB_WORKERS"] = "1"
    with running.web():
        wait_until(lambda: answers(running.url + "/readyz"))
        yield running


def redis_pid(url: str) -> int:
    port = url.rpartition(":")[2].partition("/")[0]
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if b"redis-server" in command and port.encode() in command:
                return int(entry.name)
    raise LookupError(url)


def test_a_mail_goes_from_the_web_process_through_a_worker_to_the_server(
    production: Production, sink: Sink
) -> None:
    with production.worker() as worker:
        wait_until(lambda: " ready." in production.log.read_text())
        production.send("ann@recipient.example")
        wait_until(lambda: sink.recipients == ["ann@recipient.example"])
        assert stop(worker, signal.SIGTERM) == 0
    wait_until(lambda: Message.objects.get().status == Status.SENT)


def test_an_opening_and_a_click_are_looked_for_each_second_and_get_into_the_history(
    production: Production, sink: Sink
) -> None:
    profile = production.key.sending_profile
    profile.track_opens = profile.track_clicks = True
    profile.template = TemplateFactory.create(version__html=TRACKED)
    profile.save()
    with production.worker():
        production.send("ann@recipient.example")
        wait_until(lambda: sink.messages)
        html = sink.messages[0].get_body(("html",)).get_content()
        addresses = re.findall(r'(?:href|src)="([^"]+)"', html)
        answers = [requests.get(one, allow_redirects=False, timeout=60) for one in addresses]
        assert [answer.status_code for answer in answers] == [302, 200]
        events = Message.objects.get().events.filter(kind__in=["opened", "clicked"])
        assert drainer.PAUSE_SECONDS <= 1
        wait_until(lambda: events.count() == 2)


def test_two_workers_share_a_batch_without_a_duplicate(production: Production, sink: Sink) -> None:
    recipients = [f"r{number}@recipient.example" for number in range(400)]
    with production.worker(), production.worker():
        wait_until(lambda: production.log.read_text().count(" ready.") == 2)
        requests.post(
            production.url + "/api/batch_mail/api/batch_send",
            json={"recipients": recipients},
            headers={"X-API-Key": production.secret},
            timeout=60,
        ).raise_for_status()
        # A mail that a slow machine could not hand over is tried again after a minute or two.
        wait_until(lambda: len(sink.recipients) >= 400, seconds=240)
    assert sorted(sink.recipients) == sorted(recipients)
    assert set(Message.objects.values_list("status", flat=True)) == {Status.SENT}


def test_a_frozen_redis_stops_neither_the_answer_nor_the_mail(
    production: Production, sink: Sink, redis_url: str
) -> None:
    with production.worker():
        wait_until(lambda: " ready." in production.log.read_text())
        pid = redis_pid(redis_url)
        os.kill(pid, signal.SIGSTOP)
        try:
            # Nothing ends a wait for it but our own patience: by default, a publish hangs for good.
            for number in range(20):
                production.send(f"r{number}@recipient.example")
            wait_until(lambda: len(sink.recipients) == 20)
        finally:
            os.kill(pid, signal.SIGCONT)


def test_a_worker_that_starts_without_redis_delivers_all_the_same(
    production: Production, sink: Sink
) -> None:
    production.environment["REDIS_URL"] = f"redis://127.0.0.1:{free_port()}/0"
    with production.worker() as worker:
        production.send("ann@recipient.example")
        wait_until(lambda: sink.recipients == ["ann@recipient.example"])
        wait_until(lambda: Message.objects.get().status == Status.SENT)
        stop(worker, signal.SIGTERM)
