"""Redis is away, comes back empty, or says nothing; mail flows all the same."""

from __future__ import annotations

from collections.abc import Callable

import pytest

pytestmark = pytest.mark.integration

Survive = Callable[[str], None]


def test_what_is_accepted_without_redis_is_sent_without_redis(survive: Survive) -> None:
    survive("redis-absent")


def test_mail_flows_through_a_restart_of_redis(survive: Survive) -> None:
    survive("restart-redis")


def test_mail_flows_when_redis_forgets_everything(survive: Survive) -> None:
    survive("flush-redis")


def test_accepting_and_sending_go_on_while_redis_says_nothing(survive: Survive) -> None:
    survive("freeze-redis")
