"""Have every worker count what happens."""

from __future__ import annotations

from celery import shared_task

from sending.worker_steps import WorkerStep
from stats import rollups


class RollStep(WorkerStep):
    """Part of every Celery worker: its roller."""

    def __init__(self, parent: object, **options: object) -> None:
        super().__init__(parent, **options)
        self._roller = rollups.Roller()

    def start(self, parent: object) -> None:
        """Begin to count."""
        self._roller.start()

    def stop(self, parent: object) -> None:
        """Finish the lot that is being counted."""
        self._roller.stop()


@shared_task(name="stats.roll", ignore_result=True)
def roll() -> None:
    """Count what is new. Idempotent; safe to lose, to run twice and to run late."""
    rollups.roll()
