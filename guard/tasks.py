"""Have every worker look for what is abnormal once a minute, with a broker or without."""

from __future__ import annotations

import logging
import threading

from celery import bootsteps, shared_task
from django.db import Error, close_old_connections, connection
from django.utils import timezone

from guard import watch

log = logging.getLogger(__name__)

EVERY_SECONDS = 60
STOP_SECONDS = 10


@shared_task(name="guard.look", ignore_result=True)
def look() -> None:
    """Look once. Idempotent; safe to lose, to run twice and to run late."""
    watch.look(now=timezone.now())


class WatchStep(bootsteps.StartStopStep):
    """Part of every Celery worker: a thread that looks, whether or not the broker works."""

    requires = ("celery.worker.components:Pool",)

    def __init__(self, parent: object, **options: object) -> None:
        super().__init__(parent, **options)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="watch", daemon=True)

    def start(self, parent: object) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, parent: object) -> None:
        """End."""
        self._stopping.set()
        self._thread.join(timeout=STOP_SECONDS)

    def _work(self) -> None:
        while not self._stopping.wait(EVERY_SECONDS):
            try:
                close_old_connections()
                look()
            except Error as error:
                log.warning("Nobody looked for what is abnormal; trying again: %s", error)
            connection.close()
