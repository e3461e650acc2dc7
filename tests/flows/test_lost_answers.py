"""The database or the web process goes away at the worst moment: nothing lost, nothing doubled."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from django.conf import settings
from django.db import connection

from sending.models import Event, Message, Route
from tests.flows.test_production import Production
from tests.processes import answers, wait_until
from tests.rig.proxy import Proxy

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.integration,
    pytest.mark.skipif(
        "postgresql" not in settings.DATABASES["default"]["ENGINE"],
        reason="runs in the PostgreSQL half of `make test`",
    ),
]

ANN = {"recipient": "ann@recipient.example"}


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    running = Proxy(Path(connection.settings_dict["OPTIONS"]["host"]) / ".s.PGSQL.5432")
    running.restore()
    yield running
    running.cut()


@pytest.fixture
def production(tmp_path: Path, route: Route) -> Production:
    """Without a Redis, whose absence delays nothing, and with no worker."""
    return Production(tmp_path, "")


@pytest.fixture
def behind_proxy(production: Production, proxy: Proxy) -> Iterator[Production]:
    name = connection.settings_dict["NAME"]
    production.environment["DATABASE_URL"] = f"postgres://postgres@127.0.0.1:{proxy.port}/{name}"
    production.environment["WEB_WORKERS"] = "1"
    with production.web():
        wait_until(lambda: answers(production.url + "/readyz"))
        yield production


def post(to: Production, key: str | None = None) -> requests.Response:
    headers = {"X-API-Key": to.secret} | ({"Idempotency-Key": key} if key else {})
    url = to.url + "/api/batch_mail/api/send"
    return requests.post(url, json=ANN, headers=headers, timeout=6)


def assert_asks_to_come_back(answer: requests.Response) -> None:
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0
    assert (answer.json()["success"], answer.json()["code"]) == (False, 1005)


def test_while_the_database_is_away_callers_are_asked_to_come_back(
    behind_proxy: Production, proxy: Proxy
) -> None:
    assert post(behind_proxy).status_code == 200
    proxy.cut()
    for key in (None, None, "order-1"):
        assert_asks_to_come_back(post(behind_proxy, key))
    proxy.restore()
    assert post(behind_proxy).status_code == 200
    assert post(behind_proxy, "order-1").status_code == 200
    assert Message.objects.count() == 3


def test_a_commit_whose_answer_is_lost_is_said_again_and_makes_one_message(
    behind_proxy: Production, proxy: Proxy
) -> None:
    proxy.lose(b"SELECT 0\0", after=b"WITH given AS")
    answer = post(behind_proxy)
    assert proxy.lost == 1
    assert answer.status_code == 200
    assert str(Message.objects.get().id) == answer.headers["X-Message-ID"]
    assert Event.objects.count() == 1


def test_a_lost_commit_is_answered_by_the_replay_under_the_idempotency_key(
    behind_proxy: Production, proxy: Proxy
) -> None:
    proxy.lose(b"COMMIT\0", after=b"COMMIT")
    assert_asks_to_come_back(post(behind_proxy, "order-1"))
    assert proxy.lost == 1
    message = Message.objects.get()
    again = post(behind_proxy, "order-1")
    assert again.headers["X-Message-ID"] == str(message.id)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert Message.objects.count() == 1


def test_requests_that_a_killed_server_never_answered_are_replayed_without_a_second_message(
    production: Production,
) -> None:
    crowd = Crowd(production)
    for round_number in range(3):
        with production.web() as server:
            wait_until(lambda: answers(production.url + "/readyz"))
            with crowd.asking():
                crowd.wait_for(40 * (round_number + 1))
                kill_all(server.pid)
    with production.web():
        wait_until(lambda: answers(production.url + "/readyz"))
        for key in crowd.asked:
            answer = post(production, key)
            assert answer.status_code == 200
            assert (
                crowd.answered.setdefault(key, answer.headers["X-Message-ID"])
                == (answer.headers["X-Message-ID"])
            )
    stored = {str(one) for one in Message.objects.values_list("id", flat=True)}
    assert stored == set(crowd.answered.values())
    assert len(stored) == len(crowd.asked)


class Crowd:
    """Callers that ask one after the other, each time under a new key."""

    def __init__(self, production: Production) -> None:
        self.production = production
        self.asked: list[str] = []
        self.answered: dict[str, str] = {}
        self._numbers = itertools.count()

    @contextlib.contextmanager
    def asking(self) -> Iterator[None]:
        """Ask from twelve threads, each until it gets no answer."""
        threads = [threading.Thread(target=self._ask) for _ in range(12)]
        for thread in threads:
            thread.start()
        yield
        for thread in threads:
            thread.join()

    def wait_for(self, number: int) -> None:
        """Wait for this many answers."""
        wait_until(lambda: len(self.answered) >= number)

    def _ask(self) -> None:
        while True:
            key = f"order-{next(self._numbers)}"
            self.asked.append(key)
            try:
                answer = post(self.production, key)
            except requests.RequestException:
                return
            self.answered[key] = answer.headers["X-Message-ID"]


def kill_all(pid: int) -> None:
    """End a process and its children at once, as a power cut does."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    for one in [pid, *map(int, children)]:
        os.kill(one, signal.SIGKILL)
