"""Register the app that learns what happened to a mail after it left."""

from django.apps import AppConfig


class TrackingConfig(AppConfig):
    """What happened afterwards."""

    name = "tracking"
