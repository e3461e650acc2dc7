"""Be the smallest Django project: one view that answers nothing, and no middleware."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from tests.bench import load
from tests.bench.stage import Stage

PROJECT = "tests.bench.yardsticks.empty_project"


class EmptyView:
    """The view under the same gunicorn as BillionMail, with as many processes and threads."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._url = ""

    @contextlib.contextmanager
    def running(self) -> Iterator[EmptyView]:
        """Serve it."""
        with self._stage.gunicorn(PROJECT, ready="/", DJANGO_SETTINGS_MODULE=PROJECT) as web:
            self._url = web.url
            yield self

    def load(self, seconds: float) -> dict[str, float]:
        """Ask from as many connections as BillionMail is asked from."""
        return load.get(self._url + "/", seconds=seconds, directory=self._stage.directory)
