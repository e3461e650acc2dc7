"""Register the app that guards, and have the roles made after every migration."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class GuardConfig(AppConfig):
    """Roles, alerts, refused access."""

    name = "guard"
    verbose_name = "Guard"

    def ready(self) -> None:
        """Make the roles once the permissions are there: this app comes after Django's own."""
        from guard import roles

        post_migrate.connect(roles.grant_new, dispatch_uid="guard.roles")
