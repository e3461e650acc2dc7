"""Start the real servers that the tests talk to, private and thrown away afterwards."""
