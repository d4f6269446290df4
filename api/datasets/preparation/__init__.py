"""Preprocessing tasks and their results."""
