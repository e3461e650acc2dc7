"""Give, lift, look up and carry in standing orders, as callers and operators ask for it."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import islice
from typing import Any

from django.db.models import QuerySet
from django.utils.dateparse import parse_datetime
from django.utils.timezone import is_aware

from apikeys.models import ApiKey
from sending import caps, screening, suppressions
from sending.addresses import InvalidAddress, parse_address
from sending.commands.requests import despite_of
from sending.errors import InvalidSuppression, NotSuppressed
from sending.models import SendingProfile, Stream, Suppression
from sending.screening import Finding
from sending.suppressions import NewOrder, read_rule

MAX_AT_ONCE = 1000
MAX_ERRORS = 100
MAX_LISTED = 1000
FORMULA = ("=", "+", "-", "@", "\t", "\r")
# What the recipient said is taken back only with a reason.
ASKED_FOR = frozenset(
    {
        Suppression.Reason.UNSUBSCRIBED,
        Suppression.Reason.COMPLAINT,
        Suppression.Reason.FORGOTTEN,
    }
)
COLUMNS = ("address", "reason", "note", "expires_at")
_UNWRITABLE = re.compile("[\x00-\x08\x0e-\x1f\ud800-\udfff]")


@dataclass(slots=True)
class ImportReport:
    """What became of the rows of a file: how many are new, stood already, or could not be read."""

    new: int = 0
    standing: int = 0
    invalid: int = 0
    errors: list[tuple[int, str, str]] = field(default_factory=list)  # line, address, why

    def refuse(self, line: int, address: str, why: str) -> None:
        """Count a row that is not taken; the first of them are kept."""
        self.invalid += 1
        if len(self.errors) < MAX_ERRORS:
            self.errors.append((line, address[:320], why))


def read_order(given: Mapping[str, Any], *, by: str, now: datetime) -> NewOrder:
    """Return the order in `given`: address, and if wanted reason, note, expires_at.

    Raises InvalidSuppression, which says what is wrong.
    """
    address = given.get("address")
    if not isinstance(address, str):
        raise InvalidSuppression("address must be a text, such as ann@example.com or @example.com.")
    try:
        rule = read_rule(address)
    except InvalidAddress as error:
        raise InvalidSuppression(str(error)) from None
    return NewOrder(
        address=rule,
        reason=_reason(given.get("reason") or Suppression.Reason.MANUAL),
        note=_note(given.get("note") or ""),
        by=by,
        expires_at=_end(given.get("expires_at"), now=now),
    )


def _note(text: Any) -> str:
    if not isinstance(text, str) or len(text) > suppressions.MAX_NOTE or _UNWRITABLE.search(text):
        raise InvalidSuppression(
            f"note must be a text of at most {suppressions.MAX_NOTE} characters, none of them a "
            "control character."
        )
    return text


def _reason(word: Any) -> Suppression.Reason:
    if word not in Suppression.Reason.values:
        known = ", ".join(Suppression.Reason.values)
        raise InvalidSuppression(f"reason {str(word)[:40]!r} is not one of: {known}.")
    return Suppression.Reason(word)


def _end(text: Any, *, now: datetime) -> datetime | None:
    if text in (None, ""):
        return None
    try:
        moment = parse_datetime(text) if isinstance(text, str) else None
    except ValueError:
        moment = None
    if moment is None or not is_aware(moment):
        raise InvalidSuppression(
            "expires_at must be a time with its zone, such as 2027-01-31T00:00:00Z."
        )
    if moment <= now:
        raise InvalidSuppression(f"expires_at {text} is past: nothing would be stopped.")
    return moment


def add_suppressions(given: Sequence[Any], *, by: str, now: datetime) -> int:
    """Give up to 1,000 orders, all or none; return how many are new. Raises InvalidSuppression."""
    if not 1 <= len(given) <= MAX_AT_ONCE:
        raise InvalidSuppression(f"Give 1 to {MAX_AT_ONCE} suppressions in one call.")
    orders = []
    for number, one in enumerate(given, start=1):
        try:
            orders.append(read_order(one if isinstance(one, Mapping) else {}, by=by, now=now))
        except InvalidSuppression as error:
            if len(given) == 1:
                raise
            raise InvalidSuppression(f"Suppression {number}: {error}") from None
    return suppressions.suppress_many(orders, now=now)


def remove_suppression(address: str, *, reason: str, note: str, by: str, now: datetime) -> int:
    """Lift the orders about a rule, or that of one reason; return how many there were.

    Raises NotSuppressed when there is none, and InvalidSuppression when what the recipient said
    would be lifted without a note that says why.
    """
    found, note = orders_about(address), _note(note)
    if reason:
        found = found.filter(reason=_reason(reason))
    if not note and found.filter(reason__in=ASKED_FOR).exists():
        raise InvalidSuppression(
            "The recipient has unsubscribed, complained or asked to be forgotten: give a note that "
            "says why this is lifted, or a reason to lift another suppression only."
        )
    lifted = suppressions.lift_many(found, now=now, by=by, note=note)
    if not lifted:
        raise NotSuppressed(address)
    return lifted


def orders_about(address: str) -> QuerySet[Suppression]:
    """Return the orders that stand about exactly this rule."""
    try:
        rule = read_rule(address)
    except InvalidAddress as error:
        raise InvalidSuppression(str(error)) from None
    return Suppression.objects.filter(address__in=suppressions.names_of(rule))


def check_addresses(given: Any, *, key: ApiKey | None, stream: str = "") -> list[Finding]:
    """Return what is decided about up to 1,000 addresses for mail of a key, all in one statement.

    `stream`: another class of mail than the key's own. Nothing is sent or stored.
    """
    if not isinstance(given, list) or not 1 <= len(given) <= MAX_AT_ONCE:
        raise InvalidSuppression(f"addresses must be a list of 1 to {MAX_AT_ONCE} addresses.")
    addresses = [_address(one) for one in given]
    profile = SendingProfile.objects.filter(pk=key.pk).first() if key else None
    if profile is None:
        profile = SendingProfile(stream=Stream.BULK)
    if stream:
        if stream not in Stream.values:
            raise InvalidSuppression(f"stream must be one of: {', '.join(Stream.values)}.")
        profile.stream = stream
    findings = screening.examine(addresses, despite=despite_of(profile))
    capped = caps.would_exceed(set(addresses), profile)
    return [
        replace(one, blocked_by=capped[one.address])
        if one.blocked_by is None and one.address in capped
        else one
        for one in findings
    ]


def _address(text: Any) -> str:
    try:
        return parse_address(text if isinstance(text, str) else "").suppression_key
    except InvalidAddress as error:
        raise InvalidSuppression(f"{str(text)[:320]!r} cannot be checked: {error}") from None


def list_suppressions(
    *, reason: str = "", kind: str = "", before_id: int | None = None, limit: int = 100
) -> list[Suppression]:
    """Return up to `limit` orders, the newest first, from `before_id` on downwards."""
    found = Suppression.objects.order_by("-id")
    if reason:
        found = found.filter(reason=_reason(reason))
    if kind:
        if kind not in Suppression.Kind.values:
            known = ", ".join(Suppression.Kind.values)
            raise InvalidSuppression(f"kind must be one of: {known}.")
        found = found.filter(kind=kind)
    if before_id is not None:
        found = found.filter(id__lt=before_id)
    return list(found[: max(1, min(limit, MAX_LISTED))])


def import_suppressions(
    lines: Iterable[str], *, by: str, now: datetime, is_dry_run: bool
) -> ImportReport:
    """Give an order for each row of a CSV file, a thousand at a time; return what became of them.

    The first line names the columns: address, and if wanted reason, note and expires_at. A file
    without such a line has one address in each. What was read before a failure stays.
    """
    report = ImportReport()
    rows = _rows(lines, report, by=by, now=now)
    while chunk := list(islice(rows, MAX_AT_ONCE)):
        new = _count_new(chunk) if is_dry_run else suppressions.suppress_many(chunk, now=now)
        report.new += new
        report.standing += len(chunk) - new
    return report


def _count_new(orders: Sequence[NewOrder]) -> int:
    given = {(order.address, str(order.reason)) for order in orders}
    rows = Suppression.objects.filter(address__in={address for address, _ in given})
    return len(given.difference(rows.values_list("address", "reason")))


def _rows(
    lines: Iterable[str], report: ImportReport, *, by: str, now: datetime
) -> Iterator[NewOrder]:
    reader = csv.reader(line.replace("\0", "") for line in lines)
    columns: list[str] | None = None
    for cells in reader:
        if columns is None:
            names = [cell.strip().lstrip("\ufeff").casefold() for cell in cells]
            columns = names if "address" in names else ["address"]
            if "address" in names:
                continue
        row = dict(zip(columns, (_as_given(cell.strip()) for cell in cells), strict=False))
        if not any(row.values()):
            continue
        try:
            yield read_order({name: row.get(name, "") for name in COLUMNS}, by=by, now=now)
        except InvalidSuppression as error:
            report.refuse(reader.line_num, row.get("address", ""), str(error))


def export_rows(*, reason: str = "") -> Iterator[Sequence[str]]:
    """Yield the rows of a CSV file of all orders, read a thousand at a time by their ids."""
    yield (*COLUMNS, "created_at", "by")
    before_id: int | None = None
    while chunk := list_suppressions(reason=reason, before_id=before_id, limit=MAX_LISTED):
        for order in chunk:
            expires_at = order.expires_at.isoformat() if order.expires_at else ""
            note, by = _plain(order.note), _plain(order.by)
            yield (
                _plain(order.address),
                order.reason,
                note,
                expires_at,
                order.created_at.isoformat(),
                by,
            )
        before_id = chunk[-1].pk


def _plain(text: str) -> str:
    """Keep a spreadsheet from taking a text for a formula."""
    return f"'{text}" if text.startswith(FORMULA) else text


def _as_given(cell: str) -> str:
    """Undo `_plain`, so that what was exported can be imported."""
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(FORMULA) else cell
