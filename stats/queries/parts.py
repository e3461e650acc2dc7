"""Answer what the mail of a cut is made of: by value, by key and by link, all at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import TypeVar
from uuid import UUID

from stats.models import SEPARATOR
from stats.queries import rollups
from stats.queries.figures import By, Cut, Totals
from stats.queries.glance import named

Name = TypeVar("Name", str, UUID)


@dataclass(frozen=True, slots=True)
class Parts:
    """The counts of a cut for each value of the rollups that it has, for each key and link.

    `by_variant`: of a template, whose mail callers tell apart by these.
    """

    by_value: dict[str, Totals]
    by_key: dict[UUID, Totals]
    by_link: dict[int, Totals]
    by_variant: dict[str, Totals]


def parts(cut: Cut, *, link_ids: Collection[int] = ()) -> Parts:
    """Return what a cut is made of: a template of its versions, a provider of its domains.

    `link_ids`: the links whose hits are wanted too, in the mail of the same keys and time.
    """
    by_value: dict[str, Totals] = defaultdict(Totals)
    by_key: dict[UUID, Totals] = defaultdict(Totals)
    by_link: dict[int, Totals] = defaultdict(Totals)
    by_variant: dict[str, Totals] = defaultdict(Totals)
    cut = rollups.looked_up(cut)
    if not cut.keys:
        return Parts({}, {}, {}, {})
    rows = named("mail", rollups.rows_of(cut))
    if link_ids:
        of_links = replace(cut, by=By.LINK, value="", values=tuple(map(str, link_ids)))
        rows += named("link", rollups.rows_of(of_links))
    if cut.by == By.TEMPLATE:
        rows += named("variant", rollups.rows_of(replace(cut, values=None), by=By.VARIANT))
    for (part, value, key_id), totals in rollups.summed(rows, "part", "value", "api_key"):
        if part == "link":
            by_link[int(value)] += totals
        elif part == "variant":
            variant, _, version = value.partition(SEPARATOR)
            if version in (cut.values or ()):
                by_variant[variant] += totals
        else:
            by_value[value] += totals
            by_key[key_id] += totals
    return Parts(
        by_value=_largest_first(by_value),
        by_key=_largest_first(by_key),
        by_link=dict(by_link),
        by_variant=_largest_first(by_variant),
    )


@dataclass(frozen=True, slots=True)
class Marks:
    """The counts of a cut by what callers marked its mail with: by variant, and by tag."""

    by_variant: dict[str, Totals]
    by_tag: dict[str, Totals]


def marks(cut: Cut) -> Marks:
    """Return the variants and tags of the mail of some keys, in one statement."""
    found: dict[str, dict[str, Totals]] = {part: defaultdict(Totals) for part in ("variant", "tag")}
    rows = [
        *named("variant", rollups.rows_of(cut, by=By.VARIANT)),
        *named("tag", rollups.rows_of(cut, by=By.TAG)),
    ]
    for (part, value), totals in rollups.summed(rows, "part", "value"):
        found[part][value.partition(SEPARATOR)[0]] += totals
    return Marks(_largest_first(found["variant"]), _largest_first(found["tag"]))


def _largest_first(found: dict[Name, Totals]) -> dict[Name, Totals]:
    return dict(sorted(found.items(), key=lambda one: (-one[1].accepted, str(one[0]))))
