"""Run a Redis that a test can stop, freeze and start again."""

from __future__ import annotations

import subprocess
from pathlib import Path

from redis import Redis
from redis.backoff import ConstantBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.retry import Retry


class RedisServer:
    """A private Redis on a Unix socket, which can be stopped and started."""

    def __init__(self, directory: Path) -> None:
        self.socket = directory / "redis.sock"
        self.url = f"unix://{self.socket}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        where = ["--port", "0", "--unixsocket", str(self.socket)]
        volatile = ["--save", "", "--appendonly", "no", "--dir", str(self.socket.parent)]
        self._process = subprocess.Popen(
            ["/usr/bin/redis-server", *where, *volatile], stdout=subprocess.DEVNULL
        )
        retry = Retry(ConstantBackoff(0.02), 200, (RedisConnectionError,))
        with Redis.from_url(self.url, retry=retry) as client:
            client.ping()

    def signal(self, number: int) -> None:
        """Freeze it with SIGSTOP, let it go on with SIGCONT."""
        assert self._process is not None
        self._process.send_signal(number)

    def empty(self) -> None:
        """Forget everything."""
        with Redis.from_url(self.url) as client:
            client.flushall()

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
