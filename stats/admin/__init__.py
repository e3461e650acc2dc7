"""The pages with figures: what became of the mail of each key."""

from stats.admin.keys import KeyFiguresAdmin

__all__ = ["KeyFiguresAdmin"]
