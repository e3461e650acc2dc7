"""Kill the process that makes a mail for a poisonous recipient, as an out-of-memory killer does."""

from __future__ import annotations

import os

from sending.models import Message, SenderDomain
from sending.steps import Additions, Draft


class DieOfPoison:
    """A MESSAGE_STEP that adds nothing, and ends its process for some."""

    def prepare(self, draft: Draft) -> Draft:
        """Change nothing."""
        return draft

    def fill(self, message: Message, domain: SenderDomain | None) -> Additions:
        """End the process at once, or add nothing."""
        if message.recipient.startswith("poison."):
            os._exit(9)
        return Additions(values={})


die_of_poison = DieOfPoison()
