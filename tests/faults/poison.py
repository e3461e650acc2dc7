"""Be the settings of a worker that one message kills, and the step in which it dies."""

from __future__ import annotations

from billionmail.settings import *  # noqa: F403
from billionmail.settings import MESSAGE_STEPS as USUAL_STEPS

MESSAGE_STEPS = [*USUAL_STEPS, "tests.faults.poison_step.die_of_poison"]
