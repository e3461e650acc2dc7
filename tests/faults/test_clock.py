"""The clocks of hosts are wrong; only the database's counts."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.faults import clock

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(not clock.library(), reason="needs Debian's faketime (`make test`)"),
]


def test_workers_two_hours_apart_lose_and_double_nothing(
    survive: Callable[[str], None],
) -> None:
    survive("wrong-clocks")
