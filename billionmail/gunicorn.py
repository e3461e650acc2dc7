"""Configure gunicorn for production: `gunicorn billionmail.wsgi -c billionmail/gunicorn.py`."""

import os
from typing import Any

bind = os.environ.get("BIND", "127.0.0.1:8000")
workers = int(os.environ.get("WEB_WORKERS", "2"))
threads = int(os.environ.get("WEB_THREADS", "8"))
worker_class = "billionmail.gunicorn_worker.DeadlineWorker"
graceful_timeout = 30
timeout = 60
keepalive = 75
# Which addresses of a proxy chain are believed is TRUSTED_PROXY_COUNT's business alone.
forwarded_allow_ips = ""
# Nobody steers it but signals.
control_socket_disable = True


def post_worker_init(worker: Any) -> None:
    """Start what stands beside the requests; the applications can be imported only now."""
    from sending.garbage import collect_rarely  # noqa: PLC0415

    collect_rarely()
    if not _tracks():
        return
    from tracking import drainer, reach  # noqa: PLC0415

    drainer.start()
    if worker.age == 1:
        reach.look_soon()


def worker_exit(server: Any, worker: Any) -> None:
    """Store the hits that have come."""
    if not _tracks():
        return
    from tracking import drainer  # noqa: PLC0415

    drainer.stop()


def _tracks() -> bool:
    from django.apps import apps  # noqa: PLC0415

    return apps.ready and apps.is_installed("tracking")
