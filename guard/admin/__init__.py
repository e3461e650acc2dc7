"""The pages of what guards: alerts, refused access, the log of what people did."""

from guard.admin.alerts import AlertAdmin
from guard.admin.log import LogEntryAdmin
from guard.admin.refused import RefusedAccessAdmin

__all__ = ["AlertAdmin", "LogEntryAdmin", "RefusedAccessAdmin"]
