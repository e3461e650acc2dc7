"""Register the app that learns what happened to a mail after it left."""

from django.apps import AppConfig


class TrackingConfig(AppConfig):
    """What happened afterwards."""

    name = "tracking"

    def ready(self) -> None:
        """Register the system checks."""
        from tracking import checks  # noqa: F401 - importing it registers the checks
