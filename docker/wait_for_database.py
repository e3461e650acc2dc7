"""Wait until the database answers, or say why it does not and exit with status 1.

`DATABASE_WAIT_SECONDS` is how long to wait; 60 unless set.
"""

from __future__ import annotations

import os
import sys
import time

import django
from django.conf import settings
from django.db import DatabaseError, connection

PAUSE_SECONDS = 1.0


def wait(*, limit_seconds: float) -> DatabaseError | None:
    """Return None as soon as the database answers, or the last error after the limit."""
    deadline = time.monotonic() + limit_seconds
    while True:
        try:
            connection.ensure_connection()
        except DatabaseError as error:
            if time.monotonic() >= deadline:
                return error
            time.sleep(PAUSE_SECONDS)
        else:
            return None


def place() -> str:
    """Return where the database is expected, without its user and password."""
    database = settings.DATABASES["default"]
    if not database.get("HOST"):
        return str(database["NAME"])
    return f"{database['NAME']} at {database['HOST']}:{database.get('PORT') or 'default port'}"


def main() -> None:
    """Wait as long as the environment allows."""
    text = os.environ.get("DATABASE_WAIT_SECONDS", "60")
    if not text.isdigit():
        sys.exit(f"DATABASE_WAIT_SECONDS is {text!r}; it must be a whole number of seconds.")
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "billionmail.settings")
    django.setup()
    if error := wait(limit_seconds=float(text)):
        sys.exit(
            f"The database {place()} did not answer within {text} seconds: {error}\n"
            "Check DATABASE_URL, and that the database runs and can be reached from here."
        )


if __name__ == "__main__":
    main()
