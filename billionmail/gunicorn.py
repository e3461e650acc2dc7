"""Configure gunicorn for production: `gunicorn billionmail.wsgi -c billionmail/gunicorn.py`."""

import os

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
