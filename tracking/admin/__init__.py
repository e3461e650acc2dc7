"""The operators' pages: what happened, and what was clicked."""

from tracking.admin.events import EventAdmin
from tracking.admin.links import TrackedLinkAdmin

__all__ = ["EventAdmin", "TrackedLinkAdmin"]
