"""Register the app in which recipients say no."""

from django.apps import AppConfig


class UnsubscribeConfig(AppConfig):
    """The recipient says no."""

    name = "unsubscribe"
