"""Say why a list cannot be checked, applied or undone."""

from __future__ import annotations


class CannotClean(Exception):
    """What was asked for is not possible; the text says why and what to do."""


class HoldLost(Exception):
    """Another process works on the run now, or somebody stopped it: leave it alone."""
