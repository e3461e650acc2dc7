"""Have every worker look for what is abnormal once a minute, with a broker or without."""

from __future__ import annotations

from celery import shared_task
from django.utils import timezone

from guard import notices, watch
from sending.worker_steps import PeriodicStep


@shared_task(name="guard.look", ignore_result=True)
def look() -> None:
    """Look once, and send what there is to tell. Safe to lose, to run twice and to run late."""
    watch.look(now=timezone.now())
    notices.send_due()


class WatchStep(PeriodicStep):
    """Part of every Celery worker: a thread that looks."""

    first_seconds = every_seconds = 60
    failure = "Nobody looked for what is abnormal"

    def work(self) -> None:
        """Look once."""
        look()
