"""Register the apikeys app and its system checks."""

from django.apps import AppConfig


class ApiKeysConfig(AppConfig):
    """Who may ask."""

    name = "apikeys"
    verbose_name = "API keys"

    def ready(self) -> None:
        """Register the system checks."""
        from apikeys import checks  # noqa: F401 - importing it registers the checks
