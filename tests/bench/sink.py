"""Run Postfix's smtp-sink as the next hop of every contender, and smtp-source as the yardstick."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Iterator

from tests.rig.servers import find
from tests.sink import free_port

SESSIONS = 20
BACKLOG = 1024


@contextlib.contextmanager
def smtp_sink() -> Iterator[int]:
    """Run a sink that accepts everything, and yield its port."""
    port = free_port()
    user = ["-u", "nobody"] if os.geteuid() == 0 else []
    running = subprocess.Popen(
        [find("smtp-sink"), *user, f"127.0.0.1:{port}", str(BACKLOG)], cwd="/"
    )
    try:
        _wait(port)
        yield port
    finally:
        running.terminate()
        running.wait()


def smtp_source(port: int, *, messages: int, message_bytes: int) -> float:
    """Send with Postfix's own load generator over kept connections; return messages/s."""
    began = time.monotonic()
    subprocess.run(
        [find("smtp-source"), "-d", "-s", str(SESSIONS), "-l", str(message_bytes),
         "-m", str(messages), f"127.0.0.1:{port}"],
        check=True,
    )  # fmt: skip
    return messages / (time.monotonic() - began)


def _wait(port: int) -> None:
    for _ in range(100):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.05)
    raise RuntimeError("smtp-sink did not start")
