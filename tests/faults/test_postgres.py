"""The database crashes, freezes, or takes no writes; no promise is broken."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.faults.disk import can_mount

pytestmark = pytest.mark.integration

Survive = Callable[[str], None]


def test_a_crash_of_the_database_loses_and_doubles_nothing(survive: Survive) -> None:
    survive("crash-postgres")


def test_a_frozen_database_loses_and_doubles_nothing(survive: Survive) -> None:
    survive("freeze-postgres")


def test_callers_are_told_to_come_back_while_the_database_is_read_only(survive: Survive) -> None:
    survive("read-only-postgres")


@pytest.mark.skipif(not can_mount(), reason="filling a disk needs the right to mount a small one")
def test_callers_are_told_to_come_back_while_the_disk_is_full(survive: Survive) -> None:
    survive("disk-full")
