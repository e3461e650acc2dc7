"""Spare Python's garbage collector what stays for the life of a process."""

from __future__ import annotations

import gc

# How many more objects than were freed make a collection, and of those how many a larger one.
THRESHOLDS = 50_000, 20, 50


def collect_rarely() -> None:
    """Leave all that is there now alone, and look through what comes now and then.

    For a process that serves, once all is loaded: in a worker looking through it took a tenth
    of each delivery. Idempotent.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
