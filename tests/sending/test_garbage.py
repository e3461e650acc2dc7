"""What was loaded at the start costs no collection anything."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from sending.garbage import THRESHOLDS, collect_rarely


@pytest.fixture
def _collector() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*before)


@pytest.mark.usefixtures("_collector")
def test_what_is_there_is_left_alone_and_what_comes_is_collected() -> None:
    gc.unfreeze()
    collect_rarely()
    assert gc.get_freeze_count() > 1000
    assert gc.get_threshold() == THRESHOLDS
    ring: list[object] = []
    ring.append(ring)
    del ring
    assert gc.collect() >= 1
