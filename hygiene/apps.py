"""Register the app that cleans lists."""

from django.apps import AppConfig


class HygieneConfig(AppConfig):
    """Which addresses are of no use."""

    name = "hygiene"
