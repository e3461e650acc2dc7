"""Read a question about the figures from the parameters of a URL, or say why not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo, available_timezones

from django.http import QueryDict
from django.utils.dateparse import parse_date, parse_datetime

from sending.addresses import InvalidAddress, parse_address
from sending.models import Stream, made_at
from sending.pacing.providers import PROVIDERS
from stats import queries
from stats.errors import InvalidQuestion
from stats.queries import By, Cut, Step
from stats.queries.figures import first_hour

Choice = TypeVar("Choice", bound=StrEnum)


class Show(StrEnum):
    """What can be told instead of the counts of messages."""

    FAILURES = "failures"
    OPEN_TIMES = "open_times"
    LINKS = "links"
    CLICKERS = "clickers"
    WAITS = "waits"


# Of these there may be any number of rows.
LIMITED = (Show.FAILURES, Show.LINKS, Show.CLICKERS)
CHOOSABLE = (
    By.TEMPLATE,
    By.VERSION,
    By.STREAM,
    By.SENDER_DOMAIN,
    By.RECIPIENT_DOMAIN,
    By.PROVIDER,
    By.BATCH,
    By.VARIANT,
    By.TAG,
)
KNOWN = ("start", "end", "zone", "step", "by", "show", "link", "limit", *CHOOSABLE, "format")
# Nobody may leave these empty: the answer would be about all mail.
CHOICES = (*CHOOSABLE, "link")
MAX_DIGITS = 18  # of a number that a database can hold
BATCH_ID_VERSION = 7
DEFAULT_DAYS = 30
LONGEST = timedelta(days=3700)
# A batch is named by the clock of a web server, and accepted by that of the database.
CLOCKS_APART = timedelta(hours=1)
MAX_POINTS = 2400  # hours of a hundred days
MAX_ROWS = 100
DEFAULT_ROWS = 10
SECONDS = {Step.HOUR: 3600, Step.DAY: 86_400, Step.WEEK: 604_800, Step.MONTH: 2_419_200}


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked: of which messages, step by step, by what or which table, in which form."""

    cut: Cut
    step: Step | None
    by: By | None
    show: Show | None
    link: int | None
    limit: int
    is_csv: bool


def read_question(query: QueryDict, *, key_id: UUID, now: datetime) -> Question:
    """Read the parameters of one key's question; raises InvalidQuestion."""
    _refuse_unreadable(query)
    zone = _zone(query.get("zone", "UTC"))
    start, end = _span(query, zone=zone, now=now)
    step = _one_of(Step, query.get("step", ""), "step")
    if step is not None and (end - start).total_seconds() / SECONDS[step] > MAX_POINTS:
        raise InvalidQuestion(f"That is more than {MAX_POINTS} steps; ask for longer ones.")
    by = _one_of(By, query.get("by", ""), "by")
    show = _one_of(Show, query.get("show", ""), "show")
    _refuse_several({"step": step, "by": by, "show": show})
    chosen, value = _chosen(query)
    if chosen != By.ALL and by is not None:
        raise InvalidQuestion(f"Give by or {chosen}, not both: figures are told apart by one.")
    _refuse_unknown_of(show, chosen)
    cut = Cut(start=start, end=end, keys=frozenset({key_id}), by=chosen, value=value, zone=zone)
    if chosen in (By.TEMPLATE, By.VERSION) and not queries.is_sent_by(cut, key_id=key_id):
        # Whether it is somebody else's is nobody's business.
        raise InvalidQuestion(
            f"{chosen} {value} is none that this key sends: by={chosen} lists those."
        )
    return Question(
        cut=cut,
        step=step,
        by=by,
        show=show,
        link=_link(query, show=show),
        limit=_limit(query.get("limit"), is_of_use=by is not None or show in LIMITED),
        is_csv=_format(query.get("format", "json")),
    )


def _refuse_unreadable(query: QueryDict) -> None:
    """Refuse what would be ignored: names that mean nothing, values twice or without content."""
    for name, values in query.lists():
        if name not in KNOWN:
            raise InvalidQuestion(
                f"There is no parameter {name[:60]!r}. There are {', '.join(KNOWN)}."
            )
        if len(values) > 1:
            raise InvalidQuestion(f"Give {name} once.")
        if name in CHOICES and not values[0].strip():
            raise InvalidQuestion(f"{name} is empty: give a value, or leave it out.")


def _refuse_several(forms: Mapping[str, object]) -> None:
    given = [name for name, value in forms.items() if value is not None]
    if len(given) > 1:
        raise InvalidQuestion(f"Give {given[0]} or {given[1]}, not both.")


def _refuse_unknown_of(show: Show | None, chosen: By) -> None:
    """Refuse to tell of some mail what is counted of all mail of a key together only."""
    if show is None or chosen == By.ALL:
        return
    if show != Show.LINKS:
        raise InvalidQuestion(
            f"{show} are known of all mail of a key together only: leave out {chosen}."
        )
    if chosen not in (By.TEMPLATE, By.VERSION):
        raise InvalidQuestion(f"links are known of a template or version only, not of a {chosen}.")


