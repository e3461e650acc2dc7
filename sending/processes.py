"""Do long work in several processes, each with a connection of its own to our database.

Nothing here may import a model: a process reads this before it has set up Django.
"""

from __future__ import annotations

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import django
from django.db import connection

# Nothing of ours is in them, not even an open connection.
CONTEXT = multiprocessing.get_context("spawn")
_given: list[Any] = []


def useful() -> int:
    """Return how many are of use: as many as there are cores, if the database has many writers."""
    return (os.cpu_count() or 1) if connection.vendor == "postgresql" else 1


def pool(processes: int, *, given: Any = None) -> ProcessPoolExecutor:
    """Return an executor with so many; `given` is there for what they do. See what is committed."""
    begin = (connection.settings_dict["NAME"], given)
    return ProcessPoolExecutor(processes, CONTEXT, _begin, begin)


def given() -> Any:
    """Return what this process was given by the one that started it."""
    return _given[0]


def _begin(database: str, value: Any) -> None:
    django.setup()
    connection.settings_dict["NAME"] = database
    _given[:] = [value]
