"""Run Postfix's smtp-sink as the next hop of every contender, near or far."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from tests.processes import program, wait_until
from tests.rig.servers import find
from tests.sink import free_port

BACKLOG = 1024
# It prints its counters after every mail; the last ones are all that we read.
COUNTERS_BYTES = 200


class SmtpSink:
    """A sink that accepts everything and counts it. `far_port` leads to it over a slow line."""

    def __init__(self, *, directory: Path) -> None:
        self.port = free_port()
        self.far_port = free_port()
        self.pid = 0
        self._directory = directory
        self._counters = directory / "sink"

    @contextlib.contextmanager
    def running(self) -> Iterator[SmtpSink]:
        """Listen, also at the end of the slow line."""
        user = ["-u", "nobody"] if os.geteuid() == 0 else []
        with self._counters.open("ab") as output:
            server = subprocess.Popen(
                [find("smtp-sink"), *user, "-c", f"127.0.0.1:{self.port}", str(BACKLOG)],
                cwd="/",
                stdout=output,
            )
        self.pid = server.pid
        line = ("-m", "tests.bench.distance", str(self.far_port), str(self.port))
        try:
            wait_until(lambda: _listens(self.port))
            with program(*line, log=self._directory / "distance.log"):
                wait_until(lambda: _listens(self.far_port))
                yield self
        finally:
            server.terminate()
            server.wait()

    def count(self) -> int:
        """Return how many mails have arrived."""
        with self._counters.open("rb") as counters:
            counters.seek(-min(COUNTERS_BYTES, counters.seek(0, os.SEEK_END)), os.SEEK_END)
            found = re.findall(rb"mesg=(\d+)\r", counters.read())
        return int(found[-1]) if found else 0

    @contextlib.contextmanager
    def expecting(self, number: int | None) -> Iterator[list[int]]:
        """Raise RuntimeError unless exactly so many mails arrive meanwhile; None: put it there."""
        wanted = [] if number is None else [number]
        before = self.count()
        yield wanted
        time.sleep(0.1)  # the last connection may not be through with its mail
        arrived = self.count() - before
        if arrived != wanted[-1]:
            raise RuntimeError(f"{wanted[-1]} mails were sent, but {arrived} arrived at the sink.")


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False