def _chosen(query: Mapping[str, str]) -> tuple[By, str]:
    """Return which mail alone is asked about, by one thing."""
    given = [(by, query[by].strip()) for by in CHOOSABLE if by in query]
    if len(given) > 1:
        names = " or ".join(by.value for by, _ in given)
        raise InvalidQuestion(f"Give {names}, not both: figures are told apart by one.")
    by, value = given[0] if given else (By.ALL, "")
    if "\0" in value:
        raise InvalidQuestion(f"{by} must have no NUL character; no stored text has one.")
    return by, _value(value, by)


def _value(text: str, by: By) -> str:
    """Return a value as the counts have it."""
    if by in (By.TEMPLATE, By.VERSION):
        return str(_number(text, by, told_by=f"by={by}"))
    if by == By.STREAM:
        return str(_one_of(Stream, text, by))
    if by in (By.SENDER_DOMAIN, By.RECIPIENT_DOMAIN):
        return _domain(text, f"{by} must be a domain such as shop.example.")
    if by == By.PROVIDER and text.lower() not in PROVIDERS:
        names = ", ".join(sorted(PROVIDERS))
        return _domain(text, f"{by} must be a domain or one of {names}.")
    if by == By.BATCH:
        return str(_batch(text))
    return text.lower() if by == By.PROVIDER else text


def _number(text: str, name: str, *, told_by: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS):
        raise InvalidQuestion(f"{name} must be a number, as {told_by} tells it.")
    return int(text)


def _domain(text: str, mistake: str) -> str:
    try:
        return parse_address(f"x@{text}").domain
    except InvalidAddress:
        raise InvalidQuestion(mistake) from None


def _link(query: Mapping[str, str], *, show: Show | None) -> int | None:
    """Return the link whose clickers are asked for."""
    text = query.get("link", "").strip()
    if show != Show.CLICKERS:
        if text:
            raise InvalidQuestion("link goes with show=clickers only.")
        return None
    if not text:
        raise InvalidQuestion("Give the link whose clickers to show, as show=links tells it.")
    return _number(text, "link", told_by="show=links")


def _batch(text: str) -> UUID:
    try:
        identity = UUID(text)
        is_one = identity.version == BATCH_ID_VERSION and bool(made_at(identity))
    except ValueError:
        is_one = False
    if not is_one:
        raise InvalidQuestion("batch must be an id, as the header X-Batch-ID gives it.")
    return identity


def _span(query: Mapping[str, str], *, zone: ZoneInfo, now: datetime) -> tuple[datetime, datetime]:
    """Return the span of time: as given, that of the batch, else the newest days."""
    start = _moment(query.get("start", ""), "start", zone=zone)
    end = _moment(query.get("end", ""), "end", zone=zone)
    batch = query.get("batch", "").strip()
    if start is None and batch:
        made = made_at(_batch(batch))
        if end is None and query.get("step") == Step.HOUR:
            # It is in one hour, and all hours since an old one would be too many steps.
            made = min(made, now - CLOCKS_APART)
            return made - CLOCKS_APART, made + CLOCKS_APART
        end = end or now
        start = min(end - timedelta(days=DEFAULT_DAYS), made - CLOCKS_APART)
    end = end or now
    start = start or end - timedelta(days=DEFAULT_DAYS)
    if not start < end:
        raise InvalidQuestion("start must be before end.")
    if end - start > LONGEST:
        raise InvalidQuestion("start and end are more than ten years apart; ask for less.")
    return start, end


def _zone(name: str) -> ZoneInfo:
    if name not in available_timezones():
        raise InvalidQuestion(f"zone must be a name such as Europe/Lisbon, not {name[:60]!r}.")
    return ZoneInfo(name)


def _moment(text: str, name: str, *, zone: ZoneInfo) -> datetime | None:
    if not text:
        return None
    day = None
    try:
        day = parse_date(text)
        moment = datetime(day.year, day.month, day.day) if day else parse_datetime(text)  # noqa: DTZ001 - the zone follows
    except ValueError:
        moment = None
    if moment is None or not 1970 < moment.year < 9000:
        raise InvalidQuestion(
            f"{name} must be a date or a time such as 2026-03-01 or 2026-03-01T12:00:00Z."
        )
    moment = moment if moment.tzinfo else moment.replace(tzinfo=zone)
    return first_hour(moment) if day else moment


def _one_of(choices: type[Choice], text: str, name: str) -> Choice | None:
    if not text:
        return None
    try:
        return choices(text)
    except ValueError:
        known = ", ".join(one.value for one in choices)
        raise InvalidQuestion(f"{name} must be one of {known}.") from None


def _format(text: str) -> bool:
    if text not in ("json", "csv"):
        raise InvalidQuestion("format must be json or csv.")
    return text == "csv"


def _limit(text: str | None, *, is_of_use: bool) -> int:
    if text is None:
        return DEFAULT_ROWS
    if not is_of_use:
        raise InvalidQuestion(f"limit goes with by, or with show={' or '.join(LIMITED)}.")
    if not (text.isascii() and text.isdigit() and len(text) < 4 and 1 <= int(text) <= MAX_ROWS):
        raise InvalidQuestion(f"limit must be a number from 1 to {MAX_ROWS}.")
    return int(text)
