"""Carry out what callers and operators ask for: one function for each use case."""

from sending.commands.acceptance import (
    BatchReceipt,
    accept_batch,
    accept_message,
    accept_one,
    cancel,
    mark_delivered,
    resend,
)
from sending.commands.answers import Answer, once
from sending.commands.domains import (
    check_domain,
    check_due_domains,
    create_domain,
    rotate_dkim_key,
)
from sending.commands.dry_run import DryRun, foresee, foresee_one, is_dry_run
from sending.commands.limits import delete_limit, end_slow_down, save_limit
from sending.commands.requests import Rejection
from sending.commands.routes import check_route, resume_route, save_route
from sending.commands.templates import (
    Preview,
    create_template,
    preview,
    sample_values,
    save_version,
)

__all__ = [
    "Answer",
    "BatchReceipt",
    "DryRun",
    "Preview",
    "Rejection",
    "accept_batch",
    "accept_message",
    "accept_one",
    "cancel",
    "check_domain",
    "check_due_domains",
    "check_route",
    "create_domain",
    "create_template",
    "delete_limit",
    "end_slow_down",
    "foresee",
    "foresee_one",
    "is_dry_run",
    "mark_delivered",
    "once",
    "preview",
    "resend",
    "resume_route",
    "rotate_dkim_key",
    "sample_values",
    "save_limit",
    "save_route",
    "save_version",
]
