"""The pages with figures: what became of the mail of each key, how links are followed."""

from stats.admin.keys import KeyFiguresAdmin
from stats.admin.links import LinkFiguresAdmin

__all__ = ["KeyFiguresAdmin", "LinkFiguresAdmin"]
