"""Workers die, freeze, stop in peace and overlap; nothing is lost."""

from __future__ import annotations

from collections.abc import Callable

import pytest

pytestmark = pytest.mark.integration

Survive = Callable[[str], None]


def test_when_every_worker_is_killed_others_finish_its_mail(survive: Survive) -> None:
    survive("kill-all-workers")


def test_when_one_worker_is_killed_the_other_finishes_its_mail(survive: Survive) -> None:
    survive("kill-one-worker")


def test_a_worker_that_slept_past_its_lease_sends_nothing_twice(survive: Survive) -> None:
    survive("freeze-worker")


def test_a_deployment_under_load_loses_and_doubles_nothing(survive: Survive) -> None:
    survive("terminate-workers")


def test_two_schedulers_and_four_workers_double_nothing(survive: Survive) -> None:
    survive("many-sweepers")
