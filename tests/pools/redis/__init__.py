"""The Redis backend, with real servers."""
