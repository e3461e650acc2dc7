"""Read from /proc what processes have used: processor time and memory."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def metered(groups: Mapping[str, list[int]]) -> Iterator[dict[str, float]]:
    """Fill the yielded mapping, at the end, with the processor seconds that each group used.

    A group is the processes of these ids with all their descendants, ended ones included.
    """
    used: dict[str, float] = {}
    before = {name: _cpu_seconds(pids) for name, pids in groups.items()}
    yield used
    used |= {name: _cpu_seconds(pids) - before[name] for name, pids in groups.items()}


def peak_memory_mb(pids: list[int]) -> float:
    """Return the most memory that each process and its descendants ever held, added up."""
    peaks = [
        int(line.split()[1])
        for pid in _family(pids)
        for line in _read(pid, "status").splitlines()
        if line.startswith("VmHWM:")
    ]
    return sum(peaks) / 1024


def _cpu_seconds(pids: list[int]) -> float:
    """Add user and system time, also that of children which have ended and were waited for."""
    ticks = 0
    for pid in _family(pids):
        fields = _read(pid, "stat").rpartition(")")[2].split()
        ticks += sum(int(field) for field in fields[11:15])
    return ticks / CLOCK_TICKS


def _family(pids: list[int]) -> list[int]:
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            fields = _read(int(entry.name), "stat").rpartition(")")[2].split()
            if fields:
                children.setdefault(int(fields[1]), []).append(int(entry.name))
    found = list(pids)
    for pid in found:  # grows while it is walked
        found += children.get(pid, [])
    return found


def _read(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_text()
    except OSError:  # it has just ended
        return ""
