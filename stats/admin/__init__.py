"""The pages with figures, which read the counts."""

from stats.admin.domains import SenderDomainFiguresAdmin
from stats.admin.keys import KeyFiguresAdmin
from stats.admin.links import LinkFiguresAdmin
from stats.admin.messages import MessageFiguresAdmin
from stats.admin.templates import TemplateFiguresAdmin

__all__ = [
    "KeyFiguresAdmin",
    "LinkFiguresAdmin",
    "MessageFiguresAdmin",
    "SenderDomainFiguresAdmin",
    "TemplateFiguresAdmin",
]
