"""Break what the mail path stands on, for real, and count what came of every accepted message."""
