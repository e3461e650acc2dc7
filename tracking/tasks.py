"""Have every worker drain the spool of its host, and shorten the addresses that are old enough."""

from __future__ import annotations

from datetime import timedelta

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from sending.worker_steps import PeriodicStep, WorkerStep
from tracking import drainer, visits

AT_ONCE = 1000


class DrainStep(WorkerStep):
    """Part of every Celery worker: its drainer."""

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


class TruncateStep(PeriodicStep):
    """Part of every Celery worker: a thread that shortens addresses."""

    first_seconds = 60
    every_seconds = 3600
    failure = "Old addresses could not be shortened"

    def work(self) -> None:
        """Shorten what is due."""
        truncate_ips()
