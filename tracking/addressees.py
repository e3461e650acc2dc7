"""Know the addresses at which mail from other servers is taken in, and give each mail to its taker.

Ours are the signed return-paths, the REPORT_ADDRESSES and what the REPORT_HANDLERS claim.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import Protocol

from django.conf import settings
from django.utils.module_loading import import_string

from tracking import correlation


class ReportHandler(Protocol):
    """Take the mail to addresses of its own; a line of REPORT_HANDLERS names one.

    That is how a later app gets mail in without being imported here.
    """

    def accepts(self, address: str) -> bool:
        """Tell whether the address is one of its own, without asking the database."""

    def take(self, address: str, *, content: bytes, now: datetime) -> str:
        """Do what the mail asks for; return the kind of event that it told of, or nothing.

        Idempotent, for the same mail may come again.
        """


def is_ours(address: str) -> bool:
    """Tell whether mail to the address is taken in; asks no database."""
    return _is_report_address(address) or any(one.accepts(address) for one in report_handlers())


def take_mail(content: bytes, *, recipients: Sequence[str], now: datetime) -> list[str]:
    """Give a mail to all that it is for; return the kinds of event that it told of.

    It is a report unless a handler claims every recipient. The sender has to repeat it when this
    raises.
    """
    claims = [
        (address, handler)
        for address in recipients
        for handler in report_handlers()
        if handler.accepts(address)
    ]
    claimed = {address for address, _ in claims}
    told = [handler.take(address, content=content, now=now) for address, handler in claims]
    rest = [address for address in recipients if address not in claimed]
    if rest or not claimed:
        reports = correlation.take_report(content, recipients=rest, now=now)
        told += [report.kind for report in reports]
    return [kind for kind in told if kind]


def _is_report_address(address: str) -> bool:
    listed = {one.casefold() for one in settings.REPORT_ADDRESSES}
    return address.casefold() in listed or correlation.signed_id([address]) is not None


def report_handlers() -> list[ReportHandler]:
    """Return what REPORT_HANDLERS names; raise ImportError for what is not there."""
    return [_resolve(path) for path in settings.REPORT_HANDLERS]


@cache
def _resolve(path: str) -> ReportHandler:
    handler: ReportHandler = import_string(path)
    return handler
