"""Hold what was asked, how it left, and what is known of it."""

from sending.models.answer import StoredAnswer
from sending.models.bounce import ReportedBounce, SenderBlock
from sending.models.cap import BulkPlace
from sending.models.domain import SenderDomain
from sending.models.event import AMBIGUOUS, Attempt, Event
from sending.models.limit import DailyCount, Limit, RecipientDomain, SlowDown, WarmUp
from sending.models.message import (
    Message,
    Priority,
    Status,
    Stream,
    first_id_since,
    in_batch,
    made_at,
    new_id_in,
    new_message_id,
)
from sending.models.profile import AmbiguityPolicy, FallbackRoute, SendingProfile
from sending.models.route import Route
from sending.models.suppression import LiftedSuppression, Suppression
from sending.models.template import Template, TemplateVersion

__all__ = [
    "AMBIGUOUS",
    "AmbiguityPolicy",
    "Attempt",
    "BulkPlace",
    "DailyCount",
    "Event",
    "FallbackRoute",
    "LiftedSuppression",
    "Limit",
    "Message",
    "Priority",
    "RecipientDomain",
    "ReportedBounce",
    "Route",
    "SenderBlock",
    "SenderDomain",
    "SendingProfile",
    "SlowDown",
    "Status",
    "StoredAnswer",
    "Stream",
    "Suppression",
    "Template",
    "TemplateVersion",
    "WarmUp",
    "first_id_since",
    "in_batch",
    "made_at",
    "new_id_in",
    "new_message_id",
]
