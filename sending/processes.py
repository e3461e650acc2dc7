"""Do long work in several processes, each with a connection of its own to our database.

Nothing here may import a model: a process reads this before it has set up Django.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import django
from django.db import connection

# Nothing of ours is in them, not even an open connection.
CONTEXT = multiprocessing.get_context("spawn")
# More would keep the database from whatever else is asked of it.
MOST = 8
_given: list[Any] = []


def useful() -> int:
    """Return how many are of use: one for each core that we may use, up to `MOST`.

    One alone where the database has one writer.
    """
    if connection.vendor != "postgresql":
        return 1
    # Not every system knows that we may use some of its cores only.
    can_tell = hasattr(os, "sched_getaffinity")
    return min(len(os.sched_getaffinity(0)) if can_tell else os.cpu_count() or 1, MOST)


def pool(processes: int, *, given: Any = None) -> ProcessPoolExecutor:
    """Return an executor with so many; `given` is there for what they do. See what is committed."""
    begin = (connection.settings_dict["NAME"], given)
    return ProcessPoolExecutor(processes, CONTEXT, _begin, begin)


def given() -> Any:
    """Return what this process was given by the one that started it."""
    return _given[0]


def _begin(database: str, value: Any) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    django.setup()
    connection.settings_dict["NAME"] = database
    _given[:] = [value]


def _end_with_parent() -> None:
    """End at once when whoever started this process is gone, which nobody tells when it is killed.

    What is not committed by then is undone by the database.
    """
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
