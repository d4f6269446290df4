"""Datasets: their items, access to them, and their use by tasks. `service` is the entry point."""
