"""A pipeline as anybody would write it first: each mail is a request, a task and a connection."""
