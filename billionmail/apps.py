"""Register the project package as an app: its checks, its commands, its pages."""

from django.apps import AppConfig


class BillionMailConfig(AppConfig):
    """The project package, which wires all apps together."""

    name = "billionmail"
    verbose_name = "BillionMail"

    def ready(self) -> None:
        """Register the project's system checks."""
        from billionmail import checks  # noqa: F401 - importing it registers the checks
