"""Notifications: planned, bundled in the outbox, sent to channels."""
