"""Have every worker count what happens."""

from __future__ import annotations

from celery import bootsteps, shared_task

from stats import rollups


class RollStep(bootsteps.StartStopStep):
    """Part of every Celery worker: its roller, which works whether or not the broker does."""

    requires = ("celery.worker.components:Pool",)

    def start(self, parent: object) -> None:
        """Begin to count."""
        rollups.start()

    def stop(self, parent: object) -> None:
        """Finish the lot that is being counted."""
        rollups.stop()


@shared_task(name="stats.roll", ignore_result=True)
def roll() -> None:
    """Count what is new. Idempotent; safe to lose, to run twice and to run late."""
    rollups.roll()
