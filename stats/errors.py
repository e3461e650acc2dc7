"""Say what is wrong with a question about the figures."""

from __future__ import annotations

from sending.errors import SendingError


class InvalidQuestion(SendingError):
    """A parameter cannot be read, or asks for too much; the text says which, and what it can be."""
