"""The supervisor and the local executor, with real processes."""
