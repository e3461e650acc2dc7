"""Register the app that accepts and sends mail."""

from django.apps import AppConfig


class SendingConfig(AppConfig):
    """What was asked, and how it left."""

    name = "sending"

    def ready(self) -> None:
        """Register the system checks."""
        from sending import checks  # noqa: F401 - importing it registers the checks
