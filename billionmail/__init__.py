"""Wire the apps together: settings, URLs, Celery, the HTTP envelope, the dashboard."""

from billionmail.celery import app as celery_app

__all__ = ["celery_app"]
