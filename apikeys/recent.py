"""Remember what was read a moment ago, so that a burst of requests reads it once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from django.conf import settings

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

MAX_ENTRIES = 10_000


class Recent(Generic[K, V]):
    """Answers of `load`, each kept for `settings.RECENT_SECONDS` at most; None is never kept.

    Half a second at most lets a change (a revoked key, a new whitelist) take effect within one
    second in every process. What is returned is shared by threads: read it, do not change it.
    In the second half of its time one thread loads an answer anew while the others still use it,
    so that a busy process does not ask the same thing from all its threads at once.
    """

    def __init__(self, load: Callable[[K], V | None]) -> None:
        self._load = load
        self._kept: dict[K, _Kept[V]] = {}

    def get(self, key: K) -> V | None:
        """Return the answer, a kept one if it is young enough."""
        now = time.monotonic()
        kept = self._kept.get(key)
        if kept is not None and kept.serves(now - kept.loaded_at):
            return kept.value
        value = self._load(key)
        if value is None:
            self._kept.pop(key, None)
            return None
        if len(self._kept) >= MAX_ENTRIES:
            self._kept.clear()
        self._kept[key] = _Kept(now, value)
        return value


class _Kept(Generic[V]):
    """One answer, as of the time before it was loaded."""

    def __init__(self, loaded_at: float, value: V) -> None:
        self.loaded_at = loaded_at
        self.value = value
        self._renewal = threading.Lock()

    def serves(self, age: float) -> bool:
        """Tell whether the answer may be used; False once, before its end, asks for a new one."""
        lifetime = settings.RECENT_SECONDS
        if age >= lifetime:
            return False
        return age < lifetime / 2 or not self._renewal.acquire(blocking=False)
