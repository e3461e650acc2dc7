"""Let the recipient say no, once and for good."""
