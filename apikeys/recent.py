"""Remember what was read a moment ago, so that a burst of requests reads it once."""

from __future__ import annotations

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
    """

    def __init__(self, load: Callable[[K], V | None]) -> None:
        self._load = load
        self._kept: dict[K, tuple[float, V]] = {}

    def get(self, key: K) -> V | None:
        """Return the answer, a kept one if it is young enough."""
        now = time.monotonic()
        kept = self._kept.get(key)
        if kept is not None and now - kept[0] < settings.RECENT_SECONDS:
            return kept[1]
        value = self._load(key)
        if value is None:
            self._kept.pop(key, None)
            return None
        if len(self._kept) >= MAX_ENTRIES:
            self._kept.clear()
        self._kept[key] = (now, value)
        return value
