"""Have every worker look for what is abnormal, with a broker or without."""

from __future__ import annotations

from celery import shared_task
from django.utils import timezone

from guard import notices, watch
from sending import commands
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


class DnsStep(PeriodicStep):
    """Part of every Celery worker: a thread that checks each sender domain's DNS once a day."""

    first_seconds = 120
    every_seconds = 300
    failure = "The DNS of the sender domains was not checked"

    def work(self) -> None:
        """Check the domains that are due, until the worker stops."""
        commands.check_due_domains(should_stop=self._stopping.is_set)
