"""Configure it as far as it has to be, and so that its database connections are kept."""

from __future__ import annotations

import os

import environ

SECRET_KEY = "x" * 50
ALLOWED_HOSTS = ["127.0.0.1"]
INSTALLED_APPS = ["rest_framework", "tests.bench.yardsticks.naive"]
ROOT_URLCONF = "tests.bench.yardsticks.naive.web"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
DATABASES = {"default": environ.Env().db_url("NAIVE_DATABASE_URL")}
DATABASES["default"]["CONN_MAX_AGE"] = 600
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [],
    "DEFAULT_PERMISSION_CLASSES": [],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "UNAUTHENTICATED_USER": None,
}
CELERY_BROKER_URL = os.environ.get("REDIS_URL", "")
CELERY_TASK_DEFAULT_QUEUE = "naive"
CELERY_TASK_IGNORE_RESULT = True
# Without it, Celery closes the database connection after each task.
CELERY_DB_REUSE_MAX = 100_000
EMAIL_HOST = "127.0.0.1"
EMAIL_PORT = int(os.environ.get("SINK_PORT", "25"))
REQUEST_READ_SECONDS = 10.0  # read by BillionMail's gunicorn worker, which serves this too
