"""Have every worker go on with runs, with a broker or without, and forget the old ones."""

from __future__ import annotations

import logging
from collections.abc import Callable

from celery import shared_task
from django.db import Error
from django.utils import timezone

from hygiene import cleaning, forgetting, runs
from hygiene.errors import HoldLost
from sending.worker_steps import PeriodicStep

log = logging.getLogger(__name__)


def go_on(*, should_stop: Callable[[], bool] = lambda: False) -> bool:
    """Go on with a run that nobody works on; return whether there was one."""
    run = runs.take_up(now=timezone.now())
    if run is None:
        return False
    try:
        cleaning.clean(run, should_stop=should_stop)
    except HoldLost as error:
        log.warning("%s", error)
    except Error:
        raise  # the database was away: another worker goes on later
    except Exception:
        # Else every worker would take it up again and fail again.
        log.exception("%s failed", run)
        runs.fail(run, "It failed in a way that nobody foresaw; the log of the worker says how.")
    return True


@shared_task(name="hygiene.clean", ignore_result=True)
def clean() -> None:
    """Go on with what waits. Idempotent; safe to lose, to run twice and to run late."""
    while go_on():
        pass


class CleanStep(PeriodicStep):
    """Part of every Celery worker: a thread that looks for runs to go on with."""

    first_seconds = every_seconds = 2
    failure = "A list was not cleaned further"

    def work(self) -> None:
        """Go on with what waits, until the worker stops."""
        while not self._stopping.is_set() and go_on(should_stop=self._stopping.is_set):
            pass


@shared_task(name="hygiene.forget_old", ignore_result=True)
def forget_old() -> None:
    """Forget what is old. Idempotent; safe to lose, to run twice and to run late."""
    forgetting.forget_old(now=timezone.now())


class ForgetStep(PeriodicStep):
    """Part of every Celery worker: a thread that forgets the addresses of old runs."""

    first_seconds = 60
    every_seconds = 3600
    failure = "Old findings could not be forgotten"

    def work(self) -> None:
        """Forget what is old."""
        forget_old()
