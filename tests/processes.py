"""Run the real programs as an operator does, in processes of their own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import requests

ROOT = Path(__file__).resolve().parents[1]
START_SECONDS = 60
KEPT = ("PATH", "HOME", "LANG", "LD_LIBRARY_PATH", "TMPDIR")


@contextlib.contextmanager
def program(*arguments: str, log: Path, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run ``python ARGUMENTS`` with nothing of this environment; end it if it still runs."""
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    with log.open("ab") as output:
        running = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=ROOT,
            env=kept | {"ENV_FILE": ""} | environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield running
    finally:
        if running.poll() is None:
            stop(running, signal.SIGTERM)


def stop(running: subprocess.Popen[bytes], number: int) -> int:
    """Signal a program, wait for its end and return its exit code."""
    running.send_signal(number)
    try:
        return running.wait(timeout=60)
    except subprocess.TimeoutExpired:
        os.killpg(running.pid, signal.SIGKILL)
        running.wait()
        raise


def wait_until(
    condition: Callable[[], object],
    *,
    seconds: float = START_SECONDS,
    look_seconds: float = 0.05,
) -> None:
    """Wait for something to be so; raise AssertionError when it takes too long."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(look_seconds)


def answers(url: str) -> bool:
    """Tell whether a server answers there."""
    try:
        return requests.get(url, timeout=5).status_code == requests.codes.ok
    except requests.RequestException:
        return False
