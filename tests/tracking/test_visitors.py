"""Hits of known origin get the right label; people are not called machines."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tracking.agents import read_agent
from tracking.networks import owner_of, truncated
from tracking.visitors import Click, Label, Verdict, burst, classify, in_bursts, seconds_after

CORPUS = Path(__file__).parent / "corpus" / "hits.jsonl"
TOLD = ("kind", "user_agent", "ip", "method", "has_accept", "purpose", "seconds_after_handoff")
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/124.0.0.0 Safari/537.36"
)


def corpus() -> list[dict[str, Any]]:
    return [json.loads(line) for line in CORPUS.read_text().splitlines()]


def judge(row: dict[str, Any]) -> Verdict:
    return classify(**{name: row[name] for name in TOLD if name in row})


def test_the_corpus_is_large_and_says_where_each_hit_is_from() -> None:
    rows = corpus()
    assert len(rows) >= 200
    assert all(row["origin"] for row in rows)


def test_machines_are_found_and_people_are_not_called_machines() -> None:
    """Recall of machines at least 95 %, people called machines at most 1 %."""
    judged = [(row, judge(row)) for row in corpus()]
    machines = [(row, one) for row, one in judged if row["label"] in ("proxy", "scanner")]
    missed = [row for row, one in machines if one.label not in (Label.PROXY, Label.SCANNER)]
    people = [(row, one) for row, one in judged if row["is_human"]]
    accused = [row for row, one in people if not one.is_human and one.label != Label.UNKNOWN]
    uncounted = [row for row, one in people if not one.is_human]
    assert len(missed) <= 0.05 * len(machines), missed
    assert len(accused) <= 0.01 * len(people), accused
    assert len(uncounted) <= 0.02 * len(people), uncounted


def test_no_machine_is_counted_as_a_person() -> None:
    machines = [row for row in corpus() if not row["is_human"]]
    counted = [row for row in machines if judge(row).is_human]
    assert len(counted) <= 0.05 * len(machines), counted
    # Only what was sampled from elsewhere, and says nothing of itself, may slip through.
    assert [row for row in counted if not row["origin"].startswith("sample")] == []


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def clicks(*told: tuple[float, int | None]) -> list[Click]:
    return [Click(at(second), link) for second, link in told]


def test_three_links_within_two_seconds_are_a_burst_with_all_that_is_in_it() -> None:
    told = clicks((0, 1), (0.5, 1), (1, 2), (2, 3), (30, 4))
    assert in_bursts(told, link_count=None) == {0, 1, 2, 3}


def test_bursts_in_a_long_row_of_clicks_are_each_found() -> None:
    told = clicks(*[(10.0 * number, 1) for number in range(50)])
    told[20:20] = clicks((195, 1), (195.5, 2), (196, 3), (197.9, 2), (198.1, 2))
    assert in_bursts(told, link_count=None) == {20, 21, 22}


def test_three_links_in_more_than_two_seconds_are_a_person() -> None:
    assert in_bursts(clicks((0, 1), (1, 2), (2.1, 3)), link_count=None) == set()


def test_a_link_that_is_clicked_often_is_no_burst() -> None:
    told = clicks(*[(number / 10, 1) for number in range(20)])
    assert in_bursts(told, link_count=5) == set()


def test_all_links_within_ten_seconds_are_a_burst_if_there_are_four() -> None:
    told = clicks((0, 1), (3, 2), (6, 3), (9, 4))
    assert in_bursts(told, link_count=4) == {0, 1, 2, 3}
    assert in_bursts(told, link_count=5) == set()
    assert in_bursts(clicks((0, 1), (5, 2), (9, 3)), link_count=3) == set()


def test_clicks_whose_link_is_not_known_are_not_compared() -> None:
    told = clicks((0, None), (0.1, None), (0.2, None))
    assert in_bursts(told, link_count=None) == set()


def test_a_person_in_a_burst_was_none() -> None:
    person = classify(kind="clicked", user_agent=CHROME)
    assert person.is_human
    machine = burst(person)
    assert (machine.label, machine.is_human) == (Label.SCANNER, False)
    assert "burst" in machine.reasons


@pytest.mark.parametrize(
    ("second", "known", "since"),
    [
        (30, {}, 30),
        (30, {"accepted": [at(28)]}, 2),
        (30, {"delivered": [at(29)]}, 1),
        # Told too late: a person may have been there meanwhile.
        (30, {"delivered": [at(40)]}, 30),
        # Before the next hop had answered.
        (3, {"accepted": [at(20)]}, 0),
        # The clock of the web server is behind by a second.
        (-1, {}, -1),
        # The first copy was opened, then the mail was sent again.
        (-7200, {"accepted": [at(-7300)]}, 100),
        (-7200, {}, None),
    ],
)
def test_the_nearest_moment_at_which_the_mail_arrived_counts(
    second: float, known: dict[str, list[datetime]], since: float | None
) -> None:
    told = {"accepted": [], "delivered": []} | known
    assert seconds_after(at(second), handed_off_at=NOON, **told) == since


def test_nothing_is_too_soon_when_the_time_of_arrival_is_not_known() -> None:
    assert seconds_after(NOON, handed_off_at=None, accepted=[], delivered=[]) is None
    assert classify(kind="clicked", user_agent=CHROME, seconds_after_handoff=None).is_human


@pytest.mark.parametrize(
    ("ip", "network"),
    [
        ("203.0.113.77", "203.0.113.0"),
        ("2001:db8:1:2:3::4", "2001:db8:1::"),
        ("::ffff:203.0.113.77", "::"),
        ("", ""),
        ("nonsense", ""),
    ],
)
def test_a_truncated_address_names_a_network_only(ip: str, network: str) -> None:
    assert truncated(ip) == network


def test_an_address_is_found_in_the_network_of_its_owner() -> None:
    assert owner_of("40.107.22.52") == "microsoft"
    assert owner_of("2a01:111:f400::1") == "microsoft"
    assert owner_of("203.0.113.7") == owner_of("2001:db8::1") == owner_of("nonsense") == ""


@pytest.mark.parametrize(
    ("user_agent", "client", "device", "system"),
    [
        (CHROME, "Chrome", "desktop", "Windows"),
        ("Outlook-iOS/709.2226530.prod.iphone (3.24.1)", "Outlook-iOS", "phone", "iOS"),
        (
            "Mozilla/5.0 (iPad; CPU OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like "
            "Gecko) Version/17.4 Mobile/15E148 Safari/604.1",
            "Mobile Safari",
            "tablet",
            "iOS",
        ),
        (
            "Mozilla/5.0 (Linux; Android 13; SM-X700) AppleWebKit/537.36 (KHTML, like Gecko) "
            "Chrome/123.0.0.0 Safari/537.36",
            "Chrome",
            "tablet",
            "Android",
        ),
        ("Mozilla/5.0 (Windows NT 5.1) (via ggpht.com GoogleImageProxy)", "Gmail", "", ""),
        ("Mozilla/5.0", "", "", ""),
        ("", "", "", ""),
    ],
)
def test_the_user_agent_tells_client_device_and_system(
    user_agent: str, client: str, device: str, system: str
) -> None:
    agent = read_agent(user_agent)
    assert (agent.client, agent.device, agent.system) == (client, device, system)


def test_a_user_agent_of_any_length_is_read_quickly_and_safely() -> None:
    for user_agent in ("(" * 100_000, "Mozilla/5.0 " + "a" * 100_000, "\0\udc80é" * 1000):
        assert classify(kind="clicked", user_agent=user_agent).label in set(Label)
