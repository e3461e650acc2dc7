"""Answer what the mail of a cut is made of: by value, by key and by link, all at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import TypeVar
from uuid import UUID

from stats.queries import rollups
from stats.queries.figures import By, Cut, Totals
from stats.queries.glance import named

Name = TypeVar("Name", str, UUID)


@dataclass(frozen=True, slots=True)
class Parts:
    """The counts of a cut for each value of the rollups that it has, for each key and link."""

    by_value: dict[str, Totals]
    by_key: dict[UUID, Totals]
    by_link: dict[int, Totals]


def parts(cut: Cut, *, link_ids: Collection[int] = ()) -> Parts:
    """Return what a cut is made of: a template of its versions, a provider of its domains.

    `link_ids`: the links whose hits are wanted too, in the mail of the same keys and time.
    """
    by_value: dict[str, Totals] = defaultdict(Totals)
    by_key: dict[UUID, Totals] = defaultdict(Totals)
    by_link: dict[int, Totals] = defaultdict(Totals)
    rows = named("mail", rollups.rows_of(cut))
    if link_ids:
        of_links = replace(cut, by=By.LINK, value="", values=tuple(map(str, link_ids)))
        rows += named("link", rollups.rows_of(of_links))
    for (part, value, key_id), totals in rollups.summed(rows, "part", "value", "api_key"):
        if part == "link":
            by_link[int(value)] += totals
        else:
            by_value[value] += totals
            by_key[key_id] += totals
    return Parts(_largest_first(by_value), _largest_first(by_key), dict(by_link))


def _largest_first(found: dict[Name, Totals]) -> dict[Name, Totals]:
    return dict(sorted(found.items(), key=lambda one: (-one[1].accepted, str(one[0]))))
