"""Run the whole suite: on SQLite, what touches the database on PostgreSQL too, then the faults."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.rig.servers import postgres

ONLY_ON_POSTGRES = "tests/flows/test_production.py"
FAULTS = "tests/faults"
# One more than there are cores: much of their time is servers that start, and pauses that pass.
PROCESSES = 3
ON_POSTGRES = [
    "tests/apikeys",
    "tests/sending",
    "tests/tracking",
    "tests/unsubscribe",
    "tests/stats",
    "tests/guard",
    "tests/flows",
]

SEE_NO_DATABASE = [
    "tests/sending/rendering",
    "tests/sending/transports",
    "tests/sending/test_addresses.py",
    "tests/sending/test_dkim.py",
    "tests/sending/test_mime.py",
    "tests/sending/test_replies.py",
    "tests/sending/test_return_path.py",
    "tests/tracking/test_answers.py",
    "tests/tracking/test_reading.py",
    "tests/tracking/test_scanner.py",
    "tests/tracking/test_tokens.py",
    "tests/tracking/test_visitors.py",
]
ON_POSTGRES += [f"--ignore={path}" for path in SEE_NO_DATABASE]


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
        return _pytest([FAULTS, *arguments], {"TEST_DATABASE_URL": url})


def _pytest(arguments: list[str], environment: dict[str, str]) -> int:
    command = [sys.executable, "-m", "pytest", "-q", "-n", str(PROCESSES), *arguments]
    return subprocess.run(command, env=os.environ | environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
