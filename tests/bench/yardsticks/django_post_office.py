"""Run django-post_office: `mail.send` for each mail, then `send_queued_mail -p 2`."""

from __future__ import annotations

from tests.bench.stage import PACKAGES, Stage

PROJECT = "tests.bench.yardsticks.post_office"
PROCESSES = 2


class PostOffice:
    """It, in a database of its own on the same server."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._environment = {
            "DJANGO_SETTINGS_MODULE": f"{PROJECT}.settings",
            "POST_OFFICE_DATABASE_URL": stage.create_database("post_office"),
            "SINK_PORT": str(stage.sink.port),
            "PYTHONPATH": str(PACKAGES),
        }
        stage.run("-m", "django", "migrate", **self._environment)

    def deliver(self, number: int) -> dict[str, float]:
        """Queue this many, then send them all."""
        script = f"from {PROJECT}.run import run; run({number}, processes={PROCESSES})"
        with self._stage.sink.expecting(number):
            printed = self._stage.shell("-m", "django", script=script, **self._environment)
        queueing, sending = (float(seconds) for seconds in printed.split())
        return {
            "messages/s": number / sending,
            "end to end, messages/s": number / (queueing + sending),
        }
