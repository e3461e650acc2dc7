"""Stand for the claim on a message."""

from __future__ import annotations


class Lease:
    """Give leave to send, and count how often it was asked for."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self) -> bool:
        self.asked += 1
        return True
