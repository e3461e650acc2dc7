"""Give Celery workers work that they do by themselves, whether or not the broker works."""

from __future__ import annotations

import logging
import threading
from typing import ClassVar

from celery import bootsteps
from django.db import Error, close_old_connections, connection

log = logging.getLogger(__name__)

STOP_SECONDS = 10


class WorkerStep(bootsteps.StartStopStep):
    """Part of every Celery worker.

    It starts after the pool, so that no forked child inherits a thread, and before the consumer,
    which waits for the broker.
    """

    requires = ("celery.worker.components:Pool",)


class PeriodicStep(WorkerStep):
    """A thread that does `work` now and then, and goes on when the database was away.

    `failure` is what the log says then.
    """

    first_seconds: ClassVar[float]
    every_seconds: ClassVar[float]
    failure: ClassVar[str]

    def __init__(self, parent: object, **options: object) -> None:
        super().__init__(parent, **options)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=type(self).__name__, daemon=True)

    def work(self) -> None:
        """Do it once."""
        raise NotImplementedError

    def start(self, parent: object) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, parent: object) -> None:
        """End; what is left is done at the next start."""
        self._stopping.set()
        self._thread.join(timeout=STOP_SECONDS)

    def _run(self) -> None:
        pause = self.first_seconds
        while not self._stopping.wait(pause):
            pause = self.every_seconds
            try:
                close_old_connections()
                self.work()
            except Error as error:
                log.warning("%s; trying again: %s", self.failure, error)
            connection.close()
