"""Run the whole suite: on SQLite, what touches the database on PostgreSQL too, then the faults."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.rig.servers import postgres

ONLY_ON_POSTGRES = "tests/flows/test_production.py"
FAULTS = "tests/faults"
FAULT_PROCESSES = 3  # their time is leases and pauses that pass, not work
ON_POSTGRES = [
    "tests/apikeys",
    "tests/sending",
    "--ignore=tests/sending/transports",  # they see no database
    "tests/tracking",
    "tests/unsubscribe",
    "tests/stats",
    "tests/flows",
]


def main() -> int:
    """Return the exit code of the first run that fails, else 0."""
    arguments = sys.argv[1:]
    print("\n== On SQLite", flush=True)
    apart = [f"--ignore={ONLY_ON_POSTGRES}", f"--ignore={FAULTS}"]
    failed = _pytest([*apart, *arguments], {})
    if failed:
        return failed
    print("\n== On PostgreSQL", flush=True)
    with postgres() as url:
        failed = _pytest([*ON_POSTGRES, *arguments], {"TEST_DATABASE_URL": url})
        if failed:
            return failed
        print("\n== With everything breaking", flush=True)
        return _pytest([FAULTS, *arguments], {"TEST_DATABASE_URL": url}, processes=FAULT_PROCESSES)


def _pytest(arguments: list[str], environment: dict[str, str], *, processes: int = 2) -> int:
    command = [sys.executable, "-m", "pytest", "-q", "-n", str(processes), *arguments]
    return subprocess.run(command, env=os.environ | environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
