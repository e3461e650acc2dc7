"""Configure django-post_office as its documentation does, with larger batches than its default."""

from __future__ import annotations

import os

import environ

SECRET_KEY = "x" * 50
INSTALLED_APPS = ["django.contrib.contenttypes", "post_office"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
DATABASES = {"default": environ.Env().db_url("POST_OFFICE_DATABASE_URL")}
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates"}]
EMAIL_HOST = "127.0.0.1"
EMAIL_PORT = int(os.environ.get("SINK_PORT", "25"))
POST_OFFICE = {"BATCH_SIZE": 1_000}
