"""The web server dies while callers wait; who asks again gets the message of the first time."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from random import Random

import pytest
import requests

from tests.faults.load import Load
from tests.faults.oracle import judge
from tests.faults.rounds import Scene, settle
from tests.faults.stage import Stage
from tests.processes import wait_until

pytestmark = pytest.mark.integration

REQUESTS = 200
CALLERS = 8
ROUNDS = 2


class Caller:
    """Ask for one message for each recipient, with a key of its own; remember what was answered."""

    def __init__(self, stage: Stage) -> None:
        self._secret = stage.secrets["retry"]
        self.answers: dict[str, set[str]] = {}

    def ask(self, url: str, recipient: str) -> None:
        """Make one request; whether it is answered is seen in `answers`."""
        try:
            answer = requests.post(
                url + "/api/batch_mail/api/send",
                json={"recipient": recipient, "attribs": {"name": "Ann"}},
                headers={"X-API-Key": self._secret, "Idempotency-Key": f"key-{recipient}"},
                timeout=15,
            )
        except requests.RequestException:
            return
        assert answer.status_code == 200, answer.text
        self.answers.setdefault(recipient, set()).add(answer.headers["X-Message-ID"])

    def ask_all(self, url: str, recipients: Sequence[str]) -> None:
        """Make all the requests, some at the same time."""
        with ThreadPoolExecutor(CALLERS) as callers:
            list(callers.map(lambda recipient: self.ask(url, recipient), recipients))


def test_a_request_that_lost_its_answer_can_be_repeated(stage: Stage) -> None:
    dice = Random(os.environ["FAULT_SEED"])
    stage.clear(seed="0", delay_ms=0)
    recipients = [f"plain.{number}@recipient.example" for number in range(REQUESTS)]
    caller = Caller(stage)
    for _ in range(ROUNDS):
        unanswered = [one for one in recipients if one not in caller.answers]
        with stage.web() as (url, web), ThreadPoolExecutor(1) as aside:
            asking = aside.submit(caller.ask_all, url, unanswered)
            wanted = len(caller.answers) + dice.randint(10, REQUESTS // 3)
            wait_until(lambda: len(caller.answers) >= wanted)  # noqa: B023
            os.killpg(web.pid, signal.SIGKILL)
            web.wait()
            asking.result()
    with stage.web() as (url, _):
        caller.ask_all(url, recipients)  # also those that were answered: a caller may be unsure

    assert {one for one, ids in caller.answers.items() if len(ids) != 1} == set()
    rows = stage.rows("SELECT recipient, id::text FROM sending_message")
    assert sorted(rows) == sorted((one, *ids) for one, ids in caller.answers.items())
    assert len(rows) == REQUESTS
    with stage.crew() as crew:
        crew.start(1)
        scene = Scene(stage, crew, Load(stage), dice, REQUESTS)
        scene.load.promises.accepted = dict.fromkeys(recipients, "retry")
        settle(scene)
    assert judge(stage, scene.load.promises, handed_off=(), outcomes={}).faults == []
