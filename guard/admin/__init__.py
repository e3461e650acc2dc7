"""The pages of what guards: alerts and who is told, refused access, the log of what people did."""

from guard.admin.alerts import AlertAdmin
from guard.admin.channels import AlertChannelAdmin
from guard.admin.log import LogEntryAdmin
from guard.admin.refused import RefusedAccessAdmin

__all__ = ["AlertAdmin", "AlertChannelAdmin", "LogEntryAdmin", "RefusedAccessAdmin"]
