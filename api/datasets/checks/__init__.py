"""Checks of a version before training."""
