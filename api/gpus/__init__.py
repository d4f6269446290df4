"""Monitors, judges, shows and offers GPUs, and records their holders. The entry point is `service`."""
