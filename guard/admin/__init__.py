"""The pages of what guards: the log of what people did."""

from guard.admin.log import LogEntryAdmin

__all__ = ["LogEntryAdmin"]
