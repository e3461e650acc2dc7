"""The next hop fails in every phase of SMTP, and a provider in every way of HTTP."""

from __future__ import annotations

from collections.abc import Callable

import pytest

pytestmark = pytest.mark.integration

Survive = Callable[[str], None]


def test_a_mishap_before_the_dot_costs_no_copy_and_no_message(survive: Survive) -> None:
    survive("smtp-phases")


def test_a_mishap_before_the_envelope_costs_no_copy_and_no_message(survive: Survive) -> None:
    survive("smtp-connections")


def test_the_death_of_the_next_hop_doubles_only_what_was_on_the_wire(survive: Survive) -> None:
    survive("kill-next-hop")


def test_a_failing_provider_gets_only_what_it_may_not_have_taken(survive: Survive) -> None:
    survive("provider")
