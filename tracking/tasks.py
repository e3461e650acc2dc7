"""Have every Celery worker drain the spool of its host, if nobody else does there."""

from __future__ import annotations

from celery import bootsteps

from tracking import drainer


class DrainStep(bootsteps.StartStopStep):
    """Part of every Celery worker: its drainer, which works whether or not the broker does."""

    requires = ("celery.worker.components:Pool",)

    def start(self, parent: object) -> None:
        """Begin to drain."""
        drainer.start()

    def stop(self, parent: object) -> None:
        """Store what has come, and end."""
        drainer.stop()
