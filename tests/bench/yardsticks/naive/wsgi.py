"""Create the WSGI application, and the Celery one that its views give tasks to."""

from __future__ import annotations

from django.core.wsgi import get_wsgi_application

from tests.bench.yardsticks.naive.celery import app

app.set_default()
application = get_wsgi_application()
