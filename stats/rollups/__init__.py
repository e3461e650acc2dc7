"""Count what the event log and the visits tell: the only writer of the rollups.

`roller` counts what is new, `rebuild` counts everything anew. Both add up `deltas`: of changes of
status (`changes`), each event once, and of what people and machines did (`hits`), where what was
counted of a message before is taken out first. `forgetting` is for who removes messages.
"""

from stats.rollups.forgetting import forget_keys, forget_marks, forget_messages
from stats.rollups.rebuild import Difference, check, rebuild
from stats.rollups.roller import Roller, roll

__all__ = [
    "Difference",
    "Roller",
    "check",
    "forget_keys",
    "forget_marks",
    "forget_messages",
    "rebuild",
    "roll",
]
