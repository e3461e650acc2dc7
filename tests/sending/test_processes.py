"""Long work is spread over processes that are few enough, and gone with whoever started them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from types import SimpleNamespace

import pytest

from sending import processes

PATIENCE = 30
# Whoever is alive holds its end of this standard output, the process that it started as well.
PARENT = """
import os, time
from sending import processes
pool = processes.pool(1)
print(pool.submit(os.getpid).result(), flush=True)
pool.submit(time.sleep, 600)
time.sleep(600)
"""


def test_processes_end_when_the_one_that_started_them_is_killed() -> None:
    command = [sys.executable, "-c", PARENT]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        os.kill(child, 0)
        parent.kill()
        try:
            parent.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            os.kill(child, signal.SIGKILL)
            raise
    assert parent.returncode == -signal.SIGKILL


@pytest.mark.parametrize(("cores", "database", "number"), [
    ({0}, "postgresql", 1), ({2, 5}, "postgresql", 2), (set(range(96)), "postgresql", 8),
    ({0, 1}, "sqlite", 1),
])  # fmt: skip
def test_as_many_are_useful_as_we_may_use_cores_but_no_more_than_a_database_bears(
    monkeypatch: pytest.MonkeyPatch, cores: set[int], database: str, number: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: cores)
    monkeypatch.setattr(processes, "connection", SimpleNamespace(vendor=database))
    assert processes.useful() == number
