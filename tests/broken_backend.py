"""Be a provider whose answer nobody understands."""

from __future__ import annotations

from typing import Any

from django.core.mail.backends.base import BaseEmailBackend


class SendsThenBreaks(BaseEmailBackend):
    """Take the message, then fail while reading the answer."""

    def send_messages(self, messages: Any) -> int:
        """Fail in a way that no transport expects."""
        raise KeyError("message_id")
