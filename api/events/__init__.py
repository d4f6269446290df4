"""Publish events, progress and metrics of trainings to streams. The entry point is `publisher`."""
