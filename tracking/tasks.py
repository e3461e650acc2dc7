"""Have every worker drain the spool of its host, and shorten the addresses that are old enough."""

from __future__ import annotations

import logging
import threading
from datetime import timedelta

from celery import bootsteps, shared_task
from django.conf import settings
from django.db import Error, close_old_connections, connection
from django.utils import timezone

from tracking import drainer, visits

log = logging.getLogger(__name__)

AT_ONCE = 1000
FIRST_SECONDS = 60
PAUSE_SECONDS = 3600
STOP_SECONDS = 10


class DrainStep(bootsteps.StartStopStep):
    """Part of every Celery worker: its drainer, which works whether or not the broker does."""

    requires = ("celery.worker.components:Pool",)

    def start(self, parent: object) -> None:
        """Begin to drain."""
        drainer.start()

    def stop(self, parent: object) -> None:
        """Store what has come, and end."""
        drainer.stop()


@shared_task(name="tracking.truncate_ips", ignore_result=True)
def truncate_ips() -> None:
    """Shorten what is due. Idempotent; safe to lose, to run twice and to run late."""
    before = timezone.now() - timedelta(days=settings.IP_DAYS)
    while visits.truncate_ips(before=before, limit=AT_ONCE):
        pass


class TruncateStep(bootsteps.StartStopStep):
    """Part of every Celery worker: a thread that shortens addresses, with a broker or without."""

    requires = ("celery.worker.components:Pool",)

    def __init__(self, parent: object, **options: object) -> None:
        super().__init__(parent, **options)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="truncate-ips", daemon=True)

    def start(self, parent: object) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, parent: object) -> None:
        """End; what is left is done at the next start."""
        self._stopping.set()
        self._thread.join(timeout=STOP_SECONDS)

    def _work(self) -> None:
        pause = FIRST_SECONDS
        while not self._stopping.wait(pause):
            pause = PAUSE_SECONDS
            try:
                close_old_connections()
                truncate_ips()
            except Error as error:
                log.warning("Old addresses could not be shortened; trying again later: %s", error)
            connection.close()
