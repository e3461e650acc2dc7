"""Run the whole suite: what touches the database on both databases, and the faults."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from typing import IO

from tests.rig.servers import postgres

FAULTS = "tests/faults"
# Of each run, of which there are two at a time, for much of a test is waiting. With a third process
# on two cores workers were so slow that mail was tried a second time.
PROCESSES = "2"
# Walks with many workers and servers, as in production and slow; and what takes long twice.
ONLY_ON_POSTGRES = [
    "tests/flows/test_bounce.py",
    "tests/flows/test_cap_race.py",
    "tests/flows/test_idempotency.py",
    "tests/flows/test_lost_answers.py",
    "tests/flows/test_pacing.py",
    "tests/flows/test_production.py",
    "tests/flows/test_reports_race.py",
    "tests/flows/test_suppressions_api.py",
    "tests/flows/test_unsubscribe_race.py",
    "tests/guard/test_watch.py",
    "tests/hygiene/test_killed.py",
    "tests/sending/ledger/test_statements.py",
    "tests/sending/pacing",
    "tests/sending/test_delivery_to_real_servers.py",
    "tests/sending/test_failover.py",
    "tests/stats",
]
TOUCH_THE_DATABASE = [
    "tests/apikeys",
    "tests/sending",
    "tests/tracking",
    "tests/unsubscribe",
    "tests/stats",
    "tests/guard",
    "tests/hygiene",
    "tests/flows",
    "tests/billionmail/test_demo.py::test_the_counts_agree_with_the_made_up_log",
    "tests/billionmail/test_demo.py::test_removing_takes_exactly_its_own_rows",
    "tests/billionmail/test_demo.py::test_several_processes_make_and_count_the_same_mail_as_one",
]
# What asks no database, and pages and forms, which ask it through Django alone.
ONLY_ON_SQLITE = [
    "tests/apikeys/test_admin.py",
    "tests/guard/test_people.py",
    "tests/guard/test_second_factor.py",
    "tests/guard/test_sign_in.py",
    "tests/guard/test_roles.py",
    "tests/hygiene/test_admin.py",
    "tests/hygiene/test_domains.py",
    "tests/hygiene/test_spelling.py",
    "tests/sending/admin",
    "tests/sending/rendering",
    "tests/sending/transports",
    "tests/sending/test_addresses.py",
    "tests/sending/test_dkim.py",
    "tests/sending/test_mime.py",
    "tests/sending/test_processes.py",
    "tests/sending/test_replies.py",
    "tests/sending/test_return_path.py",
    "tests/sending/test_tasks.py",
    "tests/tracking/admin",
    "tests/tracking/hooks",
    "tests/tracking/test_answers.py",
    "tests/tracking/test_reading.py",
    "tests/tracking/test_scanner.py",
    "tests/tracking/test_tokens.py",
    "tests/tracking/test_visitors.py",
    "tests/unsubscribe/test_admin.py",
    "tests/unsubscribe/test_views.py",
]


def main() -> int:
    """Return the exit code of the first run that failed, else 0.

    The run on SQLite goes on beside the others, for all of them wait much; it is shown at its end.
    """
    arguments = sys.argv[1:]
    with tempfile.TemporaryFile() as shown, postgres() as url:
        environment = {"TEST_DATABASE_URL": url}
        sqlite = _begin(
            [*_without([*ONLY_ON_POSTGRES, FAULTS]), *arguments],
            {},
            output=shown,
        )
        try:
            print("\n== On PostgreSQL (on SQLite beside it)", flush=True)
            failed = _pytest(
                [*TOUCH_THE_DATABASE, *_without(ONLY_ON_SQLITE), *arguments], environment
            )
            if not failed:
                print("\n== With everything breaking", flush=True)
                failed = _pytest([FAULTS, *arguments], environment)
            print("\n== On SQLite", flush=True)
            failed = sqlite.wait() or failed
        finally:
            sqlite.terminate()
            shown.seek(0)
            sys.stdout.buffer.write(shown.read())
            sys.stdout.flush()
    return failed


def _without(paths: list[str]) -> list[str]:
    return [f"--ignore={path}" for path in paths]


def _pytest(arguments: list[str], environment: dict[str, str]) -> int:
    return _begin(arguments, environment).wait()


def _begin(
    arguments: list[str],
    environment: dict[str, str],
    *,
    output: IO[bytes] | None = None,
) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "pytest", "-q", "-n", PROCESSES, "--dist", "worksteal"]
    return subprocess.Popen([*command, *arguments], env=os.environ | environment, stdout=output)


if __name__ == "__main__":
    sys.exit(main())
