"""The operators' pages: one module for each model."""

from sending.admin.domains import SenderDomainAdmin
from sending.admin.keys import SendingKeyAdmin
from sending.admin.limits import LimitAdmin, SlowDownAdmin, WarmUpAdmin
from sending.admin.messages import MessageAdmin
from sending.admin.routes import RouteAdmin
from sending.admin.suppressions import LiftedSuppressionAdmin, SuppressionAdmin
from sending.admin.templates import TemplateAdmin

__all__ = [
    "LiftedSuppressionAdmin",
    "LimitAdmin",
    "MessageAdmin",
    "RouteAdmin",
    "SenderDomainAdmin",
    "SendingKeyAdmin",
    "SlowDownAdmin",
    "SuppressionAdmin",
    "TemplateAdmin",
    "WarmUpAdmin",
]
