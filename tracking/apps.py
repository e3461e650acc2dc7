"""Register the app that learns what happened to a mail after it left."""

from django.apps import AppConfig


class TrackingConfig(AppConfig):
    """What happened afterwards."""

    name = "tracking"

    def ready(self) -> None:
        """Register the checks, and what listens to providers' events."""
        from tracking import (  # noqa: F401 - importing registers them
            checks,
            receivers,
            report_checks,
        )
