"""Be the fastest pixel there is: nginx's own, which counts nothing and knows no token."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator

from tests.bench import load
from tests.bench.stage import Stage
from tests.processes import answers, wait_until
from tests.rig.jail import PACKAGES
from tests.sink import free_port

PROGRAM = PACKAGES / "nginx/usr/sbin/nginx"
CONFIGURATION = """\
daemon off;
worker_processes 2;
pid {directory}/nginx.pid;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    server {{
        listen 127.0.0.1:{port};
        location / {{ empty_gif; }}
    }}
}}
"""


class EmptyGif:
    """nginx with as many processes as gunicorn has."""

    def __init__(self, stage: Stage) -> None:
        self._directory = stage.directory
        self._port = free_port()
        self._url = f"http://127.0.0.1:{self._port}/"

    @contextlib.contextmanager
    def running(self) -> Iterator[EmptyGif]:
        """Serve it."""
        path = self._directory / "nginx.conf"
        path.write_text(CONFIGURATION.format(directory=self._directory, port=self._port))
        log = self._directory / "nginx.log"
        server = subprocess.Popen([PROGRAM, "-c", path, "-e", log])
        try:
            wait_until(lambda: answers(self._url))
            yield self
        finally:
            server.terminate()
            server.wait()

    def load(self, seconds: float) -> dict[str, float]:
        """Ask from as many connections as BillionMail is asked from."""
        return load.get(self._url, seconds=seconds, directory=self._directory)
