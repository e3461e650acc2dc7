"""Write log lines without the addresses of people: what a server said may name one."""

from __future__ import annotations

import logging
import re

HIDDEN = "***@"
_local_part = re.compile(r"([^\s<>()\"'\[\]:;,@]{1,64})@(?=[\w-]+\.[\w.-]*\w)")
# A Message-ID begins with the id of its message, by which that can be found.
_is_of_message_id = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}[.0-9a-f]*").fullmatch


class WithoutAddresses(logging.Formatter):
    """Hide what stands before the ``@`` of an address, in the message and in a traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the finished text."""
        return _local_part.sub(_hidden, super().format(record))


def _hidden(found: re.Match[str]) -> str:
    return found[0] if _is_of_message_id(found[1]) else HIDDEN
