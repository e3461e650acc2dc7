"""Everything is away and the web server dies; each hit that was answered is counted once."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from uuid import UUID

import pytest
import requests

from tests.faults.load import Load
from tests.faults.stage import Stage
from tests.processes import wait_until
from tracking import tokens
from tracking.hits import GIF

pytestmark = pytest.mark.integration

MESSAGES = 400
CALLERS = 8
VERSION = b"sixbyt"
URL = "https://shop.example/"
COUNTED = """
SELECT message_id, kind, count(*) FROM sending_event
WHERE kind IN ('opened', 'clicked') GROUP BY 1, 2
"""


class Recipients:
    """They open their mails and follow a link, one after the other, and note what is answered."""

    def __init__(self, stage: Stage, ids: Sequence[UUID]) -> None:
        self._key = stage.environment["SIGNING_KEYS"]
        self._left = [(one, kind) for one in ids for kind in ("opened", "clicked")]
        self._lock = threading.Lock()
        self.answered: set[tuple[UUID, str]] = set()
        self.refused: list[str] = []

    def count(self) -> int:
        """Return how many have an answer."""
        return len(self.answered)

    def go_on(self, url: str, *, until: Callable[[], bool] = lambda: False) -> None:
        """Ask until nobody is left; or until that is so, and at the first that gets no answer."""
        while not until():
            with self._lock:
                if not self._left:
                    return
                hit = self._left.pop()
            try:
                self._ask(url, *hit)
            except requests.RequestException:
                return
            time.sleep(0.005)

    def _ask(self, url: str, message_id: UUID, kind: str) -> None:
        token = tokens.sign_message(message_id, VERSION, key=self._key).token
        link = token + tokens.shared_link(1, URL, VERSION, key=self._key)
        path = f"/t/o/{token}.gif" if kind == "opened" else f"/t/c/{link}"
        answer = requests.get(url + path, allow_redirects=False, timeout=10)
        good = answer.content == GIF if kind == "opened" else answer.headers.get("Location") == URL
        if good:
            self.answered.add((message_id, kind))
        else:
            self.refused.append(f"{answer.status_code} {path}")


def kill(web: subprocess.Popen[bytes]) -> None:
    os.killpg(web.pid, signal.SIGKILL)
    web.wait()


def counted(stage: Stage) -> dict[tuple[UUID, str], int]:
    return {(message, kind): number for message, kind, number in stage.rows(COUNTED)}


def test_every_answered_hit_is_counted_once_though_everything_is_away(
    stage: Stage, tmp_path: Path
) -> None:
    own = str(tmp_path)  # a spool that nobody else drains
    dice = Random(os.environ["FAULT_SEED"])
    stage.clear(seed="0", delay_ms=0)
    Load(stage).accept(MESSAGES, keys=["retry"])
    ids = [one for (one,) in stage.rows("SELECT id FROM sending_message")]
    assert len(ids) == MESSAGES
    recipients = Recipients(stage, ids)

    with stage.web(DATA_DIR=own) as (url, web), ThreadPoolExecutor(CALLERS) as callers:
        asking = [callers.submit(recipients.go_on, url) for _ in range(CALLERS)]
        wait_until(lambda: recipients.count() > dice.randint(50, 200))
        stage.postgres.end(signal.SIGQUIT)
        stage.redis.end(signal.SIGKILL)
        before = recipients.count()
        wait_until(lambda: recipients.count() > before + 100)
        kill(web)
        for one in asking:
            one.result()

    with (
        stage.web(ready="/healthz", DATA_DIR=own) as (url, web),
        ThreadPoolExecutor(CALLERS) as callers,
    ):
        before = recipients.count()
        asking = [callers.submit(recipients.go_on, url) for _ in range(CALLERS)]
        wait_until(lambda: recipients.count() > before + 300)
        stage.bring_back_redis()
        stage.bring_back_postgres()
        wait_until(lambda: counted(stage))
        time.sleep(dice.uniform(0, 0.3))  # in the middle of storing, perhaps
        kill(web)
        for one in asking:
            one.result()

    with stage.web(DATA_DIR=own) as (url, _):
        recipients.go_on(url)
        wait_until(lambda: counted(stage).keys() >= recipients.answered, seconds=30)
    assert recipients.refused == []
    assert recipients.count() > 2 * MESSAGES - 4 * CALLERS  # few were under way at a kill
    found = counted(stage)
    assert {hit for hit, number in found.items() if number > 1} == set()
    assert recipients.answered <= found.keys()
