"""Create the Celery application that rings the workers."""

from __future__ import annotations

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "billionmail.settings")

app = Celery("billionmail")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
app.steps["worker"].add("sending.tasks:DeliverStep")
app.steps["worker"].add("sending.tasks:CapStep")
app.steps["worker"].add("tracking.tasks:DrainStep")
app.steps["worker"].add("tracking.tasks:TruncateStep")
app.steps["worker"].add("stats.tasks:RollStep")
app.steps["worker"].add("hygiene.tasks:CleanStep")
app.steps["worker"].add("hygiene.tasks:ForgetStep")
app.steps["worker"].add("guard.tasks:WatchStep")
app.steps["worker"].add("guard.tasks:DnsStep")
