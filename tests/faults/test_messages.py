"""Single messages are the fault; the others go out."""

from __future__ import annotations

from collections.abc import Callable

import pytest

pytestmark = pytest.mark.integration

Survive = Callable[[str], None]


def test_values_that_no_header_can_hold_end_at_once_and_alone(survive: Survive) -> None:
    survive("header-corpus")


def test_a_message_that_kills_its_workers_is_put_aside_alone(survive: Survive) -> None:
    survive("poison")


def test_twenty_broken_templates_fail_alone(survive: Survive) -> None:
    survive("broken-templates")
