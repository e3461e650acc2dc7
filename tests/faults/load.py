"""Ask the product to send, and remember what it promised."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import requests

from tests.faults.stage import Stage

BATCH = 10


@dataclass
class Promises:
    """What callers know: recipients that were accepted, and those whose answer was no yes.

    `open` ones may have been stored or not, as a caller cannot know. `answers` counts the HTTP
    statuses; `hasty` those that said 503 without Retry-After.
    """

    accepted: dict[str, str] = field(default_factory=dict)  # recipient -> key
    open: set[str] = field(default_factory=set)
    answers: dict[int, int] = field(default_factory=dict)
    hasty: int = 0


class Load:
    """Callers of the API, for one round."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._lock = threading.Lock()
        self._session = requests.Session()
        self._number = 0
        self.promises = Promises()

    def accept(
        self, number: int, *, keys: Sequence[str], kind: str = "plain", name: str = "Ann"
    ) -> list[str]:
        """Ask for this many messages that greet `name`, each key in turn; return the recipients."""
        recipients = [self._recipient(kind) for _ in range(number)]
        for turn, first in enumerate(range(0, number, BATCH)):
            self.ask(recipients[first : first + BATCH], key=keys[turn % len(keys)], name=name)
        return recipients

    def ask(self, recipients: Sequence[str], *, key: str, name: str = "Ann") -> int:
        """Make one call; return the status of its answer, 0 when there was none."""
        try:
            answer = self._session.post(
                self._stage.url + "/api/batch_mail/api/batch_send",
                json={"recipients": list(recipients), "attribs": {"name": name}},
                headers={"X-API-Key": self._stage.secrets[key]},
                timeout=15,
            )
        except requests.RequestException:
            self._session = requests.Session()
            status, hasty = 0, False
        else:
            status = answer.status_code
            hasty = status == 503 and "Retry-After" not in answer.headers
        self._note(recipients, key=key, status=status, hasty=hasty)
        return status

    def keep_asking(self, until: threading.Event, *, keys: Sequence[str]) -> threading.Thread:
        """Call in a thread of its own, over and over, until the event; return the thread."""

        def run() -> None:
            turn = 0
            while not until.is_set():
                turn += 1
                self.ask([self._recipient("plain") for _ in range(3)], key=keys[turn % len(keys)])
                time.sleep(0.05)

        thread = threading.Thread(target=run)
        thread.start()
        return thread

    def _note(self, recipients: Sequence[str], *, key: str, status: int, hasty: bool) -> None:
        promises = self.promises
        with self._lock:
            promises.answers[status] = promises.answers.get(status, 0) + 1
            promises.hasty += hasty
            if status == 200:
                promises.accepted |= dict.fromkeys(recipients, key)
            else:
                promises.open |= set(recipients)

    def _recipient(self, kind: str) -> str:
        with self._lock:
            self._number += 1
            return f"{kind}.{self._number}@recipient.example"
