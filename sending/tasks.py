"""Ring the workers, and answer the bell.

The bell only says that something is due; the rows say what. A ring that is lost costs at most
the second until the next sweep, one too many costs nothing.
"""

from __future__ import annotations

import logging
import threading
import time

from celery import shared_task
from kombu.exceptions import OperationalError as BrokerError

from sending import caps, delivery
from sending.garbage import collect_rarely
from sending.worker_steps import PeriodicStep, WorkerStep

log = logging.getLogger(__name__)

COALESCE_SECONDS = 0.05
BELL_LIFETIME_SECONDS = 10
PLACES_AT_ONCE = 1000


@shared_task(name="sending.deliver", ignore_result=True)
def deliver() -> None:
    """Deliver what is due. Idempotent; safe to lose, to run twice and to run late."""
    delivery.deliver_soon()


class Bell:
    """Publish doorbells from a thread of its own, so that no request waits for the broker.

    Any number of rings while a doorbell is on its way become one.
    """

    def __init__(self) -> None:
        self._wanted = threading.Event()
        self._lock = threading.Lock()
        self._ringer: threading.Thread | None = None

    def ring(self) -> None:
        """Ask for a doorbell; return at once, whatever state the broker is in."""
        self._wanted.set()
        with self._lock:
            if self._ringer is None or not self._ringer.is_alive():  # also after a fork
                self._ringer = threading.Thread(target=self._run, name="doorbell", daemon=True)
                self._ringer.start()

    def _run(self) -> None:
        while self._wanted.wait():
            self._wanted.clear()
            self._publish()
            time.sleep(COALESCE_SECONDS)

    def _publish(self) -> None:
        try:
            deliver.apply_async(retry=False, expires=BELL_LIFETIME_SECONDS)
        except (BrokerError, OSError) as error:
            log.warning("The broker was not reached; the sweep delivers instead: %s", error)


_bell = Bell()


def ring() -> None:
    """Announce to the workers that a message is due."""
    _bell.ring()


class DeliverStep(WorkerStep):
    """Part of every Celery worker: its deliverer, which works whether or not the broker does."""

    def start(self, parent: object) -> None:
        """Begin to deliver."""
        collect_rarely()
        delivery.start()

    def stop(self, parent: object) -> None:
        """Finish what is on the wire, give back the rest."""
        delivery.stop()


@shared_task(name="sending.forget_old_places", ignore_result=True)
def forget_old_places() -> None:
    """Remove what counts for no cap any more. Idempotent; safe to lose and to run twice."""
    while caps.forget_old(limit=PLACES_AT_ONCE):
        pass


class CapStep(PeriodicStep):
    """Part of every Celery worker: a thread that forgets whom bulk mail went to weeks ago."""

    first_seconds = 90
    every_seconds = 3600
    failure = "Old places of the frequency cap could not be removed"

    def work(self) -> None:
        """Remove what counts no more."""
        forget_old_places()
