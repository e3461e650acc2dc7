"""Answer other programs that tell us what happened to our mail: providers, and mail servers."""
