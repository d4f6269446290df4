"""Retention: which saved models and checkpoints stay."""
