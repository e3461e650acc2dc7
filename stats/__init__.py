"""Count what happened, for people to see."""
