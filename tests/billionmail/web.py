"""Run gunicorn as in production, with few threads and little patience."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import requests

from billionmail.embedded import SECRETS
from tests.processes import answers, program, wait_until
from tests.sink import free_port

THREADS = 2
READ_SECONDS = 2


class Web:
    """The web server with few threads and little patience."""

    def __init__(self, port: int, log: Path) -> None:
        self.port = port
        self.log = log
        self.url = f"http://127.0.0.1:{port}"

    def connect(self, sent: bytes) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=60)
        connection.sendall(sent)
        return connection

    def answers_within(self, seconds: float) -> bool:
        try:
            return requests.get(f"{self.url}/healthz", timeout=seconds).ok
        except requests.RequestException:
            return False


@contextlib.contextmanager
def web_server(directory: Path) -> Iterator[Web]:
    """Serve an empty installation in this directory."""
    port = free_port()
    environment = {
        "DATA_DIR": str(directory),
        "BIND": f"127.0.0.1:{port}",
        "WEB_WORKERS": "1",
        "WEB_THREADS": str(THREADS),
        "REQUEST_READ_SECONDS": str(READ_SECONDS),
        "LOG_LEVEL": "WARNING",
    } | dict.fromkeys(SECRETS, "t" * 40)
    log = directory / "log"
    with program("manage.py", "migrate", log=log, **environment) as migrating:
        assert migrating.wait(timeout=60) == 0
    arguments = ("-m", "gunicorn", "billionmail.wsgi", "-c", "billionmail/gunicorn.py")
    with program(*arguments, log=log, **environment):
        running = Web(port, log)
        wait_until(lambda: answers(f"{running.url}/healthz"))
        yield running
