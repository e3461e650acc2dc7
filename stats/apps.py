"""Register the app that counts."""

from django.apps import AppConfig


class StatsConfig(AppConfig):
    """How much of everything."""

    name = "stats"
